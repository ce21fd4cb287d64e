"""Conformal prediction intervals: split-conformal, with cross-fitted scales.

On rows that neither trained the model nor chose anything of it, the error of each prediction is divided by a scale; the
quantile of these scores, times the scale of a new prediction, is half the width of its interval (Vovk, Gammerman and
Shafer 2005, Algorithmic Learning in a Random World; Lei et al. 2018, J Am Stat Assoc 113:1094, locally weighted). With
the finite-sample quantile, the interval covers new rows of the same distribution as often as its level says in the
mean, whatever the model. Rows of another distribution (more mutations, other folds) have no guarantee.

The scale is 1 for a single model, and sqrt(spread^2 + floor^2) where a prediction has a spread. The floor is the one
of a grid whose intervals have the best score at 90 % (Gneiting and Raftery 2007, J Am Stat Assoc 102:359: width, plus
what lies outside times 2 / 0.1). Where `PROFILED` rows or more are there, the scale is also proportional to the mean
error of rows with a similar prediction, so that intervals hold as often for high as for low values. No row is scored by
what it helped to choose: each fold of the rows is scored with the floor and the profile of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.nn.facts import targets_of

LEVELS = tuple(number / 100 for number in range(50, 100))  # whose quantiles a model carries
LEVEL = 0.9  # of an interval unless asked otherwise; also the one at which the floor is chosen
FLOORS = tuple(2.0**power for power in np.arange(-3, 7.5, 0.5))  # times the median spread, up to no effect of it
FEWEST = 10  # rows: from so few on there is a quantile at 90 %
PROFILED, BINS = 500, 8  # rows from which on errors are profiled along the prediction; bins of the profile
DIGITS = 6  # of a stored number
TERMS, SUMS = (2, 3, 4, 5), 60  # effects that are added up to see how errors grow, and sums of each protein
FOLDS = 5  # of the calibration rows, where a part is scored by what the others chose


def check_level(level: float) -> float:
    """Return a level that a model can have an interval for, the next of `LEVELS` at or above the one asked for.

    Raises
    ------
    ConfigError: below 0.5 or above 0.99.
    """
    above = [known for known in LEVELS if known >= level - 1e-9]
    if not (above and level >= LEVELS[0]):
        raise ConfigError(f"--level: found {level:g}; allowed is {LEVELS[0]:g} to {LEVELS[-1]:g}")
    return above[0]


def quantile(scores: np.ndarray, level: float) -> float | None:
    """Return the conformal quantile of scores (N,): of rank (N + 1) * level; None where N is too small.

    A new score is at or below the k-th smallest with probability k / (N + 1). Between two ranks it is interpolated, so
    that the mean coverage is the level also of few rows; the next rank alone would cover up to 1 / (N + 1) more.

    >>> quantile(np.arange(1.0, 11.0), 0.9), quantile(np.arange(1.0, 11.0), 0.95)
    (9.9, None)
    """
    rank = (len(scores) + 1) * level
    below, above = int(np.floor(rank + 1e-9)), int(np.ceil(rank - 1e-9))
    if above > len(scores) or below < 1:
        return None
    ordered = np.partition(scores, sorted({below - 1, above - 1}))
    low, high = float(ordered[below - 1]), float(ordered[above - 1])
    return low + (rank - below) * (high - low) if above > below else low


def scales(entry: Mapping[str, Any], predicted: np.ndarray, spread: np.ndarray | None) -> np.ndarray:
    """Return the scale of each row, (N,), from what `fit` gave, the predictions and their spread, both (N,)."""
    floor, profile = entry.get("floor"), entry.get("profile")
    own = np.ones(len(predicted)) if floor is None or spread is None else np.hypot(spread, floor)
    return own if profile is None else own * np.interp(predicted, profile["at"], profile["size"])


def profile_of(predicted: np.ndarray, errors: np.ndarray) -> dict[str, list[float]] | None:
    """Return the mean error along the prediction, relative to that of all rows; None for too few rows.

    Parameters
    ----------
    predicted, errors : float arrays (N,): predictions and absolute errors.

    Returns
    -------
    {"at", "size"}: medians of the predictions in `BINS` bins of as many rows, rising, and the relative errors there.
    """
    middle = float(errors.mean()) if len(errors) >= PROFILED else 0.0
    if not middle > 0:
        return None
    parts = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    at = np.array([np.median(predicted[part]) for part in parts])
    size = np.array([errors[part].mean() / middle for part in parts])
    at, first = np.unique(at, return_index=True)
    return {"at": [_short(value) for value in at], "size": [_short(max(value, 0.1)) for value in size[first]]}


def choose_floor(errors: np.ndarray, spread: np.ndarray) -> float:
    """Return the floor, above 0, under which intervals at 90 % score best.

    Parameters
    ----------
    errors : float array (N,): absolute errors; spread : float array (N,).
    """
    middle = float(np.median(spread))
    if not middle > 0:
        middle = float(np.median(errors)) or 1.0
    scored: dict[float, float] = {}
    for factor in FLOORS:
        scale = np.hypot(spread, factor * middle)
        half = (quantile(errors / scale, LEVEL) or float((errors / scale).max(initial=0.0))) * scale
        outside = np.maximum(errors - half, 0.0)
        scored[factor * middle] = float(np.mean(2 * half + 2 / (1 - LEVEL) * outside))
    return min(scored, key=lambda floor: scored[floor])


def fit(true: np.ndarray, predicted: np.ndarray, spread: np.ndarray | None = None) -> dict[str, Any] | None:
    """Return the conformal entry of one target: rows, floor (None: scale 1), and the quantile at each of `LEVELS`.

    Parameters
    ----------
    true, predicted : float arrays (N,): rows that the model was not fitted to; NaN in `true` is missing.
    spread : float array (N,), optional: as `nn.forward` gives it.

    `difference` holds the quantiles of the error of a difference between two rows, from as many pairs of them: of a
    model of variants these are differences between variants.

    Returns None where fewer than 10 values are there.
    """
    known = np.isfinite(true) & np.isfinite(predicted)
    errors = np.abs(true[known] - predicted[known]).astype(np.float64)
    if len(errors) < FEWEST:
        return None
    given = predicted[known].astype(np.float64)
    own = None if spread is None else np.asarray(spread[known], np.float64)
    entry = _settings(errors, given, own)
    scores = errors / _own_scales(errors, given, own, entry)
    signed = (true - predicted)[known].astype(np.float64)
    order = np.random.default_rng(0).permutation(len(signed))
    gaps = np.abs(signed[order] - np.roll(signed[order], 1))
    return {
        "rows": len(errors),
        **entry,
        "quantiles": _quantiles(scores),
        "difference": _quantiles(gaps),
    }


def _settings(errors: np.ndarray, predicted: np.ndarray, spread: np.ndarray | None) -> dict[str, Any]:
    """Return {"floor"} and, of enough rows, {"profile"} as these rows choose them."""
    profile = profile_of(predicted, errors)
    found: dict[str, Any] = {} if profile is None else {"profile": profile}
    floor = None if spread is None else _short(choose_floor(errors / scales(found, predicted, None), spread))
    return {"floor": floor} | found


def _quantiles(scores: np.ndarray) -> list[float | None]:
    found = (quantile(scores, level) for level in LEVELS)
    return [None if value is None else _short(value) for value in found]


def fit_differences(errors: np.ndarray) -> dict[str, Any]:
    """Return the conformal entry of the differences between a mutant and its wild type.

    Parameters
    ----------
    errors : float array (N,): measured minus predicted differences of pairs that trained nothing.
    """
    return {"rows": len(errors), "quantiles": _quantiles(np.abs(errors))}


def _own_scales(
    errors: np.ndarray, predicted: np.ndarray, spread: np.ndarray | None, final: Mapping[str, Any]
) -> np.ndarray:
    """Return the scale of each calibration row (N,): chosen without it, and brought to the unit of the final one."""
    if final["floor"] is None and "profile" not in final:
        return np.ones(len(errors))
    out = np.empty(len(errors))
    last = scales(final, predicted, spread)
    for part in dealt(np.arange(len(errors)), FOLDS):
        rest = np.setdiff1d(np.arange(len(errors)), part)
        some = None if spread is None else spread[rest]
        own = scales(_settings(errors[rest], predicted[rest], some), predicted, spread)
        # a larger floor makes every scale larger: in the units of the final one, by what the other rows have of both
        out[part] = own[part] * float(np.median(last[rest]) / np.median(own[rest]))
    return out


def dealt(rows: np.ndarray, folds: int, seed: int = 0) -> list[np.ndarray]:
    """Split rows (N,) at random into `folds` parts."""
    return np.array_split(np.random.default_rng(seed).permutation(rows), folds)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def half_widths(
    entry: Mapping[str, Any],
    level: float,
    predicted: np.ndarray,
    spread: np.ndarray | None,
    together: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return half the width of each row's interval, (N,), from what `fit` gave; None where the level has no quantile.

    Parameters
    ----------
    level : float: one of `LEVELS`; see `check_level`.
    predicted, spread : float arrays (N,); the latter None where the model gives none.
    together : int array (N,), optional: effects whose sum a value is, by whose number the width grows; see `growth`.
    """
    found = entry["quantiles"][LEVELS.index(level)]
    if found is None:
        return None
    half = found * scales(entry, predicted, spread)
    if together is None:
        return half
    rises = entry.get("growth")
    larger = np.where(together == 1, 1.0, np.nan) if rises is None else together ** rises[LEVELS.index(level)]
    return np.where(together == 0, 0.0, half * larger)


