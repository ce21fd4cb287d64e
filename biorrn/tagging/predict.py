"""From records to a state, or values, at each residue: streamed, in the order of the input.

As in `proteins.predict`, a result is the same for any batch size, company and number of threads. Chains of more than
`LONGEST` residues are cut into windows that overlap by `OVERLAP`; in the middle of an overlap one hands over to the
next, so that each residue is seen with at least half an overlap around it.
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

from biorrn.base.compute import has_bfloat16
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import one_line, write_text
from biorrn.base.lookup import lookup
from biorrn.kernels.lstm import BFLOAT
from biorrn.nn.engine import chosen_kind
from biorrn.nn.ensemble import probabilities
from biorrn.nn.forward import Span, batches, joined, model_on, padded, spans, stream
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import RESIDUES, THREE
from biorrn.sequences.flags import LEFT_OUT, flags
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, late, open_table, table_format
from biorrn.sequences.tally import SHOWN, Tally

LONGEST, OVERLAP = 2048, 256  # residues of a window, and of two that follow one another
WINDOW_RESIDUES = 500_000  # read ahead at most

Passed = tuple[np.ndarray, np.ndarray]  # path uint8 (B, T), and probabilities or values float32 (B, T, S)


@dataclass(frozen=True, slots=True)
class Tagging:
    """What a model says of the residues of one sequence.

    Attributes
    ----------
    id, sequence : str: of the record.
    states : str: one letter a residue; "" of a model of values.
    scores : float32 array (T, S): the probability of each state, in the order of the model's states; or values (T, K).
    flags : list of str: reasons for doubt, as of `inference.predict.Prediction`.
    """

    id: str
    sequence: str
    states: str
    scores: np.ndarray
    flags: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> bool:
        """Tell whether the record could not be used; the flags say why."""
        return self.flags[:1] == [LEFT_OUT]

    @property
    def confidence(self) -> np.ndarray:
        """The largest probability at each residue, float32 (T,)."""
        return self.scores.max(axis=1, initial=0.0)


def tag_columns(stored: Stored) -> tuple[str, list[str]]:
    """Return the states of a tagging model ("" where it gives values) and the names of its columns: states or values.

    Raises
    ------
    ConfigError: the model is not one for tagging.
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
    """Tag each record, in input order; memory does not grow with the number of records, nor with a chain's length.

    Parameters
    ----------
    stored : Stored: a tagging model.
    records : iterable of ProteinRecord, whose letters are of the model's alphabet.
    batch_size : int: windows a forward pass; fewer where they are long. Changes the speed, not the result.
    threads : int, optional: CPU threads; default: as many as torch uses. Changes the speed, not the result.
    precision : str: "auto" and "32" are float32, "bf16" is bfloat16 where the CPU and torch's LSTM have it.

    Raises
    ------
    ConfigError: the model is not one for tagging, or there is no such precision here.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    states, columns = tag_columns(stored)
    where = torch.device(device)
    half = precision != "auto" and where.type == "cpu" and chosen_kind(precision) == BFLOAT and has_bfloat16(where)
    run = _Run(model_on(stored.model, where), stored.facts, states, len(columns), batch_size, where, half)
    limits: dict[str, Any] = {"batch_size": batch_size, "threads": threads, "residues": WINDOW_RESIDUES}
    return stream(records, run.send, run.finish, device=where, **limits)


def states_and_marginals(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states int64 (B, T) that a model calls, and the probability of each, float32 (B, T, S).

    A head with transitions gives marginal probabilities, and calls states or the best path as its recipe says. Without
    them, and of an ensemble, whose probabilities are the weighted mean of its members', each residue is called its most
    probable state.
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
    """Records under way: their windows, and what each batch gives of which of these."""

    records: list[ProteinRecord]
    starts: np.ndarray  # int64 (N,): where each record begins among the residues of all
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
            # a copy, so that one that is kept does not hold all others
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
    """Counts proteins, residues and states; says a line a protein, of the first `SHOWN`.

    Parameters
    ----------
    states : str: of the model; "" where it gives values.
    names : what the states, or the columns of values, are called.
    """

    def __init__(self, states: str, names: Sequence[str]) -> None:
        super().__init__("predict", "sequences", "residues")
        self.states, self.names = states, names
        self.called: Counter[str] = Counter()
        self.sure = 0.0  # sum of the confidence over residues

    def take(self, found: Tagging) -> None:
        """Count a result and say what it is."""
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
        """Return a result in one line."""
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
        """Say the composition of all residues, and the last line."""
        total = self.done["residues"]
        if self.states and total:
            self.say(f"all residues: {self._composition(self.called, total)}, mean confidence {self.sure / total:.2f}")
        self.report()


@contextlib.contextmanager
def summary_table(path: str | Path | None, states: str, columns: Sequence[str]) -> Iterator[Callable[[Tagging], None]]:
    """Yield the function that writes a row a protein: id, length, share of each state, mean confidence, flags.

    Of a model of values the row has the mean of each. With None nothing is written.
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


SS2 = "CHE"  # the order of PSIPRED's columns
DIGITS = 4  # decimals of a probability in JSON

Write = Callable[["Tagging"], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a model's results have: its states ("" where it gives values), and the names of its columns."""

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

    def rows(found: Tagging) -> Iterator[list[object]]:
        if found.left_out:
            yield [found.id, *[None] * (len(kinds) - 1)]
            return
        for place, (letter, scores) in enumerate(zip(found.sequence, found.scores.tolist(), strict=True)):
            own = [found.states[place]] if layout.states else []
            yield [found.id, place + 1, letter, *own, *scores]

    with late(lambda first: open_table(path, kinds), rows) as write:
        yield write


@contextlib.contextmanager
def _fasta(path: str | Path, layout: Layout) -> Iterator[Write]:
    """Three lines a record: header, sequence, states."""
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

    A folder gets one file a protein, as PSIPRED writes them; one file holds one after another, each with its header.
    States of DSSP are reduced to three as `sequences.alphabets` says.
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
            while name in used:  # ids that differ in characters that a name cannot hold
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
    """Return the format of an output: the name given, else by the suffix, else a table.

    Raises
    ------
    ConfigError: the name is unknown, or without one the suffix.

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
    """Open an output and yield the function that writes one record's result.

    Parameters
    ----------
    path : `-` is standard output, `.gz` packs text; a table is CSV or parquet by its name.
    format : an entry of `FORMATS`; default: by the suffix, see `tagging_format`.

    Raises
    ------
    ConfigError: no such format, or one that the model's results do not fit.
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
