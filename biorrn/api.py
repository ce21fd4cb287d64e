"""The public Python API: the functions behind `import biorrn`.

Each function does what the command of the same name does, with the same defaults and results. Where a command takes a
file, the function also takes plain objects. Results are pandas DataFrames or plain records. Nothing is printed unless
`progress` is true. Unusable input raises `BiorrnError` with the message of the command line.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar

from biorrn.base.compute import threads_restored
from biorrn.base.errors import BiorrnError, ConfigError, InputError, stop

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from biorrn.nanopore.basecall.caller import Call
    from biorrn.nn.store import Stored
    from biorrn.sequences.records import SignalRecord

    Source = str | Path
    Proteins = Source | pd.DataFrame | Mapping[str, str] | Iterable[str]

P = ParamSpec("P")
R = TypeVar("R")
TABLE = "table.parquet"  # of a run folder: the DataFrame that it was trained on


class Model:
    """A loaded model, as `load_model` and `train` return it. Its repr says what it predicts and for which inputs.

    Attributes
    ----------
    name : str: name of the folder; the id of a shipped model.
    path : Path: the model folder.
    task : str: "regression", "classification", "tagging", "basecalling", "language" or "translation".
    targets : list of dict: name, unit and sign of each predicted property.
    facts : dict: all that is stored beside the weights.

    >>> import biorrn
    >>> model = biorrn.load_model("stability")
    >>> model.task, model.targets[0]["unit"]
    ('regression', 'log10 EC50')
    """

    def __init__(self, stored: Stored) -> None:
        from biorrn.nn.facts import targets_of

        self._stored = stored
        self.name: str = stored.path.resolve().name
        self.path: Path = stored.path
        self.facts: dict[str, Any] = stored.facts
        self.task: str = str(stored.facts.get("task"))
        self.targets: list[dict[str, Any]] = targets_of(stored.facts)

    def __repr__(self) -> str:
        from biorrn.nn.store import summary

        return "\n".join(summary(self.name, self.path, self.facts))


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of `evaluate`; `print` shows it as the command line does.

    Attributes
    ----------
    metrics : DataFrame: target, metric, n, value, low, high; `low` and `high` are the 95 % bootstrap interval. For
        basecalls, target is the region, or "all reads".
    baselines : DataFrame: the same columns and `baseline`: simple models on the same rows.
    cautions : list of str: limits of the numbers.
    content : dict: the content of the JSON file of `biorrn evaluate`.

    >>> import biorrn, pandas
    >>> measured = pandas.DataFrame({"id": ["a", "b"], "sequence": ["MKV", "MKL"], "tm": [51.0, 60.0]})
    >>> found = biorrn.evaluate(pandas.DataFrame({"id": ["a", "b"], "tm": [50.0, 61.0]}), measured)
    >>> found.metrics.set_index("metric")["value"]["mae"].item()
    1.0
    """

    metrics: pd.DataFrame
    baselines: pd.DataFrame
    cautions: list[str]
    content: dict[str, Any]

    def __repr__(self) -> str:
        from biorrn.stats.results import summary_lines

        return "\n".join(summary_lines(self.content))


def load_model(name: str | Path) -> Model:
    """Load a model.

    Parameters
    ----------
    name : str or Path: a run folder, or the id of a shipped model (`biorrn models` lists them).

    Returns
    -------
    Model

    Raises
    ------
    BiorrnError: no such model, or its files are damaged.

    >>> import biorrn
    >>> print(biorrn.load_model("stability"))  # doctest: +ELLIPSIS
    model: stability
    task: regression
    predicts: stability score of a designed mini-protein, ...
    """
    from biorrn.nn import store

    return Model(store.load_model(name))


def read_proteins(
    proteins: Proteins,
    *,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    strict: bool = False,
) -> pd.DataFrame:
    """Read protein sequences, cleaned as `predict` cleans them.

    Parameters
    ----------
    proteins : FASTA file, compressed or not; table (text, Excel, parquet) or DataFrame with a column of sequences; dict
        of id -> sequence; or list of sequences, which are named row1, row2, ...
    sequence_column, id_column : str: columns of a table. Default ids: the column "id", else row1, row2, ...
    sheet : str: sheet of an Excel workbook; default: the first.
    wild_type, offset : for a table of mutations, see `predict`.
    strict : bool: raise at the first record that cannot be used; default: leave it out, with a warning.

    Returns
    -------
    DataFrame: id, sequence, then description (FASTA) or the other columns of the table, as text.

    Raises
    ------
    BiorrnError: the input cannot be read, is DNA, or holds no usable protein.

    >>> import biorrn
    >>> biorrn.read_proteins({"a": "mkv-lay"})
      id sequence
    0  a   MKVLAY
    """
    import pandas as pd

    from biorrn.sequences.rows import TableOptions, other_columns
    from biorrn.sequences.rows import read_proteins as read
    from biorrn.sequences.tables.reader import is_table

    problems: list[InputError] = []
    columns = TableOptions(sequence_column, id_column, sheet, wild_type, offset)
    with _file_of(proteins) as path, _quiet():
        carried = other_columns(path, columns)
        records = list(read(path, columns, carry=carried, **_taking(problems, strict)))
        table = is_table(path)
    if not records:
        raise BiorrnError(f"{_named(proteins)}: holds no protein that can be used" + _because(problems))
    _warn(problems, str(path), _named(proteins))
    frame = pd.DataFrame({"id": [one.id for one in records], "sequence": [one.sequence for one in records]})
    if not table:
        frame["description"] = [one.description for one in records]
    for place, name in enumerate(carried):
        frame[name if name not in frame else f"input_{name}"] = [one.cells[place] for one in records]
    return frame


