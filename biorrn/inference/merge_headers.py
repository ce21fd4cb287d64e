"""Headers of SAM, BAM and CRAM of several parts, as one header."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from biorrn import __version__
from biorrn.errors import InputError
from biorrn.inference.writers.tags import COUNTED, WARNED, printable

SORTED = ("coordinate", "queryname")  # orders that parts one after the other do not keep

Fields = dict[str, str]


def join_headers(parts: Sequence[tuple[Path, str]], command: str = "") -> tuple[str, list[Fields]]:
    """Return one header for the records of all parts, in their order.

    Read groups and comments are those of all parts, in the order in which they are met; of read groups of one id the
    first counts, or the first with a warning, as in one process; comments that count reads are added up. Programs that
    are alike in every field are one; of those with one id and other fields the later get a number after it. The joining
    itself is the last program.

    Parameters
    ----------
    parts : path and header text of each, at least one.
    command : str: the command line that joins them.

    Returns
    -------
    header : str, lines that end in a newline.
    renamed : of each part, old id -> new id of the programs that were renamed.

    Raises
    ------
    InputError: the reference sequences are not those of the first part.

    >>> one, two = "@RG\\tID:a\\n@PG\\tID:x\\tCL:1\\n", "@RG\\tID:b\\n@PG\\tID:x\\tCL:2\\n"
    >>> text, renamed = join_headers([(Path("1.sam"), one), (Path("2.sam"), two)])
    >>> [line.split("\\t")[1] for line in text.splitlines()], renamed
    (['VN:1.6', 'ID:a', 'ID:b', 'ID:x', 'ID:x.1', 'ID:merge'], [{}, {'x': 'x.1'}])
    """
    first, first_text = parts[0]
    references = _references(first_text)
    groups: dict[str, str] = {}
    programs: dict[str, Fields] = {}
    comments: dict[str, int] = {}  # to the reads that one counts; 0 of others
    renamed: list[Fields] = []
    for path, text in parts:
        if _references(text) != references:
            raise InputError(path, f"its reference sequences (@SQ) are not those of {first}; map all parts to one "
                             "reference")  # fmt: skip
        for line in text.splitlines():
            kind, _, rest = line.partition("\t")
            if kind == "@RG":
                group = _fields(line).get("ID", "")
                if group not in groups or (WARNED in line and WARNED not in groups[group]):
                    groups[group] = line
            elif kind == "@CO":
                counted = COUNTED.fullmatch(rest)
                what, reads = (counted[1], int(counted[2])) if counted else (rest, 0)
                comments[what] = comments.get(what, 0) + reads
        own = add_programs(programs, text.splitlines())
        renamed.append(own)
    add_program(programs, "merge", command)
    lines = [_top(text for _, text in parts)]
    lines += [line for line in first_text.splitlines() if line.startswith("@SQ\t")]
    lines += groups.values()
    lines += program_lines(programs)
    lines += [f"@CO\t{comment}" + (f": {reads} reads" if reads else "") for comment, reads in comments.items()]
    return "".join(line + "\n" for line in lines), renamed


def add_programs(programs: dict[str, Fields], lines: Iterable[str]) -> Fields:
    """Add the @PG lines of a header to programs {id: fields}, and return old id -> new id of those that were renamed.

    Of programs with one id and other fields the later get a number after it, and those after them name them so.
    """
    own: Fields = {}
    for line in lines:
        if line.startswith("@PG\t"):
            fields = _fields(line)
            old = fields.get("ID", "")
            fields = {name: own.get(value, value) if name == "PP" else value for name, value in fields.items()}
            new = next(name for name in _numbered(old) if programs.get(name) in (None, fields | {"ID": name}))
            programs[new] = fields | {"ID": new}
            if new != old:
                own[old] = new
    return own


def add_program(programs: dict[str, Fields], name: str, command: str) -> None:
    """Add this program as the last: with an id that is free, after the last one that no other follows (PP)."""
    followed = {fields.get("PP") for fields in programs.values()}
    before = [known for known in programs if known not in followed]
    new = next(known for known in _numbered(name) if known not in programs)
    fields = {"ID": new, "PN": "biorrn", "PP": before[-1] if before else "", "VN": __version__}
    fields["CL"] = printable(command)
    programs[new] = {key: value for key, value in fields.items() if value}


def program_lines(programs: dict[str, Fields]) -> list[str]:
    """Return the @PG lines."""
    return ["\t".join(["@PG", *(f"{key}:{value}" for key, value in each.items())]) for each in programs.values()]


def _numbered(name: str) -> Iterator[str]:
    return itertools.chain([name], (f"{name}.{number}" for number in itertools.count(1)))


def _fields(line: str) -> Fields:
    return {cell[:2]: cell[3:] for cell in line.split("\t")[1:]}


def _references(text: str) -> list[tuple[str, str]]:
    lines = (_fields(line) for line in text.splitlines() if line.startswith("@SQ\t"))
    return [(fields.get("SN", ""), fields.get("LN", "")) for fields in lines]


def _top(texts: object) -> str:
    """Return the @HD line: that of the parts where they agree on an order that stays true, else an unknown order."""
    found = {next((line for line in text.splitlines() if line.startswith("@HD\t")), "") for text in texts}  # type: ignore[attr-defined]
    line = found.pop() if len(found) == 1 else ""
    return line if line and _fields(line).get("SO") not in SORTED else "@HD\tVN:1.6\tSO:unknown"
