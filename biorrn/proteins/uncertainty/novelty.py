"""Novelty detection: distance of a protein from the training rows, and its threshold.

A protein is described by its composition, by which classes of residues follow each other, by how often hydrophobic
residues are two, three, four and seven apart (strands and helices), and by its length. The distance is that of
Mahalanobis from the mean of the training rows, with the shrunk covariance of Ledoit and Wolf (2004, J Multivar Anal
88:365). The threshold is the 99th percentile of rows held out of training, so that about 1 in 100 of such rows is
flagged. These rows also calibrate the intervals: beyond the threshold no row supports an interval. If the held-out rows
are less varied than the training rows, more than 1 % of the training rows are beyond the threshold.

The description does not depend on the fold: a shuffled training protein passes.
"""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.sequences.alphabets import N_TOKENS, RESIDUES

FLAG, NO_RELATIVE = "unlike_training", "no_relative_in_training"
WORD = 6  # residues of a word that relatives share
SAMPLED = 8  # one word in so many is kept, the same ones of every protein
SHARED = 0.2  # of a protein's sampled words that a relative has (about 75 % identity), and at least TWICE of them
TWICE = 2
ASKED = 300  # training rows that are searched for mutants
MUTANTS = 0.02  # of them with a mutant, from which on the training set counts as one of mutants
CLASSES = ("AVILMC", "FWYH", "STNQ", "KR", "DE", "GP")  # X is in none
HYDROPHOBIC = "AVILMCFWY"
LAGS = (2, 3, 4, 7)
QUANTILE = 0.99  # of the held-out rows' distances; the threshold
FEWEST = 100  # held-out rows; with fewer, folds of the training rows give the threshold
FOLDS = 5
ROWS = 50_000  # training rows that are described, at most
LENGTH_UNIT = 0.02  # least standard deviation of the logarithm of the length
DIGITS = 5  # of a stored number
BLOCK = 2_000_000  # residues described at once

_LETTERS = N_TOKENS - 1
_PAIRS = len(CLASSES) ** 2
WIDTH = _LETTERS + _PAIRS + len(LAGS) + 1  # of a description


def _table(groups: tuple[str, ...]) -> np.ndarray:
    """Return int64 (22,): the group of each token, -1 for none."""
    codes = np.full(N_TOKENS, -1, np.int64)
    for code, letters in enumerate(groups):
        for letter in letters:
            codes[RESIDUES.index(letter) + 1] = code
    return codes


_CLASS = _table(CLASSES)
_OILY = _table((HYDROPHOBIC,)) == 0