def read_signal(
    paths: Source | Iterable[Source],
    *,
    read_ids: Iterable[str] | None = None,
    max_reads: int | None = None,
    strict: bool = False,
) -> Iterator[SignalRecord]:
    """Yield the reads of FAST5, POD5, SLOW5 or BLOW5 files, one in memory at a time.

    Parameters
    ----------
    paths : a file or folder, or several; folders are searched recursively.
    read_ids : ids of the reads to yield; default: all.
    max_reads : int: stop after this many reads.
    strict : bool: raise at the first file or read that cannot be used; default: leave it out, with a warning.

    Yields
    ------
    SignalRecord: read_id, raw (int16 array (T,)), sample_rate (Hz), channel, mux, run_id, source, ...; method
    `picoamperes()` returns the current, float32 array (T,), in pA.

    Raises
    ------
    BiorrnError: no read can be used.

    >>> import biorrn
    >>> read = next(biorrn.read_signal("data/simulated_reads/simulated.pod5"))
    >>> read.sample_rate, read.picoamperes().dtype.name
    (4000.0, 'float32')
    """
    from biorrn.nanopore.readers.files import read_all

    wanted = None if read_ids is None else set(read_ids)
    problems: list[InputError] = []
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    reads = read_all(several, stop if strict else problems.append)
    chosen = (read for read in reads if wanted is None or read.read_id in wanted)
    return _warning(itertools.islice(chosen, max_reads), problems)


def predict(
    model: Model | Source,
    proteins: Proteins,
    *,
    level: float = 0.9,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    antisymmetric: bool = False,
    embeddings: str | Path | None = None,
    strict: bool = False,
    batch_size: int = 1024,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
    progress: bool = False,
) -> pd.DataFrame:
    """Predict a property or a class of each protein, or a state of each of its residues; as `biorrn predict` does.

    Parameters
    ----------
    model : Model, run folder, or id of a shipped model, for regression, classification or tagging.
    proteins : FASTA file, table, DataFrame, dict of id -> sequence, or list of sequences; see `read_proteins`.
    level : float: coverage of the prediction intervals, 0.5 to 0.99.
    sequence_column, id_column, sheet : of a table, see `read_proteins`.
    wild_type : str: for a table of mutations: FASTA file, sequence, or column of the table.
    offset : int: number of the first residue of the wild type, less 1.
    strict : bool: raise at the first record that cannot be used; default: its row has flags that say why.
    batch_size : int: sequences per forward pass; affects speed, not values.
    device : str: auto, cpu, cuda or mps.
    threads : int: CPU threads, default all available; affects speed, not values.
    precision : str: auto, 32 or bf16, on a CPU.
    antisymmetric : bool: of model ddg: exchanging wild type and mutant changes the sign.
    embeddings : file of embeddings, or a language model by name, for a model that reads them; see `biorrn embed plm`.
    progress : bool: show progress on standard error.

    Returns
    -------
    DataFrame, in the order of the input. Regression has a row per protein: id, length (residues), and for each target
    its value, interval (_lower, _upper), spread of the ensemble members (_spread) and unit (_unit); then flags ("." for
    none) and the other columns of the input; a DataFrame's index and columns are kept as they are. Classification has
    the class, its probability (_probability) and the conformal set (_set) instead; of several classes a protein
    those that are called, and the probability of each (_probabilities). Tagging has a row per residue: id,
    position (from 1), residue, state, and the probability of each state (p_*); or a column per value.

    Raises
    ------
    BiorrnError: no such model, the input cannot be used, or an argument is out of range.

    >>> import biorrn
    >>> table = biorrn.predict("stability", {"design": "GSSQETIEVEDEEEARRVAKELRKKGYEVEVRVRGNKVEVRVRR"})
    >>> table["id"].tolist(), table["length"].tolist(), table["stability_unit"].tolist()
    (['design'], [44], ['log10 EC50'])
    """
    import pandas as pd

    from biorrn.base.terminal import progress as shown
    from biorrn.nn.facts import wild_type_of
    from biorrn.proteins.classes.predict import open_classes
    from biorrn.proteins.effects import checked
    from biorrn.proteins.predict import (
        columns_given,
        open_embeddings,
        open_predictions,
        predict_windows,
        target_names,
        units_of,
    )
    from biorrn.proteins.predicted import Predicted
    from biorrn.sequences.alphabets import RESIDUES
    from biorrn.sequences.embeddings import Missing, joined
    from biorrn.sequences.rows import TableOptions, other_columns
    from biorrn.sequences.rows import read_proteins as read
    from biorrn.sequences.tables.writer import Memory

    stored, problems, found = _stored(model, embeddings), list[InputError](), Memory()
    columns = TableOptions(sequence_column, id_column, sheet, wild_type, offset, wild_type_of(stored.facts))
    taking, carried = _taking(problems, strict) | {"keep": True}, list[str]()
    with _computing(device, threads, progress) as (where, used), contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "precision": precision}
        sources, missing = open_embeddings(stored, None if embeddings is None else str(embeddings), where), Missing()
        tagging = stored.facts.get("task") == "tagging" and not stored.facts.get("effect")
        if tagging:
            from biorrn.tagging.predict import Layout, open_taggings, tag, tag_columns  # with torch

            states, names = tag_columns(stored)
            alphabet = stored.facts.get("alphabet")
            path = stack.enter_context(_file_of(proteins, fasta=alphabet not in (None, RESIDUES)))
            records = joined(read(path, columns, alphabet=alphabet, **taking), sources, missing, strict)
            made: Iterable[Any] = tag(stored, records, **settings)
            write: Any = stack.enter_context(open_taggings(found, Layout(states, names)))
        else:
            path = stack.enter_context(_file_of(proteins))
            carried = other_columns(path, columns)
            settings |= {"level": level, "antisymmetric": antisymmetric}
            records = joined(read(path, columns, **taking, carry=carried), sources, missing, strict)
            if stored.facts.get("effect"):
                records = checked(records, path, taking["on_problem"])
            made = predict_windows(stored, records, **settings)
            if stored.facts.get("task") == "classification":
                opened = open_classes(found, stored.facts, level, carried)
            else:
                names, (given, _) = target_names(stored, effects=True), columns_given(stored, level)
                opened = open_predictions(found, names, **given, units=units_of(stored.facts), carried=carried)
            write = stack.enter_context(opened)
        advance = stack.enter_context(shown("predict", "sequences"))
        usable = False
        for one in made:
            write(one)
            usable |= not one.left_out
            advance(len(one) if isinstance(one, Predicted) else 1)
    if not usable:
        raise BiorrnError(f"{_named(proteins)}: holds no sequence that can be predicted" + _because(problems))
    frame = found.frame()
    return _beside(frame, proteins, carried) if isinstance(proteins, pd.DataFrame) and not tagging else frame


