"""Transfer of base starts from a call to the sequence it aligns to, with unreliable bases masked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import edlib
import numpy as np

from biorrn.kernels.align import force_crf, force_ctc
from biorrn.nanopore.basecall.caller import Scored
from biorrn.nanopore.basecall.decode import remembered, softmax
from biorrn.sequences.alphabets import decode_bases
from biorrn.sequences.records import Hit, ReadCall, ReadLabels

MAX_GAP = 4  # the bases beside a longer insertion or deletion are masked
WINDOW, LOCAL_IDENTITY = 50, 0.6  # bases, identity; windows of lower identity are masked
DWELLS = (0.4, 2.5)  # mean dwell of a window relative to the read; windows outside are masked
ANCHOR = 5  # equal bases in a row that begin and end the alignment of a call to another sequence of the read
MATCH, INSERTION, GAPS = (0, 7, 8), 1, (2, 3)  # CIGAR operations, numbered as in SAM


@dataclass(frozen=True, slots=True)
class Carried:
    """Labels by alignment.

    Attributes
    ----------
    labels : ReadLabels: masked bases have code 0.
    identity : float: equal bases over alignment columns.
    coverage : float: aligned part of the call.
    masked : int: masked bases.
    """

    labels: ReadLabels
    identity: float
    coverage: float
    masked: int


def columns(hit: Hit) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the aligned pairs of bases and the number of alignment columns.

    Returns
    -------
    int64 (M,): positions on the reference span, from 0 in the direction of the read.
    int64 (M,): positions on the sequence.
    int: columns, gaps included.
    """
    here, there, place, base, count = [], [], 0, hit.start, 0
    for number, kind in hit.cigar:
        count += number
        if kind in MATCH:
            here.append(np.arange(place, place + number))
            there.append(np.arange(base, base + number))
        place += number if kind in MATCH or kind in GAPS else 0
        base += number if kind in MATCH or kind == INSERTION else 0
    if not here:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), count
    return np.concatenate(here), np.concatenate(there), count


def carry(call: ReadCall, hit: Hit, target: np.ndarray) -> Carried | None:
    """Return the reference span that a call aligns to as its label, with the base starts of the call.

    A base starts where the called base in its column starts. Deleted bases share the time of the called base before
    them evenly; an inserted base adds its time to the base before it. Bases are masked beside long gaps, and in windows
    of `WINDOW` bases with low identity or with a mean dwell far from that of the read.

    Parameters
    ----------
    call : ReadCall with starts.
    hit : Hit: the alignment.
    target : uint8 array: bases of the hit's reference span in the direction of the read (codes 0 to 4).

    Returns
    -------
    Carried, or None if nothing is aligned or the signal has fewer samples than bases.
    """
    assert call.starts is not None
    places, bases, count = columns(hit)
    if not len(places):
        return None
    edges = np.append(call.starts, call.end)
    first, last = int(places[0]), int(places[-1]) + 1
    # linear interpolation gives the deleted bases between two aligned ones even shares
    starts = np.interp(
        np.arange(first, last + 1), np.append(places, last), np.append(edges[bases], edges[bases[-1] + 1])
    )
    span = target[first:last]
    equal = np.zeros(len(span), bool)
    equal[places - first] = (call.bases[bases] == target[places]) & (target[places] > 0)
    inserted = np.zeros(len(span), np.int64)  # behind each base
    inserted[places[:-1] - first] = np.diff(bases) - 1
    settled = increasing(starts)
    if settled is None:
        return None
    doubtful = _beside_gaps(places - first, bases) | (np.abs(settled[:-1] - starts[:-1]) >= 2)
    doubtful |= low_windows(equal, inserted) | odd_dwells(settled)
    low, high = hit.ref_start + first, hit.ref_start + last
    if hit.strand != "+":
        low, high = hit.ref_end - last, hit.ref_end - first
    labels = ReadLabels(
        np.where(doubtful, 0, span).astype(np.uint8),
        settled[:-1],
        int(settled[-1]),
        hit.reference,
        low if hit.reference else -1,
        high if hit.reference else -1,
        hit.strand if hit.reference else "",
    )
    coverage = (bases[-1] + 1 - bases[0]) / len(call.bases)
    return Carried(labels, float(equal.sum() / count), float(coverage), int((labels.bases == 0).sum()))


