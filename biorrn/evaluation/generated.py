"""Generated sequences beside those that their model was trained on: copies, composition, lengths.

What a number means is seen beside the held-out sequences of the same file, where it has any: they are alike the
training sequences by descent, not by copying.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.datasets.longest_match import longest_matches
from biorrn.datasets.sequence_set import SequenceSet, as_set
from biorrn.datasets.similarity import nearest, word_length
from biorrn.encoders.alphabets import DNA
from biorrn.errors import ConfigError
from biorrn.inference.generate import Generated

LEAST = 0.3  # a lower identity to the nearest sequence is that of unrelated ones, and is given as 0
COPY = 0.9  # a sequence is a copy from this identity, or where one stretch of this part of it stands in the set
STRETCH = {DNA: 30}  # letters that such a stretch has at least: shorter ones are shared by chance
STRETCH_OF_RESIDUES = 15
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 30  # of lengths
MATCHES = 40  # letters; longer matches share the last bin of the histogram


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike sequences are to those of a set; arrays (N,).

    Attributes
    ----------
    match : int64: letters of the longest stretch that stands in a sequence of the set, exactly.
    match_row : int64: that sequence; -1 where there is no letter in common.
    identity : float64: to the nearest sequence, 1 - edits / length of the longer; 0 where it is below `LEAST`.
    nearest_row : int64: that sequence, or -1.
    lengths : int64: letters of each sequence.
    least : int: letters of a stretch that chance does not share.
    """

    match: np.ndarray
    match_row: np.ndarray
    identity: np.ndarray
    nearest_row: np.ndarray
    lengths: np.ndarray
    least: int = STRETCH_OF_RESIDUES

    def rows(self, chosen: np.ndarray) -> Likeness:
        """Return the likeness of some of the sequences."""
        match, row = self.match[chosen], self.match_row[chosen]
        identity, nearest_row = self.identity[chosen], self.nearest_row[chosen]
        return Likeness(match, row, identity, nearest_row, self.lengths[chosen], self.least)

    def copies(self, identity: float = COPY) -> np.ndarray:
        """Return which sequences are copies, bool (N,): nearest or longest match reach this part of them.

        A match counts from `least` letters on.
        """
        part = np.where(self.match >= self.least, self.match / np.maximum(self.lengths, 1), 0.0)
        return np.asarray((np.maximum(part, self.identity) >= identity - 1e-9) & (self.lengths > 0))


def likeness(sequences: SequenceSet, others: SequenceSet, alphabet: str) -> Likeness:
    """Return how alike sequences are to the most similar ones of a set.

    The longest match is exact. The nearest sequence is searched by shared words (see `datasets.similarity`): above an
    identity of 0.65 hardly one is missed, lower ones may be; for nucleotides the words are short, and more are.
    """
    match, match_row, _ = longest_matches(sequences.tokens, sequences.offsets, others.tokens, others.offsets)
    row, identity = nearest(
        sequences.tokens, sequences.offsets, others.tokens, others.offsets, LEAST, word_length(LEAST), 1.0
    )
    least = STRETCH.get(alphabet, STRETCH_OF_RESIDUES)
    return Likeness(match, match_row, identity, row, sequences.lengths, least)


def check_threshold(identity: float | None, against: object) -> None:
    """Check the identity from which copies are dropped; `against` is what they are copies of.

    Raises
    ------
    ConfigError: it is not above `LEAST`, or above 1; or there is nothing to compare with.
    """
    if identity is not None and against is None:
        raise ConfigError("--drop-copies: needs --against, the sequences that the model was trained on")
    if identity is not None and not LEAST < identity <= 1:
        raise ConfigError(f"--drop-copies: found {identity:g}; allowed is above {LEAST:g}, at most 1")


def duplicates(sequences: Sequence[str]) -> np.ndarray:
    """Return which sequences came before, bool (N,).

    >>> duplicates(["MK", "MV", "MK"]).tolist()
    [False, False, True]
    """
    seen: Counter[str] = Counter()
    found = []
    for text in sequences:
        found.append(seen[text] > 0)
        seen[text] += 1
    return np.array(found, bool)


def composition(sequences: SequenceSet, alphabet: str) -> np.ndarray:
    """Return how often each letter of the alphabet but the last, which stands for any, comes: float64, sum 1."""
    counts = np.bincount(sequences.tokens, minlength=len(alphabet) + 1)[1 : len(alphabet)].astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1))


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Return the total variation distance of two distributions (S,): 0 for the same, 1 for nothing in common."""
    return float(np.abs(a - b).sum() / 2)


def length_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the greatest difference of the cumulative distributions of two sets of lengths (Kolmogorov, Smirnov).

    >>> length_gap(np.array([1, 2, 3, 4]), np.array([3, 4]))
    0.5
    """
    places = np.union1d(a, b)
    shares = [np.searchsorted(np.sort(x), places, side="right") / max(len(x), 1) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max(initial=0.0))


