"""Prediction of a state, or values, per residue: streamed in input order; outputs TSV, FASTA, PSIPRED .ss2 and JSONL.

A result does not depend on batch size, other records or number of threads. Sequences of more than `LONGEST` residues
are cut into windows that overlap by `OVERLAP`. Each window gives the residues up to the middle of an overlap, so that
a residue has at least half an overlap of context on each side.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.base.compute import apply_threads, has_bfloat16
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import one_line, write_text
from biorrn.base.lookup import lookup
from biorrn.kernels.lstm.layers import BFLOAT
from biorrn.nn.chunks import Span, spans
from biorrn.nn.engine import chosen_kind
from biorrn.nn.ensemble import probabilities
from biorrn.nn.forward import model_on, padded, stream
from biorrn.nn.store import Stored
from biorrn.nn.windows import batches, joined
from biorrn.sequences.alphabets import RESIDUES, THREE
from biorrn.sequences.flags import LEFT_OUT, flags
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, Table, late, open_table, table_format
from biorrn.sequences.tally import SHOWN, Tally

LONGEST, OVERLAP = 2048, 256  # residues: maximum window, and overlap of two windows
WINDOW_RESIDUES = 500_000  # maximum residues read ahead

Passed = tuple[np.ndarray, np.ndarray]  # path uint8 (B, T), and probabilities or values float32 (B, T, S)


@dataclass(frozen=True, slots=True)
class Tagging:
    """The prediction of the residues of one sequence.

    Attributes
    ----------
    id, sequence : str: of the record.
    states : str: one letter per residue; "" for a model of values.
    scores : float32 array (T, S): the probability of each state, in the order of the model's states; or values (T, K).
    flags : list of str: reasons for doubt, as in `proteins.predict.Prediction`.
    """

    id: str
    sequence: str
    states: str
    scores: np.ndarray
    flags: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> bool:
        """Whether the record could not be used; the flags give the reason."""
        return self.flags[:1] == [LEFT_OUT]

    @property
    def confidence(self) -> np.ndarray:
        """The largest probability at each residue, float32 (T,)."""
        return self.scores.max(axis=1, initial=0.0)


def tag_columns(stored: Stored) -> tuple[str, list[str]]:
    """Return the states of a tagging model ("" for values) and the names of its columns: states or values.

    Raises
    ------
    ConfigError: the model is not a tagging model.
    """
    facts = stored.facts
    if facts.get("task") != "tagging":
        raise ConfigError(f"{stored.path}: is a model for {facts.get('task')}; needed here is one for tagging")
    if facts.get("kind") == "values":
        return "", [str(target["name"]) for target in facts["targets"]]
    return str(facts["states"]), list(facts["states"])


def tag(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    precision: str = "auto",
) -> Iterator[Tagging]:
    """Yield the prediction of each record, in input order, in constant memory.

    Parameters
    ----------
    stored : Stored: a tagging model.
    records : iterable of ProteinRecord, in the model's alphabet.
    batch_size : int: windows per forward pass; fewer if they are long. Affects speed only.
    threads : int, optional: CPU threads. Default: those of torch. Affects speed only.
    precision : str: "auto" and "32" are float32; "bf16" is bfloat16 if the CPU and torch's LSTM support it.

    Raises
    ------
    ConfigError: the model is not a tagging model, or the precision is not supported.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    states, columns = tag_columns(stored)
    apply_threads()
    where = torch.device(device)
    half = precision != "auto" and where.type == "cpu" and chosen_kind(precision) == BFLOAT and has_bfloat16(where)
    run = _Run(model_on(stored.model, where), stored.facts, states, len(columns), batch_size, where, half)
    limits: dict[str, Any] = {"batch_size": batch_size, "threads": threads, "residues": WINDOW_RESIDUES}
    return stream(records, run.send, run.finish, device=where, **limits)


