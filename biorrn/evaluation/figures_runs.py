"""Figures that put runs side by side: a metric with its intervals, and where the time went."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.evaluation.figures import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, RED, SKY, Drawing, draw, plain, slug

SHOWN = 40  # runs in a figure; the best are drawn
LETTERS = 22  # of a name
COLOURS = (BLUE, ORANGE, GREEN, SKY, PURPLE, RED, PALE)


def short(name: str, letters: int = LETTERS) -> str:
    """Return a name with its middle left out where it is long.

    >>> short("stability_gru_lr0.003_seed1", 12)
    'stabil…seed1'
    """
    return name if len(name) <= letters else f"{name[: letters // 2]}…{name[len(name) - (letters - 1) // 2 :]}"


def _beginning(names: list[str]) -> str:
    """Return what all names begin with, up to the end of a word."""
    first, last = min(names), max(names)
    same = (place for place, letter in enumerate(first) if place >= len(last) or letter != last[place])
    return re.sub(r"[^_ -]*$", "", first[: next(same, len(first))])


def shortened(names: list[str], letters: int = LETTERS) -> list[str]:
    """Return names fit for an axis: where one is long, without what all begin with.

    >>> shortened(["stability_gru_lr0.01", "stability_gru_lr0.03"], 12), shortened(["a1", "a2"])
    (['…lr0.01', '…lr0.03'], ['a1', 'a2'])
    """
    common = _beginning(names) if len(names) > 1 else ""
    if len(common) < 5 or common in names or max(map(len, names)) <= letters:
        common = ""
    return [short("…" * bool(common) + name.removeprefix(common), letters) for name in names]


def _value(entry: Mapping[str, Any], key: str) -> float:
    return float(entry[key]) if isinstance(entry.get(key), int | float) else np.nan


def _forest(rows: Sequence[Mapping[str, Any]], label: str, factor: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            low, value, high = (factor * _value(row, key) for key in ("low", "value", "high"))
            axes.plot([low, high], [place, place], color=BLUE, linewidth=2, solid_capstyle="round")
            axes.plot(value, place, "o", color=BLUE, markersize=6, label="run, with its 95 % interval" * (place == 0))
        others = [(factor * _value(row, "other"), place) for place, row in enumerate(rows)]
        known = np.array([pair for pair in others if np.isfinite(pair[0])]).reshape(-1, 2)
        if len(known):
            axes.plot(known[:, 0], known[:, 1], "D", color=ORANGE, markersize=5, linestyle="", label="best baseline")
            figure.legend(loc="outside upper center", ncols=2, columnspacing=1)
        axes.set_yticks(range(len(rows)), [plain(name) for name in shortened([str(row["name"]) for row in rows])])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(plain(label))
        axes.grid(False, axis="y")

    return paint


def comparison_figure(name: str, label: str, rows: Sequence[Mapping[str, Any]], per_cent: bool = False) -> Drawing:
    """Draw the same metric of runs on the same rows, the highest first.

    Parameters
    ----------
    name, label : the file's name, and the metric as the axis shows it.
    rows : {"name", "value", "low", "high", "other"}: a run, its estimate, and the value of its best baseline or None.
    per_cent : whether values are shares, shown in per cent.
    """
    known = sorted(rows, key=lambda row: -np.nan_to_num(_value(row, "value"), nan=-np.inf))
    shown = known[:SHOWN]
    caption = f"{label[:1].upper()}{label[1:]} of the runs, the highest first; bars: 95 % bootstrap intervals."
    if any(row.get("other") is not None for row in shown):
        caption += " Diamonds: the best baseline, fitted on the same training rows."
    if len(known) > SHOWN:
        caption += f" The best {SHOWN} of {len(known)} runs."
    unit = f"{label} (per cent)" if per_cent else label
    return draw(slug(name), caption, _forest(shown, unit, 100.0 if per_cent else 1.0), 1.2 + 0.27 * len(shown))


def _stack(times: Mapping[str, Mapping[str, float]], rules: list[str], unit: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        left = np.zeros(len(times))
        for rule, colour in zip(rules, COLOURS + (GREY,) * len(rules), strict=False):
            widths = np.array([entry.get(rule, 0.0) for entry in times.values()])
            axes.barh(range(len(times)), widths, left=left, color=colour, height=0.7, label=plain(rule))
            left += widths
        axes.set_yticks(range(len(times)), [plain(name) for name in shortened(list(times))])
        axes.set_ylim(len(times) - 0.4, -0.6)
        axes.set_xlabel(f"{unit} of wall time")
        axes.grid(False, axis="y")
        figure.legend(loc="outside upper center", ncols=2, columnspacing=1)

    return paint


def cost_figure(times: Mapping[str, Mapping[str, float]]) -> Drawing | None:
    """Draw wall time by name (run, data set or sample) and rule; None for no times.

    Parameters
    ----------
    times : {name: {rule: seconds}}.
    """
    times = {name: entry for name, entry in times.items() if sum(entry.values()) > 0}
    if not times:
        return None
    order = sorted(times, key=lambda name: -sum(times[name].values()))
    longest = sum(times[order[0]].values())
    unit, scale = ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)
    total: dict[str, float] = {}
    for entry in times.values():
        for rule, seconds in entry.items():
            total[rule] = total.get(rule, 0.0) + seconds
    rules = sorted(total, key=lambda rule: -total[rule])
    kept = {name: {rule: times[name].get(rule, 0.0) / scale for rule in rules[: len(COLOURS) - 1]} for name in order}
    if len(rules) >= len(COLOURS):
        rest = rules[len(COLOURS) - 1 :]
        for name in order:
            kept[name]["other"] = sum(times[name].get(rule, 0.0) for rule in rest) / scale
        rules = [*rules[: len(COLOURS) - 1], "other"]
    shown = {name: kept[name] for name in order[:SHOWN]}
    caption = "Wall time by run, data set or sample, and by rule of the workflow."
    if len(order) > SHOWN:
        caption += f" The longest {SHOWN} of {len(order)}."
    height = 1.1 + 0.3 * len(shown) + 0.2 * ((len(rules) + 1) // 2)
    return draw("cost", caption, _stack(shown, rules, unit), height)
