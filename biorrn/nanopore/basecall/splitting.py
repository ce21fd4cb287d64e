"""Splitting of reads that hold two molecules or more while they are basecalled.

The raw read is split at open pore before it is called, and its call at adapters in the middle, as `biorrn split` splits
finished reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from biorrn.base.terminal import plural
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.trimming import part_of
from biorrn.nanopore.reads.split import gaps_of, part_id, parts_of
from biorrn.nanopore.reads.trim import bases_of
from biorrn.sequences.records import SignalRecord


class Splitter:
    """Splits raw reads and calls, and counts what it split.

    Parameters
    ----------
    rna : bool: reads are of RNA, which has no such adapters; they are split at open pore alone.

    Attributes
    ----------
    parents : int: reads that were split so far.
    parts : int: parts that they were split into.
    """

    def __init__(self, rna: bool = False) -> None:
        self.parents = self.parts = 0
        self._rna = rna

    def records(self, records: Iterable[SignalRecord]) -> Iterator[SignalRecord]:
        """Yield raw reads, or the parts between stretches of open pore."""
        for record in records:
            parts = parts_of_signal(record)
            self._count(len(parts), new=True)
            yield from parts

    def calls(self, calls: Iterable[Call]) -> Iterator[Call]:
        """Yield calls, or the parts between adapters."""
        for call in calls:
            parts = [call] if self._rna else parts_of_call(call)
            self._count(len(parts), new=not call.record.parent)
            yield from parts

    def line(self) -> str:
        """Return how many reads were split, as words."""
        if not self.parents:
            return "no read split"
        return f"{plural(self.parents, 'read')} split, into {self.parts:,}"

    def _count(self, parts: int, new: bool) -> None:
        if parts > 1:
            self.parents += new
            self.parts += parts - (not new)


def parts_of_signal(record: SignalRecord) -> list[SignalRecord]:
    """Return the parts of a raw read between stretches of open pore, each a read of its own; the read if it is whole.

    A part has an id of its own, `parent` and `parent_start`; the open pore belongs to none.
    """
    gaps = gaps_of(record)
    if not gaps:
        return [record]
    edges = [0, *(edge for gap in gaps for edge in gap), len(record.raw)]
    return [
        replace(
            part_record(record, part_id(record.read_id, start, end), start),
            raw=record.raw[start:end],
        )
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def parts_of_call(call: Call) -> list[Call]:
    """Return the parts of a call of DNA between adapters, each with its moves and samples; the call if it is whole."""
    places = parts_of(bases_of(call.bases))
    if len(places) == 1:
        return [call]
    made = []
    for start, end, *_ in places:
        part = part_of(call, start, end)
        first, samples = part.trimmed, part.stride * len(part.moves)
        record = part_record(call.record, part_id(call.read_id, start, end), first)
        record = replace(record, raw=call.record.raw[first : first + samples])
        made.append(replace(part, read_id=record.read_id, record=record, samples=samples, trimmed=0, cut=(0, 0)))
    return made


def part_record(record: SignalRecord, name: str, start: int) -> SignalRecord:
    """Return the metadata of a part that begins at a sample of a read, or of a part of it."""
    return replace(
        record,
        read_id=name,
        start_time=None if record.start_time is None else record.start_time + start,
        parent=record.parent or record.read_id,
        parent_start=record.parent_start + start,
    )