def _beside(frame: pd.DataFrame, given: pd.DataFrame, carried: Sequence[str]) -> pd.DataFrame:
    """Return predictions with the index and the columns `carried` of the DataFrame that they are of, row by row."""
    assert len(frame) == len(given)
    name = given.index.name
    own = {str(column): given[column] for column in given}
    for column, place in zip(carried, frame.columns[len(frame.columns) - len(carried) :], strict=True):
        if column in own:  # as it was given: on the way it became text
            frame[place] = own[column].array.copy()
        elif column == str(name):
            frame = frame.drop(columns=place)
    frame.index = given.index.rename(None) if name in frame else given.index
    return frame


def scan(
    model: Model | Source,
    proteins: Proteins,
    *,
    mutations: str | Path | Sequence[str] | None = None,
    column: str | None = None,
    sheet: str | None = None,
    positions: str | Iterable[int] | None = None,
    deletions: bool = False,
    insertions: bool = False,
    offset: int = 0,
    antisymmetric: bool = False,
    embeddings: str | Path | None = None,
    strict: bool = False,
    level: float = 0.9,
    batch_size: int = 256,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Predict the effects of mutations of each protein, by default of every single substitution; as `biorrn scan` does.

    Parameters
    ----------
    model : Model, run folder, or id of a shipped model, for regression or effects of substitutions.
    proteins : FASTA file, table, DataFrame, dict of id -> sequence, or list of sequences; see `read_proteins`.
    mutations : only these: list such as ["A23G", "K41E:L12P"], the same joined by commas, or a file.
    column, sheet : str: column of that file, where it is a table; sheet, where it is an Excel workbook.
    positions : str such as "10-40,55", or list of int: only these positions.
    deletions, insertions : bool: also each deletion, each insertion of one residue.
    offset : int: number of the first residue, less 1.
    strict : bool: raise at the first record or mutation that cannot be used; default: its row has flags.
    antisymmetric : bool: of model ddg: exchanging wild type and mutant changes the sign.
    level, embeddings, batch_size, device, threads, progress : as in `predict`.

    Returns
    -------
    DataFrame with a row per mutant: id, position, wild_type, mutant, mutation; for each target its value, difference to
    the wild type (_difference, _difference_lower, _difference_upper), interval of the value (_lower, _upper) and unit;
    then flags. `position` is text where mutations are given, else a whole number.

    Raises
    ------
    BiorrnError: no such model, the input cannot be used, or most mutations do not fit a protein.

    >>> import biorrn
    >>> table = biorrn.scan("stability", ["GSSQETIEVEDEEEARRVAKELRKKGYEVEVRVRGNKVEVRVRR"], positions=[5])
    >>> len(table), table["mutation"][0]
    (19, 'E5A')
    """
    from biorrn.base.terminal import progress as shown
    from biorrn.proteins.predict import open_embeddings, target_names, units_of
    from biorrn.proteins.scan import Plan, effects_table, parse_spans
    from biorrn.proteins.scan import scan as run
    from biorrn.sequences.rows import read_proteins as read
    from biorrn.sequences.tables.writer import Memory

    if mutations is not None and not isinstance(mutations, str | Path):
        mutations = ",".join(mutations)
    if positions is not None and not isinstance(positions, str):
        positions = ",".join(str(position) for position in positions)
    stored, problems, found = _stored(model, embeddings), list[InputError](), Memory()
    names = target_names(stored, effects=True)
    spans = parse_spans(positions)
    plan = Plan(None if mutations is None else str(mutations), column, spans, deletions, insertions, offset, sheet)
    taking = _taking(problems, strict)
    with _computing(device, threads, progress) as (where, used), contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "level": level}
        settings["antisymmetric"] = antisymmetric
        open_embeddings(stored, None if embeddings is None else str(embeddings), where)
        path = stack.enter_context(_file_of(proteins))
        effects = run(stored, read(path, **taking, keep=True), plan, taking["on_problem"], **settings)
        twice = not stored.facts.get("effect")  # value and difference are two numbers
        write = stack.enter_context(effects_table(found, names, plan.position, units_of(stored.facts), twice))
        advance = stack.enter_context(shown("scan", "mutants"))
        usable = False
        for effect in effects:
            write(effect)
            usable |= effect.mutant is None and not effect.prediction.left_out
            advance(effect.mutant is not None)
    if not usable:
        raise BiorrnError(f"{_named(proteins)}: holds no protein that can be scanned" + _because(problems))
    return found.frame()


def suggest(
    model: Model | Source | pd.DataFrame,
    table: Source | pd.DataFrame | None = None,
    *,
    number: int = 96,
    target: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    candidates: str | Path | Sequence[str] | None = None,
    max_mutations: int | None = None,
    positions: str | Iterable[int] | None = None,
    keep: str | Iterable[int] | None = None,
    avoid: Sequence[str] = (),
    acquisition: str = "ucb",
    explore: float = 2.0,
    max_share: float = 1.0,
    minimise: bool = False,
    plate: int | None = None,
    controls: int = 2,
    sequence_column: str | None = None,
    embeddings: str | Path | None = None,
    sheet: str | None = None,
    seed: int = 0,
    strict: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Choose the variants to measure next; as `biorrn suggest` does.

    Parameters
    ----------
    model : Model, run folder or id of a shipped model, for regression; or the table, without a model.
    table : table or DataFrame with the variants measured so far; default: the rows that trained the run folder.
    number : int: variants to choose.
    target : str: column of the measured numbers.
    wild_type : str: FASTA, sequence, or column of the table; default: from the model or the table.
    offset : int: number of the first residue, less 1.
    candidates : FASTA, table, or list of mutations such as ["A23G", "K41E:L12P"]; default: substitutions.
    max_mutations : int: most substitutions in a variant; default: one more than measured so far.
    positions, keep : str such as "10-40,55", or list of int: change only these positions; do not change these.
    avoid : regular expressions: motifs that must not arise.
    acquisition : str: ucb, ei, thompson or greedy.
    explore : float: of ucb, weight of the uncertainty in standard deviations.
    max_share : float: most of the variants that may hold the same substitution.
    minimise : bool: lower is better.
    plate, controls : int: lay out on plates of so many wells, with so many of each control on each plate.
    sequence_column, sheet : of the table; default: found by name.
    embeddings : str: language model that the adapters of the run are of.
    seed : int: the same seed gives the same choice.
    strict : bool: raise at the first row or candidate that cannot be used; default: leave it out.
    device, threads, progress : as in `predict`.

    Returns
    -------
    DataFrame with a row per variant, in the order of choice: rank, id, mutation, mutations (their number), the
    predicted value, its standard deviation (_spread) and unit, chance (to be better than the best so far), sequence;
    with `plate` a row per well, and plate, well and role.

    Raises
    ------
    BiorrnError: no such model, the table cannot be used, or no candidate is left.

    >>> import biorrn
    >>> table = biorrn.suggest("stability", wild_type="GSSQETIEVEDEEEARRVAKELRKKGYEVEVRVRGNKVEVRVRR", number=4)
    >>> table["rank"].tolist(), table["mutations"].tolist()
    ([1, 2, 3, 4], [1, 1, 1, 1])
    """
    import pandas as pd

    from biorrn.proteins.suggest.campaign import Wish, open_campaign
    from biorrn.proteins.suggest.campaign import suggest as run
    from biorrn.proteins.suggest.candidates import Rules, parse_motifs
    from biorrn.proteins.suggest.plate import laid_out, write_round
    from biorrn.sequences.tables.writer import Memory

    def spans(given: str | Iterable[int] | None) -> str | None:
        return given if given is None or isinstance(given, str) else ",".join(str(number) for number in given)

    if candidates is not None and not isinstance(candidates, str | Path):
        candidates = ",".join(candidates)
    rules = Rules.of(max_mutations, spans(positions), spans(keep), parse_motifs(avoid), offset)
    wish = Wish(number, acquisition, rules, None if candidates is None else str(candidates), explore=explore,
                share=max_share, minimise=minimise, seed=seed)  # fmt: skip
    found, problems = Memory(), list[InputError]()
    reading: dict[str, Any] = {"sequence": sequence_column, "sheet": sheet, "strict": strict}
    with _computing(device, threads, progress) as (where, used), contextlib.ExitStack() as stack:
        first, second = (
            str(stack.enter_context(_file_of(one))) if isinstance(one, pd.DataFrame) else one for one in (model, table)
        )
        name = str(first.path if isinstance(first, Model) else first)
        measured, stored = open_campaign(name, None if second is None else str(second), target, wild_type, offset,
                                         reading, embeddings=embeddings)  # fmt: skip
        options: dict[str, Any] = {"device": where, "threads": used}
        made = run(measured, wish, stored, options=options, on_problem=stop if strict else problems.append)
        write_round(found, made, laid_out(made, plate, controls) if plate is not None else ())
    return found.frame()


def _named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Name the arguments of a function in its errors, where a command names options: split_reads for --split-reads."""

    @functools.wraps(function)
    def call(*words: P.args, **options: P.kwargs) -> R:
        try:
            return function(*words, **options)
        except BiorrnError as error:
            error.args = (re.sub(r"(?<!\w)--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), str(error)),)
            raise

    return call


@_named_arguments
def basecall(
    reads: Any,
    model: Model | Source | None = None,
    *,
    sample_rate: float | None = None,
    read_ids: Iterable[str] | None = None,
    max_reads: int | None = None,
    min_qscore: float = 0.0,
    min_length: int = 50,
    force: bool = False,
    strict: bool = False,
    decoder: str = "auto",
    kit: str | Path | None = None,
    trim: str | None = None,
    split_reads: bool = False,
    estimate_poly_a: bool = False,
    batch_size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
) -> Iterator[Call]:
    """Basecall raw nanopore signal, read by read; as `biorrn basecall` does, without its files and alignments.

    Parameters
    ----------
    reads : FAST5, POD5, SLOW5 or BLOW5 file, a folder, or several; records of `read_signal`; or signals in picoamperes:
        a float array (T,), a list of them, or a dict of read id -> array.
    model : Model, model folder or name, for basecalling; default: of files, that of `biorrn models` for their
        chemistry, else the shipped one.
    sample_rate : float: samples per second (Hz), for arrays.
    read_ids, max_reads : of files: call these reads, or as many.
    min_qscore : float: leave out reads of a lower mean quality.
    min_length : int: leave out reads of fewer bases.
    force : bool: call reads of another chemistry or sample rate too.
    strict : bool: raise at the first read that cannot be called; default: leave it out, with one warning at the end.
    decoder : str: auto, greedy or beam.
    kit : str: name of a kit, or FILE.toml[:NAME]: each read gets its barcode, and is cut by this kit.
    trim : str: adapters (and, with `kit`, barcodes), primers, all or none are cut off. Default: adapters, of the kit
        that the metadata of a read name, if any (arrays have no metadata); with `kit` all.
    split_reads : bool: split reads of two molecules, at open pore or adapters between them.
    estimate_poly_a : bool: measure the poly(A) or poly(T) tails of cDNA and direct RNA.
    batch_size : int: chunks per forward pass, default 96 on a CPU, 256 on a GPU; affects speed, not calls.
    device, threads, progress : as in `predict`.

    Yields
    ------
    Call, in the order of the input: read_id, bases (str), quals (uint8 array (L,): Phred qualities), mean_q, moves
    (uint8 array: 1 at a frame that emits a base), stride (samples per frame), samples, trimmed (samples before the
    first base), cut (bases cut off at the start and the end), record (metadata of the read; of a part that was split,
    `parent` and `parent_start`), barcode (KIT_barcode01, or ""), unclassified (why a read has none), tail (None, or
    length in bases, anchor, start and end in samples, quality).

    Raises
    ------
    BiorrnError: no such model, the reads are of another chemistry, or none can be called.

    >>> import biorrn
    >>> call = next(biorrn.basecall("data/simulated_reads/simulated.pod5", max_reads=1))
    >>> len(call.bases) == len(call.quals), set(call.bases) <= set("ACGT")
    (True, True)
    """
    from biorrn.base.compute import device_name, kind_of, set_threads
    from biorrn.nanopore.basecall.caller import Caller, default_batch_size
    from biorrn.nanopore.basecall.intake import Intake
    from biorrn.nanopore.basecall.processing import Processing
    from biorrn.nanopore.models.catalogue import choose_model, default_model
    from biorrn.nanopore.reads.kits import find_kit

    chosen_kit = None if kit is None else find_kit(str(kit))
    left_out, where = Counter[str](), device_name(device)

    def problem(found: InputError) -> None:
        if strict:
            stop(found)
        left_out["unusable read" if found.record else "unusable file"] += 1

    def skip(record: SignalRecord, samples: int, reason: str) -> None:
        if strict:
            raise BiorrnError(f"read '{record.read_id}': {reason}")
        left_out[reason] += 1

    first, rest = _peeked(reads)
    is_file = isinstance(first, str | Path)
    intake = Intake(rest, None if read_ids is None else set(read_ids), max_reads) if is_file else None
    if model is None:
        model = choose_model(intake.survey(), device=kind_of(where), force=force) if intake else default_model()
    stored = _stored(model)
    if intake is not None:
        records: Iterable[SignalRecord] = intake.reads(problem)
    else:
        records = itertools.islice((_record(one, number, sample_rate) for number, one in enumerate(rest, 1)), max_reads)
    total = 0
    shown: list[Callable[[int], None]] = []  # of the progress, once the calls are taken
    with threads_restored(), _quiet(progress):
        size = default_batch_size(where) if batch_size is None else batch_size
        caller = Caller(stored, device=where, batch_size=size, decoder=decoder, threads=set_threads(threads),
                        force=force, keep_signal=estimate_poly_a)  # fmt: skip
        purpose = caller.purpose
        processing = Processing(caller.rna, purpose.names, chosen_kit, trim, split_reads, estimate_poly_a)
        found = caller.calls(processing.records(records), skip, lambda samples: shown[0](samples))
        if intake is not None:
            intake.check(purpose, force=force)

    def wished() -> Iterator[Call]:
        nonlocal total
        for call in processing.calls(found):
            total += 1
            if len(call.bases) < min_length:
                left_out[f"shorter than {min_length} bases"] += 1
            elif call.mean_q < min_qscore:
                left_out[f"mean quality below {min_qscore:g}"] += 1
            else:
                yield call

    def calls() -> Iterator[Call]:
        from biorrn.base.terminal import progress as bar

        expected = None if intake is None else intake.expected
        silent: contextlib.AbstractContextManager[Callable[[int], None]] = contextlib.nullcontext(lambda done: None)
        with threads_restored(), bar("basecall", "samples", expected) if progress else silent as advance:
            set_threads(threads)
            shown.append(advance)
            yield from wished()
        if not total:
            raise BiorrnError("no read could be called" + _because(left_out))
        _warn(left_out)

    return calls()


def train(
    data: Source | pd.DataFrame,
    target: str | Sequence[str] | None = None,
    *,
    output: Source,
    target_type: str = "auto",
    recipe: str | Path | None = None,
    sequence_column: str | None = None,
    id_column: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    weight: str | None = None,
    groups: str | None = None,
    split: str | None = None,
    model: str | None = None,
    folds: int | str = 0,
    search: int = 0,
    embeddings: str | Path | None = None,
    tune: str | None = None,
    sheet: str | None = None,
    strict: bool = False,
    init: str | None = None,
    jobs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    max_minutes: float | None = None,
    seed: int = 0,
    replace: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
) -> Model:
    """Train a model of a property on a table of proteins; or with `recipe`, any model on a prepared file.

    Without a recipe it does what `biorrn train-table` does: it chooses split, model and size, trains, compares with
    baselines, and writes `report.html` into the run folder. An interrupted run is resumed.

    Parameters
    ----------
    data : DataFrame or table with sequences (or mutations) and measured values; with `recipe` the HDF5 file of
        `biorrn prepare`.
    target : str or list of str: columns of numbers to learn, or one of classes.
    target_type : str: "number", "class", "set" (several a protein) or "auto": words, and few whole numbers, are
        classes, and cells such as a;b sets.
    output : the run folder, which becomes the model. A DataFrame is kept in it as table.parquet.
    recipe : a recipe of the package by name, or a .yaml file.
    sequence_column, id_column, sheet : of the table; default: found by name.
    wild_type, offset : for a table of mutations, see `predict`.
    weight : str: column with each protein's weight in the loss.
    groups : str: column whose equal values stay on one side of the split.
    split : str: "column:NAME", "random[:0.8,0.1,0.1]" or "cluster:IDENTITY"; default: chosen.
    model : str: a candidate, recipe or .yaml file; default: chosen.
    folds : int or str: folds of a cross-validation, whose models become one ensemble; 0 is none. Or what is held out
        together, as "position" or "random:10"; see `biorrn train-table --help`.
    search : int: trials of a hyperparameter search; 0 is none.
    embeddings : for a table, file of embeddings of its proteins, or a language model that makes them.
    tune : "lora", optional: train low-rank adapters of that language model too.
    strict : bool: raise at the first row that cannot be used; default: leave it out.
    init, jobs : with `recipe`: model with the initial weights; ensemble members trained at a time.
    settings : dict of recipe keys to change, such as {"training.epochs": 3}.
    max_minutes : float: for a table, total time, default 20; with `recipe`, stop after the epoch that passes it.
    seed : int: the same seed gives the same weights.
    replace : bool: start anew where `output` holds another run.
    device, threads, progress : as in `predict`.

    Returns
    -------
    Model

    Raises
    ------
    BiorrnError: the data cannot be used, an argument is out of range, or `output` holds another run.

    >>> import biorrn, pandas
    >>> table = pandas.read_csv("data/synthetic_stability.csv")
    >>> model = biorrn.train(table, "stability", output="runs/mine", max_minutes=0.1)  # doctest: +SKIP
    """
    changes = tuple(f"{key}={value}" for key, value in (settings or {}).items())
    folder = Path(output)
    if recipe is not None:
        from biorrn.config.recipe import change_recipe, load_recipe
        from biorrn.training.task import complete, load_task
        from biorrn.training.train import train as run

        if not isinstance(data, str | Path):
            raise ConfigError("data: with a recipe it is the HDF5 file that `biorrn prepare` wrote")
        minutes = () if max_minutes is None else (f"training.max_minutes={max_minutes}",)
        chosen = change_recipe(load_recipe(recipe), [*changes, *minutes])
        options: dict[str, Any] = {"seed": seed, "replace": replace, "init": init, "jobs": jobs}
        with _computing(device, threads, progress) as (_, used):
            run(chosen, data, folder, load_task(chosen.task), device=device, threads=used, **options)
            complete(chosen.task, folder, data, device=device)
        return load_model(folder)
    from biorrn.proteins.train_table.run import MINUTES, Wish, train_own
    from biorrn.proteins.train_table.table import Columns
    from biorrn.report.page import write_report

    targets = (target,) if isinstance(target, str) else tuple(target or ())
    named = split.partition(":")[2] or None if split and split.startswith("column:") else None
    path = data if isinstance(data, str | Path) else _kept(data, folder, replace)
    columns = Columns(str(path), targets, sequence=sequence_column, id=id_column, weight=weight, groups=groups,
                      split=named, wild_type=wild_type, offset=offset, sheet=sheet, strict=strict,
                      type=target_type)  # fmt: skip
    minutes_of_all = MINUTES if max_minutes is None else max_minutes
    wish = Wish(columns, folder, model=model, split=split, seed=seed, changes=changes, minutes=minutes_of_all,
                folds=str(folds or ""), trials=search,
                embeddings=None if embeddings is None else str(embeddings), tune=tune)  # fmt: skip
    say = (lambda line: print(line, file=sys.stderr, flush=True)) if progress else (lambda line: None)
    with _computing(device, threads, progress) as (_, used):
        train_own(wish, device=device, threads=used, replace=replace, say=say, report=write_report)
    return load_model(folder)


def evaluate(
    predictions: Any,
    measured: Source | pd.DataFrame | None = None,
    *,
    reference: Source | None = None,
    split: str | None = None,
    target: str | Mapping[str, str] | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    baselines: str = "all",
    level: float = 0.9,
    embeddings: str | Path | None = None,
    region: str | None = None,
    min_bases: int = 100,
    name: str = "evaluation",
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    progress: bool = False,
) -> Evaluation:
    """Compare predicted with measured values, or called reads with a reference; as `biorrn evaluate` does.

    Parameters
    ----------
    predictions : DataFrame or file of `predict`; or a Model, run folder or shipped id, which then predicts the proteins
        of `measured`. With `reference`: called reads as FASTQ, SAM, BAM or CRAM, or records of `basecall`.
    measured : DataFrame or table with sequences and values, or an HDF5 file of `biorrn prepare protein`.
    reference : FASTA file of the genome of the reads.
    split : str: train, valid, test or all; default: valid, for a table all.
    target : str or dict: column of measured values in a table, or {target: column}. Default: the targets' names.
    wild_type, offset : for a table of mutations, see `predict`.
    baselines : str: fitted to the training rows and compared: all, fast, none, or names joined by commas.
    level : float: coverage for which the intervals were made.
    embeddings : for a model that reads them, as in `predict`; of classes, also for baselines on them.
    region, min_bases : of reads: "NAME:START-END" (0-based, half-open), and the aligned bases in it that a read needs.
    name : str: title of the evaluation.
    seed : int: of the bootstrap and the baselines.
    device, threads, progress : as in `predict`; threads are those of the baselines.

    Returns
    -------
    Evaluation

    Raises
    ------
    BiorrnError: the two do not fit together, or one of them cannot be used.

    >>> import biorrn, pandas
    >>> table = pandas.read_csv("data/synthetic_stability.csv").head(40)
    >>> found = biorrn.evaluate("stability", table, baselines="none")
    >>> found.metrics["metric"].tolist()
    ['spearman', 'pearson', 'rmse', 'mae', 'r2']
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_computing(device, None, progress))
        if reference is not None:
            from biorrn.nanopore.evaluate.basecalls import evaluate_basecalls

            calls = stack.enter_context(_fastq_of(predictions))
            options: dict[str, Any] = {"name": name, "region": region, "min_bases": min_bases, "seed": seed}
            problems: list[InputError] = []
            content, *_ = evaluate_basecalls(calls, Path(reference), **options, on_problem=problems.append)
            _warn(problems)
            tables = {content["split"]: content["metrics"]}
            return Evaluation(_estimates(tables), _estimates({}), content["cautions"], content)
        if measured is None:
            raise ConfigError("measured: give the measured values; or of called reads, reference")
        from biorrn.nn.store import is_model
        from biorrn.proteins.evaluate import evaluate_regression

        path = stack.enter_context(_file_of(measured))
        used = None
        shared: dict[str, Any] = {"name": name, "split": split, "baselines": baselines, "seed": seed}
        shared |= {"threads": threads, "level": level}

        def renamed(columns: Mapping[str, str] | None) -> list[str]:
            return [f"{one}={column}" for one, column in (columns or {}).items()]

        if (source := stack.enter_context(_of_classes(predictions))) is not None:
            from biorrn.proteins.classes.evaluate import evaluate_classes, predicted_class

            if isinstance(target, str):
                target = {predicted_class(source): target}
            shared |= {"device": device, "embeddings": None if embeddings is None else str(embeddings)}
            shared |= {"wild_type": wild_type, "offset": offset}
            content = evaluate_classes(Path(source), Path(path), target=renamed(target), **shared)
            return _evaluation(content)
        if isinstance(predictions, Model) or (isinstance(predictions, str | Path) and is_model(predictions)):
            used = _model(predictions)
            settings: dict[str, Any] = {"level": level, "wild_type": wild_type, "offset": offset, "device": device}
            made = predict(used, path, embeddings=embeddings, **settings)
            predictions = made[[column for column in made if not str(column).startswith("input_")]]
            predictions = predictions.iloc[:, : list(predictions).index("flags") + 1]
            if isinstance(target, str):
                target = {str(entry["name"]): target for entry in used.targets}
        given = stack.enter_context(_file_of(predictions))
        if isinstance(target, str):
            from biorrn.proteins.predictions import predicted_names

            target = dict.fromkeys(predicted_names(given)[:1], target)
        content, *_ = evaluate_regression(
            Path(given),
            Path(path),
            target=renamed(target),
            wild_type=wild_type,
            offset=offset,
            model=None if used is None else str(used.path),
            **shared,
        )
    return _evaluation(content)