def states_and_marginals(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the predicted states int64 (B, T) and the probabilities float32 (B, T, S).

    A CRF head gives marginal probabilities, and the most probable states or the best path, as its recipe sets. Other
    heads, and ensembles (weighted mean of the members), give the most probable state of each residue.
    """
    outputs, steps = model(x, lengths)
    decode: Any = getattr(getattr(model, "head", None), "decode", None)
    if decode is not None:
        path, marginals = decode(outputs.float(), steps)
        return path, marginals.float()
    marginals = probabilities(model, outputs, steps)
    return marginals.argmax(-1), marginals


@dataclass(frozen=True, slots=True)
class _Window:
    """Records in progress: their windows, and the batches of these."""

    records: list[ProteinRecord]
    starts: np.ndarray  # int64 (N,): first residue of each record
    places: list[tuple[int, Span]]  # record and span of each window
    batches: list[tuple[list[int], Future[Passed]]]


class _Run:
    """One pass of a tagging model over many records."""

    def __init__(
        self,
        model: nn.Module,
        facts: dict[str, Any],
        states: str,
        columns: int,
        batch_size: int,
        device: torch.device,
        half: bool,
    ) -> None:
        self.model, self.facts, self.columns, self.batch_size = model, facts, columns, batch_size
        self.device, self.half = device, half
        self.letters = np.frombuffer(states.encode("latin-1"), np.uint8) if states else None

    def send(self, records: list[ProteinRecord], pool: ThreadPoolExecutor) -> _Window:
        lengths = np.array([len(record.sequence) for record in records], np.int64)
        flat, starts = joined(records, self.facts.get("alphabet") or RESIDUES), np.cumsum(lengths) - lengths
        places = [(row, span) for row, size in enumerate(lengths.tolist()) for span in spans(size, LONGEST, OVERLAP, 1)]
        begins = np.array([starts[row] + span.start for row, span in places], np.int64)
        sizes = np.array([span.length for _, span in places], np.int64)
        sent = []
        for rows in batches(sizes.tolist(), self.batch_size):
            sent.append((rows, pool.submit(self._forward, flat, begins[rows], sizes[rows])))
        return _Window(records, starts, places, sent)

    def finish(self, window: _Window) -> Iterator[Tagging]:
        total = sum(len(record.sequence) for record in window.records)
        path, scores = np.zeros(total, np.uint8), np.zeros((total, self.columns), np.float32)
        for rows, passed in window.batches:
            paths, given = passed.result()
            for place, row in enumerate(rows):
                record, span = window.places[row]
                target = slice(window.starts[record] + span.first, window.starts[record] + span.last)
                source = slice(span.first - span.origin, span.last - span.origin)
                path[target], scores[target] = paths[place, source], given[place, source]
        text = "" if self.letters is None else self.letters[path].tobytes().decode("latin-1")
        ends = itertools.chain(window.starts[1:].tolist(), [total])
        for one, start, end in zip(window.records, window.starts.tolist(), ends, strict=True):
            # copy the scores: a view would keep those of all records in memory
            yield Tagging(one.id, one.sequence, text[start:end], scores[start:end].copy(), flags(one, self.facts))

    def _forward(self, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Passed:
        x, sizes = padded(flat, starts, lengths, self.batch_size, self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.letters is None:
                scores = self.model(x, sizes)[0].float()
                path = torch.zeros(scores.shape[:2], dtype=torch.int64)
            else:
                path, scores = states_and_marginals(self.model, x, sizes)
            kept = slice(0, len(lengths))
            return path[kept].cpu().numpy().astype(np.uint8), scores[kept].cpu().numpy()


class TagTally(Tally):
    """Counts of proteins, residues and states; prints a line for each of the first `SHOWN` proteins.

    Parameters
    ----------
    states : str: states of the model; "" for values.
    names : names of the states, or of the values.
    """

    def __init__(self, states: str, names: Sequence[str]) -> None:
        super().__init__("predict", "sequences", "residues")
        self.states, self.names = states, names
        self.called: Counter[str] = Counter()
        self.sure = 0.0  # sum of the confidence over residues

    def take(self, found: Tagging) -> None:
        """Count a prediction, and print it."""
        self.add(sequences=1, residues=len(found.sequence))
        self.flag(found.flags)
        self.called.update(found.states)
        if self.states:
            self.sure += float(found.confidence.sum())
        if self.done["sequences"] <= SHOWN:
            self.say(self.describe(found))
        elif self.done["sequences"] == SHOWN + 1:
            self.say("further sequences are only counted; --summary has a line for each")

    def describe(self, found: Tagging) -> str:
        """Return a prediction as one line."""
        length = len(found.sequence)
        parts = [f"{found.id}: {length:,} residues"]
        if self.states:
            parts.append(self._composition(Counter(found.states), length))
            parts.append(f"mean confidence {float(found.confidence.mean()) if length else 0.0:.2f}")
        else:
            means = found.scores.mean(axis=0).tolist() if length else []
            parts += [f"mean {name} {mean:.3g}" for name, mean in zip(self.names, means, strict=False)]
        return ", ".join([*parts, *found.flags])

    def _composition(self, counts: Counter[str], total: int) -> str:
        named = zip(self.states, self.names, strict=True)
        return ", ".join(f"{name} {100 * counts[state] / max(total, 1):.0f} %" for state, name in named)

    def close(self) -> None:
        """Print the composition of all residues, and the totals."""
        total = self.done["residues"]
        if self.states and total:
            self.say(f"all residues: {self._composition(self.called, total)}, mean confidence {self.sure / total:.2f}")
        self.report()


@contextlib.contextmanager
def summary_table(path: str | Path | None, states: str, columns: Sequence[str]) -> Iterator[Callable[[Tagging], None]]:
    """Yield a function that writes one row per protein: id, length, fraction of each state, mean confidence, flags.

    For a model of values the row has the mean of each. With None nothing is written.
    """
    if path is None:
        yield lambda found: None
        return
    middle = [*columns, "confidence"] if states else list(columns)
    kinds: dict[str, type] = {"id": str, "length": int, **dict.fromkeys(middle, float), "flags": str}
    with open_table(path, kinds) as write:

        def add(found: Tagging) -> None:
            if found.left_out:
                write([found.id, *[None] * (len(kinds) - 2), ",".join(found.flags)])
                return
            length = max(len(found.sequence), 1)
            if states:
                values = [found.states.count(state) / length for state in states]
                values.append(float(found.confidence.sum()) / length)
            else:
                values = (found.scores.sum(axis=0) / length).tolist()
            write([found.id, len(found.sequence), *values, ",".join(found.flags) or "."])

        yield add


SS2 = "CHE"  # order of the columns of PSIPRED
DIGITS = 4  # decimals of probabilities in JSON

Write = Callable[["Tagging"], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """The states of a model ("" for values), the names of its columns, and its name."""

    states: str
    columns: Sequence[str]
    model: str = ""


def columns(layout: Layout) -> list[str]:
    """Return the columns of a table.

    >>> columns(Layout("HE", ["H", "E"])), columns(Layout("", ["disorder"]))
    (['id', 'position', 'residue', 'state', 'p_H', 'p_E'], ['id', 'position', 'residue', 'disorder'])
    """
    more = ["state", *(f"p_{state}" for state in layout.columns)] if layout.states else list(layout.columns)
    return ["id", "position", "residue", *more]


@contextlib.contextmanager
def _table(path: str | Path | Memory, layout: Layout) -> Iterator[Write]:
    names = columns(layout)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: two columns would be named '{twice[0]}'; rename a target of the model")
    kinds: dict[str, type] = dict.fromkeys(names, float) | {"id": str, "position": int, "residue": str}
    kinds |= {"state": str} if layout.states else {}

    def put(table: Table, found: Tagging) -> None:
        if found.left_out:
            table([found.id, *[None] * (len(kinds) - 1)])
            return
        size, own = len(found.sequence), [found.states] if layout.states else []
        table.add([[found.id] * size, range(1, size + 1), found.sequence, *own, *found.scores.T])

    with late(lambda first: open_table(path, kinds), put) as write:
        yield write


@contextlib.contextmanager
def _fasta(path: str | Path, layout: Layout) -> Iterator[Write]:
    """Three lines per record: header, sequence, states."""
    _needs_states(layout, "fasta")
    with write_text(path) as stream:

        def write(found: Tagging) -> None:
            if not found.left_out:
                stream.write(f">{one_line(found.id)}\n{found.sequence}\n{found.states}\n")

        yield write


@contextlib.contextmanager
def _jsonl(path: str | Path, layout: Layout) -> Iterator[Write]:
    with write_text(path) as stream:

        def write(found: Tagging) -> None:
            scores = found.scores.astype(np.float64).round(DIGITS).T.tolist()
            line: dict[str, object] = {"id": found.id, "length": len(found.sequence), "sequence": found.sequence}
            line |= {"states": found.states} if layout.states else {}
            line["probabilities" if layout.states else "values"] = dict(zip(layout.columns, scores, strict=True))
            stream.write(json.dumps(line | {"flags": found.flags}, ensure_ascii=False) + "\n")

        yield write


@contextlib.contextmanager
def _ss2(path: str | Path, layout: Layout) -> Iterator[Write]:
    """PSIPRED's .ss2 (Jones 1999): position, residue, state, probabilities of coil, helix and strand.

    A folder gets one file per protein, as PSIPRED writes them; a file gets all proteins, each with its header. The
    eight states of DSSP are reduced to three, see `sequences.alphabets.THREE`.
    """
    _needs_states(layout, "ss2")
    try:
        codes = THREE.encode(layout.states)
    except BiorrnError as error:
        raise ConfigError(f"--format ss2: is of secondary structure; the model's states are {layout.states}") from error
    order = [THREE.letters.index(letter) for letter in SS2]
    reduce = np.eye(len(THREE.letters))[codes][:, order]  # (S, 3)
    to_three = {state: THREE.letters[code] for state, code in zip(layout.states, codes, strict=True)}

    def print_to(stream: IO[str], found: Tagging) -> None:
        stream.write(f"# PSIPRED VFORMAT (biorrn {layout.model})\n# {found.id}\n\n")
        for place, scores in enumerate((found.scores @ reduce).tolist()):
            state = to_three[found.states[place]]
            cells = "".join(f"{score:7.3f}" for score in scores)
            stream.write(f"{place + 1:4d} {found.sequence[place]} {state} {cells}\n")

    if str(path) != "-" and (Path(path).is_dir() or str(path).endswith("/")):
        used: set[str] = set()

        def write_own(found: Tagging) -> None:
            stem = _slug(found.id)
            name, number = stem, 2
            while name in used:  # ids that differ only in characters that are not allowed in file names
                name, number = f"{stem}_{number}", number + 1
            used.add(name)
            if found.left_out:
                return
            with write_text(Path(path) / f"{name}.ss2") as stream:
                print_to(stream, found)

        yield write_own
        return
    with write_text(path) as stream:
        yield lambda found: None if found.left_out else print_to(stream, found)


def _slug(id: str) -> str:
    letters = (letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "_" for letter in id)
    return "".join(letters).strip("_.")[:100] or "unnamed"


def _needs_states(layout: Layout, name: str) -> None:
    if not layout.states:
        raise ConfigError(f"--format {name}: needs a model of states; this one gives values, which tsv and jsonl hold")


def tagging_format(path: str | Path, name: str | None = None) -> str:
    """Return the format of an output: by name, else by suffix.

    Raises
    ------
    ConfigError: the name or the suffix is unknown.

    >>> tagging_format("x.fasta.gz"), tagging_format("x.ss2"), tagging_format("-"), tagging_format("-", "jsonl")
    ('fasta', 'ss2', 'tsv', 'jsonl')
    """
    if name is not None:
        lookup(FORMATS, name, "--format")
        return name
    plain = Path(str(path).lower().removesuffix(".gz"))
    if plain.suffix in SUFFIXES:
        return SUFFIXES[plain.suffix]
    table_format(path)
    return "tsv"


@contextlib.contextmanager
def open_taggings(path: str | Path | Memory, layout: Layout, format: str | None = None) -> Iterator[Write]:
    """Open an output and yield a function that writes the prediction of one record.

    Parameters
    ----------
    path : `-` is standard output; `.gz` compresses text; a table is TSV, CSV or parquet by its suffix.
    format : an entry of `FORMATS`. Default: by the suffix, see `tagging_format`.

    Raises
    ------
    ConfigError: the format is unknown, or needs states and the model gives values.
    BiorrnError: the file cannot be written.
    """
    opened = _table(path, layout) if isinstance(path, Memory) else FORMATS[tagging_format(path, format)](path, layout)
    with opened as write:
        yield write


FORMATS: dict[str, Callable[[str | Path, Layout], contextlib.AbstractContextManager[Write]]] = {
    "tsv": _table,
    "fasta": _fasta,
    "ss2": _ss2,
    "jsonl": _jsonl,
}
SUFFIXES = {".fasta": "fasta", ".fa": "fasta", ".ss2": "ss2", ".jsonl": "jsonl"}
