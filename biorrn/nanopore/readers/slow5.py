"""SLOW5 (text) and BLOW5 (binary) reader, versions 0.1 to 1.x of the specification.

BLOW5 compresses records by zlib or zstd, and signal by svb-zd or ex-zd. Both signal codecs store zigzag-coded
differences of neighbouring samples: svb-zd as stream-VByte (Lemire et al. 2018), ex-zd as one byte each, with larger
ones in a list of exceptions (slow5 0.2).

Tested against pyslow5, the format's C library. It is not used here, because it ends the process on a damaged header and
overruns its buffers on a damaged record.
"""

import contextlib
import itertools
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from biorrn.base.errors import Fault, InputError, OnProblem, faults, guarded, stop, text
from biorrn.nanopore.chemistry import run_tags
from biorrn.nanopore.readers.fields import Notes, make_record, moment, run_record, scale_of, whole
from biorrn.sequences.records import MAX_SAMPLES, SignalRecord

SPARE, MOST_PACKED = 1 << 26, 100  # most bytes of a record: SPARE + MOST_PACKED per compressed byte


def plain(body: bytes) -> bytes:
    """Return a record that is not compressed."""
    return body


def zlib_record(body: bytes) -> bytes:
    """Return a record compressed by zlib."""
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(body, _most(body))
    except zlib.error as error:
        raise Fault(f"the record cannot be decompressed: {error}") from error
    if not decoder.eof:
        raise Fault(f"the record cannot be decompressed: it is cut short, or larger than {_most(body)} bytes")
    return data


def zstd_record(body: bytes) -> bytes:
    """Return a record compressed by zstd."""
    import pyarrow

    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(body), "zstd") as stream:
            data: bytes = stream.read(_most(body) + 1)
    except (OSError, ValueError) as error:
        raise Fault(f"the record cannot be decompressed: {error}") from error
    if len(data) > _most(body):
        raise Fault(f"the record cannot be decompressed: it is larger than {_most(body)} bytes")
    return data


def _most(body: bytes) -> int:
    """Return the most bytes that a record may decompress to; a limit against decompression bombs."""
    return SPARE + MOST_PACKED * len(body)


def plain_signal(packed: bytes) -> np.ndarray:
    """Return signal that is not compressed."""
    return np.frombuffer(packed, "<i2").astype(np.int16)


def svb_zd(packed: bytes) -> np.ndarray:
    """Return the int16 samples of a signal coded by svb-zd."""
    (count,) = _unpack("<I", packed, 0)
    values, used = _stream_vbyte(packed[4:], count)
    if used + 4 != len(packed):
        raise Fault(f"the signal has {len(packed) - 4 - used} bytes too many")
    samples = np.cumsum(_unzigzag(values))
    if count and not -(2**15) <= samples.min() <= samples.max() < 2**15:
        raise Fault("the signal leaves the range of int16")
    return samples.astype(np.int16)


def ex_zd(packed: bytes) -> np.ndarray:
    """Return the int16 samples of a signal coded by ex-zd, version 0."""
    version, count, shift = _unpack("<BQB", packed, 0)
    if version != 0 or shift > 5 or count > MAX_SAMPLES:
        raise Fault(f"ex-zd version {version}, shift {shift}, {count} samples; allowed is version 0, shift 0 to 5")
    if count == 0:
        return np.zeros(0, np.int16)
    first, exceptions = _unpack("<HI", packed, 10)
    at = 16
    if exceptions > count - 1:
        raise Fault(f"ex-zd: {exceptions} exceptions in {count} samples")
    if exceptions == 1:
        where, value = (np.array([number], np.int64) for number in _unpack("<II", packed, at))
        at += 8
    else:
        where = value = np.zeros(0, np.int64)
        if exceptions:
            where, at = _block(packed, at, exceptions)
            value, at = _block(packed, at, exceptions)
            where = np.cumsum(where + 1) - 1
    small = np.frombuffer(packed, np.uint8, offset=min(at, len(packed)))
    if len(small) + exceptions != count - 1 or (exceptions and where[-1] >= count - 1):
        raise Fault(f"ex-zd: {len(small)} small and {exceptions} large differences for {count} samples")
    steps = np.empty(count, np.int64)
    steps[0] = first
    large = np.zeros(count, bool)
    large[where + 1] = True
    steps[1:][~large[1:]] = small
    steps[where + 1] = value + 256
    return (np.cumsum(_unzigzag(steps)) << shift).astype(np.int16)  # 16-bit arithmetic: the sum may wrap