@contextlib.contextmanager
def _of_classes(predictions: Any) -> Iterator[str | Path | None]:
    """Yield the path of a model of classes, or of a table of its predictions; None where they are of another kind."""
    from biorrn.nn.store import is_model
    from biorrn.sequences.tables.reader import column_names

    if isinstance(predictions, Model) or (isinstance(predictions, str | Path) and is_model(predictions)):
        used = _model(predictions)
        yield used.path if used.task == "classification" else None
        return
    with _file_of(predictions) as path:
        names = column_names(path)
        endings = ("probability", "probabilities")
        yield path if any(f"{name}_{ending}" in names for name in names for ending in endings) else None


def _evaluation(content: dict[str, Any]) -> Evaluation:
    compared = {one: {other: entry["metrics"] for other, entry in entries.items()}
                for one, entries in content["baselines"].items()}  # fmt: skip
    return Evaluation(_estimates(content["metrics"]), _baselines(compared), content["cautions"], content)


# -- arguments --------------------------------------------------------------------------------------------------------
def _model(model: Model | Source) -> Model:
    if not isinstance(model, Model | str | Path):
        raise BiorrnError(f"model: found {_named(model)}; expected a Model, a run folder or a shipped id")
    return model if isinstance(model, Model) else load_model(model)


def _stored(model: Model | Source, embeddings: str | Path | None = None) -> Stored:
    if embeddings is not None:
        from biorrn.nn.hub import offer

        offer(str(embeddings))  # of which the model may have adapters
    return _model(model)._stored