def growth(errors: np.ndarray, owner: np.ndarray, place: np.ndarray) -> list[float]:
    """Return the power g at each of `LEVELS`: a sum of k effects of one protein has k ** g times the error of one.

    Of each protein, `SUMS` sums of measured effects at k different places are drawn, for k of `TERMS`; g is the mean
    over k.

    Parameters
    ----------
    errors : float array (N,): measured minus predicted effects; owner, place : arrays (N,): of which protein and place.
    """
    draw, names = np.random.default_rng(0), np.unique(owner)
    found: dict[int, np.ndarray] = {}
    for terms in (1, *TERMS):
        sums = []
        for name in names:
            own = np.flatnonzero(owner == name)
            for _ in range(SUMS if len(np.unique(place[own])) >= terms else 0):
                mixed = draw.permutation(own)
                _, first = np.unique(place[mixed], return_index=True)
                sums.append(float(errors[mixed[np.sort(first)[:terms]]].sum()))
        found[terms] = np.quantile(np.abs(sums), LEVELS)
    powers = [np.log(found[terms] / found[1]) / np.log(terms) for terms in TERMS]
    return [_short(value) for value in np.mean(powers, axis=0)]


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of a model at one level.

    Attributes
    ----------
    entries : list, one a target, of what `fit` gave.
    level : float: one of `LEVELS`.
    unlike : list, one a target: what `fit` gave on proteins that the model does not know; None: they have no interval.
    bounds : list, one a target, of (low, high): beyond which there is no value of it.
    """

    entries: list[Mapping[str, Any]]
    level: float
    unlike: list[Mapping[str, Any] | None]
    bounds: list[tuple[float, float]]

    @classmethod
    def of(cls, facts: Mapping[str, Any], names: Sequence[str], level: float = LEVEL) -> Intervals | None:
        """Return the intervals that a model's facts allow for its targets; None where one of them has none.

        Raises
        ------
        ConfigError: the level is below 0.5 or above 0.99.
        """
        level = check_level(level)
        known = facts.get("conformal") or {}
        entries = [known.get(name) for name in names]
        place = LEVELS.index(level)
        if any(entry is None or entry["quantiles"][place] is None for entry in entries):
            return None
        own = [entry for entry in entries if entry is not None]
        return cls(own, level, [entry.get("unlike") for entry in own], bounds_of(facts, names))

    def __call__(
        self,
        values: np.ndarray,
        spread: np.ndarray | None,
        unknown: np.ndarray | None = None,
        together: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends (N, K) of values (N, K) with their spread (N, K).

        Parameters
        ----------
        unknown : bool array (N,), optional: proteins that the model does not know. They have the interval that was
            measured for such, NaN where none was.
        together : int array (N,), optional: as for `half_widths`.
        """
        half = np.empty_like(values)
        for column, entry in enumerate(self.entries):
            own = None if spread is None else spread[:, column]
            widths = half_widths(entry, self.level, values[:, column], own, together)
            assert widths is not None  # checked by `of`
            half[:, column] = widths
            if unknown is not None and unknown.any():
                other = self.unlike[column]
                wider = None if other is None else half_widths(other, self.level, values[:, column], own, together)
                half[unknown, column] = np.nan if wider is None else np.maximum(wider, widths)[unknown]
        low, high = np.array(self.bounds).T
        return np.clip(values - half, low, high), np.clip(values + half, low, high)


