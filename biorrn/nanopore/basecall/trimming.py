"""Trimming and demultiplexing of reads as they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from biorrn.base.errors import ConfigError
from biorrn.base.terminal import plural
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.chemistry import stated_kit
from biorrn.nanopore.reads.demux import Demultiplexer
from biorrn.nanopore.reads.kits import Kit, kit_of
from biorrn.nanopore.reads.trim import WHAT, Adapters, Windows, frames_of
from biorrn.sequences.records import SignalRecord


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
        self._others = Counter[str]()  # reads whose metadata name another kit
        self._reads = self._barcoded = 0

    def lines(self) -> list[str]:
        """Return how many reads have a barcode, and which other kits the metadata of reads name, as lines."""
        named = ", ".join(f"{name} in {count:,}" for name, count in self._others.most_common())
        told = [f"--kit is used, {self._kit.name}; the metadata of reads name {named}"] if named else []
        if self._demux is not None:
            told.append(f"kit {self._kit.name}: {self._barcoded:,} of {self._reads:,} reads have a barcode")
        return told

    def __call__(self, call: Call) -> Call:
        """Return a call without what stands around its insert; whole where nothing would be left."""
        name = stated_kit(call.record.run_tags)
        if name and name.removesuffix("-260") != self._kit.name.removesuffix("-260"):  # the speed of the device
            self._others[name] += 1
        self._reads += 1
        windows = Windows.of([call.bases])
        ends, barcode, why = self._adapters(windows), "", ""
        if self._demux is not None:
            found = self._demux(windows)
            why = found.reason[0]
            if found.barcode[0] >= 0:
                self._barcoded += 1
                barcode = self._kit.label(self._demux.names[found.barcode[0]])
                ends = found.inside(ends) if self._barcodes_too else ends
        start, end = int(ends.start[0]), int(ends.end[0])
        made = part_of(call, start, end, self._rna) if start < end else call
        return replace(made, barcode=barcode, unclassified=why) if self._demux is not None else made


class OwnTrimmer:
    """Cuts the adapters of the kit that the metadata of a read name; barcodes stay, with all that is behind them.

    Parameters
    ----------
    what : str: adapters, primers or all; see `reads.trim.Adapters`. Primers of a kit with barcodes stay.
    rna : bool: the moves run against the bases.

    Raises
    ------
    ConfigError: another word.
    """

    def __init__(self, what: str = "adapters", rna: bool = False) -> None:
        if what not in WHAT:
            raise ConfigError(f"--trim: found '{what}'; allowed is {', '.join(WHAT)}")
        self._what, self._rna = what, rna
        self._trimmers: dict[str, Trimmer | None] = {}
        self._reads, self._cut = Counter[str](), Counter[str]()
        self._why: dict[str, str] = {}  # reads of a kit are not cut
        self._barcoded: set[str] = set()

    def __call__(self, call: Call) -> Call:
        """Return a call without the adapters of its kit; as it is where the kit is not known."""
        name, trimmer = self._trimmer(call.record)
        self._reads[name] += 1
        if trimmer is None:
            return call
        made = trimmer(call)
        self._cut[name] += made.cut != (0, 0)
        return made

    def lines(self) -> list[str]:
        """Return a line for each kit that reads named, and one for those without; none where nothing is to be cut."""
        made = []
        for name, count in self._reads.most_common() if self._what != "none" else ():
            what = "adapters and primers" if self._what == "all" else self._what
            cut = f"{what} cut from {self._cut[name]:,}" if self._cut[name] else f"no {what} found"
            told = self._why.get(name) or cut
            kept = "; barcodes stay, --kit names and cuts them" if name in self._barcoded else ""
            of = f"kit {name}" if name else "no kit in the metadata"
            made.append(f"{of}: {plural(count, 'read')}, {told}{kept}")
        return made

    def _trimmer(self, record: SignalRecord) -> tuple[str, Trimmer | None]:
        name, kit = kit_of(record.run_tags)
        if name not in self._trimmers:
            self._trimmers[name] = None
            outside = None if kit is None else kit.outside()
            if kit is not None and kit.barcodes:
                self._barcoded.add(name)
            if outside is None:
                self._why[name] = "not cut, as its adapters are not known" if name else "not cut; --kit names it"
            elif (outside.adapters and self._what != "primers") or (outside.primers and self._what != "adapters"):
                self._trimmers[name] = Trimmer(outside, self._what, self._rna)
            else:
                self._why[name] = f"not cut, as no {self._what} stand outside its barcodes"
        return name, self._trimmers[name]


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