def _named(data: Any) -> str:
    """Return the name of an argument for messages."""
    return str(data) if isinstance(data, str | Path) else type(data).__name__


@contextlib.contextmanager
def _file_of(data: Proteins, fasta: bool = False) -> Iterator[str | Path]:
    """Yield the file that holds the data: itself, or a temporary table, or FASTA, of plain objects.

    Messages name the type of the object in place of the temporary file.
    """
    if isinstance(data, str | Path):
        if isinstance(data, str) and data != "-" and not Path(data).exists() and re.fullmatch(r"[A-Za-z*]{5,}", data):
            raise BiorrnError(f"'{data[:20]}' is not a file; a sequence is given in a list, as ['MKV...']")
        yield data
        return
    import pandas as pd

    from biorrn.sequences.fasta import fasta_text

    if isinstance(data, pd.DataFrame):
        frame = data
    else:
        if not isinstance(data, Iterable):
            raise BiorrnError(f"proteins: found {_named(data)}; expected a file, DataFrame, dict or list of str")
        items = list(data.items() if isinstance(data, Mapping) else enumerate(data, 1))
        if wrong := [sequence for _, sequence in items if not isinstance(sequence, str)]:
            raise BiorrnError(f"proteins: found an entry of type {_named(wrong[0])}; expected str")
        ids = [str(name) if isinstance(data, Mapping) else f"row{name}" for name, _ in items]
        frame = pd.DataFrame({"id": ids, "sequence": [sequence for _, sequence in items]}, dtype="object")
    with tempfile.TemporaryDirectory(prefix="biorrn") as folder:
        path = Path(folder) / (f"{_named(data)}.fasta" if fasta else f"{_named(data)}.parquet")
        if fasta:
            records = (fasta_text(name, letters) for name, letters in frame[["id", "sequence"]].to_numpy())
            path.write_text("".join(records), encoding="utf-8")
        else:
            _write(frame, path)
        try:
            yield path
        except BiorrnError as error:
            error.args = tuple(str(part).replace(str(path), _named(data)) for part in error.args)
            raise


