"""Making a draft sequence into the consensus of the reads that lie on it: edits that raise the likelihood of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from biorrn.inference.mapping import PRESET, reverse_complement
from biorrn.jit import each_row
from biorrn.kernels.edits import DELETE, EDGE, EDITS, INSERT, UNKNOWN, edit_gains
from biorrn.kernels.error_model import RUN, ErrorModel, estimate, first_model

LOOSE_END = 300  # bases of read and draft that may stay unaligned beside each other: poor ends, adapters
SWEEPS = 6  # times that all edits are scored and the best applied, at most, before reads are aligned anew
SPACING = 6  # bases between edits of one sweep: near ones change each other's worth
NEAR = 12  # bases around an edit whose other edits are scored anew in the next sweep
WORTH = 0.5  # nats that an edit must gain
TOGETHER = 32  # reads whose gains are in memory at a time
_CODES = np.zeros(256, np.uint8)
_CODES[[ord(letter) for letter in "ACGTN"]] = [0, 1, 2, 3, UNKNOWN]
_LETTERS = np.frombuffer(b"ACGT", np.uint8)


@dataclass(frozen=True, slots=True)
class Placed:
    """A read on a draft.

    Attributes
    ----------
    read : int: which of the reads.
    draft : int: which of the drafts.
    start, end : int: span on the draft.
    reverse : bool: the read is of the other strand.
    bases : uint8 array (m,): classes of the aligned bases, `edits.UNKNOWN` for N, in the direction of the draft.
    path : int64 array (end - start + 1,): aligned bases before each base of the span.
    identity : float: matches / columns of the alignment.
    before, after : int: bases of the read that stay unaligned on the left and right side of the span.
    """

    read: int
    draft: int
    start: int
    end: int
    reverse: bool
    bases: np.ndarray
    path: np.ndarray
    identity: float
    before: int
    after: int


def codes(sequence: str) -> np.ndarray:
    """Return ACGT as 0..3, uint8 (n,); N is `edits.UNKNOWN`."""
    return _CODES[np.frombuffer(sequence.encode(), np.uint8)]


def letters(template: np.ndarray) -> str:
    """Return classes 0..3 as ACGT."""
    return _LETTERS[template].tobytes().decode()


def place_reads(drafts: list[str], reads: list[str], threads: int = 1) -> list[Placed | None]:
    """Align reads to drafts: of each read the place with the most matches, None where there is none that fits.

    A place fits where the read lies on the draft from end to end, or up to an end of the draft, with at most
    `LOOSE_END` bases of both left over: a read that is like the draft only in part belongs elsewhere.
    """
    import mappy

    indexes = [mappy.Aligner(seq=draft, preset=PRESET) for draft in drafts]
    places: list[Placed | None] = [None] * len(reads)

    def work(row: int) -> None:
        found = [
            (hit, number)
            for number, index in enumerate(indexes)
            for hit in index.map(reads[row])
            if fits(hit, len(reads[row]), len(drafts[number]))
        ]
        if found:
            hit, number = max(found, key=lambda entry: entry[0].mlen)
            places[row] = _placed(hit, row, number, reads[row])

    each_row(work, sorted(range(len(reads)), key=lambda row: -len(reads[row])), threads)
    return places


def fits(hit: Any, bases: int, length: int) -> bool:
    """Return whether an alignment ends only where the read of `bases` or the draft of `length` does."""
    before, after = (hit.q_st, bases - hit.q_en) if hit.strand > 0 else (bases - hit.q_en, hit.q_st)
    return min(before, hit.r_st) <= LOOSE_END and min(after, length - hit.r_en) <= LOOSE_END


def _placed(hit: Any, row: int, draft: int, read: str) -> Placed:
    reverse = hit.strand < 0
    bases = read[hit.q_st : hit.q_en]
    before, after = hit.q_st, len(read) - hit.q_en
    if reverse:
        bases, before, after = reverse_complement(bases), after, before
    operation = np.repeat([entry[1] for entry in hit.cigar], [entry[0] for entry in hit.cigar])
    # columns of the draft; the bases of the read before each, inserted ones among them
    path = np.cumsum(operation != 2) - (operation != 2)
    path = np.append(path[operation != 1], len(bases)).astype(np.int64)
    return Placed(row, draft, hit.r_st, hit.r_en, reverse, codes(bases), path, hit.mlen / hit.blen, before, after)


def depth(placed: list[Placed], length: int) -> np.ndarray:
    """Return int64 (length,): how many reads lie over each base of a draft."""
    steps = np.zeros(length + 1, np.int64)
    for place in placed:
        steps[place.start] += 1
        steps[place.end] -= 1
    return np.cumsum(steps)[:length]


def polish(
    draft: str,
    placed: list[Placed],
    models: tuple[ErrorModel, ErrorModel] | None = None,
    sweeps: int = SWEEPS,
    threads: int = 1,
) -> tuple[str, tuple[ErrorModel, ErrorModel], int]:
    """Apply the single-base edits that raise the likelihood of the reads most, until none does.

    Parameters
    ----------
    draft : str of ACGT.
    placed : the reads on it.
    models : how reads of the forward and of the reverse strand err; estimated anew after each sweep; default: the
        first guess.
    sweeps : int: at most so many times all edits are scored.
    threads : int.

    Returns
    -------
    the consensus, the models, and how many edits were made.
    """
    template = codes(draft)
    models = models or (first_model(), first_model())
    active, made = np.ones(len(template), dtype=np.bool_), 0
    for _ in range(sweeps):
        gains, placed, models = _sweep(template, placed, models, active, threads)
        chosen = _choose(gains)
        if not chosen:
            break
        made += len(chosen)
        template, placed, active = _apply(template, placed, chosen)
    return letters(template), models, made


def _sweep(
    template: np.ndarray,
    placed: list[Placed],
    models: tuple[ErrorModel, ErrorModel],
    active: np.ndarray,
    threads: int,
) -> tuple[np.ndarray, list[Placed], tuple[ErrorModel, ErrorModel]]:
    """Return the gains (n, EDITS) summed over reads, the reads with their likeliest paths, and the new models."""
    gains = np.zeros((len(template), EDITS))
    seen, extra = np.zeros((2, RUN, 4, 5)), np.zeros((2, 4, 4))
    kept: list[Placed] = []
    found: dict[int, tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}

    def work(row: int) -> None:
        place = placed[row]
        span = slice(place.start, place.end)
        found[row] = edit_gains(template[span], place.bases, place.path, models[place.reverse], active[span])

    for first in range(0, len(placed), TOGETHER):
        rows = range(first, min(first + TOGETHER, len(placed)))
        each_row(work, sorted(rows, key=lambda row: -len(placed[row].bases)), threads)
        for row in rows:  # in one order, so that sums do not depend on threads
            place = placed[row]
            known, gain, path, ours, inserted = found.pop(row)
            if known > -np.inf:  # else an insertion is longer than the band: the read is of no use here
                gains[place.start : place.end] += gain
                seen[int(place.reverse)] += ours
                extra[int(place.reverse)] += inserted
                kept.append(replace(place, path=path))
    new = tuple(estimate(seen[strand], extra[strand]) for strand in (0, 1))
    return gains, kept, (new[0], new[1])


def _choose(gains: np.ndarray) -> list[tuple[int, int]]:
    """Return place and column of the edits to make, by place: the best first, then others that are not too near."""
    best = gains.argmax(axis=1)
    worth = gains[np.arange(len(gains)), best]
    taken = np.zeros(len(gains) + SPACING, dtype=np.bool_)
    chosen = []
    for place in np.argsort(-worth, kind="stable"):
        if worth[place] <= WORTH:
            break
        if not taken[place]:
            taken[max(0, place - SPACING) : place + SPACING + 1] = True
            chosen.append((int(place), int(best[place])))
    return sorted(chosen)


def _apply(
    template: np.ndarray, placed: list[Placed], chosen: list[tuple[int, int]]
) -> tuple[np.ndarray, list[Placed], np.ndarray]:
    """Return the edited template, the reads moved along with it, and which bases lie near an edit."""
    pieces: list[np.ndarray] = []
    sources: list[np.ndarray] = []  # of each piece, the bases of the old template that it stands for
    last = 0
    for place, column in chosen:
        written = [] if column == DELETE else [column if column < DELETE else column - INSERT]
        pieces += [template[last:place], np.array(written, np.uint8)]
        sources += [np.arange(last, place), np.full(len(written), place)]
        last = place + (column < INSERT)
    pieces.append(template[last:])
    sources.append(np.arange(last, len(template)))
    new, source = np.concatenate(pieces), np.concatenate(sources)
    active = np.zeros(len(new), dtype=np.bool_)
    for at in np.searchsorted(source, [place for place, _ in chosen]):
        active[max(0, at - NEAR) : at + NEAR + 1] = True
    moved = []
    for read in placed:
        start, end = np.searchsorted(source, [read.start, read.end])
        if end - start > 2 * EDGE:
            path = read.path[np.append(source[start:end], read.end) - read.start]
            path[0] = 0  # the first base of its span may be gone
            moved.append(replace(read, start=int(start), end=int(end), path=path))
    return new, moved, active
