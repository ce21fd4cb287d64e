"""Checks that all signal readers share: the formats refuse the same faults in the same words."""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from biorrn.errors import InputError
from biorrn.readers.records import SignalRecord

# A file's own text ends up in TSV and FASTQ, where one of these would start a new column or record.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
READ_ID = re.compile(r"[0-9A-Za-z][!-~]*")
SHOWN = 10  # files that a message names
MAX_DIGITS = 18  # of a whole number: it has 63 bits, and Python refuses to convert thousands
MAX_SAMPLES = 2**30  # 74 hours at 4 kHz: a longer read is a damaged length, found before memory is asked for
MOST_OFFSET, MOST_REAL = 1e9, 1e9  # the current stays finite in float32
MOST = 2**53  # of a channel, mux, read number or start time: exact in any number that it becomes

OnProblem = Callable[[InputError], None]
Item = TypeVar("Item")


class Fault(Exception):
    """What is wrong with one field or record; `faults` adds the file and the record to it. `flag`: see `InputError`."""

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
    """Raise the problem: what a reader does with a bad read unless told otherwise."""
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
    """Yield from an iterable of a library; what it raises between two items becomes `InputError`.

    What the consumer of the items raises is left alone.
    """
    iterator = iter(items)
    while True:
        with faults(path, None, *damage):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def reason(error: BaseException) -> str:
    """Return an exception of a library as one line of at most 200 characters: the system's own words, if it has any."""
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
    biorrn.readers.fields.Fault: field 'flow_cell_id': found the control character '\\t' in 'FAB\\t43577'
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


def whole(name: str, value: str) -> int:
    """Return the number that a text field such as the channel spells; anything else is a `Fault`."""
    if not value.isdecimal() or len(value) > MAX_DIGITS:
        raise Fault(f"field {name!r}: found {value[:40]!r}; allowed is a whole number")
    return int(value)


def moment(written: str) -> datetime | None:
    """Return the time that a text field spells, ISO 8601 or seconds since 1970, in UTC; None where it spells none.

    Files of years hold any of these, so that an odd one is no fault. A time without a zone is taken for UTC.

    >>> moment("2020-10-27T05:41:50Z") == moment("1603777310"), moment("."), moment("0")
    (True, None, None)
    """
    try:
        if written.isdecimal() and len(written) <= MAX_DIGITS:
            return datetime.fromtimestamp(int(written), UTC) if int(written) else None
        found = datetime.fromisoformat(written)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def scale_of(span: float, digitisation: float) -> float:
    """Return pA a step of the digitiser, from its range in pA and its number of steps."""
    if not (math.isfinite(digitisation) and digitisation > 0):
        raise Fault(f"field 'digitisation': found {digitisation:g}; allowed is a number above 0")
    return float(span) / float(digitisation)


class Notes:
    """Takes metadata apart that calling does not need: what is wrong with it is noted, not raised.

    Attributes
    ----------
    faults : list of str: in the words of a `Fault`.

    >>> notes = Notes()
    >>> notes.whole("start_mux", 2), notes.whole("channel_number", "ch12"), notes.whole("read_number", None)
    (2, None, None)
    >>> notes.faults
    ["field 'channel_number': found str ch12; allowed is a whole number"]
    """

    def __init__(self, faults: Iterable[str] = ()) -> None:
        self.faults = list(faults)

    def take(self, make: Callable[[], Item], *damage: type[Exception]) -> Item | None:
        """Return what a function makes; None where it raises a `Fault` or one of the exceptions `damage`."""
        try:
            return make()
        except Fault as fault:
            self.faults.append(str(fault))
        except damage as error:
            self.faults.append(reason(error))
        return None

    def text(self, name: str, value: Any) -> str:
        """Return a text field, "" where it is None or no text that `text` allows."""
        value = self._single(name, value, "a text")
        if value is None:
            return ""
        if not isinstance(value, str | bytes):
            self.faults.append(f"field {name!r}: found {short(value)}; allowed is a text")
            return ""
        return self.take(lambda: text(name, value)) or ""

    def whole(self, name: str, value: Any, written: bool = False) -> int | None:
        """Return a whole number from 0 to `MOST`; None where it is None or anything else.

        A number of another type, such as 7.0 or "7", is taken, and its type noted.

        Parameters
        ----------
        written : bool: the format has the number as text.
        """
        number = self._single(name, value, "a whole number")
        if number is None:
            return None
        if isinstance(number, bytes):
            number = number.decode("utf-8", "replace")
        odd = isinstance(number, int | np.integer) == written  # the type is not what it should be
        if isinstance(number, str):
            number = int(number) if number.isdecimal() and len(number) <= MAX_DIGITS else None
        elif isinstance(number, float | np.floating):
            number, odd = int(number) if float(number).is_integer() else None, True
        if isinstance(number, bool | np.bool_) or not isinstance(number, int | np.integer):
            self.faults.append(f"field {name!r}: found {short(value)}; allowed is a whole number")
            return None
        if not 0 <= number <= MOST:
            self.faults.append(f"field {name!r}: found {number}; allowed is 0 to {MOST}")
            return None
        if odd:
            kind = "a text" if written else "a whole number"
            self.faults.append(f"field {name!r}: found {short(value)}; allowed is {kind}; taken as {number}")
        return int(number)

    def _single(self, name: str, value: Any, allowed: str) -> Any:
        """Return the value of an array of one, which is noted."""
        if not isinstance(value, np.ndarray):
            return value
        self.faults.append(f"field {name!r}: found {short(value)}; allowed is {allowed}")
        return value.reshape(-1)[0] if value.size == 1 else None


def short(value: Any) -> str:
    """Return a value with its type, for a message."""
    kind = f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{kind} {value!s:.40}"


def make_record(read_id: str, raw: np.ndarray, **values: Any) -> SignalRecord:
    """Return a checked `SignalRecord`; see its fields for the units.

    Scale and sample rate may be NaN together with the offset: the file holds no calibration at all.
    """
    if not READ_ID.fullmatch(read_id):
        raise Fault(f"field 'read_id': found {read_id[:60]!r}; allowed are a letter or digit, then no spaces")
    for name in ("channel", "mux"):  # numbered from 1: formats without a missing value write 0
        values[name] = values.get(name) or None
    record = SignalRecord(read_id=read_id, raw=raw, **values)
    if record.calibrated:
        if not abs(record.offset) <= MOST_OFFSET:
            raise Fault(f"field 'offset': found {record.offset:g}; allowed is a finite number, at most {MOST_OFFSET:g}")
        for name, value in (("range / digitisation", record.scale), ("sampling_rate", record.sample_rate)):
            if not 0 < value <= MOST_REAL:
                raise Fault(f"field {name!r}: found {value:g}; allowed is a number above 0, at most {MOST_REAL:g}")
    return record


def run_record(path: str | Path, rate: float, tags: dict[str, str]) -> SignalRecord:
    """Return what a file says of a run, as a read without id, samples and calibration."""
    nothing = np.zeros(0, np.int16)
    return SignalRecord("", nothing, math.nan, math.nan, rate, source=Path(path), run_tags=tags)