def _write(frame: pd.DataFrame, path: Path | IO[bytes]) -> None:
    """Write a DataFrame as parquet; columns of mixed values become text, and an index with a name a column."""
    frame = frame.reset_index() if frame.index.name is not None else frame.copy()
    frame.columns = [str(name) for name in frame.columns]
    for name in frame.select_dtypes("object").columns:
        frame[name] = frame[name].map(str, na_action="ignore")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError("DataFrame", f"column '{twice}' is given twice; allowed is once")
    frame.to_parquet(path, index=False)


def _kept(frame: pd.DataFrame, folder: Path, replace: bool) -> Path:
    """Write the DataFrame of a training into its run folder; a run of another DataFrame is an error."""
    from biorrn.base.files import atomic_path

    path, made = folder / TABLE, io.BytesIO()
    _write(frame, made)
    if path.is_file() and path.read_bytes() != made.getvalue() and not replace:
        raise ConfigError(f"{folder}: holds a run of another DataFrame; give another folder or replace=True")
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(made.getvalue())
    return path


@contextlib.contextmanager
def _fastq_of(calls: Any) -> Iterator[Path]:
    """Yield the file of called reads: itself, or a temporary FASTQ of the records of `basecall`."""
    from biorrn.nanopore.basecall.formats import fastq_text

    if isinstance(calls, str | Path):
        yield Path(calls)
        return
    with tempfile.TemporaryDirectory(prefix="biorrn") as folder:
        path = Path(folder) / "calls.fastq"
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(fastq_text(call) for call in calls)
        yield path


