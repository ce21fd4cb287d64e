"""The figure of generated sequences: composition, lengths and likeness, beside training and held-out sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.errors import ConfigError
from biorrn.evaluation.figures import BLUE, GREY, ORANGE, PALE, Drawing, as_bytes, draw
from biorrn.files import atomic_path

SIDES = {"training": ("training", GREY), "held_out": ("held out", ORANGE), "generated": ("generated", BLUE)}


def _sides(summary: dict[str, Any], key: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(*SIDES[name], summary[name][key]) for name in SIDES if key in summary.get(name, {})]


def _composition(axes: Axes, summary: dict[str, Any]) -> None:
    shown = [side for side in _sides(summary, "composition") if side[0] != "held out"]
    first = shown[0][2]
    letters = sorted(first, key=lambda letter: -first[letter])
    places, wide = np.arange(len(letters)), 0.8 / len(shown)
    for number, (name, colour, shares) in enumerate(shown):
        heights = [100 * shares[letter] for letter in letters]
        shift = (number - (len(shown) - 1) / 2) * wide
        axes.bar(places + shift, heights, wide, color=PALE if name == "training" else colour, label=name)
    axes.set_xticks(places, letters, fontsize=8)
    axes.set_ylabel("letters, %")
    axes.grid(visible=False, axis="x")
    axes.legend()


def _steps(axes: Axes, summary: dict[str, Any], key: str, label: str) -> None:
    for name, colour, histogram in _sides(summary, key):
        counts = np.array(histogram["counts"], float)
        axes.stairs(100 * counts / max(counts.sum(), 1), histogram["edges"], color=colour, label=name, linewidth=1.4)
    axes.set_ylabel("sequences, %")
    axes.set_xlabel(label)
    axes.legend()


def figure(summary: dict[str, Any]) -> Drawing:
    """Draw what `evaluation.generated.summarise` gives: two panels, and two more beside a training set."""
    compared = "identities" in summary["generated"]

    def paint(canvas: Figure) -> None:
        panels = canvas.subplots(4 if compared else 2, 1)
        _composition(panels[0], summary)
        _steps(panels[1], summary, "lengths", "length, letters")
        if compared:
            _steps(panels[2], summary, "identities", "identity to the nearest training sequence (0: below 0.3)")
            _steps(panels[3], summary, "matches", "longest exact match with a training sequence, letters")

    count = summary["generated"]["sequences"]
    caption = f"{count:,} generated sequences" + (" beside those that their model was trained on" if compared else "")
    return draw("generated", caption, paint, 8.4 if compared else 4.4)


def check_figure(path: str | Path | None) -> None:
    """Check the name of a figure before there is anything to draw; None is none.

    Raises
    ------
    ConfigError: the suffix is neither .svg nor .png.
    """
    if path is not None and Path(path).suffix.lower() not in (".svg", ".png"):
        raise ConfigError(f"--figure: found '{path}'; allowed is a name that ends in .svg or .png")


def save_figure(path: str | Path | None, summary: dict[str, Any]) -> None:
    """Write the figure as its suffix says; None writes none.

    Raises
    ------
    ConfigError: see `check_figure`.
    """
    check_figure(path)
    if path is None:
        return
    picture = as_bytes(figure(summary).figure, Path(path).suffix.lower()[1:])
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
