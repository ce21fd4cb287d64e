"""Exceptions for unusable input and options, and helpers of readers that raise them.

Each message is one line that names the file, the record, what was found and what is allowed. The command line prints it
and exits with `exit_code`; every other exception keeps its traceback.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

LONGEST = 1500  # characters of a message

# Control characters, marks of the direction of writing, and surrogates (bytes of a file name that are not UTF-8).
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: object) -> str:
    """Return a text as one line, with control characters spelt out.

    >>> shown("red " + chr(27) + "[31m, a line" + chr(10) + "and another")
    'red \\\\x1b[31m, a line and another'
    """
    return OBEYED.sub(lambda found: spelt(found[0]), str(text))


def spelt(character: str) -> str:
    """Return a control character as letters; a blank for tab and ends of lines."""
    if character in "\n\r\t":
        return " "
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


class BiorrnError(Exception):
    """An error that the user can correct; its text is one line without control characters.

    >>> raise BiorrnError("--seed: found -1; allowed is 0 or more")
    Traceback (most recent call last):
    biorrn.base.errors.BiorrnError: --seed: found -1; allowed is 0 or more
    """

    exit_code = 2

    def __str__(self) -> str:
        text = shown(super().__str__())
        if len(text) > LONGEST:  # it quotes a long text of a file
            text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 4 :]}"
        return text


class InputError(BiorrnError):
    """A file or a record in it cannot be used.

    Parameters
    ----------
    source : path or str: the file, as the user named it.
    problem : str: what was found and what is allowed.
    record : str, optional: the id of the record (protein, read, table row) at fault.
    flag : str: the kind of fault in one word, for tables and counts.

    >>> print(InputError("a.fa", "residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX", record="P53"))
    a.fa: record 'P53': residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """

    def __init__(self, source: str | Path, problem: str, record: str | None = None, flag: str = "unusable") -> None:
        self.flag = flag
        self.source = "standard input" if str(source) == "-" else str(source)
        self.problem = " ".join(str(problem).split())
        self.record = record
        where = f"{self.source}: " if record is None else f"{self.source}: record '{record}': "
        super().__init__(where + self.problem)


class ConfigError(BiorrnError):
    """A recipe, a configuration or an option holds something unknown or out of range."""


# in TSV and FASTQ one of these would start a new column or record
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

SHOWN = 10  # files that a message names
OnProblem = Callable[[InputError], None]  # called with the error of a record; may raise it
Item = TypeVar("Item")


class Fault(Exception):
    """A fault of one field or record, to which `faults` adds file and record. `flag`: see `InputError`."""

    def __init__(self, problem: str, flag: str = "unusable") -> None:
        self.flag = flag
        super().__init__(problem)


class LeftOut(InputError):
    """Files of a folder that are not read, in one line.

    Attributes
    ----------
    kind : str: "archive" or "broken link".
    files : list of Path.
    reason : str: of each.
    alone : bool: the folder holds no file that is read.
    """

    def __init__(self, folder: str | Path, kind: str, files: list[Path], advice: str, alone: str = "") -> None:
        names = [str(file.relative_to(folder)) for file in files[:SHOWN]] + ["..."] * (len(files) > SHOWN)
        many = f"{len(files)} {kind}{'s' if len(files) > 1 else ''}"
        super().__init__(folder, f"{alone or 'left out:'} {many} ({', '.join(names)}); {advice}")
        self.kind, self.files, self.alone = kind, files, bool(alone)
        self.reason = f"{kind}; {advice}"


def stop(problem: InputError) -> None:
    """Raise the problem: the default of a reader's `on_problem`."""
    if not isinstance(problem, LeftOut) or problem.alone:
        raise problem


@contextlib.contextmanager
def faults(path: str | Path, record: str | None = None, *damage: type[Exception]) -> Iterator[None]:
    """Turn a `Fault`, and any of the exceptions `damage` that a library raises on a damaged file, into `InputError`."""
    try:
        yield
    except Fault as fault:
        raise InputError(path, str(fault), record, fault.flag) from fault
    except damage as error:
        raise InputError(path, reason(error), record) from error
    except MemoryError as error:
        raise InputError(path, "damaged: a length in it is larger than the memory", record) from error


def guarded(items: Iterable[Item], path: str | Path, *damage: type[Exception]) -> Iterator[Item]:
    """Yield from an iterable of a library, whose errors become `InputError`; errors of the consumer do not."""
    iterator = iter(items)
    while True:
        with faults(path, None, *damage):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def reason(error: BaseException) -> str:
    """Return an exception of a library as one line of at most 200 characters; of OSError the system's message."""
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {os.strerror(error.errno)}"
    words = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = words.strip().splitlines()
    return "damaged: " + (lines[0] if lines else type(error).__name__)[:200]


def text(name: str, value: str | bytes) -> str:
    """Return a text field; one with control characters (tab, line feed, ...) or that is not UTF-8 is a `Fault`.

    >>> text("flow_cell_id", b"FAB43577")
    'FAB43577'
    >>> text("flow_cell_id", "FAB\\t43577")
    Traceback (most recent call last):
    biorrn.base.errors.Fault: field 'flow_cell_id': found the control character '\\t' in 'FAB\\t43577'
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Fault(f"field {name!r}: found {value[:40]!r}, which is not UTF-8") from error
    found = CONTROL.search(value)
    if found:
        raise Fault(f"field {name!r}: found the control character {found.group()!r} in {value[:60]!r}")
    return value
