"""How many reads lie over each place of a reference, by strand: base by base, or of a long reference by window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

WINDOWS = 4_000_000  # at most, over all sequences
POINTS = 400  # of a curve


class Depth:
    """Counts bases over windows of equal size of each sequence of a reference.

    Parameters
    ----------
    lengths : name -> bases of each sequence, in order.
    windows : int: how many there are at most; as many bases as that are counted one by one.
    """

    def __init__(self, lengths: Mapping[str, int], windows: int = WINDOWS) -> None:
        self.lengths = dict(lengths)
        self.window = max(1, -(-sum(lengths.values()) // windows))
        sizes = [-(-length // self.window) for length in lengths.values()]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._starts = dict(zip(lengths, starts[:-1].tolist(), strict=True))
        # bases in a window that a read only partly covers, and changes of those that it covers whole; (2, windows)
        self._part = np.zeros((2, int(starts[-1]) + 1), np.int64)
        self._change = np.zeros((2, int(starts[-1]) + 1), np.int64)

    def add(self, name: str, start: int, end: int, reverse: bool) -> None:
        """Count one read over a span, 0-based and half-open."""
        size, at, row = self.window, self._starts[name], int(reverse)
        first, last = start // size, (end - 1) // size
        if first == last:
            self._part[row, at + first] += end - start
            return
        self._part[row, at + first] += (first + 1) * size - start
        self._part[row, at + last] += end - last * size
        self._change[row, at + first + 1] += size
        self._change[row, at + last] -= size

    def bases(self) -> np.ndarray:
        """Return the bases of reads in each window, int64 (2, W): forward, reverse; all sequences one after another."""
        return (self._part + np.cumsum(self._change, axis=1))[:, :-1]

    def sizes(self) -> np.ndarray:
        """Return the bases of the reference in each window, int64 (W,)."""
        found = [np.full(-(-length // self.window), self.window) for length in self.lengths.values()]
        for sizes, length in zip(found, self.lengths.values(), strict=True):
            sizes[-1] = length - self.window * (len(sizes) - 1)
        return np.concatenate(found).astype(np.int64)

    def summary(self, most: int = 1000) -> dict[str, Any]:
        """Return window, mean, median, parts covered at least 1, 5, 10 and 30 times, and the longest `most` sequences.

        A window counts with its mean; of windows of one base these are the depths of the bases.
        """
        bases, sizes = self.bases().sum(axis=0), self.sizes()
        depth = bases / sizes
        order = np.argsort(depth, kind="stable")
        reached = np.cumsum(sizes[order])
        rows = []
        for name in sorted(self.lengths, key=lambda name: -self.lengths[name])[:most]:
            mine = self.span(name)
            rows.append({"name": name, "length": self.lengths[name],
                         "mean": float(bases[mine].sum() / self.lengths[name]),
                         "covered": float(sizes[mine][depth[mine] > 0].sum() / self.lengths[name])})  # fmt: skip
        return {
            "window": self.window,
            "mean": float(bases.sum() / sizes.sum()),
            "median": float(depth[order][np.searchsorted(reached, sizes.sum() / 2)]),
            "at_least": [
                {"depth": least, "part": float(sizes[depth >= least].sum() / sizes.sum())} for least in (1, 5, 10, 30)
            ],
            "references": rows,
        }

    def span(self, name: str) -> slice:
        """Return the windows of a sequence."""
        start = self._starts[name]
        return slice(start, start - (-self.lengths[name] // self.window))

    def curve(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return edges (P + 1,) in bases and mean depths float64 (2, P), forward and reverse, of sequences in a row."""
        bases, sizes = self.bases(), self.sizes()
        places = np.concatenate([np.arange(len(sizes))[self.span(name)] for name in names])
        ends = np.cumsum(sizes[places])
        cuts = np.unique(np.linspace(0, len(places), min(POINTS, len(places)) + 1).astype(int))
        held = np.add.reduceat(bases[:, places], cuts[:-1], axis=1)
        edges = np.concatenate([[0], ends])[cuts]
        return edges.astype(np.float64), held / np.diff(edges)