def turned(hit: Hit, length: int) -> Hit:
    """Return the alignment of a sequence of `length` bases as that of the reversed sequence, as RNA is in signal.

    The strand becomes the other one: along it lie the bases in their new order. Bases are not complemented.

    >>> turned(Hit("chr1", 100, 108, "+", 1, ((3, 7), (1, 1), (5, 7))), 12)
    Hit(reference='chr1', ref_start=100, ref_end=108, strand='-', start=2, cigar=((5, 7), (1, 1), (3, 7)))
    """
    used = sum(count for count, kind in hit.cigar if kind in MATCH or kind == INSERTION)
    strand = {"+": "-", "-": "+"}.get(hit.strand, hit.strand)
    return replace(hit, strand=strand, start=length - hit.start - used, cigar=hit.cigar[::-1])


def as_called(call: ReadCall) -> Carried | None:
    """Return the called bases themselves as labels; None if the signal has fewer samples than bases."""
    assert call.starts is not None
    settled = increasing(np.append(call.starts, call.end).astype(np.float64))
    if settled is None or not len(call.bases):
        return None
    doubtful = odd_dwells(settled) | (np.abs(settled[:-1] - call.starts) >= 2)
    labels = ReadLabels(np.where(doubtful, 0, call.bases).astype(np.uint8), settled[:-1], int(settled[-1]))
    return Carried(labels, float("nan"), 1.0, int((labels.bases == 0).sum()))


def align_to(call: ReadCall, bases: np.ndarray) -> Hit | None:
    """Return the global alignment of a call to another sequence of the same read, trimmed at both ends.

    It begins and ends with `ANCHOR` equal bases in a row; None if there are none.
    """
    if not len(call.bases) or not len(bases):
        return None
    path = edlib.align(decode_bases(call.bases), decode_bases(bases), mode="NW", task="path")["cigar"]
    steps, number = [], ""
    for letter in path:
        if letter.isdigit():
            number += letter
        else:
            steps.append((int(number), letter))
            number = ""
    anchors = [place for place, (count, letter) in enumerate(steps) if letter == "=" and count >= ANCHOR]
    if not anchors:
        return None
    before, inner = steps[: anchors[0]], steps[anchors[0] : anchors[-1] + 1]
    first = sum(count for count, letter in before if letter in "=XD")
    start = sum(count for count, letter in before if letter in "=XI")
    length = sum(count for count, letter in inner if letter in "=XD")
    codes = {"=": 7, "X": 8, "I": 1, "D": 2}
    cigar = tuple((count, codes[letter]) for count, letter in inner)
    return Hit("", first, first + length, "+", start, cigar)


def increasing(edges: np.ndarray) -> np.ndarray | None:
    """Return edges (L + 1,) as strictly increasing whole samples; the last one stays.

    None if there are more bases than samples.

    >>> increasing(np.array([10.0, 10.0, 10.0, 15.0, 16.0]))
    array([10, 11, 12, 15, 16])
    """
    whole = np.floor(edges).astype(np.int64)
    steps = np.arange(len(whole))
    if whole[-1] - whole[0] < len(whole) - 1:
        return None
    pushed = np.maximum.accumulate(whole - steps) + steps
    return np.minimum(pushed, whole[-1] - steps[::-1])


def _beside_gaps(places: np.ndarray, bases: np.ndarray) -> np.ndarray:
    """Return bool (L,): the base before a long gap, and the bases deleted in it."""
    length = int(places[-1]) + 1
    edges = np.zeros(length + 1, np.int64)
    long = np.flatnonzero((np.diff(places) > MAX_GAP + 1) | (np.diff(bases) > MAX_GAP + 1))
    np.add.at(edges, places[long], 1)
    np.add.at(edges, places[long + 1], -1)
    return np.cumsum(edges[:-1]) > 0


def low_windows(equal: np.ndarray, inserted: np.ndarray) -> np.ndarray:
    """Return bool (L,): the bases of every window of `WINDOW` with an identity below `LOCAL_IDENTITY`."""
    return _spread(_sums(equal.astype(np.int64)) < LOCAL_IDENTITY * _sums(1 + inserted), len(equal))


def odd_dwells(edges: np.ndarray) -> np.ndarray:
    """Return bool (L,): the bases of every window of `WINDOW` whose mean dwell is outside `DWELLS`."""
    dwells = np.diff(edges)
    size = min(WINDOW, len(dwells))
    usual = float(np.median(_sums(dwells))) / size
    means = _sums(dwells) / size
    return _spread((means < DWELLS[0] * usual) | (means > DWELLS[1] * usual), len(dwells))


