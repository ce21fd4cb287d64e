"""Figures of a data set: histograms and compositions, the splits over one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from biorrn.evaluation.figures import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Drawing, draw, plain, slug

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
Histogram = tuple[list[float], list[float]]  # edges and counts; as many edges as counts, or one more


def _steps(series: Mapping[str, Histogram], label: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        shares = len(series) > 1
        for (name, (edges, counts)), colour in zip(series.items(), COLOURS * len(series), strict=False):
            ends = np.asarray(edges, float)
            if len(ends) == len(counts):
                ends = np.append(ends, ends[-1] + (ends[-1] - ends[-2] if len(ends) > 1 else 1.0))
            total = sum(counts)
            values = 100 * np.asarray(counts) / total if shares and total else np.asarray(counts, float)
            axes.stairs(values, ends, color=colour, fill=True, alpha=0.16)
            axes.stairs(values, ends, color=colour, linewidth=1.5, label=f"{plain(name)}, {total:,.0f}")
        axes.set_xlabel(plain(label))
        axes.set_ylabel("per cent of the split" if shares else "count")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        if max((abs(edge) for edges, _ in series.values() for edge in edges), default=0) >= 10_000:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if shares:
            axes.legend()

    return paint


def histogram_figure(name: str, label: str, series: Mapping[str, Histogram]) -> Drawing | None:
    """Draw histograms over one another, each as per cent of its sum where there are several; None for no counts.

    Parameters
    ----------
    name, label : the file's name and the x axis.
    series : {split: (edges, counts)}.
    """
    series = {key: entry for key, entry in series.items() if sum(entry[1]) > 0}
    if not series:
        return None
    caption = f"{label[:1].upper()}{label[1:]}" + (" by split; the legend has the counts." if len(series) > 1 else ".")
    return draw(slug(name), caption, _steps(series, label))


def _letters(parts: Mapping[str, Mapping[str, float]], letters: list[str]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        width = 0.8 / len(parts)
        for place, (name, shares) in enumerate(parts.items()):
            x = np.arange(len(letters)) + (place - (len(parts) - 1) / 2) * width
            heights = [100 * float(shares.get(letter) or 0) for letter in letters]
            axes.bar(x, heights, width, color=COLOURS[place % len(COLOURS)], label=plain(name))
        axes.set_xticks(np.arange(len(letters)), letters)
        axes.grid(False, axis="x")
        axes.set_ylabel("per cent")
        if len(parts) > 1:
            figure.legend(loc="outside upper center", ncols=3, columnspacing=1)

    return paint


def composition_figure(parts: Mapping[str, Mapping[str, Any]]) -> Drawing | None:
    """Draw what the sequences of each split are made of; None where nothing is known.

    Parameters
    ----------
    parts : {split: {letter: share of the residues or bases}}.
    """
    letters = [letter for letter in dict.fromkeys(key for shares in parts.values() for key in shares)]
    letters = [letter for letter in letters if any(shares.get(letter) for shares in parts.values())]
    if not letters or len(letters) > 30:
        return None
    return draw("composition", "Composition by split.", _letters(parts, letters))
