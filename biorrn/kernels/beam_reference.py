"""Prefix beam search and exhaustive search in plain Python: slow and short, the measure of `kernels.beam`."""

import itertools
from collections import defaultdict

import numpy as np


def beam_reference(probs: np.ndarray, size: int = 5, threshold: float = 0.0) -> tuple[int, ...]:
    """Return the classes that `kernels.beam.beam` finds in probabilities (T, S), by dictionaries of prefixes."""
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {
        (): (1.0, 0.0)
    }  # prefix -> mass that ends in a blank, mass that ends in its last class
    for y in np.asarray(probs, np.float64):
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (quiet, sure) in prefixes.items():
            if y[0] > threshold:
                grown[prefix][0] += (quiet + sure) * y[0]
            for c in range(1, len(y)):
                if y[c] < threshold:
                    continue
                if prefix and prefix[-1] == c:
                    grown[prefix][1] += sure * y[c]
                    grown[(*prefix, c)][1] += quiet * y[c]
                else:
                    grown[(*prefix, c)][1] += (quiet + sure) * y[c]
        best = sorted(grown.items(), key=lambda item: -sum(item[1]))[:size]
        top = sum(best[0][1])
        prefixes = {prefix: (quiet / top, sure / top) for prefix, (quiet, sure) in best if quiet + sure > 0}
    return max(prefixes, key=lambda prefix: sum(prefixes[prefix]))


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Return a path without its repeats and then without its blanks.

    >>> collapse((0, 2, 2, 0, 2, 1))
    (2, 2, 1)
    """
    return tuple(c for c, _ in itertools.groupby(path) if c != 0)


def all_sequences(probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every sequence that probabilities (T, S) can give, by listing all S ** T paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    frames, symbols = probs.shape
    for path in itertools.product(range(symbols), repeat=frames):
        found[collapse(path)] += float(np.prod([probs[t, c] for t, c in enumerate(path)]))
    return dict(found)