def _sums(values: np.ndarray) -> np.ndarray:
    """Return the sum of each window of `WINDOW` values, or of all if there are fewer."""
    size = min(WINDOW, len(values))
    running = np.concatenate([[0], np.cumsum(values)])
    return running[size:] - running[:-size]


def _spread(windows: np.ndarray, length: int) -> np.ndarray:
    """Return bool (L,): bases in any marked window."""
    edges = np.zeros(length + 1, np.int64)
    size = length - len(windows) + 1
    marked = np.flatnonzero(windows)
    np.add.at(edges, marked, 1)
    np.add.at(edges, marked + size, -1)
    return np.cumsum(edges[:-1]) > 0


def cut_to_signal(call: ReadCall, samples: int) -> ReadCall:
    """Return a call without the bases that begin after the end of the signal."""
    assert call.starts is not None
    if call.end <= samples:
        return call
    inside = int(np.searchsorted(call.starts, samples))
    return replace(call, bases=call.bases[:inside], starts=call.starts[:inside], end=samples)


def delayed(labels: ReadLabels, lead: int) -> ReadLabels:
    """Return labels shifted by `lead` bases: each base begins where the base `lead` after it began.

    Basecallers emit a base where they are certain of it, which may be some bases away from where it passes the centre
    of the pore. Guppy's moves on R9.4.1 are 3 bases ahead of Tombo's events. The last `lead` bases are dropped.
    """
    count = abs(lead)
    if count == 0 or count >= len(labels.bases):
        return labels
    end = labels.end if lead > 0 else int(labels.starts[-count])
    low, high = labels.ref_start, labels.ref_end
    if labels.reference and (lead > 0) == (labels.strand == "+"):
        high -= count
    elif labels.reference:
        low += count
    if lead > 0:
        return replace(labels, bases=labels.bases[:-count], starts=labels.starts[count:], ref_start=low, ref_end=high)
    bases, starts = labels.bases[count:], labels.starts[:-count]
    return replace(labels, bases=bases, starts=starts, end=end, ref_start=low, ref_end=high)


LEAST = 0.25  # part of a call that must be placed; unrelated sequences always share a few bases


def settle(carried: Carried, scored: Scored) -> Carried:
    """Return labels realigned to the model's scores; unchanged where no path is found.

    Each stretch of bases between masked ones is force-aligned on its own, within its samples.
    """
    labels = carried.labels
    edges = np.append(labels.starts, labels.end)
    starts = labels.starts.copy()
    known = labels.bases > 0
    cuts = np.flatnonzero(np.diff(known)) + 1
    state_len = remembered(scored.scores.shape[1])
    for first, last in zip([0, *cuts], [*cuts, len(known)], strict=True):
        if not known[first] or last - first <= state_len + 1:
            continue
        origin = max(0, round((int(edges[first]) - scored.trimmed) / scored.stride))
        final = min(len(scored.scores), round((int(edges[last]) - scored.trimmed) / scored.stride))
        part = scored.scores[origin:final]
        guess = np.clip((edges[first:last] - scored.trimmed) // scored.stride - origin, 0, max(0, len(part) - 1))
        bases = labels.bases[first:last]
        found = force_crf(part, bases, guess, state_len) if state_len else force_ctc(softmax(part), bases, guess)
        if found is not None:
            starts[first:last] = scored.trimmed + scored.stride * (found + origin)
    settled = increasing(np.append(np.maximum.accumulate(starts), labels.end).astype(np.float64))
    if settled is None:
        return carried
    return replace(carried, labels=replace(labels, starts=settled[:-1]))


def place_call(own: ReadCall, given: ReadCall, scored: Scored) -> tuple[ReadCall, Carried] | None:
    """Return a call with base starts found by a model, and the alignment of the model's own call to it.

    Parameters
    ----------
    own : the model's call of the read, with starts.
    given : the call without starts; bases beyond the model's call are dropped.
    scored : the model's scores of the read.

    Returns
    -------
    ReadCall (masked bases have code 0) and Carried; None if the two calls are not of one sequence.
    """
    found = align_to(own, given.bases)
    carried = None if found is None else carry(own, found, given.bases[found.ref_start : found.ref_end])
    if carried is None or len(carried.labels.bases) - carried.masked < LEAST * len(given.bases):
        return None
    carried = replace(carried, coverage=len(carried.labels.bases) / len(given.bases))
    labels = settle(carried, scored).labels
    return ReadCall(labels.bases, labels.starts, labels.end, given.mean_q), carried
