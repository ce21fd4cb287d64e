"""Paired comparison of two models on the same rows: bootstrap, sign test, Wilcoxon test.

Differences are bootstrapped over the rows, both models on the same resamples. If a side has several seeds, each
resample draws seeds too, so that the interval includes the variation between seeds. The number of rows that each side
predicts better is given too, and two tests of the paired absolute errors: the sign test and Wilcoxon's signed ranks
(1945, Biometrics Bulletin 1:80).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import read_json
from biorrn.config.recipe import load_recipe
from biorrn.nn.store import RECIPE, load_model
from biorrn.proteins.predictions import Prepared, Proteins, join, predicted_names, read_measured, read_prepared
from biorrn.sequences.prediction_files import in_split
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.reader import is_table
from biorrn.stats.bootstrap import RESAMPLES, independent, interval, resample_counts
from biorrn.stats.figures import INK, WIDTH, Drawing, cloud, draw, plain, say
from biorrn.stats.metrics import FEWEST, RESAMPLED, known_groups

HEADLINE = "spearman"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its name, and the predictions of each of its runs, float64 (S, N, K)."""

    name: str
    values: np.ndarray


def prepared_of(run: Path) -> Path:
    """Return the prepared file that a run folder was trained on.

    Raises
    ------
    InputError: the folder does not name it, or the file is missing.
    """
    record = run / "provenance.json"
    if not record.is_file():
        raise InputError(run, "is no finished run (provenance.json is missing); name the prepared file with --data")
    for name in read_json(record).get("data") or {}:
        # a folder that was moved has its own data beside it
        for path in (run / Path(name).name, Path(name)):
            if path.is_file():
                return path
    raise InputError(run, "the prepared file it was trained on is not found; name one with --data")


def parts(text: str) -> list[Path]:
    """Return the runs or tables of one side: paths separated by commas.

    Raises
    ------
    InputError: a path is missing.
    """
    names = [text] if Path(text).exists() else [name for name in text.split(",") if name]
    for name in names or [text]:
        if not Path(name).exists():
            raise InputError(name, "not found; allowed is a run folder or a table of `biorrn predict`")
    return [Path(name) for name in names]


def predictions_of(path: Path, rows: Proteins, data: Prepared, prepared: Path, device: str) -> np.ndarray:
    """Return the predictions of a run folder or a table for rows, float64 (N, K).

    Raises
    ------
    InputError: the table lacks a row or a target.
    ConfigError: the model has other targets than the prepared file.
    """
    if not path.is_dir():
        return join(path, rows, data.targets, prepared).values
    from biorrn.base.compute import choose_device
    from biorrn.proteins.predict import predict, target_names

    stored = load_model(path)
    names, wanted = target_names(stored), [str(target["name"]) for target in data.targets]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ConfigError(f"{path}: predicts {', '.join(names)}; the rows of {prepared} have {', '.join(wanted)}")
    records = (ProteinRecord(str(name), text) for name, text in zip(rows.ids, rows.sequences(), strict=True))
    values = np.array([row.values for row in predict(stored, records, device=choose_device(device))])
    return values.reshape(len(rows), len(names))[:, [names.index(name) for name in wanted]]