def _peeked(reads: Any) -> tuple[Any, Iterable[Any]]:
    """Return the first of the reads, which shows their kind, and all of them."""
    import numpy as np

    if isinstance(reads, str | Path) or (isinstance(reads, np.ndarray) and reads.ndim == 1):
        return reads, [reads]
    if isinstance(reads, Sequence) and reads and isinstance(reads[0], int | float):  # one signal as plain numbers
        reads = np.asarray(reads)
        return reads, [reads]
    rest = iter(reads.items() if isinstance(reads, Mapping) else reads)
    first = next(rest, None)
    return first, [] if first is None else itertools.chain([first], rest)


def _record(read: Any, number: int, sample_rate: float | None) -> SignalRecord:
    """Return a read (a record, an array, or an id and an array) as a record."""
    import numpy as np

    from biorrn.sequences.records import SignalRecord

    if isinstance(read, SignalRecord):
        return read
    name, signal = read if isinstance(read, tuple) else (f"read{number}", read)
    current: np.ndarray = np.asarray(signal, np.float32)
    if sample_rate is None or not sample_rate > 0:
        raise ConfigError(f"sample_rate: found {sample_rate}; needed with arrays of signal, in samples a second")
    if current.ndim != 1 or not np.isfinite(current).all():
        raise BiorrnError(f"read '{name}': the signal must be an array of one dimension, in picoamperes, without NaN")
    return SignalRecord(str(name), current, 0.0, 1.0, float(sample_rate))