def describe(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the descriptions, float64 (N, `WIDTH`).

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all proteins, one after another; 1..21.
    lengths : int array (N,): residues of each.
    """
    ends = np.cumsum(lengths)
    if len(lengths) > 1 and len(tokens) > BLOCK:
        middle = int(np.clip(np.searchsorted(ends, len(tokens) // 2), 0, len(lengths) - 2)) + 1
        cut = int(ends[middle - 1])
        return np.concatenate([describe(tokens[:cut], lengths[:middle]), describe(tokens[cut:], lengths[middle:])])
    rows, size = len(lengths), np.asarray(lengths, np.float64)
    row = np.repeat(np.arange(rows), lengths)
    out = np.empty((rows, WIDTH))
    counts = np.bincount(row * _LETTERS + tokens - 1, minlength=rows * _LETTERS).reshape(rows, _LETTERS)
    out[:, :_LETTERS] = counts / np.maximum(size, 1)[:, None]
    kind = _CLASS[tokens]
    pair = np.where((row[1:] == row[:-1]) & (kind[1:] >= 0) & (kind[:-1] >= 0), kind[:-1] * len(CLASSES) + kind[1:], -1)
    there = pair >= 0
    pairs = np.bincount(row[1:][there] * _PAIRS + pair[there], minlength=rows * _PAIRS).reshape(rows, _PAIRS)
    out[:, _LETTERS : _LETTERS + _PAIRS] = pairs / np.maximum(size - 1, 1)[:, None]
    oily = _OILY[tokens]
    for place, lag in enumerate(LAGS, start=_LETTERS + _PAIRS):
        both = oily[lag:] & oily[:-lag] & (row[lag:] == row[:-lag])
        out[:, place] = np.bincount(row[lag:][both], minlength=rows) / np.maximum(size - lag, 1)
    out[:, -1] = np.log(np.maximum(size, 1))
    return out


def fit(
    tokens: np.ndarray, lengths: np.ndarray, held_tokens: np.ndarray, held_lengths: np.ndarray
) -> dict[str, Any] | None:
    """Return the novelty entry of a model (mean, unit, root, threshold); None for fewer than two training rows.

    Parameters
    ----------
    tokens, lengths : of the training rows, as for `describe`.
    held_tokens, held_lengths : of rows held out of training.
    """
    if len(lengths) < 2:
        return None
    described = describe(tokens, lengths)
    entry = _model(described)
    if len(held_lengths) >= FEWEST:
        measured = _from(entry, describe(held_tokens, held_lengths))
    elif len(lengths) >= 2 * FOLDS:
        # each fold from the others: rows lie nearer to a mean and a covariance that they took part in
        parts = np.array_split(np.random.default_rng(0).permutation(len(lengths)), FOLDS)
        measured = np.concatenate(
            [_from(_model(np.delete(described, part, axis=0)), described[part]) for part in parts]
        )
    else:
        measured = _from(entry, described)
    return entry | {"threshold": float(f"{np.quantile(measured, QUANTILE):.{DIGITS}g}")}


def _model(described: np.ndarray) -> dict[str, list[float]]:
    """Return mean, unit and whitening matrix (its lower triangle) of descriptions (N, `WIDTH`)."""
    from sklearn.covariance import ledoit_wolf

    mean = described.mean(axis=0)
    # a residue that is always or never there has no spread: one more or less of it counts as one standard deviation
    one = np.full(WIDTH, 1 / max(float(np.exp(described[:, -1]).mean()), 1.0))
    one[-1] = LENGTH_UNIT
    unit = np.maximum(described.std(axis=0), one)
    covariance, _ = ledoit_wolf((described - mean) / unit, assume_centered=True)
    # nothing varies less than a tenth of its unit, however little the training rows do
    root = np.linalg.inv(np.linalg.cholesky(covariance + 0.01 * np.eye(WIDTH)))
    return {"mean": _short(mean), "unit": _short(unit), "root": _short(root[np.tril_indices(WIDTH)])}


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def distances(entry: Mapping[str, Any], tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return each protein's distance from the training rows, float64 (N,); tokens and lengths as for `describe`."""
    return _from(entry, describe(tokens, lengths))


def _from(entry: Mapping[str, Any], described: np.ndarray) -> np.ndarray:
    sizes = [len(entry[name]) for name in ("mean", "unit", "root")]
    if sizes != [WIDTH, WIDTH, WIDTH * (WIDTH + 1) // 2]:
        raise BiorrnError(
            f"model: novelty: found {sizes} numbers; allowed are {WIDTH}, {WIDTH} and those of a triangle"
        )
    root = np.zeros((WIDTH, WIDTH))
    root[np.tril_indices(WIDTH)] = entry["root"]
    z = (described - entry["mean"]) / entry["unit"]
    return np.asarray(np.sqrt(np.square(z @ root.T).sum(axis=1)))


def unlike(entry: Mapping[str, Any], tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the bool array (N,) that is True where a protein is unlike the training rows; never for an empty one."""
    return (distances(entry, tokens, lengths) > entry["threshold"]) & (np.asarray(lengths) > 0)


def sketch(tokens: np.ndarray, lengths: np.ndarray) -> str:
    """Return the words of the training rows by which a relative is found: sorted hashes, packed as text.

    One word of `WORD` residues in `SAMPLED` is kept, by its hash (Broder 1997, On the resemblance of documents).
    Tokens and lengths as for `describe`.
    """
    kept = np.unique(_words(tokens, lengths)[0])
    steps = np.diff(kept, prepend=kept.dtype.type(0)).astype("<u4")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode("ascii")


def alone(packed: str, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the bool array (N,) that is True where a protein has no relative among the rows of a `sketch`.

    Raises
    ------
    BiorrnError: the text holds no sketch.
    """
    words, rows = _words(tokens, lengths)
    known = _unpacked(packed)
    hits = np.isin(words, known)
    seen = np.bincount(rows, minlength=len(lengths))
    shared = np.bincount(rows[hits], minlength=len(lengths))
    return (shared < np.maximum(TWICE, SHARED * seen)) & (np.asarray(lengths) > 0)


@functools.lru_cache(maxsize=4)
def _unpacked(packed: str) -> np.ndarray:
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(packed), 1 << 26)
        return np.cumsum(np.frombuffer(plain, "<u4").astype(np.uint64))
    except (ValueError, zlib.error) as error:
        raise BiorrnError("model: relatives: holds no sketch of words") from error


def _words(tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of the sampled words, and the row of each."""
    if len(tokens) < WORD:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    code = np.zeros(len(tokens) - WORD + 1, np.uint64)
    for place in range(WORD):
        code = code * np.uint64(N_TOKENS) + tokens[place : len(tokens) - WORD + 1 + place].astype(np.uint64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    inside = row[: len(code)] == row[WORD - 1 :]
    with np.errstate(over="ignore"):  # Fibonacci hashing, modulo 2^64; the upper half is kept
        code = (code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    kept = inside & (code % np.uint64(SAMPLED) == 0)
    return code[kept], row[: len(code)][kept]


def has_mutants(tokens: np.ndarray, lengths: np.ndarray) -> bool:
    """Return whether some of the rows are mutants of others: one of 50 has another that differs in one to three places.

    Tokens and lengths as for `describe`; at most `ASKED` of them are searched, evenly spaced.
    """
    ends = np.cumsum(lengths)
    found = 0
    asked = np.unique(np.linspace(0, len(lengths) - 1, min(len(lengths), ASKED)).astype(np.int64))
    for row in asked:
        size = int(lengths[row])
        same = np.flatnonzero(np.asarray(lengths) == size)[:ROWS]
        if not size or len(same) * size > BLOCK:
            same = same[: BLOCK // max(size, 1)]
        others = tokens[(ends[same] - size)[:, None] + np.arange(size)]
        changed = (others != tokens[ends[row] - size : ends[row]]).sum(1)
        found += bool(((changed > 0) & (changed <= 3)).any())
    return found >= max(2, MUTANTS * len(asked))
