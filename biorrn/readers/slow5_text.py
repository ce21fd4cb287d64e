"""SLOW5 as text: the header, then a line a record."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from biorrn.readers.fields import Fault, text, whole
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


def open_text(file: BinaryIO) -> Opened:
    """Return the header, the records and their parser; what is wrong is a `Fault`."""
    lines: list[str] = []
    for line in file:
        if len(line) > MAX_HEADER or (not lines and not line.startswith(b"#slow5_version\t")):
            raise Fault("neither SLOW5 nor BLOW5: it starts with neither #slow5_version nor BLOW5's signature")
        lines.append(decode_text(line).rstrip("\r\n"))
        if lines[-1].startswith("#read_id\t") or lines[-1] == "#read_id" or len(lines) > 100_000:
            break
    if not lines:
        raise Fault("the file is empty")
    version = lines[0].split("\t")[1].split(".")
    if len(version) != 3 or not all(part.isdecimal() for part in version):
        raise Fault(f"#slow5_version: found {'.'.join(version)[:40]!r}; allowed are three numbers")
    check_version(*(whole("slow5_version", part) for part in version))
    name, _, groups = (lines[1] if len(lines) > 1 else "").partition("\t")
    if name != "#num_read_groups":
        raise Fault(f"line 2 is {lines[1][:40] if len(lines) > 1 else ''!r}; it has to give #num_read_groups")
    header = parse_header(lines[2:], whole("num_read_groups", groups))
    return header, _lines(file), lambda line: _parse_text(line, header)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        if not line.endswith(b"\n"):
            raise Fault("cut short: its last line does not end in a line feed")
        yield line.rstrip(b"\r\n")


def _parse_text(line: bytes, header: Header) -> tuple[Fields, np.ndarray]:
    cells = line.split(b"\t")
    wanted = len(FIELDS) + len(header.columns)
    if len(cells) != wanted:
        raise Fault(f"the record has {len(cells)} fields; the header names {wanted}")
    values: Fields = {"read_id": text("read_id", cells[0])}
    for (name, kind), cell in zip(FIELDS[1:7], cells[1:7], strict=True):
        values[name] = _number(name, cell, kind == "double")
    try:
        written = [] if cells[7] in (b"", b".") else cells[7].split(b",")
        samples = np.array([int(sample) for sample in written], np.int16)
    except (ValueError, OverflowError) as error:
        raise Fault(f"field 'raw_signal' is not a list of int16: {error!s:.100}") from error
    if len(samples) != values["len_raw_signal"]:
        raise Fault(f"field 'raw_signal' has {len(samples)} samples; len_raw_signal says {values['len_raw_signal']}")
    for column, cell in zip(header.columns, cells[len(FIELDS) :], strict=True):
        try:
            values[column.name] = _auxiliary(column, cell)
        except Fault as fault:  # calling needs none of these fields
            values[column.name] = fault
    return values, samples


def _auxiliary(column: Column, cell: bytes) -> Value:
    if cell == b"." or (column.array and column.code != "c"):
        return None
    return text(column.name, cell) if column.code == "c" else _number(column.name, cell, column.code in "fd")


def _number(name: str, cell: bytes, real: bool) -> int | float:
    try:
        return float(cell) if real else int(cell)
    except ValueError:
        kind = "a number" if real else "a whole number"
        raise Fault(f"field {name!r}: found {cell[:40].decode('utf-8', 'replace')!r}; allowed is {kind}") from None