# -- settings that are restored after a call --------------------------------------------------------------------------
def _quiet(progress: bool = False) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())


@contextlib.contextmanager
def _computing(device: str, threads: int | None, progress: bool) -> Iterator[tuple[str, int]]:
    """Yield the name of the device and the number of threads."""
    from biorrn.base.compute import device_name, set_threads

    with threads_restored(), _quiet(progress):
        yield device_name(device), set_threads(threads)


# -- records that are left out ----------------------------------------------------------------------------------------
def _taking(problems: list[InputError], strict: bool) -> dict[str, Any]:
    """Return the arguments of readers for unusable records and repeated ids."""

    return {"on_problem": stop if strict else problems.append, "on_repeat": None if strict else (lambda id: None)}


def _because(left_out: Iterable[InputError] | Counter[str]) -> str:
    """Return the end of a message: the number of skipped records and the reasons; "" for none."""
    counts = left_out if isinstance(left_out, Counter) else Counter(problem.flag for problem in left_out)
    listed = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    return f"; skipped {counts.total()} ({listed})" if counts else ""


def _warn(left_out: list[InputError] | Counter[str], path: str = "", name: str = "") -> None:
    """Warn once of skipped records; `name` replaces the temporary file `path`."""
    if left_out:
        first = f"; the first: {left_out[0]}".replace(path or name, name) if isinstance(left_out, list) else ""
        warnings.warn(f"biorrn: {_because(left_out)[2:]}{first}", stacklevel=3)


def _warning(reads: Iterable[SignalRecord], problems: list[InputError]) -> Iterator[SignalRecord]:
    yield from reads
    _warn(problems)


# -- results ----------------------------------------------------------------------------------------------------------
def _estimates(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return {target: {metric: estimate}} as a table."""
    import pandas as pd

    rows = [
        (target, metric, *(estimate[key] for key in ("n", "value", "low", "high")))
        for target, metrics in tables.items()
        for metric, estimate in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["target", "metric", "n", "value", "low", "high"])


def _baselines(compared: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    tables = [
        _estimates({target: metrics}).assign(baseline=name)
        for target, entries in compared.items()
        for name, metrics in entries.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else _estimates({}).assign(baseline=[])
