"""Lengths of poly(A) and poly(T) tails of cDNA and direct RNA, from the flat current that they give.

A strand of one base gives one level, which the network calls as too few bases. So the call says where the tail is, the
current where it begins and ends, and the speed of the rest of the read how many bases passed in that time. Real
reads pass runs of A and T at that speed (docs/results.md), so the dwell of AAAAAA in a pore model, which is longer, is
not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from biorrn.kernels.edits import LONGEST as LONGEST_PATTERN
from biorrn.kernels.edits import Patterns
from biorrn.nanopore.basecall.caller import Call, Tail
from biorrn.nanopore.chemistry import CHEMISTRIES
from biorrn.nanopore.reads.kits import Kit, find_kit
from biorrn.nanopore.reads.trim import Windows, bases_of

SHORTEST, LONGEST = 10, 750  # bases of a tail
CDNA = "SQK-PCS109"  # has the primers of all cDNA kits
ENDS = 150  # bases at either end of cDNA in which a primer is searched
EDITS = 0.4  # of a primer; beside a tail calls are poor, and a chance match alone makes no tail
OVERLAP, BETWEEN = 8, 45  # bases by which a primer seems to reach into a tail, and between both, such as an UMI
FEWEST, MOSTLY = 2, 0.5  # bases called in a tail that are its own: at least, and their least share of its time
GAP = 15  # bases of other current that a tail may hold
AWAY, COST = 0.35, 1.5  # spreads from the level of the tail, and cost of a sample that is further away
PAUSE = 10  # times the median: a base that takes longer does not tell the speed of a strand
WIDTH = 3.29  # standard deviations of a normal from the 5 % to the 95 % quantile
FLAT, WIDE = 0.3, 6  # standard deviation of flat current in spreads, over this many bases
ABOVE, BELOW = 0.2, 2.5  # RNA: spreads of the tail's level above the median; adapter and stall lie below it
SPEED = 100  # bases a second of RNA, where the chemistry is not known
ADAPTER, LOWER = 30, 0.3  # RNA: bases of adapter before the tail, and its spreads below the median


class Tails:
    """Measurement of the tails of calls.

    Parameters
    ----------
    rna : bool: calls are of direct RNA, else of cDNA.
    kit : Kit, optional: with other primers than those of ONT's cDNA kits.
    chemistries : names of those of the model; the first tells about how fast RNA is.
    """

    def __init__(self, rna: bool = False, kit: Kit | None = None, chemistries: Sequence[str] = ()) -> None:
        self._rna = rna
        self._speed = next((CHEMISTRIES[name].speed for name in chemistries), SPEED)
        # their last T are those of the tail
        primers = dict.fromkeys(bases.rstrip("T") for each in (kit, find_kit(CDNA)) if each for bases in each.primers)
        self._primers = Patterns([bases[-LONGEST_PATTERN:] for bases in primers])
        self._most = (self._primers.lengths * EDITS).astype(int)

    def measured(self, calls: Iterable[Call]) -> Iterator[Call]:
        """Yield calls that hold their signal with their tails, and without their signal."""
        for call in calls:
            made = tail_of_rna(call, self._speed) if self._rna else self.of_cdna(call)
            yield replace(call, tail=made, record=replace(call.record, raw=call.record.raw[:0].copy()))

    def of_cdna(self, call: Call) -> Tail | None:
        """Return the tail of cDNA: poly(T) behind a primer, or poly(A) before one turned round; None without one.

        It is the longest stretch of flat current there that is called as T, or A, for most of its time.
        """
        edges, codes = _edges(call), bases_of(call.bases)
        count, each = len(codes), samples_per_base(np.diff(edges))
        if each is None:
            return None
        found: list[tuple[int, int, int, bool, int]] = []
        current, spread = None, 0.0
        windows = Windows.of([call.bases], ENDS)
        for (texts, lengths), front in ((windows.front, True), (windows.rear, False)):
            edits, places = self._primers(texts, lengths)
            ends = places[0][edits[0] <= self._most]
            if not len(ends):
                continue
            if current is None:
                current = call.record.picoamperes()
                _, spread = _spread(current)
            # bases from that end: where the tail may begin, and as far as it may go
            near, far = max(0, int(ends.min()) - OVERLAP), int(ends.max()) + BETWEEN
            bases = np.minimum([near, far, far + LONGEST], count)
            low, begun, high = (edges[bases] if front else edges[count - bases]).tolist()
            for start, stop in flat_stretches(current, each, min(low, high), max(low, high), spread):
                if (start > begun) if front else (stop < begun):
                    continue
                begin, end = max(0, int(np.searchsorted(edges, start, "right")) - 1), int(np.searchsorted(edges, stop))
                own = codes[begin:end] == (4 if front else 1)
                samples = np.diff(np.clip(edges[begin : end + 1], start, stop))
                if own.sum() >= FEWEST and samples[own].sum() >= MOSTLY * (stop - start):
                    found.append((stop - start, start, stop, front, low))
        if not found or current is None:
            return None
        _, start, stop, front, low = max(found)
        each = samples_per_base(np.diff(edges)[(edges[1:] <= start) | (edges[:-1] >= stop)]) or each
        return measure(current, start, stop, each, front, low, spread)


def _edges(call: Call) -> np.ndarray:
    """Return the first sample of each base in the order of the signal, and the last one's end, int64 (L + 1,)."""
    edges = np.append(np.flatnonzero(call.moves != 0), len(call.moves))  # of bool, which is much faster
    return np.clip(call.trimmed + call.stride * edges, 0, call.samples)


