"""Trimming and demultiplexing of reads as they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.reads.demux import Demultiplexer
from biorrn.nanopore.reads.kits import Kit
from biorrn.nanopore.reads.trim import Adapters, Windows, frames_of


class Trimmer:
    """Cuts barcodes, adapters and primers off calls, and names their barcode.

    Parameters
    ----------
    kit : Kit.
    what : str: adapters (with barcodes), primers, all or none, as in `reads.trim.Adapters`.
    rna : bool: the moves run against the bases.
    both_ends : bool: a read needs its barcode at both ends.

    Raises
    ------
    ConfigError: as `Adapters` and `Demultiplexer`.
    """

    def __init__(self, kit: Kit, what: str = "all", rna: bool = False, both_ends: bool = False) -> None:
        self._demux = Demultiplexer(kit, both_ends) if kit.barcodes or both_ends else None
        # a kit of barcodes alone has nothing else to cut
        nothing = what in ("adapters", "all") and kit.barcodes and not (kit.adapters or kit.primers)
        self._adapters = Adapters([kit], "none" if nothing else what)
        self._barcodes_too = what in ("adapters", "all")
        self._kit, self._rna = kit, rna

    def __call__(self, call: Call) -> Call:
        """Return a call without what stands around its insert; whole where nothing would be left."""
        windows = Windows.of([call.bases])
        ends, barcode = self._adapters(windows), ""
        if self._demux is not None:
            found = self._demux(windows)
            if found.barcode[0] >= 0:
                barcode = self._kit.label(self._demux.names[found.barcode[0]])
                ends = found.inside(ends) if self._barcodes_too else ends
        start, end = int(ends.start[0]), int(ends.end[0])
        made = part_of(call, start, end, self._rna) if start < end else call
        return replace(made, barcode=barcode) if barcode else made

    def cut(self, calls: Iterable[Call]) -> Iterator[Call]:
        """Yield calls in order."""
        return map(self, calls)


def part_of(call: Call, start: int, end: int, rna: bool = False) -> Call:
    """Return a part of a call, 0-based and half-open in the order of its bases, with its moves and samples."""
    size = len(call.bases)
    if (start, end) == (0, size):
        return call
    begin, stop = frames_of(call.moves, start, end, rna)
    return replace(
        call,
        bases=call.bases[start:end],
        quals=call.quals[start:end],
        moves=call.moves[begin:stop],
        trimmed=call.trimmed + call.stride * begin,
        evidence=None if call.evidence is None else call.evidence[start:end],
        cut=(start, size - end),
    )