def bounds_of(facts: Mapping[str, Any], names: Sequence[str]) -> list[tuple[float, float]]:
    """Return for each target the lowest and the highest value that there is, from a model's facts; else -inf, inf."""
    given: dict[Any, Any] = {target.get("name"): target.get("bounds") for target in targets_of(facts)}
    return [(-np.inf, np.inf) if given.get(name) is None else tuple(given[name]) for name in names]


def difference_widths(
    facts: Mapping[str, Any], names: Sequence[str], level: float, unknown: bool
) -> list[float] | None:
    """Return half the width of the interval of a difference between mutant and wild type, one a target, or None.

    Measured on pairs of a mutant and its wild type (`difference` among the facts) where there were any; else, for a
    model of the variants of one protein, on pairs of the rows that calibrate its intervals; else there is none.

    Parameters
    ----------
    unknown : bool: the wild type is a protein that the model does not know.
    """
    place, found = LEVELS.index(check_level(level)), []
    for name in names:
        entry = (facts.get("difference") or {}).get(name)
        if entry is not None and unknown:
            entry = entry.get("unlike")
        elif entry is None and facts.get("reference") and not unknown:
            entry = {"quantiles": ((facts.get("conformal") or {}).get(name) or {}).get("difference")}
        quantiles = entry and entry.get("quantiles")
        if not quantiles or quantiles[place] is None:
            return None
        found.append(float(quantiles[place]))
    return found


