"""Coverage of prediction intervals: overall, and by level, width, length and identity to the training rows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biorrn.proteins.predictions import Predictions, Proteins
from biorrn.proteins.uncertainty.conformal import LEVEL, LEVELS
from biorrn.proteins.uncertainty.novelty import FLAG
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.similarity import nearest, word_length
from biorrn.stats.bootstrap import proportion

IDENTITIES = (0.4, 0.6, 0.8, 0.9, 0.95, 0.98)  # edges of the bins; below the first nothing is looked for
COMPARED = 2000  # rows whose nearest training row is looked for, at most
GROUPS = 5  # of lengths, and of widths
ALIKE = 1e-3  # of the widest interval: smaller differences are rounding of the table


def coverage_of(
    rows: Proteins,
    given: Predictions,
    column: int,
    *,
    level: float = LEVEL,
    entry: Mapping[str, Any] | None = None,
    likeness: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the coverage of the intervals of one target.

    Parameters
    ----------
    rows, given : the evaluated rows and their predictions, which have intervals.
    level : float: what the intervals were made for; one of `conformal.LEVELS` where `entry` is given.
    entry : what `conformal.fit` gave for the target: the widths at all other levels follow from it.
    likeness : float array (N,), optional: as `nearest_identity` gives it.

    Returns
    -------
    dict: level; overall: proportion and mean "width", in the target's unit; levels, width, length, identity, flag:
    lists of such, with "level", or with the "name" of a bin. A proportion is as `proportion` gives it. Where all
    intervals are equally wide, `width` has no bins.
    """
    assert given.lower is not None  # checked by the caller
    assert given.upper is not None
    true, lower, upper = rows.targets[:, column], given.lower[:, column], given.upper[:, column]
    known = np.isfinite(true) & np.isfinite(lower)  # a protein that the model does not know may have no interval
    inside, width = (true >= lower) & (true <= upper), upper - lower

    def cell(mask: np.ndarray) -> dict[str, float]:
        return _held(inside[mask], width[mask])

    def bins(masks: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        return [{"name": name} | cell(mask & known) for name, mask in masks.items() if (mask & known).any()]

    flagged = np.array([FLAG in marks for marks in given.marks])
    return {
        "level": level,
        "overall": cell(known),
        "levels": _levels(true[known], lower[known], upper[known], level, entry),
        "width": bins(_by_width(width, known)),
        "length": bins(_by_length(rows.lengths)),
        "identity": [] if likeness is None else bins(_by_identity(likeness)),
        "flag": bins({"like the training rows": ~flagged, FLAG: flagged}) if flagged.any() else [],
    }


def nearest_identity(rows: Proteins, train: Proteins, seed: int = 0) -> np.ndarray | None:
    """Return the identity of each row's nearest training row, (N,): 0 below `IDENTITIES`, NaN where it was not sought.

    At most `COMPARED` rows, drawn by `seed`, are compared. None without training rows.
    """
    if not len(train) or not len(rows):
        return None
    chosen = np.arange(len(rows))
    if len(chosen) > COMPARED:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, COMPARED, replace=False))
    mask = np.zeros(len(rows), bool)
    mask[chosen] = True
    some, least = rows.select(mask), IDENTITIES[0]
    _, best = nearest(
        some.tokens, offsets_of(some.lengths), train.tokens, offsets_of(train.lengths), least, word_length(least), 1.0
    )
    found = np.full(len(rows), np.nan)
    found[chosen] = best
    return found


def _held(inside: np.ndarray, width: np.ndarray) -> dict[str, float]:
    """Return the proportion of values inside their intervals, and the mean width."""
    found = proportion(int(inside.sum()), len(inside))
    return found | {"width": float(np.mean(width)) if len(width) else float("nan")}


def _levels(
    true: np.ndarray, lower: np.ndarray, upper: np.ndarray, level: float, entry: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    quantiles = dict(zip(LEVELS, entry["quantiles"], strict=True)) if entry is not None else {}
    own = quantiles.get(level)
    if not own:
        quantiles, own = {level: 1.0}, 1.0
    rows = []
    for other, value in quantiles.items():
        if value is not None:
            wide = half * (value / own)
            inside = (true >= lower) & (true <= upper) if other == level else np.abs(true - middle) <= wide
            rows.append({"level": other} | _held(inside, 2 * wide))
    return rows


def _by_width(width: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Return up to `GROUPS` groups of about equal numbers of measured rows; none where all are equally wide."""
    if not known.any() or np.ptp(width[known]) <= ALIKE * width[known].max():
        return {}
    edges = np.unique(np.quantile(width[known], np.linspace(0, 1, GROUPS + 1), method="lower"))
    last = len(edges) - 2
    return {
        f"width {low:.3g} to {high:.3g}": (width >= low) & ((width < high) if place < last else (width <= high))
        for place, (low, high) in enumerate(itertools.pairwise(edges))
    }


def _by_length(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Return up to `GROUPS` groups of about equal numbers of rows."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, GROUPS + 1), method="lower"))
    if len(edges) == 1:
        return {f"{edges[0]} residues": np.ones(len(lengths), bool)}
    ends = [*edges[1:-1], edges[-1] + 1]
    return {
        f"{low} residues" if end - 1 == low else f"{low} to {end - 1} residues": (lengths >= low) & (lengths < end)
        for low, end in zip(edges[:-1], ends, strict=True)
    }


def _by_identity(likeness: np.ndarray) -> dict[str, np.ndarray]:
    shown: Sequence[float] = [0.0, *IDENTITIES, 1.0]
    groups = {}
    for low, high in itertools.pairwise(shown):
        name = f"nearest {100 * low:.0f} to {100 * high:.0f} %" if low else f"nearest below {100 * high:.0f} %"
        groups[name] = (likeness >= low) & ((likeness < high) | (high == 1.0))
    return groups