def tail_of_rna(call: Call, speed: float) -> Tail | None:
    """Return the poly(A) tail of direct RNA, whose signal is adapter, tail and molecule; None without one.

    `speed`, in bases a second, is that of a call with too few bases to tell its own.
    """
    current, nominal, edges = call.record.picoamperes(), call.record.sample_rate / speed, _edges(call)
    found = behind_adapter(current, nominal)
    if found is None:
        return None
    each = samples_per_base(np.diff(edges)[edges[:-1] >= found[1]]) or nominal
    return measure(current, *found, each, True)


def samples_per_base(dwells: np.ndarray) -> float | None:
    """Return the mean samples a base of a read, pauses left out; None of fewer than 50 bases."""
    if len(dwells) < 50:
        return None
    return float(dwells[dwells <= PAUSE * np.median(dwells)].mean())


def flat_stretches(
    current: np.ndarray, each: float, start: int = 0, end: int | None = None, spread: float | None = None
) -> list[tuple[int, int]]:
    """Return the stretches of flat current, half-open samples, of `WIDE` bases and more between two samples.

    Parameters
    ----------
    current : float32 array (T,): picoamperes of a read.
    each : float: samples a base.
    spread : float, optional: of the read, where it is known.
    """
    spread = _spread(current)[1] if spread is None else spread
    step, size = max(1, round(each / 2)), round(WIDE * each)
    part = current[start:end].astype(np.float64)
    places = np.arange(0, len(part) - size, step)
    if not len(places) or not spread > 0:
        return []
    part -= part.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (part, part**2))
    mean = (sums[places + size] - sums[places]) / size
    flat = (squares[places + size] - squares[places]) / size - mean**2 < (FLAT * spread) ** 2
    runs = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]]))).reshape(-1, 2)
    return [(start + int(places[first]), start + int(places[last - 1]) + size) for first, last in runs.tolist()]


def behind_adapter(current: np.ndarray, each: float) -> tuple[int, int] | None:
    """Return the longest stretch of flat, high current behind the adapter of RNA, half-open samples; None without one.

    The adapter is DNA, and its current is lower than that of the RNA behind it. `each`: samples a base, about.
    """
    middle, spread = _spread(current)
    found = []
    for start, end in flat_stretches(current, each, spread=spread):
        level = float(current[start:end].mean()) - middle
        before = float(current[max(0, start - round(ADAPTER * each)) : start].mean()) - middle if start else 0.0
        if ABOVE * spread < level < BELOW * spread and before < -LOWER * spread:
            found.append((end - start, start, end))
    return max(found)[1:] if found else None


def measure(
    current: np.ndarray, start: int, end: int, each: float, at_start: bool, edge: int | None = None,
    spread: float | None = None,
) -> Tail | None:  # fmt: skip
    """Return the tail around samples of flat current; None where it is shorter than `SHORTEST` bases.

    From their middle, the tail goes as far as samples at its level outweigh others (each costs `COST`), past up to
    `GAP` bases of others.

    Parameters
    ----------
    current : float32 array (T,): picoamperes of the read.
    start, end : int: samples inside the tail, half-open.
    each : float: samples a base.
    at_start : bool: adapter and primer stand before the tail, else behind.
    edge : int, optional: sample on their side beyond which the tail cannot go.
    spread : float, optional: of the read, where it is known.
    """
    spread = _spread(current)[1] if spread is None else spread
    width = max(3, round(each / 2))
    reach = round((LONGEST + GAP) * each)
    first, last = max(0, start - reach), min(len(current), end + reach)
    if edge is not None:
        first, last = (max(first, min(edge, start)), last) if at_start else (first, min(last, max(edge, end)))
    near = current[first:last].astype(np.float64)
    level = float(np.median(current[start:end]))
    smooth = np.convolve(np.pad(near, (width // 2, width - 1 - width // 2), "edge"), np.full(width, 1 / width), "valid")
    inside = np.abs(smooth - level) < AWAY * spread
    score = np.where(inside, 1.0, -COST)
    middle = (start + end) // 2 - first
    most = COST * GAP * each
    begin, stop = middle - _extent(score[:middle][::-1], most), middle + _extent(score[middle:], most)
    length = round((stop - begin) / each)
    if length < SHORTEST:
        return None
    quality = float(inside[begin:stop].mean())
    begin, stop = begin + first, stop + first
    return Tail(min(length, LONGEST), begin if at_start else stop, begin, stop, quality)


def _spread(current: np.ndarray) -> tuple[float, float]:
    """Return the median of a read and its standard deviation by quantiles that a long tail leaves as they are."""
    some = current[:: max(1, len(current) // 4000)]  # as exact as is needed, in a tenth of the time
    low, middle, high = (float(value) for value in np.quantile(some, [0.05, 0.5, 0.95]))
    return middle, (high - low) / WIDTH


def _extent(score: np.ndarray, most: float) -> int:
    """Return how many samples have the best sum, up to where it has fallen by more than `most`."""
    sums = np.cumsum(score)
    fallen = np.flatnonzero(np.maximum.accumulate(np.maximum(sums, 0)) - sums > most)
    sums = sums[: fallen[0]] if len(fallen) else sums
    return int(sums.argmax()) + 1 if len(sums) and sums.max() > 0 else 0
