"""Exact distributions of whole numbers: mean, quantiles, N50, histogram. Memory grows with the largest number."""

from __future__ import annotations

import numpy as np


class Counts:
    """How often each whole number from 0 on occurs.

    Attributes
    ----------
    table : int64 array (N,): occurrences of each number.

    >>> counts = Counts()
    >>> counts.add(np.array([2, 5, 5]))
    >>> counts.total, counts.sum, counts.quantile(0.5), counts.n50()
    (3, 12, 5.0, 5)
    """

    def __init__(self) -> None:
        self.table = np.zeros(0, np.int64)

    def add(self, values: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Count whole numbers (n,) of 0 and above; with weights (n,), whole numbers too, these are added up."""
        found = np.bincount(values.astype(np.int64), weights, minlength=len(self.table)).astype(np.int64)
        found[: len(self.table)] += self.table
        self.table = found

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return int(self.table.sum())

    @property
    def sum(self) -> int:
        """Their sum."""
        return int(self.table @ np.arange(len(self.table)))

    def mean(self) -> float:
        """Return the mean; NaN for none."""
        return self.sum / self.total if self.total else float("nan")

    def quantile(self, part: float) -> float:
        """Return the number with `part` of the others below it, the mean of two where it lies between; NaN for none."""
        if not self.total:
            return float("nan")
        place = part * (self.total - 1)
        reached = np.cumsum(self.table)
        low, high = (int(np.searchsorted(reached, rank, side="right")) for rank in (np.floor(place), np.ceil(place)))
        return float(low + (high - low) * (place - np.floor(place)))

    def n50(self, part: float = 0.5) -> int:
        """Return the largest number such that all of its size or above make up `part` of the sum; 0 for none."""
        held = self.table * np.arange(len(self.table))
        above = np.cumsum(held[::-1])[::-1]  # sum of the numbers of this size and above
        reached = np.flatnonzero(above >= part * held.sum())
        return int(reached[-1]) if held.sum() else 0

    def ends(self) -> tuple[int, int]:
        """Return the smallest and the largest number; 0 and 0 for none."""
        places = np.flatnonzero(self.table)
        return (int(places[0]), int(places[-1])) if len(places) else (0, 0)

    def binned(self, edges: np.ndarray, weighted: bool = False) -> np.ndarray:
        """Return how many numbers (or what sum of them) lie in each bin [edges[i], edges[i + 1]); float64 (len - 1,).

        The last bin holds its upper edge too.
        """
        places = np.flatnonzero(self.table)
        weights = self.table[places] * (places if weighted else 1)
        return np.histogram(places, edges, weights=weights)[0].astype(np.float64)
