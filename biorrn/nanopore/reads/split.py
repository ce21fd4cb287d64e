"""Splitting of called reads that hold two molecules or more, at an adapter in the middle or at open pore.

Two molecules that follow each other through a pore within a moment are often read as one. Between them stand the
adapter of the bottom strand, which ends the first, and that of the top strand, which begins the second.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from biorrn.base.errors import OnProblem
from biorrn.kernels.edits import Patterns
from biorrn.nanopore.basecall.sam import iso
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.readers.files import read_all
from biorrn.nanopore.reads.trim import WRITTEN, bases_of, cut, is_rna
from biorrn.nanopore.reads.unaligned import with_tags
from biorrn.nanopore.signal import open_pores
from biorrn.sequences.records import SignalRecord

Gaps = Mapping[str, Sequence[tuple[int, int]]]  # read id -> stretches of open pore, half-open samples

TOP, BOTTOM = "AATGTACTTCGTTCAGTTACGTATTGCT", "GCAATACGTAACTGAACGAAGT"  # of ONT's ligation and rapid kits
# Edits of the top strand's adapter alone, and of both together where they stand side by side
ALONE, TOGETHER, MOST_TOP = 6, 12, 9
GAP = 80  # bases between both
EDGE = 200  # bases of the shortest part
MOST = 20  # parts of a read
SHIFTED = ("st", "s0", "xt", "pt", "pa", "tq")  # tags of the whole read; a part has others, or none
COLUMNS = ("read_id", "part", "parts", "start", "end", "edits_top", "edits_bottom", "parent_id", "status")


def middle(codes: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return where the first molecule ends and the second begins, and the edits of both adapters; None for one.

    Parameters
    ----------
    codes : uint8 array (L,): bases of a read, 1 to 4.
    """
    inside = codes[EDGE : len(codes) - EDGE]
    if len(inside) < len(TOP):
        return None
    edits, ends = _TOP(inside[None], np.array([len(inside)]))
    top, end = int(edits[0, 0]), int(ends[0, 0])
    if top > MOST_TOP:
        return None
    start = _TOP.start(inside, 0, end)
    before = inside[max(0, start - GAP - len(BOTTOM)) : start]
    found, places = _BOTTOM(before[None], np.array([len(before)]))
    bottom = int(found[0, 0])
    near = top + bottom <= TOGETHER
    if not (top <= ALONE or near):
        return None
    first = start
    if near:
        first = start - len(before) + _BOTTOM.start(before, 0, int(places[0, 0]))
    return EDGE + first, EDGE + end, top, bottom


_TOP, _BOTTOM = Patterns([TOP]), Patterns([BOTTOM])


