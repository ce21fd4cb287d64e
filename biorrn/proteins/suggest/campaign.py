"""The next round of a protein-engineering campaign: what was measured, what is believed of candidates, the batch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import BiorrnError, ConfigError, Fault, InputError, OnProblem, stop
from biorrn.base.files import read_json
from biorrn.base.lookup import lookup
from biorrn.nn.ensemble import Ensemble, each
from biorrn.nn.facts import wild_type_of
from biorrn.nn.store import Stored
from biorrn.proteins.predict import load_for, predict, target_names, units_of
from biorrn.proteins.predictions import read_prepared
from biorrn.proteins.suggest import acquisition
from biorrn.proteins.suggest.acquisition import ACQUISITIONS, EXPLORE, Belief
from biorrn.proteins.suggest.candidates import Candidate, Library, Rules, combinations, listed
from biorrn.proteins.suggest.posterior import Posterior, cross_validated, fit, setting_for
from biorrn.proteins.train_table.outputs import DATA, EVALUATION, held_out_score, ranks, shown
from biorrn.proteins.train_table.table import Columns, Table, distinct, look, read_table
from biorrn.sequences.alphabets import sequence as text_of
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.embeddings import wanted
from biorrn.sequences.fasta import cleaned, read_fasta
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.repeats import repeats_of
from biorrn.sequences.rows import TableOptions, is_fasta, protein_columns
from biorrn.sequences.tables.reader import is_labelled, is_table
from biorrn.training.batches import pad_tokens

ENCODED = 4096  # candidates that are encoded together
STRANGE = 0.5  # part of the residues that differ from the wild type, above which a protein is no variant of it
BATCH = 128  # sequences of a forward pass of all members
THE_WILD_TYPE, THE_BEST, NEW = "wild_type", "best", "new"  # roles of a suggestion


@dataclass(frozen=True, slots=True)
class Measured:
    """The distinct proteins measured so far.

    Attributes
    ----------
    target, unit : str: of the values; "" for no unit.
    sequences : list of str (N,).
    values : float64 array (N,): of a protein measured several times, the mean.
    counts : float64 array (N,): how often each was measured.
    wild_type : str: "" where there is none.
    source : str: where the wild type is from.
    """

    target: str
    unit: str
    sequences: list[str]
    values: np.ndarray
    counts: np.ndarray
    wild_type: str
    source: str

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def most_mutations(self) -> int:
        """Return the most substitutions of a measured variant, without the rarest hundredth."""
        wild = tokens(self.wild_type)
        counts = [int((tokens(one) != wild).sum()) for one in self.sequences if len(one) == len(self.wild_type)]
        return int(np.quantile(counts, 0.99)) if counts else 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A protein to measure in the next round.

    Attributes
    ----------
    candidate : Candidate.
    role : str: `NEW`, or the control that it is: `THE_WILD_TYPE`, `THE_BEST`.
    value, deviation : float: prediction and its standard deviation, in the target's unit.
    chance : float: probability that it is better than the best of the measured, or than the wild type without any.
    """

    candidate: Candidate
    role: str
    value: float
    deviation: float
    chance: float


@dataclass(frozen=True, slots=True)
class Round:
    """What `suggest` found.

    Attributes
    ----------
    chosen : list of Suggestion: in the order of choice.
    wild_type, best : Suggestion, or None where there is none: the controls.
    measured : Measured.
    library : Library: the candidates.
    values, deviations : float64 arrays (M,): of the candidates, in the target's unit.
    indices : int64 array: of the chosen among the candidates.
    lines : list of str: what was decided, for the user.
    caution : str: that nothing shows that the predictions rank variants; "" where something does.
    """

    chosen: list[Suggestion]
    wild_type: Suggestion | None
    best: Suggestion | None
    measured: Measured
    library: Library
    values: np.ndarray
    deviations: np.ndarray
    indices: np.ndarray
    lines: list[str]
    caution: str = ""


MOST_CHOSEN = 2000  # suggestions of a round, of which each depends on those before


