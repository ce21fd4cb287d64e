"""Looking up a choice by name in one of the package's tables."""

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TypeVar

from biorrn.base.errors import ConfigError

Entry = TypeVar("Entry")
MOST, LONGEST = 1000, 100  # names, and characters of one, among which a near one is looked for


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when nothing is near.

    Names come from files too: long ones, and all but the first `MOST`, are not compared, which would take for ever.
    """
    near = [word for word in islice(known, MOST) if len(word) <= LONGEST]
    found = difflib.get_close_matches(name[:LONGEST], near, n=1, cutoff=0.5)
    return found[0] if found else None


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return `table[name]`; an unknown name is an error that says what is allowed.

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
