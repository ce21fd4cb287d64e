"""Reads on a reference: minimap2 through mappy, checked input, and short seeds where long ones find nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from biorrn.errors import InputError
from biorrn.readers.reference import reference_lengths

PRESET = "map-ont"  # of minimap2
# minimap2 finds a read by exact 15-mers; a 200-base read with 25 % errors holds almost none, so that only the good
# reads of a poor caller would be counted. Reads that the preset leaves unmapped are tried again with short seeds, on
# references short enough for these to be rare by chance: in trials, of 3,000 random reads of 200 to 5,000 bases none
# was mapped.
SENSITIVE = (  # (longest reference in bases, options)
    (200_000, {"k": 9, "w": 3, "min_cnt": 2, "min_chain_score": 20, "min_dp_score": 40}),
    (5_000_000, {"k": 11, "w": 5, "min_cnt": 2, "min_chain_score": 25, "min_dp_score": 40}),
)
Item = TypeVar("Item")
Made = TypeVar("Made")
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def reverse_complement(bases: str) -> str:
    """Return the other strand of a sequence of ACGTN, 5' to 3'.

    >>> reverse_complement("AACGN")
    'NCGTT'
    """
    return bases.translate(_COMPLEMENT)[::-1]


class Mapper:
    """A reference, indexed by minimap2. May be used from several threads at once; mapping releases the interpreter.

    Parameters
    ----------
    reference : FASTA file, may be gzip.
    preset : str: of minimap2.
    sensitive : bool: try reads that the preset leaves unmapped once more, with the short seeds of `SENSITIVE`.

    Raises
    ------
    InputError: the file is not FASTA, or minimap2 cannot index it.
    """

    def __init__(self, reference: str | Path, preset: str = PRESET, *, sensitive: bool = False) -> None:
        import mappy

        if str(reference) == "-":
            raise InputError("-", "the reference must be a file: it is read twice")
        self.path = Path(reference)
        self.lengths = reference_lengths(reference)  # bases of each sequence
        bases = sum(self.lengths.values())
        again = [entry for longest, entry in SENSITIVE if bases <= longest][:1] if sensitive else []
        self._passes: list[Any] = [mappy.Aligner(str(reference), preset=preset, **entry) for entry in ({}, *again)]
        if not all(self._passes):
            raise InputError(reference, "minimap2 cannot index it")

    @property
    def references(self) -> list[tuple[str, int]]:
        """Return name and bases of each sequence, in the order of the file."""
        return list(self.lengths.items())

    def sequence(self, name: str, start: int = 0, end: int | None = None) -> str:
        """Return a span of a sequence, forward strand, 0-based and half-open: upper case of ACGT, N for all else.

        Raises
        ------
        KeyError: the reference has no sequence of that name.
        """
        end = self.lengths[name] if end is None else min(end, self.lengths[name])
        return (self._passes[0].seq(name, start, end) or "").upper() if start < end else ""

    def hits(self, sequence: str) -> list[Any]:
        """Return the alignments of a read as `mappy.Alignment`: the primary one, then its supplementary ones.

        Secondary alignments, other places of the same bases, are left out.
        """
        return self.search(sequence)[0]

    def search(self, sequence: str) -> tuple[list[Any], bool]:
        """Return the alignments of `hits`, and whether only the second, sensitive pass found them."""
        for number, aligner in enumerate(self._passes if sequence else []):
            found = [hit for hit in aligner.map(sequence, MD=True) if hit.is_primary]
            if found:
                return found, number > 0
        return [], False

    def best(self, sequence: str) -> Any | None:
        """Return the `mappy.Alignment` with the most matching bases, or None where the read maps nowhere.

        Only primary and supplementary alignments are looked at; of equal ones the first is taken.
        """
        return max(self.hits(sequence), key=lambda hit: hit.mlen, default=None)


def in_order(work: Callable[[Item], Made], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Made]:
    """Yield `work(item)` of each item, in order, done on `threads` threads while at most `ahead` results wait."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="map") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while waiting and (waiting[0].done() or len(waiting) > ahead):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the caller stopped early, or one of them raised
            for future in waiting:
                future.cancel()
