"""Figures of a language model: perplexity by position and beside counts, and how it differs between sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.evaluation.evaluate_language import Told
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, Drawing, draw, say

COLOURS = {"model": BLUE, "uniform": GREY, "unigram": ORANGE, "bigram": GREEN, "trigram": PURPLE}


def _by_position(rows: list[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not rows:
            return say(axes, "no letters")
        middle = [float(np.sqrt(row["from"] * row["to"])) for row in rows]
        for name, colour in COLOURS.items():
            style = {"linewidth": 2, "marker": "o", "markersize": 4} if name == "model" else {"linewidth": 1.2}
            axes.plot(middle, [row[name] for row in rows], color=colour, label=name, **style)
        axes.set_xscale("log")
        axes.set(xlabel="position in the sequence", ylabel="perplexity, lower is better")
        figure.legend(loc="outside upper center", ncols=3)
        return None

    return paint


def _spread(told: Told, whole: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        some = told.letters > 0
        if not some.any():
            return say(axes, "no letters")
        values = np.exp(told.nats[some] / told.letters[some])
        high = float(np.quantile(values, 0.995))
        axes.hist(np.minimum(values, high), bins=40, color=BLUE)
        axes.axvline(whole, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel="perplexity of a sequence", ylabel="sequences")
        return None

    return paint


def _beside(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = {"model": metrics, **{name: entry["metrics"] for name, entry in baselines.items()}}
        for place, (name, entry) in enumerate(rows.items()):
            value, low, high = (float(entry["perplexity"][key]) for key in ("value", "low", "high"))
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [place, place], color=COLOURS[name], linewidth=2)
            axes.plot(value, place, "o", color=COLOURS[name])
            axes.annotate(f"{value:.2f}", (value, place), xytext=(0, 7), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.margins(x=0.12)
        axes.set_xlabel("perplexity, lower is better")

    return paint


def language_figures(content: Mapping[str, Any], told: Told) -> list[Drawing]:
    """Draw the model beside counts, perplexity by position, and its spread over sequences.

    Parameters
    ----------
    content, told : as `evaluate_language.evaluate_language` returns them.
    """
    ((what, metrics),) = content["metrics"].items()
    where = f"{content['split']} split"
    whole = metrics["perplexity"]["value"]
    return [
        draw(
            "perplexity",
            f"Perplexity of {what}, {where}, with 95 % bootstrap intervals over sequences.",
            _beside(metrics, content["baselines"][what]),
            2.8,
        ),
        draw(
            "perplexity_by_position",
            f"Perplexity of {what} by their position in the sequence, {where}: what the model gains as it reads.",
            _by_position(content["positions"]),
        ),
        draw("perplexity_by_sequence", f"Perplexity of each sequence, {where}; dashed: of all.", _spread(told, whole)),
    ]
