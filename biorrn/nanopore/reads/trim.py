"""Trimming of adapters and primers: search at both ends of a read; bases, qualities and tags are cut together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.kernels.edits import LONGEST, Patterns
from biorrn.nanopore.readers.calls import MODIFIED, TURNED, BaseCall, mean_phred
from biorrn.nanopore.reads.kits import Kit

WINDOW = 150  # bases at each end that are searched
REACH = 75  # those of them in which an adapter ends; primers stand behind adapters and barcodes
BATCH = 512  # reads searched at a time
SHARE = 1 / 4  # edits of a sequence by which it may differ, of its bases but two: short ones are found by chance
NEAR = 1  # more edits of an adapter that ends within its own length of the end of the read
TRIMMED = "xt"  # tag of what was cut off: bases from the start and from the end
WHAT = ("adapters", "primers", "all", "none")
OLD_MODIFIED = {"Mm", "Ml"}  # of modified bases before SAM had MM and ML: left out of a part of a read
_RNA = re.compile(r"[:_]rna[0-9]{3}_")  # in the tag RG: RUN_rna004_130bps_sup@v5.1.0
_CODES = np.zeros(256, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = (1, 2, 3, 4)
_OTHER = np.array([0, 4, 3, 2, 1], np.uint8)  # the complement


@dataclass(frozen=True, slots=True)
class Ends:
    """What stands at the ends of a batch of N reads.

    Attributes
    ----------
    start, end : int array (N,): the part of each read between adapters and primers.
    distance : int array (2, N): edits of the sequence that ends nearest to the insert, at the start and at the end of
        the read; -1 where there is none.
    """

    start: np.ndarray
    end: np.ndarray
    distance: np.ndarray


class Adapters:
    """Search of adapters and primers at both ends of reads.

    Parameters
    ----------
    kits : Kit: whose sequences are searched.
    what : str: one of `WHAT`.

    Raises
    ------
    ConfigError: another word, or the kits have no such sequences.
    """

    def __init__(self, kits: Iterable[Kit], what: str = "all") -> None:
        if what not in WHAT:
            raise ConfigError(f"--trim: found '{what}'; allowed is {', '.join(WHAT)}")
        # patterns, their edits, the bases that are searched, those in which a pattern ends
        self._searches: list[tuple[Patterns, np.ndarray, int, int | np.ndarray]] = []
        known = list(kits)
        for name, reach in (("adapters", REACH), ("primers", WINDOW)):
            found = dict.fromkeys(bases[-LONGEST:] for kit in known for bases in getattr(kit, name))
            if found and what in (name, "all"):
                search = Patterns(list(found), overhang=True)
                most, size = ((search.lengths - 2) * SHARE).astype(int), search.lengths
                self._searches.append((search, most, reach, reach))
                if name == "adapters":
                    self._searches.append((search, most + NEAR, int(size.max()), size))
        if not self._searches and what != "none":
            raise ConfigError(f"--trim {what}: the kit has no {what if what != 'all' else 'adapters or primers'}")

    def __call__(self, windows: Windows) -> Ends:
        """Return what stands at the ends of reads."""
        texts, lengths = (np.concatenate(both) for both in zip(windows.front, windows.rear, strict=True))
        rows, inner, distance = np.arange(len(texts)), np.zeros(len(texts), int), np.full(len(texts), -1)
        for search, most, reach, last in self._searches:
            edits, places = search(texts, np.minimum(lengths, reach))
            places = np.where((edits <= most) & (places <= last), places, 0)
            nearest = places.argmax(1)  # to the insert
            place = places[rows, nearest]
            distance = np.where(place > inner, edits[rows, nearest], distance)
            inner = np.maximum(inner, place)
        start, end = inner.reshape(2, -1)
        return Ends(start, windows.sizes - end, distance.reshape(2, -1))


@dataclass(frozen=True, slots=True)
class Windows:
    """The ends of a batch of N reads, as bases (N, W) and lengths (N,), for `kernels.edits`.

    Attributes
    ----------
    sizes : int array (N,): bases of each read.
    front, rear : the first bases of each read; the last ones, as reverse complement.
    """

    sizes: np.ndarray
    front: tuple[np.ndarray, np.ndarray]
    rear: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, reads: Sequence[str], size: int = WINDOW) -> Windows:
        """Return the windows of reads, texts of ACGTN."""
        sizes = np.array([len(read) for read in reads])
        lengths = np.minimum(sizes, size)
        front, rear = np.zeros((2, len(reads), size), np.uint8)
        for row, read in enumerate(reads):
            front[row, : lengths[row]] = bases_of(read[:size])
            rear[row, : lengths[row]] = bases_of(read[-size:])[::-1]
        return cls(sizes, (front, lengths), (_OTHER[rear], lengths))


def bases_of(text: str) -> np.ndarray:
    """Return the bases of a text of ACGTN as uint8 array (L,): 1 to 4, 0 for N."""
    return _CODES[np.frombuffer(text.encode("ascii"), np.uint8)]


def batches(reads: Iterable[BaseCall], size: int = BATCH) -> Iterator[list[BaseCall]]:
    """Yield reads in lists."""
    stream = iter(reads)
    while some := list(islice(stream, size)):
        yield some


def was_trimmed(read: BaseCall) -> bool:
    """Return whether a read has the tag of an earlier trimming, which is not repeated."""
    return any(tag.startswith(f"{TRIMMED}:") for tag in read.tags)


def is_rna(read: BaseCall) -> bool:
    """Return whether the read group names a model of RNA."""
    return any(tag.startswith("RG:") and _RNA.search(tag) for tag in read.tags)


def cut(read: BaseCall, start: int, end: int, rna: bool = False) -> BaseCall:
    """Return the part of a read, with all tags that count its bases or samples.

    The move table, `ts`, `ns`, `du`, `MM`, `ML`, `MN`, `qs` and texts of one letter a base are those of the part; `xt`
    tells the bases cut off, earlier cuts included. `ns` then ends with the last move, as ONT's basecaller has it, and
    `du` is `ns` in seconds; `pa` counts from the same first sample and stays. A tag that does not fit the bases of the
    read is left out.

    Parameters
    ----------
    start, end : int: 0-based, half-open, in the order of the bases; at least one base.
    rna : bool: the move table runs against the bases, as it does too where the read group names a model of RNA: some
        aligners drop the header of the basecaller.
    """
    size = len(read.bases)
    assert 0 <= start < end <= size
    if (start, end) == (0, size):
        return read
    tags = {tag[:2]: tag for tag in read.tags}
    quals = read.quals[start:end]
    if "mv" in tags:
        _cut_moves(tags, start, end, size, rna or is_rna(read))
    if "MM" in tags:
        _cut_modifications(tags, read.bases, start, end)
    for name in OLD_MODIFIED & tags.keys():
        del tags[name]
    if "qs" in tags and len(quals):
        tags["qs"] = f"qs:f:{mean_phred(quals):.2f}"
    for name in TURNED & tags.keys():
        if len(tags[name]) == 5 + size:
            tags[name] = tags[name][:5] + tags[name][5 + start : 5 + end]
        else:
            del tags[name]
    before = tags.get(TRIMMED, "").removeprefix(f"{TRIMMED}:B:I,").split(",")
    first, last = map(int, before) if len(before) == 2 else (0, 0)
    tags[TRIMMED] = f"{TRIMMED}:B:I,{first + start},{last + size - end}"
    return replace(read, bases=read.bases[start:end], quals=quals, tags=tuple(tags.values()))


def frames_of(moves: np.ndarray, start: int, end: int, rna: bool = False) -> tuple[int, int]:
    """Return the span of a move table (T,) that belongs to the bases `start` to `end` of a read, half-open.

    `rna`: the table runs against the bases.
    """
    places = np.flatnonzero(moves != 0)  # of bool, which is much faster
    size = len(places)
    first, last = (size - end, size - start) if rna else (start, end)
    return int(places[first]), int(places[last]) if last < size else len(moves)


def _cut_moves(tags: dict[str, str], start: int, end: int, size: int, rna: bool) -> None:
    table = np.fromstring(tags["mv"][7:], np.int64, sep=",")
    stride, moves = int(table[0]), table[1:]
    if np.count_nonzero(moves) != size:
        for name in ("mv", "ts", "ns"):
            tags.pop(name, None)
        return
    begin, stop = frames_of(moves, start, end, rna)
    before = int(tags["ts"][5:]) if "ts" in tags else 0
    tags["mv"] = f"mv:B:c,{stride}," + ",".join(map(str, moves[begin:stop].tolist()))
    tags["ts"] = f"ts:i:{before + stride * begin}"
    if stop < len(moves) and "ns" in tags:
        kept, whole = before + stride * stop, int(tags["ns"][5:])
        tags["ns"] = f"ns:i:{kept}"
        if "du" in tags and whole:
            tags["du"] = f"du:f:{float(tags['du'][5:]) * kept / whole:.5f}"


_MODIFICATION = re.compile(r"([ACGTUN])([-+])([a-z]+|[0-9]+)([.?]?)((?:,[0-9]+)*)")


def _cut_modifications(tags: dict[str, str], bases: str, start: int, end: int) -> None:
    """Cut `MM`, which counts the bases of its letter that it passes over, and `ML`, a probability of each call."""
    held = [each for each in tags["MM"][5:].split(";") if each]
    likely = [int(each) for each in tags["ML"][7:].split(",")] if len(tags.get("ML", "")) > 7 else []
    made, kept, used = [], list[int](), 0
    for each in held:
        found = _MODIFICATION.fullmatch(each)
        if found is None:
            break
        letter, strand, codes, mode, text = found.groups()
        each_base = len(codes) if codes[0].isalpha() else 1
        skips = np.array([int(number) for number in text.split(",")[1:]], int)
        letters = np.frombuffer(bases.encode("ascii"), np.uint8)
        places = np.arange(len(bases)) if letter == "N" else np.flatnonzero(letters == ord(letter.replace("U", "T")))
        calls = np.cumsum(skips + 1) - 1  # which of the letters
        if len(calls) and calls[-1] >= len(places):
            break
        inside = (places[calls] >= start) & (places[calls] < end) if len(calls) else np.zeros(0, bool)
        first = int(np.searchsorted(places, start))
        counted = np.diff(np.concatenate([[first - 1], calls[inside]])) - 1
        made.append(f"{letter}{strand}{codes}{mode}" + "".join(f",{number}" for number in counted) + ";")
        own = np.array(likely[used : used + each_base * len(calls)], int)
        used += each_base * len(calls)
        if likely and used <= len(likely):
            kept += own[np.repeat(inside, each_base)].tolist()
    if len(made) < len(held) or (likely and used != len(likely)):
        for name in MODIFIED:
            tags.pop(name, None)
        return
    tags["MM"] = "MM:Z:" + "".join(made)
    if "ML" in tags:
        tags["ML"] = "ML:B:C" + "".join(f",{number}" for number in kept)
    tags["MN"] = f"MN:i:{end - start}"


COLUMNS = ("read_id", "length", "trimmed_start", "trimmed_end", "edits_start", "edits_end", "status")
WRITTEN, ALREADY, NOTHING = "written", "written: trimmed before", "left out: nothing between the adapters"


def trim_reads(
    reads: Iterable[BaseCall], adapters: Adapters, rna: bool = False
) -> Iterator[tuple[BaseCall | None, list[str]]]:
    """Yield each read without its adapters, or None where nothing is left, with its cells in the order of `COLUMNS`.

    A read that was trimmed before is not searched again, so that a second run changes nothing.
    """
    for some in batches(reads):
        found = adapters(Windows.of([read.bases for read in some]))
        for row, read in enumerate(some):
            size = len(read.bases)
            start, end = int(found.start[row]), int(found.end[row])
            status = ALREADY if was_trimmed(read) else WRITTEN if start < end else NOTHING
            edits = ["" if each < 0 else str(each) for each in found.distance[:, row].tolist()]
            if status == ALREADY or not size:
                start, end, edits, status = 0, size, ["", ""], ALREADY if size else WRITTEN
            made = read if (start, end) == (0, size) else cut(read, start, end, rna) if start < end else None
            yield made, [read.id, str(size), str(start), str(size - end), *edits, status]