def compare_models(
    a: str,
    b: str,
    *,
    data: Path | None = None,
    split: str | None = None,
    target: Sequence[str] = (),
    wild_type: str | None = None,
    offset: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> tuple[dict[str, Any], np.ndarray, list[Side]]:
    """Compare two models, or two sets of runs with different seeds, on the rows of a split.

    Parameters
    ----------
    a, b : run folders or tables of predictions, several separated by commas.
    data : the prepared file or the table of the rows; None takes the one that the first run of `a` was trained on.
    split : of the rows; None is valid, of a table all.
    target, wild_type, offset : of a table, see `proteins.predictions.read_measured`.

    Returns the comparison, see `compare_values`; the measured values (N, K); and the two sides.

    Raises
    ------
    ConfigError, InputError: a run, a table or the split cannot be used.
    """
    left, right = parts(a), parts(b)
    folders = [path for path in (*left, *right) if path.is_dir()]
    if data is None and not folders:
        raise ConfigError("--data: two tables of predictions need the prepared file with the measured values")
    prepared = data or prepared_of(folders[0])
    both = [name for name in predicted_names(left[0]) if name in predicted_names(right[0])]
    read = read_measured(prepared, both, target, wild_type=wild_type, offset=offset)
    split = split or ("all" if is_table(prepared) else "valid")
    rows = read.rows.select(in_split(read, split, prepared))
    sides = [
        Side(name, np.stack([predictions_of(path, rows, read, prepared, device) for path in paths]))
        for name, paths in ((a, left), (b, right))
    ]
    content: dict[str, Any] = {"a": a, "b": b, "data": str(prepared), "split": split, "rows": len(rows), "cautions": []}
    names, groups = [str(target["name"]) for target in read.targets], rows.proteins()
    content["targets"] = {
        name: compare_values(rows.targets[:, k], sides[0].values[:, :, k], sides[1].values[:, :, k], seed, groups)
        for k, name in enumerate(names)
    }
    seen = 0
    for side, paths in (("A", left), ("B", right)):
        for path in (path for path in paths if path.is_dir()):
            caution, own = rows_trained_on(path, rows)
            content["cautions"] += [f"{side}: {caution}"] if caution else []
            seen += own
    for entry in content["targets"].values() if seen else ():
        entry |= {"better": None, "sentence": "No verdict: " + entry["sentence"] + " See the caution."}
    return content, rows.targets, sides


def rows_trained_on(run: Path, rows: Proteins) -> tuple[str, int]:
    """Return a caution, and how many of the rows the model of a run folder was trained on, by their sequences."""
    try:
        own = read_prepared(prepared_of(run))
    except InputError:
        return f"whether {run} was trained on these rows is not known: its prepared file is not there", 0
    # the folds of a run have seen each other's validation rows
    fitted = "train+valid" if (run / "folds").is_dir() else load_recipe(run / RECIPE).fitted
    splits = SPLITS if fitted is None else fitted.split("+")
    used = np.isin(own.split, [SPLITS.index(name) for name in splits])
    known = set(own.rows.select(used).sequences())
    seen = sum(text in known for text in rows.sequences())
    return (f"{run} was trained on {seen:,} of these {len(rows):,} rows" if seen else ""), seen


def compare_values(
    true: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """Return the paired comparison of two models on one target.

    Parameters
    ----------
    true : float array (N,): measured; NaN is missing.
    a, b : float arrays (S, N): what each run of the two sides predicts.
    groups : int array (N,), optional: the same number for rows of one protein, which are drawn together.

    Returns
    -------
    {"n", "metrics": {metric: {"a", "b", "difference": {"value", "low", "high"}}}, "won": {"a", "b", "equal"}, "sign_p",
    "wilcoxon_p", "better": "a", "b" or None, "sentence"}; a metric of several runs is the mean over them.
    """
    known = ~np.isnan(true)
    groups = known_groups(groups, true)
    true, a, b = true[known], a[:, known], b[:, known]
    n = len(true)
    enough = independent(n, groups) >= FEWEST
    metrics = {}
    for metric in RESAMPLED:
        ones = np.ones((1, n))
        ours, theirs = (float(_scores(metric, true, side, ones).mean()) if n else float("nan") for side in (a, b))
        low, high = interval(_resampled(metric, true, a, b, seed, groups) if enough else np.empty(0))
        gap = {"value": ours - theirs, "low": low, "high": high}
        metrics[metric] = {"a": ours, "b": theirs, "difference": gap}
    errors_a, errors_b = np.abs(a - true).mean(axis=0), np.abs(b - true).mean(axis=0)
    won = {"a": int((errors_a < errors_b).sum()), "b": int((errors_b < errors_a).sum())}
    won["equal"] = n - won["a"] - won["b"]
    sign_p, wilcoxon_p = _tests(errors_a - errors_b)
    better, sentence = judge(metrics[HEADLINE])
    return {
        "n": n,
        "metrics": metrics,
        "won": won,
        "sign_p": sign_p,
        "wilcoxon_p": wilcoxon_p,
        "better": better,
        "sentence": sentence,
    }


def judge(entry: dict[str, Any]) -> tuple[str | None, str]:
    """Return the better side: one is better if the whole interval of the difference in Spearman is on one side of 0."""
    gap = entry["difference"]
    text = f"{gap['value']:+.4f} Spearman, 95 % interval {gap['low']:+.4f} to {gap['high']:+.4f}"
    if gap["low"] > 0:
        return "a", f"A ranks better than B ({text})."
    if gap["high"] < 0:
        return "b", f"B ranks better than A ({text})."
    if not gap["low"] <= gap["high"]:
        return None, "A and B cannot be compared: too few measured values."
    return None, f"No significant difference: A and B may rank equally well ({text})."


def _scores(metric: str, true: np.ndarray, side: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the metric of each run of a side, (S, R); a side that is constant ranks nothing, which counts as 0."""
    values = np.stack([RESAMPLED[metric](true, run, counts) for run in side])
    return np.nan_to_num(values, nan=0.0) if metric in ("spearman", "pearson") else values


def _resampled(
    metric: str, true: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int, groups: np.ndarray | None
) -> np.ndarray:
    """Return the difference of each resample of the rows, and of the runs where a side has several: (RESAMPLES,)."""
    rng = np.random.default_rng([seed, 3])
    gaps = []
    for counts in resample_counts(len(true), RESAMPLES, seed, groups):
        means = []
        for side in (a, b):
            scores = _scores(metric, true, side, counts)  # (S, R)
            drawn = rng.integers(0, len(side), size=(len(side), scores.shape[1]))
            means.append(np.take_along_axis(scores, drawn, axis=0).mean(axis=0) if len(side) > 1 else scores[0])
        gaps.append(means[0] - means[1])
    return np.concatenate(gaps)


def _tests(gaps: np.ndarray) -> tuple[float, float]:
    """Return two-sided p values of the sign test and of Wilcoxon's test; 1 where no row differs."""
    from scipy import stats

    gaps = gaps[gaps != 0]
    if not len(gaps):
        return 1.0, 1.0
    sign = stats.binomtest(int((gaps < 0).sum()), len(gaps)).pvalue
    return float(sign), float(stats.wilcoxon(gaps).pvalue)


def lines(content: dict[str, Any]) -> list[str]:
    """Return a comparison in lines for a terminal."""
    said = [f"A: {content['a']}", f"B: {content['b']}", f"{content['rows']:,} rows of split '{content['split']}'"]
    for name, entry in content["targets"].items():
        said.append(f"{name}\tA\tB\tA - B\t95 % interval")
        for metric, values in entry["metrics"].items():
            gap = values["difference"]
            cells = [f"{values['a']:.4f}", f"{values['b']:.4f}", f"{gap['value']:+.4f}"]
            cells.append(f"{gap['low']:+.4f} to {gap['high']:+.4f}")
            said.append("\t".join([f"  {metric}", *("-" if "nan" in cell else cell for cell in cells)]))
        won = entry["won"]
        said.append(
            f"  nearer to the measured value: A in {won['a']:,} rows, B in {won['b']:,}; sign test p "
            f"{entry['sign_p']:.2g}, Wilcoxon p {entry['wilcoxon_p']:.2g}"
        )
        said.append(f"  {entry['sentence']}")
    return said + [f"caution: {caution}" for caution in content["cautions"]]


def comparison_figure(content: dict[str, Any], true: np.ndarray, sides: list[Side]) -> Drawing:
    """Draw predictions of A against B (left) and their absolute errors (right), a row of panels a target.

    Parameters
    ----------
    content : the result of `compare_models`, with the measured values `true` (N, K) and the two sides.
    """
    names = list(content["targets"])

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.4 * WIDTH)
        panels = figure.subplots(len(names), 2, squeeze=False)
        for k, name in enumerate(names):
            known = ~np.isnan(true[:, k])
            a, b = (side.values[:, known, k].mean(axis=0) for side in sides)
            measured = true[known, k]
            values, errors = panels[k]
            _pair(values, figure, a, b, f"{name}, A", f"{name}, B")
            _pair(errors, figure, np.abs(a - measured), np.abs(b - measured), "error, A", "error, B")
            won = content["targets"][name]["won"]
            errors.set_title(f"A nearer {won['a']:,}, B nearer {won['b']:,}", fontsize=8)

    caption = f"Predictions and absolute errors of A ({content['a']}) and B ({content['b']}); dashed: equal."
    return draw("compare", caption, paint, 2.4 * len(names) + 0.2)


def _pair(axes: Any, figure: Figure, x: np.ndarray, y: np.ndarray, across: str, up: str) -> None:
    if not len(x):
        return say(axes, "no measured values")
    cloud(axes, figure, x, y)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.set(xlabel=plain(across), ylabel=plain(up))
