"""Checks of signal files: ids, numbers, times and calibration, with the same messages for all formats."""

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import Fault, Item, reason, text
from biorrn.sequences.records import SignalRecord

READ_ID = re.compile(r"[0-9A-Za-z][!-~]*")
MAX_DIGITS = 18  # of a whole number, so that it fits 63 bits
MOST_OFFSET, MOST_REAL = 1e9, 1e9  # so that the current stays finite in float32
MOST = 2**53  # of a channel, mux, read number or start time: exact as float64 too


def whole(name: str, value: str) -> int:
    """Return a whole number given as text. Raises `Fault` for any other text."""
    if not value.isdecimal() or len(value) > MAX_DIGITS:
        raise Fault(f"field {name!r}: found {value[:40]!r}; allowed is a whole number")
    return int(value)


def moment(written: str) -> datetime | None:
    """Return a time in UTC, given as ISO 8601 or as seconds since 1970; None for any other text.

    Both forms are common, and so are placeholders, which are no fault. A time without a zone is read as UTC.

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
    """Return pA per digitiser step, from the range in pA and the number of steps."""
    if not (math.isfinite(digitisation) and digitisation > 0):
        raise Fault(f"field 'digitisation': found {digitisation:g}; allowed is a number above 0")
    return float(span) / float(digitisation)


class Notes:
    """Parses metadata that basecalling does not need: faults are collected, not raised.

    Attributes
    ----------
    faults : list of str: one message each.

    >>> notes = Notes()
    >>> notes.whole("start_mux", 2), notes.whole("channel_number", "ch12"), notes.whole("read_number", None)
    (2, None, None)
    >>> notes.faults
    ["field 'channel_number': found str ch12; allowed is a whole number"]
    """

    def __init__(self, faults: Iterable[str] = ()) -> None:
        self.faults = list(faults)

    def take(self, make: Callable[[], Item], *damage: type[Exception]) -> Item | None:
        """Return the result of `make`; None where it raises a `Fault` or one of the exceptions `damage`."""
        try:
            return make()
        except Fault as fault:
            self.faults.append(str(fault))
        except damage as error:
            self.faults.append(reason(error))
        return None

    def text(self, name: str, value: Any) -> str:
        """Return a text field; "" where it is None, not a text, or refused by `errors.text`."""
        value = self._single(name, value, "a text")
        if value is None:
            return ""
        if not isinstance(value, str | bytes):
            self.faults.append(f"field {name!r}: found {short(value)}; allowed is a text")
            return ""
        return self.take(lambda: text(name, value)) or ""

    def whole(self, name: str, value: Any, written: bool = False) -> int | None:
        """Return a whole number from 0 to `MOST`; None for anything else.

        A whole number of another type, such as 7.0 or "7", is accepted, and its type noted as a fault.

        Parameters
        ----------
        written : bool: the format stores the number as text.
        """
        number = self._single(name, value, "a whole number")
        if number is None:
            return None
        if isinstance(number, bytes):
            number = number.decode("utf-8", "replace")
        odd = isinstance(number, int | np.integer) == written  # not of the type that the format prescribes
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
        """Return the value of an array of one element, and note the array as a fault."""
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

    Offset, scale and sample rate are NaN where the file has no calibration.

    Raises
    ------
    Fault: the read id, or a number of the calibration, is not allowed.
    """
    if not READ_ID.fullmatch(read_id):
        raise Fault(f"field 'read_id': found {read_id[:60]!r}; allowed are a letter or digit, then no spaces")
    for name in ("channel", "mux"):  # numbered from 1; 0 stands for a missing value
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
    """Return the metadata of a run, as a read without id, samples and calibration."""
    nothing = np.zeros(0, np.int16)
    return SignalRecord("", nothing, math.nan, math.nan, rate, source=Path(path), run_tags=tags)