def cross_half_widths(
    true: np.ndarray, predicted: np.ndarray, spread: np.ndarray | None = None, *, level: float = LEVEL
) -> np.ndarray | None:
    """Return half the width of each row's interval, (N,), as the other folds of the rows calibrate it.

    Parameters are as for `fit`. None where too few rows are there.
    """
    known = np.flatnonzero(np.isfinite(true) & np.isfinite(predicted))
    out = np.full(len(true), np.nan)
    for part in dealt(np.arange(len(true)), FOLDS):
        rest = np.setdiff1d(known, part)
        entry = fit(true[rest], predicted[rest], None if spread is None else spread[rest])
        half = entry and half_widths(entry, level, predicted[part], None if spread is None else spread[part])
        if half is None:
            return None
        out[part] = half
    return out


def cross_coverage(
    true: np.ndarray,
    predicted: np.ndarray,
    spread: np.ndarray | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the coverage on rows left out of the calibration: each fold with the fit of the others.

    Parameters
    ----------
    true, predicted, spread : as for `fit`.
    levels : some of `LEVELS`.
    folds : int: 2 or more; rows are assigned at random.

    Returns
    -------
    dict: rows, folds, and "levels": one {"level", "coverage", "width", "folds"} each, the last a list of coverages.

    Raises
    ------
    ConfigError: fewer than 2 folds, or too few rows for one to be left out.
    """
    known = np.flatnonzero(np.isfinite(true) & np.isfinite(predicted))
    if folds < 2 or len(known) - -(-len(known) // folds) < FEWEST:
        problem = f"found {folds} for {len(known)} rows; allowed is 2 or more, with {FEWEST} rows left for calibration"
        raise ConfigError(f"--folds: {problem}")
    parts = dealt(known, folds, seed)
    inside: dict[float, list[np.ndarray]] = {level: [] for level in levels}
    widths: dict[float, list[np.ndarray]] = {level: [] for level in levels}
    for part in parts:
        rest = np.setdiff1d(known, part)
        entry = fit(true[rest], predicted[rest], None if spread is None else spread[rest])
        assert entry is not None  # the check above leaves enough rows
        errors = np.abs(true[part] - predicted[part])
        for level in levels:
            half = half_widths(entry, level, predicted[part], None if spread is None else spread[part])
            if half is not None:
                inside[level].append(errors <= half)
                widths[level].append(2 * half)
    return {
        "rows": len(known),
        "folds": folds,
        "levels": [
            {
                "level": level,
                "coverage": float(np.mean(np.concatenate(inside[level]))),
                "width": float(np.mean(np.concatenate(widths[level]))),
                "folds": [float(np.mean(part)) for part in inside[level]],
            }
            for level in levels
            if inside[level]
        ],
    }
