"""BED files of named segments on sequences (UCSC): chrom, start, end, name; 0-based, half-open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import open_text

SKIPPED = ("#", "track", "browser")  # how a line begins that holds no segment


@dataclass(frozen=True, slots=True)
class Segment:
    """A named span of a sequence, `start` to before `end`, 0-based, and the line that it stands on."""

    start: int
    end: int
    name: str
    line: int


def read_segments(path: str | Path) -> dict[str, list[Segment]]:
    """Return the segments of each sequence, in order of start.

    Columns after the fourth (score, strand, ...) are not read: a segment labels the bases of the forward strand.

    Raises
    ------
    InputError: the file cannot be read or holds no segment, a line has fewer than four columns, a place is no whole
        number, or a span is empty.
    """
    found: dict[str, list[Segment]] = {}
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(SKIPPED):
                continue
            cells = text.split("\t") if "\t" in text else text.split()
            if len(cells) < 4 or not cells[0] or not cells[3].strip():
                raise InputError(path, f"line {number}: found {len(cells)} columns; expected chrom, start, end, name")
            start, end = (int(cell) if cell.isdecimal() and len(cell) < 16 else -1 for cell in cells[1:3])
            if not 0 <= start < end:
                raise InputError(
                    path,
                    f"line {number}: found the span {cells[1][:20]} to {cells[2][:20]}; allowed is 0 <= start < end",
                )
            found.setdefault(cells[0], []).append(Segment(start, end, cells[3].strip(), number))
    if not found:
        raise InputError(path, "holds no segment; a line is chrom, start, end, name, parted by tabs")
    return {chrom: sorted(segments, key=lambda one: one.start) for chrom, segments in found.items()}
