"""Splits of sequences with tags: those of proteins, what a header or a table says, or places on a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Cluster, Column, Random, Reference, parse_split, split_called
from biorrn.errors import ConfigError, InputError
from biorrn.readers.tables import column_names, matching, read_cells

YES = ("true", "yes", "1")


@dataclass(frozen=True, slots=True)
class Header:
    """`header:SET`: the header of the labels says `SET=train`, and of held-out training rows `VALIDATION=True`."""

    name: str

    def code(self, description: str) -> int | None:
        """Return the code of the split that a header names, or None.

        >>> Header("SET").code("SET=train VALIDATION=True")
        1
        """
        said = dict(word.split("=", 1) for word in description.split() if "=" in word)
        code = split_called(said.get(self.name, ""))
        return 1 if code == 0 and said.get("VALIDATION", "").lower() in YES else code


@dataclass(frozen=True, slots=True)
class Table:
    """`file:PATH`: a table with the columns `id` and `split` (or one more of any name)."""

    path: str
    codes: dict[str, int] = field(default_factory=dict)

    def code(self, name: str) -> int | None:
        """Return the code of the split of an id, or None where the table has no such row."""
        return self.codes.get(name)


TagSplitter = Header | Table | Column | Random | Cluster | Reference


def parse_tag_split(text: str, seed: int = 0) -> TagSplitter:
    """Return the splitter that `--split` of `biorrn prepare tags` names.

    Raises
    ------
    ConfigError: unknown name, or arguments that it cannot use.
    InputError: the table of `file:PATH` cannot be read.

    >>> parse_tag_split("header:SET")
    Header(name='SET')
    """
    name, _, rest = text.partition(":")
    if name in ("header", "file") and not rest:
        raise ConfigError(f"--split {text}: names no {'key' if name == 'header' else 'file'}; allowed is {name}:NAME")
    if name == "header":
        return Header(rest)
    if name == "file":
        return Table(rest, _table(rest))
    if name not in ("column", "random", "cluster", "reference"):
        raise ConfigError(f"--split '{name}' is unknown. Known: header, file, column, random, cluster, reference")
    found = parse_split(text, "signal" if name == "reference" else "protein", seed)
    assert isinstance(found, TagSplitter)
    return found


def _table(path: str) -> dict[str, int]:
    names = column_names(Path(path))
    own = {names[place] for place in matching("id", names)}
    others = [name for name in names if name not in own]
    if not own or not others:
        raise InputError(path, f"found the columns {', '.join(names)[:200]}; expected id and split")
    column = next((others[place] for place in matching("split", others)), others[0])
    codes: dict[str, int] = {}
    for row in read_cells(path, ["id", column]):
        name, value = str(row["id"]).strip(), str(row[column])
        code = split_called(value)
        if code is None:
            raise InputError(path, f"column '{column}': found '{value[:40]}'; allowed is {', '.join(SPLITS)}", name)
        if name in codes:
            raise InputError(path, "the id is given twice; allowed is once", name)
        codes[name] = code
    return codes
