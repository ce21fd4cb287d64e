"""Looking up a choice by name in one of the package's tables."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from biorrn.errors import ConfigError

Entry = TypeVar("Entry")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when nothing is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return `table[name]`; an unknown name is an error that says what is allowed.

    >>> lookup({"gru": 1, "lstm": 2}, "grru", "cell")
    Traceback (most recent call last):
    biorrn.errors.ConfigError: cell 'grru' is unknown; did you mean 'gru'? Known: gru, lstm
    """
    try:
        return table[name]
    except KeyError:
        close = nearest(name, table)
        hint = f"; did you mean '{close}'?" if close else "."
        raise ConfigError(f"{what} '{name}' is unknown{hint} Known: {', '.join(table)}") from None
