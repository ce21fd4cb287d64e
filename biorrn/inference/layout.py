"""Drafts from reads alone: a long read, polished by the reads that lie on it, then extended at both ends by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biorrn.inference.mapping import reverse_complement
from biorrn.inference.polish import LOOSE_END, Placed, depth, place_reads, polish

MIN_SEED = 1000  # bases of the shortest read that a draft starts from
MIN_GAIN = 200  # bases that an extension must add
UNLIKE = 0.12  # identity below the draft's median by which a read is taken for one of a similar sequence elsewhere
SAME_IDENTITY = 0.95  # of the two
SAME = 0.8  # share of a draft that may lie on an earlier one before it counts as the same sequence

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a draft must have.

    Attributes
    ----------
    min_depth : int: reads over each base.
    threads : int.
    """

    min_depth: int = 5
    threads: int = 1


def alike(placed: list[Placed | None]) -> list[Placed]:
    """Return the reads of each draft that are about as identical to it as its others are; repeats elsewhere are not."""
    found = [place for place in placed if place is not None]
    medians = {
        draft: float(np.median([place.identity for place in found if place.draft == draft]))
        for draft in {place.draft for place in found}
    }
    return [place for place in found if place.identity >= medians[place.draft] - UNLIKE]


def stretches(reads_over: np.ndarray, least: int, shortest: int = 1) -> list[tuple[int, int]]:
    """Return start and end of every stretch with at least `least` reads over each base, of `shortest` bases or more.

    >>> stretches(np.array([1, 5, 5, 1, 5, 5, 5]), 5)
    [(1, 3), (4, 7)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], reads_over >= least, [0]]).astype(int)))
    spans = zip(edges[::2], edges[1::2], strict=True)
    return [(int(start), int(end)) for start, end in spans if end - start >= shortest]


def lay_out(reads: list[str], rules: Rules, say: Say = lambda line: None) -> list[str]:
    """Return drafts, each polished, with `min_depth` of the reads over both ends, the longest first.

    A draft begins as the longest read that is in no earlier draft and that enough others lie on. Reads that reach
    beyond its end extend it, so far as `min_depth` of them go, until none does. The work grows with the square of the
    number of drafts: this is for regions and small genomes.

    Parameters
    ----------
    reads : list of str of ACGTN.
    rules : depth and threads.
    say : called with a line about each draft.
    """
    free = [row for row in range(len(reads)) if reads[row]]
    drafts: list[str] = []
    for seed in sorted(free, key=lambda row: -len(reads[row])):
        if len(reads[seed]) < MIN_SEED or len(free) < rules.min_depth:
            break
        if seed not in free:
            continue
        pool = [reads[row] for row in free]
        draft = _grow(reads[seed], pool, rules)
        if draft and not _known(draft, drafts):
            drafts.append(draft)
            say(f"draft {len(drafts)}: {len(draft)} bases, from a read of {len(reads[seed])}")
            used = {free[place.read] for place in alike(place_reads([draft], pool, rules.threads))}
            free = [row for row in free if row not in used]
        free = [row for row in free if row != seed]
    return sorted(drafts, key=len, reverse=True)


def _grow(seed: str, pool: list[str], rules: Rules) -> str:
    """Return the seed, polished and extended as far as the reads go; empty where too few lie on it."""
    draft, flips = (
        _trim(polish(seed.replace("N", "A"), _on(seed, pool, rules), threads=rules.threads)[0], pool, rules),
        0,
    )
    while draft and flips < 2:
        longer = extended(draft, _on(draft, pool, rules), pool, rules.min_depth)
        if longer:
            longer = _trim(polish(longer, _on(longer, pool, rules), threads=rules.threads)[0], pool, rules)
        if len(longer) >= len(draft) + MIN_GAIN // 2:
            draft = longer
        else:  # the other end, with the same function
            draft, flips = reverse_complement(draft), flips + 1
    return draft


def _on(draft: str, pool: list[str], rules: Rules) -> list[Placed]:
    return alike(place_reads([draft], pool, rules.threads))


def _trim(draft: str, pool: list[str], rules: Rules) -> str:
    """Return a draft without ends that lack depth; empty where no stretch has it. Gaps within may be bridged later."""
    spans = stretches(depth(_on(draft, pool, rules), len(draft)), rules.min_depth, MIN_SEED)
    return draft[spans[0][0] : spans[-1][1]] if spans else ""


def extended(draft: str, placed: list[Placed], pool: list[str], least: int) -> str:
    """Return a draft made longer at its right end, so far as `least` reads go beyond it; empty where they do not.

    The bases are those of the read that is most like the draft; polishing is left to the caller.
    """
    reach = sorted(
        ((place.after - (len(draft) - place.end), place) for place in placed if place.end >= len(draft) - LOOSE_END),
        key=lambda entry: -entry[0],
    )[:least]
    if len(reach) < least or reach[-1][0] < MIN_GAIN:
        return ""
    gain, best = reach[-1][0], max((place for _, place in reach), key=lambda place: place.identity)
    read = reverse_complement(pool[best.read]) if best.reverse else pool[best.read]
    rest = read[len(read) - best.after :]
    return draft[: best.end] + rest[: len(draft) - best.end + gain].replace("N", "A")


def _known(draft: str, drafts: list[str]) -> bool:
    """Return whether most of a draft lies on an earlier one at high identity: the same place, from reads left over."""
    import mappy

    for earlier in drafts:
        for hit in mappy.Aligner(seq=earlier, preset="asm20").map(draft):
            if hit.q_en - hit.q_st >= SAME * len(draft) and hit.mlen >= SAME_IDENTITY * hit.blen:
                return True
    return False
