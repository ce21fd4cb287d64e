"""Figures of an evaluation of tags: confusion, accuracy by confidence, baselines, and tracks of a few proteins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.evaluation.evaluate_tagging import Judged
from biorrn.evaluation.figures import BLUE, GREY, INK, ORANGE, PALE, STYLE, Drawing, cloud, draw, plain, say, slug
from biorrn.evaluation.figures_regression import bars
from biorrn.evaluation.figures_structure import ROW, key, rows_of_axes, shapes, track
from biorrn.evaluation.metric_names import BESIDE, NAMES, deciding

TRACKS = 5  # proteins that are drawn
SUITED = (60, 250)  # residues of a protein that is readable in a figure, where there are such


def _confusion(table: Mapping[str, Mapping[str, int]], names: list[str]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        counts = np.array([list(row.values()) for row in table.values()], float)
        total = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
        drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (true, predicted), part in np.ndenumerate(share):
            colour = "white" if part > 0.55 else INK
            text = f"{100 * part:.1f} %" if len(share) <= 5 else f"{100 * part:.0f}"
            axes.text(predicted, true, text, ha="center", va="center", fontsize=8, color=colour)
        labels = [plain(name) for name in names]
        turn = 0 if len(names) <= 4 else 60
        axes.set_xticks(range(len(names)), labels, rotation=turn)
        axes.set_yticks(range(len(names)), labels)
        axes.set(xlabel="predicted", ylabel="true")
        axes.grid(visible=False)
        figure.colorbar(drawn, ax=axes, label="part of the true state", pad=0.02)

    return paint


def _reliability(table: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        rows = table["bins"]
        sure, right = [row["confidence"] for row in rows], [row["accuracy"] for row in rows]
        top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        top.plot(sure, right, "o-", color=BLUE, markersize=5)
        top.set(ylabel="accuracy", xlim=(min(0.25, min(sure) - 0.02), 1), ylim=(min(0.25, min(right) - 0.02), 1))
        top.text(0.03, 0.94, f"calibration error {table['calibration_error']:.3f}", transform=top.transAxes, va="top")
        widths = [row["to"] - row["from"] for row in rows]
        bottom.bar([row["from"] for row in rows], [row["residues"] for row in rows], widths, align="edge", color=PALE)
        bottom.set(xlabel="probability of the state that was called", ylabel="residues")

    return paint


def _baselines(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Callable[[Figure], None]:
    first = deciding(next(iter(baselines.values())))

    def paint(figure: Figure) -> None:
        for axes, name in zip(figure.subplots(2, 1), (first, BESIDE[first]), strict=True):
            others = [
                (key, entry["metrics"][name], PALE if entry["beats"] else ORANGE) for key, entry in baselines.items()
            ]
            bars(axes, [("model", metrics[name], BLUE), *others], NAMES[name])

    return paint


def chosen(judged: Judged, most: int = TRACKS) -> list[int]:
    """Return the rows to draw: of a readable length where there are such, from the worst to the best, evenly spread.

    Accuracy is that of the labelled residues.
    """
    rows, called = judged.rows, judged.given.states
    owner = np.repeat(np.arange(len(rows)), rows.lengths)
    known = rows.labels >= 0
    labelled, right = (
        np.bincount(owner[part], minlength=len(rows)) for part in (known, known & (rows.labels == called))
    )
    usable = np.flatnonzero((labelled > 0.5 * rows.lengths) & (labelled > 0))
    suited = usable[(rows.lengths[usable] >= SUITED[0]) & (rows.lengths[usable] <= SUITED[1])]
    among = suited if len(suited) >= most else usable if len(usable) else np.flatnonzero(labelled)
    ranked = among[np.argsort(right[among] / labelled[among], kind="stable")]
    if not len(ranked):
        return []
    return ranked[np.unique(np.rint(np.linspace(0, len(ranked) - 1, most)).astype(int))].tolist()


def tracks(judged: Judged, names: list[str]) -> Figure:
    """Draw some proteins, the predicted states above the true ones, and the confidence below both."""
    rows, given = judged.rows, judged.given
    ends = np.cumsum(rows.lengths)
    picked = chosen(judged)
    look, longest = shapes(rows.states), int(rows.lengths[picked].max())
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = rows_of_axes(len(picked), 1.2 * ROW, longest, legend=-(-len(names) // 5))
        for axes, row in zip(panels, picked, strict=True):
            part = slice(ends[row] - rows.lengths[row], ends[row])
            name, scores = str(rows.ids[row]), given.scores[part]
            _pair(axes, rows.labels[part], given.states[part], scores, rows.states, look, name)
        key(figure, rows.states, names, look)
    return figure


def _pair(
    axes: Axes,
    true: np.ndarray,
    called: np.ndarray,
    scores: np.ndarray,
    states: str,
    look: Mapping[str, tuple[str, str]],
    name: str,
) -> None:
    letters = np.array([*states, " "])  # the last one is a gap, for states that are not known
    known = true >= 0
    accuracy = float((true == called)[known].mean())
    axes.set_title(
        plain(f"{name}  {100 * accuracy:.0f} % of {int(known.sum()):,} right"), fontsize=8, loc="left", pad=2
    )
    track(axes, "".join(letters[called]), look, 2.4, 0.7)
    track(axes, "".join(letters[true]), look, 1.5, 0.7)
    if not np.isnan(scores).any():
        place = np.arange(1, len(true) + 1)
        axes.fill_between(place, 0, scores.max(axis=1), step="mid", color=PALE, linewidth=0)
    axes.set_ylim(0, 2.85)
    axes.set_yticks([0.5, 1.5, 2.4], ["confidence", "true", "predicted"])


def _scatter(true: np.ndarray, predicted: np.ndarray, label: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        known = ~np.isnan(true)
        if not known.any():
            return say(axes, "no measured values")
        cloud(axes, figure, true[known], predicted[known])
        axes.set(xlabel=plain(f"measured {label}"), ylabel=plain(f"predicted {label}"))
        return None

    return paint


def tagging_figures(content: Mapping[str, Any], judged: Judged) -> list[Drawing]:
    """Draw an evaluation: see the module; of values, predicted against measured ones.

    Parameters
    ----------
    content : the evaluation, see `evaluation.described`.
    """
    where, drawings = f"{content['split']} split", []
    if content["states"]:
        names = list(content["state_names"])
        high = 1.4 + 0.5 * len(names)
        caption = f"Which state was called for which, {where}: parts of the residues of each true state."
        drawings.append(draw("confusion", caption, _confusion(content["confusion"], names), high))
        if content["confidence"]:
            caption = f"Accuracy by the probability of the called state, {where}; dashed: as promised."
            drawings.append(draw("confidence", caption, _reliability(content["confidence"]), 3.6))
        caption = f"Predicted states above the true ones, {where}; the worst protein first, the best last."
        drawings.append(Drawing("tracks", caption, tracks(judged, names)))
    for column, target in enumerate(content["targets"]):
        label = f"{target['name']} ({target['unit']})" if target.get("unit") else target["name"]
        arrays = (judged.rows.values[:, column], judged.given.scores[:, column])
        caption = f"Predicted and measured {target['name']} of residues, {where}."
        drawings.append(draw(f"scatter_{slug(target['name'])}", caption, _scatter(*arrays, label), 3.6))
    for name, baselines in content["baselines"].items():
        suffix = f"_{slug(name)}" if len(content["baselines"]) > 1 else ""
        caption = f"The model and its baselines, {where}, with 95 % bootstrap intervals over proteins."
        paint = _baselines(content["metrics"][name], baselines)
        drawings.append(draw(f"baselines{suffix}", caption, paint, 1.5 + 0.54 * (1 + len(baselines))))
    return drawings
