"""States or values of residues as files: tables, FASTA with a line of states, PSIPRED's vertical format, JSON lines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from biorrn.encoders.states import THREE
from biorrn.errors import BiorrnError, ConfigError
from biorrn.files import one_line, write_text
from biorrn.inference.writers.tables import Memory, late, open_table, table_format
from biorrn.lookup import lookup

if TYPE_CHECKING:
    from biorrn.inference.tagging import Tagging

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
    States of DSSP are reduced to three as `encoders.states` says.
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