def _unzigzag(values: np.ndarray) -> np.ndarray:
    """0, 1, 2, 3, 4 ... -> 0, -1, 1, -2, 2 ... as int64."""
    values = values.astype(np.int64)
    return (values >> 1) ^ -(values & 1)


def _block(packed: bytes, at: int, count: int) -> tuple[np.ndarray, int]:
    """Return `count` numbers of a block that starts with its size in bytes, and the end of the block."""
    (size,) = _unpack("<I", packed, at)
    values, used = _stream_vbyte(packed[at + 4 : at + 4 + size], count)
    if used != size:
        raise Fault(f"ex-zd: a block of {size} bytes holds {used}")
    return values.astype(np.int64), at + 4 + size


def _stream_vbyte(packed: bytes, count: int) -> tuple[np.ndarray, int]:
    """Return `count` uint32 numbers and their size in bytes: two bits each for the length, then 1 to 4 bytes each."""
    control = np.frombuffer(packed, np.uint8)[: (count + 3) // 4]
    if len(control) * 4 < count:
        raise Fault(f"the signal is cut short: {count} samples in {len(packed)} bytes")
    codes = ((control[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3).ravel()[:count]
    ends = np.cumsum(codes.astype(np.int64) + 1)
    used = len(control) + (int(ends[-1]) if count else 0)
    if used > len(packed):
        raise Fault(f"the signal is cut short: {used} bytes are needed, {len(packed)} are there")
    data = np.frombuffer(packed, np.uint8)[len(control) :]
    starts = ends - codes - 1
    values = data[starts].astype(np.uint32)
    for byte in (1, 2, 3):
        longer = np.flatnonzero(codes >= byte)
        values[longer] |= data[starts[longer] + byte].astype(np.uint32) << np.uint32(8 * byte)
    return values, used


def _unpack(layout: str, packed: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, packed, at)
    except struct.error:
        raise Fault(f"the signal is cut short after {len(packed)} bytes") from None


# by code in the header of a BLOW5 file
RECORD_CODECS: dict[int, Callable[[bytes], bytes]] = {0: plain, 1: zlib_record, 2: zstd_record}
SIGNAL_CODECS: dict[int, Callable[[bytes], np.ndarray]] = {0: plain_signal, 1: svb_zd, 2: ex_zd}


FIELDS = (  # name and type of the fields of each record
    ("read_id", "char*"),
    ("read_group", "uint32_t"),
    ("digitisation", "double"),
    ("offset", "double"),
    ("range", "double"),
    ("sampling_rate", "double"),
    ("len_raw_signal", "uint64_t"),
    ("raw_signal", "int16_t*"),
)
MAX_HEADER = 2**26  # bytes
MAX_GROUPS = 100_000  # runs in one file; a limit against damaged numbers

# type -> struct code; an enum is stored as a uint8
CODES = {
    **{f"int{bits}_t": code for bits, code in ((8, "b"), (16, "h"), (32, "i"), (64, "q"))},
    **{f"uint{bits}_t": code for bits, code in ((8, "B"), (16, "H"), (32, "I"), (64, "Q"))},
    "float": "f",
    "double": "d",
    "char": "c",
    "enum": "B",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One auxiliary field: `code` is its struct code, `array` whether a record holds a count and that many."""

    name: str
    code: str
    array: bool
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Header:
    """Attributes of each read group, and the auxiliary fields in their order."""

    groups: int
    attributes: list[dict[str, str]] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)


Value = int | float | str | Fault | None  # None: missing, or an array, which is not used
Fields = dict[str, Value]
# header, records as bytes, and parser of a record into fields and signal
Opened = tuple[Header, Iterator[bytes], Callable[[bytes], tuple[Fields, np.ndarray]]]


def check_version(major: int, minor: int, patch: int) -> None:
    """Raise a `Fault` where the version is newer than 1.x."""
    if major > 1:
        raise Fault(f"SLOW5 version {major}.{minor}.{patch}; allowed is up to 1.x")


def parse_header(lines: list[str], groups: int) -> Header:
    """Return the header from its lines: `@name<TAB>value...`, one value per read group, then `#types`, `#names`."""
    if not 1 <= groups <= MAX_GROUPS:
        raise Fault(f"field 'num_read_groups': found {groups}; allowed is 1 to {MAX_GROUPS}")
    header = Header(groups, [{} for _ in range(groups)])
    rows = [line for line in lines if line.startswith("#")]
    for line in lines:
        if line.startswith("@"):
            name, *values = line[1:].split("\t")
            if len(values) != groups:
                raise Fault(
                    f"attribute {name[:60]!r} has {len(values)} values; allowed is one for each of {groups} groups"
                )
            if name in header.attributes[0]:
                raise Fault(f"attribute {name[:60]!r} is duplicated")
            for group, value in zip(header.attributes, values, strict=True):
                group[name] = "" if value == "." else value
        elif not line.startswith("#"):
            raise Fault(f"the header holds {line[:40]!r}; a line of it starts with # or @")
    if len(rows) != 2:
        raise Fault(f"the header has {len(rows)} lines of field types and names; allowed are 2")
    types, names = (row[1:].split("\t") for row in rows)
    if len(types) != len(names):
        raise Fault(f"the header has {len(types)} field types and {len(names)} field names")
    for index, (name, kind) in enumerate(FIELDS):
        found = (names[index], types[index]) if index < len(names) else ("nothing", "nothing")
        if found != (name, kind):
            has = f"{found[0][:60]!r} of type {found[1][:60]!r}"
            raise Fault(f"field {index + 1} is {has}; allowed is '{name}' of type '{kind}'")
    header.columns = [_column(name, kind) for name, kind in list(zip(names, types, strict=True))[len(FIELDS) :]]
    return header


def _column(name: str, kind: str) -> Column:
    match = re.fullmatch(r"(\w+)(?:\{([^{}]*)\})?(\*?)", kind)
    if match is None or match[1] not in CODES or (match[1] == "enum") != (match[2] is not None):
        raise Fault(f"field {name[:60]!r} has the unknown type {kind[:60]!r}")
    return Column(name, CODES[match[1]], bool(match[3]), tuple(match[2].split(",")) if match[2] else ())


def decode_text(data: bytes) -> str:
    """Return the text of a header."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(f"the header is not UTF-8 at byte {error.start}") from error


MAGIC, END = b"BLOW5\1", b"5WOLB"
HEAD = struct.Struct("<6s3BBIB49sI")  # magic, version, record code, groups, signal code, padding, size of the header
NUMBERS = "IddddQ"  # read group, digitisation, offset, range, sampling rate, length of the signal


def open_binary(file: BinaryIO) -> Opened:
    """Return header, records and parser of BLOW5. Raises `Fault`."""
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
    """Yield the compressed records up to the end-of-file marker."""
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
    """Reads values from a record in order; reading past its end is a `Fault`."""

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
    missing = {2**bits - 1} if column.code.isupper() else {2 ** (bits - 1) - 1}  # the largest number means missing
    return None if value in missing or (isinstance(value, float) and math.isnan(value)) else value


def _auxiliary_text(name: str, data: bytes) -> str | Fault:
    try:
        return text(name, data)
    except Fault as fault:  # calling needs none of these fields
        return fault


def open_text(file: BinaryIO) -> Opened:
    """Return header, records and parser of SLOW5. Raises `Fault`."""
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
        raise Fault(f"field 'raw_signal' has {len(samples)} samples; len_raw_signal is {values['len_raw_signal']}")
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


LOOKED_AT = 1000  # reads that are searched for the runs of a file


def read_slow5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a SLOW5 or BLOW5 file, recognised by content, one at a time; see `files.read_signal`.

    Raises
    ------
    InputError: the file is neither, its header is damaged, it is truncated (raised after the whole reads), or it
        holds no reads.
    """
    count = 0
    with _opened(path) as (header, bodies, parse):
        for body in guarded(bodies, path, OSError):
            count += 1
            try:
                with faults(path, f"number {count}"):
                    values, raw = parse(body)
                with faults(path, str(values["read_id"])):
                    record = _record(path, header, values, raw)
            except InputError as problem:
                on_problem(problem)
                continue
            yield record
    if not count:
        raise InputError(path, "holds no reads")


def read_runs(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the metadata of a file's runs, as reads without id and samples; see `read_slow5`.

    Only runs of the first `LOOKED_AT` reads are yielded, since a header may list runs that have no read in the file.
    """
    with _opened(path) as (header, bodies, parse):
        waiting = {tuple(sorted(run_tags(run).items())) for run in header.attributes}
        for body in itertools.islice(guarded(bodies, path, OSError), LOOKED_AT):
            with contextlib.suppress(Fault, TypeError, IndexError):  # reported when the read is read
                values, _ = parse(body)
                group, rate = values["read_group"], values["sampling_rate"]
                known = isinstance(group, int) and 0 <= group < header.groups
                tags = run_tags(header.attributes[group]) if known and isinstance(group, int) else {}
                if tuple(sorted(tags.items())) in waiting:
                    waiting.discard(tuple(sorted(tags.items())))
                    yield run_record(path, rate if isinstance(rate, float) and rate else float("nan"), tags)
            if not waiting:
                return


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Opened]:
    with contextlib.ExitStack() as stack:
        with faults(path, None, OSError):
            file = stack.enter_context(open(path, "rb"))
            start = file.read(len(MAGIC))
            file.seek(0)
            opened = open_binary(file) if start == MAGIC else open_text(file)
        yield opened


def _record(path: str | Path, header: Header, values: Fields, raw: np.ndarray) -> SignalRecord:
    notes = Notes(str(value) for value in values.values() if isinstance(value, Fault))
    held = {name: None if isinstance(value, Fault) else value for name, value in values.items()}
    group = held["read_group"]
    run: dict[str, str] = {}
    if isinstance(group, int) and 0 <= group < header.groups:
        run = {name: notes.text(name, value) for name, value in header.attributes[group].items()}
    else:
        notes.faults.append(f"field 'read_group': found {group}; the header has {header.groups} groups")
    return make_record(
        str(held["read_id"]),
        raw,
        offset=float(held["offset"] or 0),
        scale=scale_of(float(held["range"] or 0), float(held["digitisation"] or 0)),
        sample_rate=float(held["sampling_rate"] or 0),
        channel=notes.whole("channel_number", held.get("channel_number") or None, written=True),
        mux=notes.whole("start_mux", held.get("start_mux")),
        read_number=notes.whole("read_number", held.get("read_number")),
        start_time=notes.whole("start_time", held.get("start_time")),
        run_id=run.get("run_id", ""),
        flow_cell=run.get("flow_cell_id", ""),
        kit=run.get("sequencing_kit", "") or run.get("experiment_kit", ""),
        end_reason=_end_reason(header, held.get("end_reason")),
        source=Path(path),
        run_start=moment(run.get("exp_start_time", "")),
        sample_id=run.get("sample_id", ""),
        run_tags=run_tags(run),
        device=run.get("device_id", ""),
        faults=tuple(notes.faults),  # evaluated last: the arguments above add to them
    )


def _end_reason(header: Header, code: Value) -> str:
    """Return the name of an end reason; its code where the header has no name for it."""
    labels = next((column.labels for column in header.columns if column.name == "end_reason"), ())
    named = isinstance(code, int) and 0 <= code < len(labels)
    return labels[code] if named and isinstance(code, int) else "" if code is None else str(code)
