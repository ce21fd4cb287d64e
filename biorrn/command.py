"""The command line of this process, for the provenance of what it writes; none where a Python program calls biorrn."""

import shlex
from collections.abc import Sequence

_words: list[str] = []


def note(words: Sequence[str]) -> None:
    """Keep the arguments after the program's name; `cli.main` does so once, a member of an ensemble its parent's."""
    _words[:] = ["biorrn", *words]


def words() -> list[str]:
    """Return the arguments after the program's name; none without a command line."""
    return _words[1:]


def command_line() -> str:
    """Return the command as one line for a shell; "" without a command line, as in a notebook."""
    return shlex.join(_words)
