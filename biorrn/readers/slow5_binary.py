"""BLOW5, the binary form of SLOW5: a head, the header, then records that say their own size, then an end marker."""

import math
import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from biorrn.readers.fields import Fault, text
from biorrn.readers.slow5_codecs import RECORD_CODECS, SIGNAL_CODECS
from biorrn.readers.slow5_header import (
    FIELDS,
    MAX_HEADER,
    Column,
    Fields,
    Header,
    Opened,
    Value,
    check_version,
    decode_text,
    parse_header,
)

MAGIC, END = b"BLOW5\1", b"5WOLB"
HEAD = struct.Struct("<6s3BBIB49sI")  # magic, version, record code, groups, signal code, padding, size of the header
NUMBERS = "IddddQ"  # read group, digitisation, offset, range, sampling rate, length of the signal


def open_binary(file: BinaryIO) -> Opened:
    """Return the header, the records and their parser; what is wrong is a `Fault`."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        raise Fault("cut short: it ends within the header")
    _, major, minor, patch, record_code, groups, signal_code, _, size = HEAD.unpack(head)
    check_version(major, minor, patch)
    if (major, minor) < (0, 2):
        signal_code = 0  # the byte came with version 0.2
    for name, code, known in (("record", record_code, RECORD_CODECS), ("signal", signal_code, SIGNAL_CODECS)):
        if code not in known:
            raise Fault(f"{name} compression {code} is unknown; allowed are {', '.join(map(str, known))}")
    remaining = os.fstat(file.fileno()).st_size - HEAD.size
    if size > min(remaining, MAX_HEADER):
        raise Fault(f"cut short: the header claims {size} bytes, {remaining} follow")
    body = file.read(size)
    if not body.endswith(b"\n"):
        raise Fault(f"the header does not end after the {size} bytes that it claims")
    header = parse_header(decode_text(body).splitlines(), groups)
    depress, decode = RECORD_CODECS[record_code], SIGNAL_CODECS[signal_code]
    width = 2 if signal_code == 0 else 1  # the length of the signal counts samples or compressed bytes
    return header, _bodies(file), lambda body: _parse_binary(Cursor(depress(body)), header, decode, width)


def _bodies(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records as they are in the file, up to the end-of-file marker."""
    end = os.fstat(file.fileno()).st_size
    while True:
        size = file.read(8)
        if size == END:
            return
        if len(size) < 8:
            raise Fault("cut short: it does not end with the end-of-file marker")
        (length,) = struct.unpack("<Q", size)
        if length == 0 or length > end - file.tell():
            raise Fault(f"cut short or damaged: a record claims {length} bytes, {end - file.tell()} follow")
        yield file.read(length)


class Cursor:
    """Takes values off the front of a record; more than it holds is a `Fault`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        if size > len(self.data) - self.at:
            raise Fault(f"the record is cut short: {size} bytes are needed, {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, layout: str) -> tuple:
        """Return the next values by a struct layout, little-endian."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))


def _parse_binary(
    cursor: Cursor, header: Header, decode: Callable[[bytes], np.ndarray], width: int
) -> tuple[Fields, np.ndarray]:
    values: Fields = {"read_id": text("read_id", cursor.take(cursor.unpack("H")[0]))}
    numbers = cursor.unpack(NUMBERS)
    values |= dict(zip([name for name, _ in FIELDS[1:6]], numbers, strict=False))
    raw = decode(cursor.take(numbers[-1] * width))
    for column in header.columns:
        values[column.name] = _binary_value(cursor, column)
    if cursor.at != len(cursor.data):
        raise Fault(f"the record has {len(cursor.data) - cursor.at} bytes too many")
    return values, raw


def _binary_value(cursor: Cursor, column: Column) -> Value:
    if column.array:
        data = cursor.take(cursor.unpack("Q")[0] * struct.calcsize("<" + column.code))
        return _auxiliary_text(column.name, data) if column.code == "c" else None
    (value,) = cursor.unpack(column.code)
    if column.code == "c":
        return _auxiliary_text(column.name, value.rstrip(b"\0"))
    bits = 8 * struct.calcsize("<" + column.code)
    missing = {2**bits - 1} if column.code.isupper() else {2 ** (bits - 1) - 1}  # the largest number says: missing
    return None if value in missing or (isinstance(value, float) and math.isnan(value)) else value


def _auxiliary_text(name: str, data: bytes) -> str | Fault:
    try:
        return text(name, data)
    except Fault as fault:  # calling needs none of these fields
        return fault
