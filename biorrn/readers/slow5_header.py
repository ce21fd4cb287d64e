"""The header that SLOW5 (text) and BLOW5 (binary) share: run attributes and the names and types of the fields."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from biorrn.readers.fields import Fault

FIELDS = (  # name, type, of the fields that each record has
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
MAX_GROUPS = 100_000  # runs merged into one file; a damaged number would ask for all the memory

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
    """What the records need: the attributes of each read group, and the auxiliary fields in their order."""

    groups: int
    attributes: list[dict[str, str]] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)


Value = int | float | str | Fault | None  # None: missing, or an array, of which no reader makes use
Fields = dict[str, Value]
# the header, the records as bytes, and what parses one into its fields and its signal
Opened = tuple[Header, Iterator[bytes], Callable[[bytes], tuple[Fields, np.ndarray]]]


def check_version(major: int, minor: int, patch: int) -> None:
    """Raise a `Fault` where the format is newer than 1.x, the newest that there is."""
    if major > 1:
        raise Fault(f"SLOW5 version {major}.{minor}.{patch}; allowed is up to 1.x")


def parse_header(lines: list[str], groups: int) -> Header:
    """Return the header from its lines: `@name<TAB>value...` with a value a read group, then `#types`, `#names`."""
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