def _histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, list[float]]:
    inside = np.clip(values, edges[0], edges[-1])  # the last bin also holds what is beyond it
    return {"edges": edges.tolist(), "counts": np.histogram(inside, edges)[0].tolist()}


def _side(sequences: SequenceSet, alphabet: str, edges: np.ndarray) -> dict[str, Any]:
    lengths = sequences.lengths
    return {
        "sequences": len(sequences),
        "length": {f"{q:g}": float(np.quantile(lengths, q)) for q in QUANTILES} if len(sequences) else {},
        "lengths": _histogram(lengths, edges),
        "composition": dict(zip(alphabet, composition(sequences, alphabet).tolist(), strict=False)),
    }


def _beside(sequences: SequenceSet, found: Likeness, others: SequenceSet, alphabet: str) -> dict[str, Any]:
    """Return how a set differs from the training set."""
    size = max(len(sequences), 1)
    return {
        "composition_distance": apart(composition(sequences, alphabet), composition(others, alphabet)),
        "length_distance": length_gap(sequences.lengths, others.lengths),
        "copies": float(found.copies().sum() / size),
        "identity_median": float(np.median(found.identity)) if len(sequences) else math.nan,
        "identity_most": float(found.identity.max(initial=0.0)),
        **{f"identity_{t:g}": float((found.identity >= t - 1e-9).sum() / size) for t in (0.5, 0.8, COPY)},
        "match_median": float(np.median(found.match)) if len(sequences) else math.nan,
        "match_most": int(found.match.max(initial=0)),
        "identities": _histogram(found.identity, np.linspace(0, 1, 21)),
        "matches": _histogram(found.match, np.arange(MATCHES + 2.0)),
    }


def summarise(
    made: Sequence[Generated],
    alphabet: str,
    found: Likeness | None = None,
    training: SequenceSet | None = None,
    held_out: tuple[SequenceSet, Likeness] | None = None,
) -> dict[str, Any]:
    """Return what is to be said of generated sequences as a whole.

    Parameters
    ----------
    made : the sequences, as they were drawn.
    found, training : their likeness to the training set, and that set; None where there is none to compare with.
    held_out : sequences that the model was not trained on, as many as there are, and their likeness.

    Returns
    -------
    dict: generated, and where they are training and held_out: sequences, quantiles and histogram of length,
    composition; of generated also ended (share that reached the end), duplicates (share that came before),
    log_likelihood (mean of the sequences' means, nats); and of generated and held_out what sets them apart from
    training: composition_distance (total variation), length_distance (Kolmogorov-Smirnov), copies (share, see `COPY`),
    identity_*, match_* and their histograms.
    """
    own = as_set([str(one.number) for one in made], [one.sequence for one in made], alphabet)
    size = max(len(made), 1)
    known = [one.log_likelihood for one in made if not math.isnan(one.log_likelihood)]
    longest = max(float(np.quantile(one.lengths, 0.99)) for one in (own, training) if one is not None and len(one))
    edges = np.linspace(0, max(longest, 1), BINS + 1)
    generated = _side(own, alphabet, edges) | {
        "ended": sum(one.ended for one in made) / size,
        "duplicates": float(duplicates([one.sequence for one in made]).sum() / size),
        "log_likelihood": float(np.mean(known)) if known else math.nan,
    }
    summary: dict[str, Any] = {"generated": generated}
    if found is not None and training is not None:
        generated |= _beside(own, found, training, alphabet)
        summary["training"] = _side(training, alphabet, edges)
        if held_out is not None:
            summary["held_out"] = _side(held_out[0], alphabet, edges) | _beside(*held_out, training, alphabet)
    return summary


def sample(sequences: SequenceSet, count: int, seed: int) -> SequenceSet:
    """Return `count` sequences at random, or all where there are fewer."""
    rows = np.arange(len(sequences))
    if len(rows) > count:
        rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    return sequences.take(rows)


def lines(summary: dict[str, Any]) -> list[str]:
    """Return a summary as a few lines for the terminal."""
    own = summary["generated"]
    said = [
        f"{own['sequences']:,} sequences, median length {own['length'].get('0.5', 0):.0f}; "
        f"{100 * own['ended']:.0f} % reached their end, {100 * own['duplicates']:.1f} % came before; "
        f"mean log-likelihood {own['log_likelihood']:.3f} nats a symbol"
    ]
    for name in ("generated", "held_out"):
        if "copies" in summary.get(name, {}):
            side = summary[name]
            said.append(
                f"{name.replace('_', '-')} beside training: copies {100 * side['copies']:.1f} %; identity to the "
                f"nearest at most {side['identity_most']:.2f}, of 0.5 or more {100 * side['identity_0.5']:.0f} %; "
                f"longest match median {side['match_median']:.0f}, at most {side['match_most']}; distance of "
                f"composition {side['composition_distance']:.3f}, of length {side['length_distance']:.2f}"
            )
    return said