@dataclass(frozen=True, slots=True)
class Wish:
    """The settings of a round.

    Attributes
    ----------
    count : int: proteins to suggest.
    acquisition, explore : see `acquisition.choose`.
    candidates : str, optional: a list, see `candidates.listed`; None makes them.
    rules : Rules: `most` 0 is one more than measured so far.
    share : float: largest share of the suggestions that hold the same substitution.
    minimise : bool: lower is better.
    seed : int: of Thompson sampling and the fit.
    """

    count: int
    acquisition: str
    rules: Rules
    candidates: str | None = None
    explore: float = EXPLORE
    share: float = 1.0
    minimise: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for more suggestions than can be chosen one after the other."""
        if self.count > MOST_CHOSEN:
            raise ConfigError(f"-n: found {self.count:,}; allowed is {MOST_CHOSEN:,} at most")


def open_campaign(
    model: str,
    table: str | None,
    target: str | None,
    wild_type: str | None,
    offset: int = 0,
    reading: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
    embeddings: str | Path | None = None,
) -> tuple[Measured, Stored | None]:
    """Return what was measured so far, and the model.

    Parameters
    ----------
    model : str: a run folder, a shipped model, or the table; then there is no model.
    table : str, optional: default: the rows that trained the run.
    target : str, optional: a column of the table, one of the targets of the model.
    wild_type : str, optional: FASTA, sequence or column.
    reading : of the table: "sequence", "sheet", "decimal" and "strict" of `train_table.table.Columns`.
    say : takes what was found in the table, line by line.
    embeddings : str, optional: language model that the adapters of the model are of.

    Raises
    ------
    ConfigError, InputError: no such model, or the table cannot be used.
    """
    stored, names = None, list[str]()
    if table is None and not os.path.isdir(model) and (model == "-" or os.path.isfile(model) or is_table(model)):
        table = model
    else:
        stored = load_for(model, None if embeddings is None else str(embeddings))
        names = target_names(stored, effects=True)
        if wanted(stored.recipe):
            hint = "give the table of measurements instead"
            raise ConfigError(f"{model}: reads embeddings, which suggest does not; {hint}")
        if table is None or target is not None:
            target = names[place_of(target, names)]
        elif len(names) == 1:
            target = names[0]
    known = "" if stored is None else wild_type_of(stored.facts)
    if table is not None:
        if table != "-" and is_fasta(table) and not is_labelled(table):
            raise ConfigError(f"{table}: is FASTA, which holds no values; expected a table of measured values")
        columns = Columns(table, (target,) if target else (), offset=offset, type="number", **reading or {})
        return read_campaign(columns, wild_type, say, known), stored
    assert stored is not None
    assert target is not None
    measured = read_run(stored.path, target, wild_type, known)
    if measured is None:
        given, source = (one_protein(wild_type), "--wild-type") if wild_type else (known, "the model")
        unit = units_of(stored.facts)[place_of(target, names)]
        measured = averaged(target, unit, [], np.zeros(0), given, source)
    return measured, stored


def read_campaign(
    columns: Columns, wild_type: str | None, say: Callable[[str], None] = lambda line: None, known: str = ""
) -> Measured:
    """Read the table measured so far; proteins measured several times are averaged.

    Parameters
    ----------
    columns : Columns, of one target.
    wild_type : str, optional: FASTA, sequence or column; default: that of the table, the known one, or the consensus
        where the rows are variants of one.
    known : str: wild type of a model; "" for none.

    Raises
    ------
    ConfigError, InputError: as `train_table.table.read_table`; or the rows have several wild types.
    """
    mutated = _of_mutations(columns, wild_type)
    table = read_table(dataclasses.replace(columns, wild_type=wild_type if mutated else None), known)
    for line in table.reading.lines():
        say(line)
    own = {row.wild_type for row in table.rows if row.wild_type}
    if len(own) > 1:
        raise InputError(columns.path, f"holds variants of {len(own)} wild types; a campaign is of one protein")
    given = own.pop() if own else ""
    source = "--wild-type" if wild_type else "the model" if given == known else "the table"
    if not given and wild_type is not None:
        given, source = one_protein(wild_type), "--wild-type"
    elif not given and known and mostly_variants(_sequences(table), known):
        given, source = known, "the model"
    if not given:
        given = look(table, columns.targets).reference
        source = "the commonest residue of each position" if given else ""
    values = table.targets[:, 0]
    if line := repeats_of(distinct(table), values).line([row.id for row in table.rows], values):
        say(f"warning: {line}")
    unit = table.reading.unit(columns.targets[0])
    return averaged(columns.targets[0], unit, _sequences(table), table.targets[:, 0], given, source)


def _of_mutations(columns: Columns, wild_type: str | None) -> bool:
    if wild_type is None:
        return False
    options = TableOptions(columns.sequence, columns.id, columns.sheet, wild_type, columns.offset)
    try:
        return protein_columns(columns.path, options).variant is not None
    except ConfigError:  # the table has sequences
        return False


def _sequences(table: Table) -> list[str]:
    return [text_of(table.sequence(row)) for row in range(len(table))]


def read_run(folder: Path, target: str | None, wild_type: str | None, reference: str) -> Measured | None:
    """Return the proteins that trained a run of `biorrn train-table`; None for a folder without its data.

    Parameters
    ----------
    target : str, optional: one of several.
    reference : str: of the model's facts, used where no wild type is given.

    Raises
    ------
    ConfigError: there are several targets and none is named, or no such target.
    """
    path = folder / DATA
    if not path.is_file():
        return None
    data = read_prepared(path)
    names = [str(one["name"]) for one in data.targets]
    place = place_of(target, names)
    given, source = (one_protein(wild_type), "--wild-type") if wild_type else (reference, "the model")
    values = data.rows.targets[:, place]
    return averaged(names[place], str(data.targets[place]["unit"]), data.rows.sequences(), values, given, source)


def place_of(target: str | None, names: Sequence[str]) -> int:
    """Return which target is meant.

    Raises
    ------
    ConfigError: several, and none is named; or another is.
    """
    if target is None and len(names) == 1:
        return 0
    if target is None or target not in names:
        found = "none" if target is None else f"'{target}'"
        raise ConfigError(f"--target: found {found}; allowed is {', '.join(names)}")
    return list(names).index(target)


def averaged(
    target: str, unit: str, sequences: Sequence[str], values: np.ndarray, wild_type: str, source: str
) -> Measured:
    """Return distinct proteins with their mean values; rows without a value are left out."""
    there = np.isfinite(values)
    kept = [one for one, known in zip(sequences, there, strict=True) if known]
    distinct = list(dict.fromkeys(kept))
    place = {one: k for k, one in enumerate(distinct)}
    rows = np.array([place[one] for one in kept], np.int64)
    counts = np.bincount(rows, minlength=len(distinct)).astype(np.float64)
    sums = np.bincount(rows, np.asarray(values, np.float64)[there], len(distinct))
    return Measured(target, unit, distinct, sums / np.maximum(counts, 1), counts, wild_type, source)


def one_protein(given: str) -> str:
    """Return the sequence of a FASTA file with one protein, or of the text itself.

    Raises
    ------
    BiorrnError: neither, or several proteins.
    """
    if Path(given).suffix or Path(given).is_file():
        records = list(read_fasta(given))
        if len(records) != 1:
            raise InputError(given, f"holds {len(records)} proteins; a campaign is of one wild type")
        return records[0].sequence
    try:
        return cleaned(given).residues
    except Fault as fault:
        raise BiorrnError(f"--wild-type: found '{given[:60]}'; {fault}; allowed is FASTA or a sequence") from fault


def is_variant(sequence: str, wild_type: str) -> bool:
    """Return whether a protein has the length of the wild type and most of its residues.

    >>> is_variant("MAKGS", "MWKGS"), is_variant("MAKGSD", "MAKGS")
    (True, False)
    """
    return len(sequence) == len(wild_type) and bool((tokens(sequence) != tokens(wild_type)).mean() <= STRANGE)


def mostly_variants(sequences: Sequence[str], wild_type: str) -> bool:
    """Return whether more than half of the proteins are variants of a wild type."""
    return 2 * sum(is_variant(one, wild_type) for one in sequences) > len(sequences)


class Oracle:
    """What is known of any protein: from the measured rows, a model, or both.

    With measured rows, a Gaussian process fitted to them tells how uncertain candidates are and how they go together;
    a model, where given, their mean. A model alone tells both by its members.

    Parameters
    ----------
    measured : Measured: may have no rows.
    stored : Stored, optional: a regression model; `place` is which of its targets.
    sign : float: 1, or -1 where lower is better.
    varied : sequences, beside the measured, that the kernel has to tell apart; places : where others may differ.
    options : for `proteins.predict.predict`.
    trusted : bool: whether the model's predictions are the mean, where there are measured rows.
    """

    def __init__(
        self,
        measured: Measured,
        stored: Stored | None,
        place: int,
        sign: float,
        seed: int = 0,
        varied: Sequence[str] = (),
        places: Sequence[int] = (),
        options: dict[str, Any] | None = None,
        trusted: bool = True,
    ) -> None:
        self.measured, self.stored, self.place, self.sign, self.trusted = measured, stored, place, sign, trusted
        self.options = options or {}
        self.posterior: Posterior | None = None
        if len(measured):
            setting, settings = setting_for(measured.wild_type, [*measured.sequences, *varied], places)
            self.data = (setting, settings, measured.sequences, sign * measured.values, measured.counts, seed)
            self.posterior = fit(*self.data)

    def check(self) -> dict[str, float]:
        """Return how the process predicts measured rows from others; see `posterior.cross_validated`."""
        return cross_validated(*self.data) if self.posterior is not None else {}

    def believe(self, sequences: Sequence[str]) -> Belief:
        """Return the belief about some proteins, on the scale on which a batch is chosen."""
        posterior = self.posterior
        if posterior is None:
            wild = self.measured.wild_type
            return self._by_members(sequences, wild or sequences[0])
        # in blocks, since the codes of all candidates of a long protein would fill the memory
        blocks = (sequences[start : start + ENCODED] for start in range(0, len(sequences), ENCODED))
        parts = [posterior.marginals(posterior.encode(block)) for block in blocks]
        mean, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
        if self.stored is not None and self.trusted:
            mean = posterior.latent(self.sign * self._predicted(sequences)[0])

        def covariance(rows: np.ndarray) -> np.ndarray:
            return posterior.covariance(posterior.encode([sequences[k] for k in rows.tolist()]))

        return Belief(mean, deviation, covariance, self.best, posterior.noise)

    @cached_property
    def best(self) -> float:
        """The mean of the best of the measured, which is steadier than its measured value.

        A model's own predictions of them would not do: they are drawn to the middle, and would be easy to exceed.
        """
        assert self.posterior is not None
        return float(self.posterior.marginals(self.posterior.codes)[0].max())

    def in_unit(self, belief: Belief) -> tuple[np.ndarray, np.ndarray]:
        """Return means and deviations in the target's unit."""
        if self.posterior is None:
            return self.sign * belief.mean, belief.deviation
        values, slopes = self.posterior.values(belief.mean)
        return self.sign * values, belief.deviation * slopes

    def _predicted(self, sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the model's values and spreads, 0 for a model without, both float64 (N,)."""
        assert self.stored is not None
        records = (
            ProteinRecord(str(number), one, wild_type=self.measured.wild_type) for number, one in enumerate(sequences)
        )
        found = list(predict(self.stored, records, **self.options))
        values = np.array([one.values[self.place] for one in found], np.float64)
        spreads = np.array([0.0 if one.spread is None else one.spread[self.place] for one in found], np.float64)
        return values, spreads

    def _by_members(self, sequences: Sequence[str], wild_type: str) -> Belief:
        """Return the belief of a model without measured rows, to which the wild type is the best so far."""
        assert self.stored is not None
        every = [*sequences, wild_type]
        values, spreads = self._predicted(every)
        mean, best = self.sign * values[:-1], float(self.sign * values[-1])
        model = self.stored.model.eval()
        if not isinstance(model, Ensemble) or self.stored.facts.get("effect"):
            return Belief(mean, spreads[:-1], lambda rows: np.diag(spreads[rows] ** 2), best, 0.0)
        order, parts = np.argsort([len(one) for one in every], kind="stable"), []
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                batch = pad_tokens([tokens(every[k]) for k in order[start : start + BATCH]])
                parts.append(each(model, *batch)[:, :, self.place].double())
        members = torch.cat(parts, 1).numpy()[:, np.argsort(order, kind="stable")]  # (M, N + 1)
        away = ((members - members.mean(0)) / np.sqrt(len(members)))[:, :-1]
        variance = (away**2).sum(0)
        own = 1 / len(members)  # few members overstate how candidates go together: shrunk towards independence

        def covariance(rows: np.ndarray) -> np.ndarray:
            return (1 - own) * away[:, rows].T @ away[:, rows] + own * np.diag(variance[rows])

        return Belief(mean, np.sqrt(variance), covariance, best, 0.0)


def suggest(
    measured: Measured,
    wish: Wish,
    stored: Stored | None = None,
    *,
    options: dict[str, Any] | None = None,
    on_problem: OnProblem = stop,
) -> Round:
    """Choose the proteins of the next round.

    Parameters
    ----------
    measured : Measured: from `read_campaign`, `read_run`, or without rows.
    stored : Stored, optional: a regression model whose target is that of `measured`.
    options : for `proteins.predict.predict`.
    on_problem : takes what is wrong with an entry of the list of candidates, which is then left out.

    Raises
    ------
    ConfigError: nothing tells what is good; no wild type; an acquisition that does not exist, or that the model cannot
        serve.
    BiorrnError: no candidate is left.
    """
    lookup(ACQUISITIONS, wish.acquisition, "--acquisition")
    if wish.count < 1:
        raise ConfigError(f"--number: found {wish.count}; allowed is 1 or more")
    if not 0 < wish.share <= 1:
        raise ConfigError(f"--max-share: found {wish.share:g}; allowed is above 0, to 1")
    if not len(measured) and stored is None:
        raise ConfigError("found neither measured values nor a model; give a table, a run folder, or a shipped model")
    wild, sign, place = measured.wild_type, -1.0 if wish.minimise else 1.0, 0
    if stored is not None:
        place = place_of(measured.target, target_names(stored, effects=True))
    if wish.candidates is None and not wild:
        raise ConfigError(
            "--wild-type: found none, and the measured proteins are not variants of one; give it, or --candidates"
        )
    rules, known = wish.rules, measured.sequences
    if wild and known and not mostly_variants(known, wild):
        raise ConfigError(
            f"--wild-type: most of the {len(known):,} measured proteins are no variants of it (from {measured.source}, "
            f"{len(wild)} residues): another length, or more than half of the residues differ"
        )
    lines = [f"measured: {len(known):,} proteins"] if known else ["measured: none; the model alone is asked"]
    if (rows := int(measured.counts.sum())) > len(known):
        lines[0] += f" in {rows:,} rows; repeats are averaged, and such a mean counts as often as it was measured"
    if wild:
        lines.append(f"wild type: {len(wild)} residues, from {measured.source}")
    score = _score_of(stored, measured.target)
    trusted = not score or ranks(score)
    if wish.candidates is not None:
        library = listed(wish.candidates, wild, rules, known, on_problem)
        varied = [one.sequence for one in library.candidates]
        oracle = Oracle(measured, stored, place, sign, wish.seed, varied, options=options, trusted=trusted)
    else:
        most = rules.most or measured.most_mutations + 1
        rules = dataclasses.replace(rules, most=min(most, len(rules.places(wild))))
        places = rules.places(wild)
        oracle = Oracle(measured, stored, place, sign, wish.seed, (), places, options=options, trusted=trusted)

        def rate(sequences: Sequence[str]) -> np.ndarray:
            belief = oracle.believe(sequences)
            return belief.mean + wish.explore * belief.deviation

        library = combinations(wild, rules, known, sign * measured.values, rate)
        lines.append(f"candidates: up to {rules.most} substitution{'s' * (rules.most > 1)} a variant")
    told, caution = _evidence(score, oracle, wish.acquisition)
    lines += told
    out = "".join(f"; {reason}: {count:,}" for reason, count in library.left_out.most_common())
    lines.append(f"candidates: {len(library):,}{out}")
    if not len(library):
        more = "" if wish.candidates else "; a larger --max-mutations gives more"
        raise BiorrnError(f"no candidate is left{out}{more}")
    sequences = [one.sequence for one in library.candidates]
    belief = oracle.believe(sequences)
    if wish.acquisition != "greedy" and not (belief.deviation > 0).any():
        raise ConfigError(
            f"--acquisition {wish.acquisition}: needs an uncertainty, which this model does not give; give the table "
            "measured so far, or --acquisition greedy"
        )
    holds = [one.mutation.split(":") for one in library.candidates] if wish.share < 1 else None
    rng = np.random.default_rng(wish.seed)
    indices = acquisition.choose(belief, wish.count, wish.acquisition, rng, wish.explore, holds, wish.share)
    if len(indices) < wish.count:
        lines.append(f"chosen: {len(indices)}, not {wish.count}: no more candidates are left within the rules")
    values, deviations = oracle.in_unit(belief)
    chances = acquisition.chance(belief)

    chosen = [
        Suggestion(library.candidates[k], NEW, float(values[k]), float(deviations[k]), float(chances[k]))
        for k in indices
    ]

    def control(role: str, sequence: str) -> Suggestion | None:
        if not sequence:
            return None
        (value,), (deviation,) = oracle.in_unit(oracle.believe([sequence]))
        return Suggestion(
            Candidate.of(sequence, wild, rules.offset, role), role, float(value), float(deviation), np.nan
        )

    best = known[int(np.argmax(sign * measured.values))] if known else ""
    controls = control(THE_WILD_TYPE, wild), control(THE_BEST, best)
    return Round(chosen, *controls, measured, library, values, deviations, indices, lines, caution)


def _score_of(stored: Stored | None, target: str) -> dict[str, Any]:
    """Return the held-out correlation of a run of `biorrn train-table`; empty for another model."""
    if stored is None or not (stored.path / EVALUATION).is_file() or not (stored.path / DATA).is_file():
        return {}
    return held_out_score(stored.path, read_json(stored.path / EVALUATION), target)


def _evidence(score: dict[str, Any], oracle: Oracle, acquisition: str) -> tuple[list[str], str]:
    """Return lines on whether the predictions are shown to rank variants, and the caution where they are not.

    The choice itself stays: where five folds of the measured rows show nothing, `ucb` still finds more than random
    choice or the most uncertain variants, since it weighs uncertainty and what is known of substitutions in general
    (docs/results.md).
    """
    lines = []
    if score:
        words = f"model: {shown(score)} on rows that it did not see"
        if ranks(score):
            return [words], ""
        poor = f"{words}: nothing shows that it ranks variants"
        if oracle.posterior is None:
            return [f"warning: {poor}; expect no more than from random choice"], poor
        lines.append(f"warning: {poor}. Its predictions are not used; the Gaussian process fitted to the measured is")
    if not (own := oracle.check()):
        few = f"of {len(oracle.measured)} measured variants, too few to check whether they predict others"
        return [*lines, *([f"warning: {few}"] if oracle.posterior is not None else [])], ""
    words = f"measured variants, each predicted from the others: {shown(own)}"
    if ranks(own):
        return [*lines, words], ""
    poor = f"{words}: they do not show yet what is good"
    advice = "Take this round as exploration"
    if acquisition == "greedy":
        advice += "; --acquisition greedy follows such predictions, ucb weighs their uncertainty"
    return [*lines, f"warning: {poor}. {advice}"], poor
