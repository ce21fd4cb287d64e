"""Lookup of a choice by name, with the nearest known name in the error."""

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TypeVar

from biorrn.base.errors import ConfigError

Entry = TypeVar("Entry")
MOST, LONGEST = 1000, 100  # names, and characters of one, among which a near one is looked for


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name most like `name`, or None where none is as like as `cutoff`, 0 to 1.

    Long names, and all but the first `MOST`, are not compared: names come from files too.
    """
    near = [word for word in islice(known, MOST) if len(word) <= LONGEST]
    found = difflib.get_close_matches(name[:LONGEST], near, n=1, cutoff=cutoff)
    return found[0] if found else None


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return `table[name]`; the error for an unknown name lists the known ones.

    >>> lookup({"gru": 1, "lstm": 2}, "grru", "cell")
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: cell 'grru' is unknown; did you mean 'gru'? Known: gru, lstm
    """
    try:
        return table[name]
    except KeyError:
        close = nearest(name, table)
        hint = f"; did you mean '{close}'?" if close else "."
        raise ConfigError(f"{what} '{name}' is unknown{hint} Known: {', '.join(table)}") from None