def parts_of(codes: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return start, end and the edits of both adapters before each part of a read; one part where it is whole."""
    parts: list[tuple[int, int, int, int]] = []
    todo = [(0, len(codes), -1, -1)]
    while todo:
        start, end, top, bottom = todo.pop()
        found = middle(codes[start:end]) if len(todo) + len(parts) < MOST else None
        if found is None:
            parts.append((start, end, top, bottom))
            continue
        first, second, above, below = found
        todo += [(start + second, end, above, below), (start, start + first, top, bottom)]
    return sorted(parts)


def open_pores_of(paths: Iterable[str | Path], on_problem: OnProblem) -> Gaps:
    """Return the stretches of open pore in the signal of each read, in samples; most reads have none."""
    return {record.read_id: gaps_of(record) for record in read_all(paths, on_problem)}


def gaps_of(record: SignalRecord) -> list[tuple[int, int]]:
    """Return the stretches of open pore inside a raw read; none where it has no calibration."""
    usable = np.isfinite([record.offset, record.scale, record.sample_rate]).all() and record.sample_rate > 0
    return open_pores(record.picoamperes(), record.sample_rate) if usable else []


def spans_between(read: BaseCall, gaps: Sequence[tuple[int, int]], rna: bool = False) -> list[tuple[int, int]]:
    """Return the bases between stretches of open pore, in the order of the bases; all where there is no move table."""
    tags = {tag[:2]: tag for tag in read.tags}
    size = len(read.bases)
    if not gaps or "mv" not in tags:
        return [(0, size)]
    stride, *moves = np.fromstring(tags["mv"][7:], np.int64, sep=",")
    starts = int(tags.get("ts", "ts:i:0")[5:]) + stride * np.flatnonzero(moves)
    edges = np.searchsorted(starts, [sample for gap in gaps for sample in gap])
    spans = np.concatenate([[0], edges, [size]]).reshape(-1, 2)
    spans = size - spans[::-1, ::-1] if rna or is_rna(read) else spans
    return [(int(start), int(end)) for start, end in spans if start < end]


def split_reads(
    reads: Iterable[BaseCall], rna: bool = False, gaps: Gaps | None = None
) -> Iterator[tuple[BaseCall, list[str]]]:
    """Yield each read, or its parts, with its cells in the order of `COLUMNS`.

    A part has an id of its own, made from that of the read and its place; `pi` names the read. Where it
    has a move table, `sp` is the first sample of the part, `st`, `s0` and `du` are its own start and duration, and the
    tags of a poly(A) tail are of the part that holds it.

    Parameters
    ----------
    rna : bool: the move tables run against the bases.
    gaps : open pore in the signal of reads with a move table, from `open_pores_of`.
    """
    for read in reads:
        codes = bases_of(read.bases)
        parts = [
            (first + start, first + end, *edits)
            for first, last in spans_between(read, (gaps or {}).get(read.id, ()), rna)
            for start, end, *edits in parts_of(codes[first:last])
        ]
        for number, (start, end, *edits) in enumerate(parts, 1):
            made = read if len(parts) == 1 else part(read, start, end, rna)
            told = ["" if each < 0 else str(each) for each in edits]
            parent = read.id if len(parts) > 1 else ""
            yield made, [made.id, str(number), str(len(parts)), str(start), str(end), *told, parent, WRITTEN]


def part(read: BaseCall, start: int, end: int, rna: bool = False) -> BaseCall:
    """Return a part of a read as a read of its own: see `split_reads`."""
    made = cut(read, start, end, rna)
    whole = {tag[:2]: tag[5:] for tag in read.tags}
    tags = {tag[:2]: tag for tag in made.tags if tag[:2] not in SHIFTED}
    added = [tags.get("pi", f"pi:Z:{read.id}")]
    if "mv" in tags and "ts" in tags:
        begin = int(tags["ts"][5:])
        stride, *moves = tags["mv"][7:].split(",")
        samples = int(stride) * len(moves)
        before = int(tags["sp"][5:]) if "sp" in tags else 0
        added += [f"sp:i:{before + begin}", "ts:i:0", f"ns:i:{samples}"]
        added += _tail(whole, begin, samples)
        if "s0" in whole:
            added.append(f"s0:i:{int(whole['s0']) + begin}")
        if float(whole.get("du", 0)) > 0 and int(whole.get("ns", 0)) > 0:
            rate = int(whole["ns"]) / float(whole["du"])
            added.append(f"du:f:{samples / rate:.5f}")
            with contextlib.suppress(OverflowError, ValueError):  # no time, or one beyond the year 9999
                started = datetime.fromisoformat(whole.get("st", "")) + timedelta(seconds=begin / rate)
                added.append(f"st:Z:{iso(started)}")
    return with_tags(replace(made, id=part_id(read.id, start, end), tags=tuple(tags.values())), added)


def _tail(tags: Mapping[str, str], begin: int, samples: int) -> list[str]:
    """Return the tags of a read's poly(A) tail for the part that holds it, from sample `begin` on; else none."""
    found = re.fullmatch(r"i,(-?\d+),(\d+),(\d+),-1,-1", tags.get("pa", ""))
    if found is None:
        return []
    anchor, first, last = (int(sample) - begin for sample in found.groups())
    if not 0 <= first <= last <= samples:
        return []
    others = [f"{tag}:{kind}:{tags[tag]}" for tag, kind in (("pt", "i"), ("tq", "f")) if tag in tags]
    return [f"pa:B:i,{anchor},{first},{last},-1,-1", *others]


def part_id(read_id: str, start: int, end: int) -> str:
    """Return the id of a part of a read, always the same one: a UUID made from the read's id and the place.

    >>> part_id("r1", 0, 100)
    '68efcf5f-8aaa-5556-b40e-65f94ac7c3c8'
    """
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{read_id}:{start}:{end}"))
