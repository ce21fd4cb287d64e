"""The figure of an explanation: the sequence, what each residue adds to the prediction, and where attention lies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.errors import BiorrnError
from biorrn.evaluation.figure_files import figure_files
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, canvas, plain
from biorrn.evaluation.landscapes import GROUPS, LONGEST
from biorrn.inference.attribution import Attribution

LINE = 50  # residues
LEAST = 30  # residues of width that title and key need
CELL = 0.17  # inches a residue
BARS, LETTERS, WEIGHTS, BETWEEN = 0.75, 0.26, 0.3, 0.3  # inches, from the top of a line to its bottom
LEFT, RIGHT, TOP, BOTTOM = 0.85, 0.25, 0.85, 0.15
COLOURS = {
    "special": "#8A6D00",
    "aliphatic": INK,
    "aromatic": "#9B3F82",
    "polar": GREEN,
    "positive": BLUE,
    "negative": RED,
}
RAISES, LOWERS = BLUE, RED


def explanation(found: Attribution, column: int, target: str, unit: str = "", offset: int = 0) -> Figure:
    """Draw an attribution for target `column`: `LINE` residues a line.

    Each line has bars of what the residues add (whiskers: standard deviation over the members of an ensemble), the
    residues with the number of each tenth, and the weights of the attention pool where there is one.

    Raises
    ------
    BiorrnError: the sequence has more than `LONGEST` residues.
    """
    length = len(found.sequence)
    if length > LONGEST:
        raise BiorrnError(f"--figure: record '{found.id}' has {length:,} residues; a figure shows up to {LONGEST:,}")
    scores = found.scores[:, column]
    spread = None if found.spread is None else found.spread[:, column]
    weights = WEIGHTS if found.attention is not None else 0.0
    lines = -(-length // LINE)
    width = LEFT + max(min(length, LINE), LEAST) * CELL + RIGHT
    tall = BARS + LETTERS + weights + BETWEEN
    height = TOP + lines * tall + BOTTOM
    reach = np.zeros_like(scores) if spread is None else spread
    span = (min(float((scores - reach).min()), 0.0), max(float((scores + reach).max()), 0.0))
    span = span if span[1] > span[0] else (-1.0, 1.0)
    with canvas(width, height) as figure:
        _title(figure, found, column, target, unit, width, height)
        for line in range(lines):
            part = slice(line * LINE, min((line + 1) * LINE, length))
            top, wide = height - TOP - line * tall, (part.stop - part.start) * CELL

            def below(start: float, size: float, top: float = top, wide: float = wide) -> Axes:
                place = (LEFT / width, (top - start - size) / height, wide / width, size / height)
                return figure.add_axes(place, xlim=(-0.5, wide / CELL - 0.5), xticks=[])

            _bars(below(0.0, BARS), scores[part], None if spread is None else spread[part], span)
            _letters(below(BARS, LETTERS), found.sequence[part], part.start + offset + 1)
            if found.attention is not None:
                _attention(below(BARS + LETTERS, WEIGHTS), found.attention[part], float(found.attention.max()))
    return figure


def _bars(axes: Axes, scores: np.ndarray, spread: np.ndarray | None, span: tuple[float, float]) -> None:
    places = np.arange(len(scores))
    axes.bar(places, scores, width=0.8, color=np.where(scores >= 0, RAISES, LOWERS), yerr=spread, ecolor=GREY,
             error_kw={"linewidth": 0.8})  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_ylim(span)
    _scale(axes, "adds", list(span))


def _letters(axes: Axes, sequence: str, first: int) -> None:
    colours = {letter: COLOURS[name] for name, letters in GROUPS.items() for letter in letters}
    for place, letter in enumerate(sequence):
        axes.text(place, 0.45, letter, ha="center", va="center", fontsize=9, family="DejaVu Sans Mono", weight="bold",
                  color=colours.get(letter, GREY))  # fmt: skip
    axes.set(ylim=(0, 1), yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.annotate(str(first), (-0.5, 0.4), xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
                  fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip
    axes.annotate(str(first + len(sequence) - 1), (len(sequence) - 0.5, 0.4), xytext=(3, 0),
                  textcoords="offset points", va="center", fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip


def _attention(axes: Axes, weights: np.ndarray, most: float) -> None:
    axes.bar(np.arange(len(weights)), weights, width=0.8, color=ORANGE)
    axes.set_ylim(most, 0)  # downward, away from the letters
    _scale(axes, "attention", [most])


def _scale(axes: Axes, name: str, ticks: list[float]) -> None:
    axes.set_yticks(ticks, [f"{tick:.2g}".replace("-", "\N{MINUS SIGN}") for tick in ticks], fontsize=6)
    axes.tick_params(length=2, pad=2)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.annotate(name, (0, 0.5), xycoords="axes fraction", xytext=(-26, 0), textcoords="offset points", ha="right",
                  va="center", fontsize=7, color=GREY, annotation_clip=False)  # fmt: skip


def _title(
    figure: Figure, found: Attribution, column: int, target: str, unit: str, width: float, height: float
) -> None:
    shown = f" {unit}" if unit else ""
    text = f"{target} {found.values[column]:.3g}{shown}"
    if np.isfinite(found.baseline[column]):
        text += f" = baseline {found.baseline[column]:.3g} + bars; integrated gradients"
    else:
        text += "; bars: how much of it goes when a residue is replaced"
    figure.text(LEFT / width, 1 - 0.14 / height, plain(found.id), fontsize=11, weight="bold", va="top", color=INK)
    text = text.replace("-", "\N{MINUS SIGN}") if "e-" not in text else text
    figure.text(LEFT / width, 1 - 0.4 / height, plain(text), fontsize=8, va="top", color=INK)
    right = 1 - RIGHT / width
    for name, colour in reversed(COLOURS.items()):
        drawn = figure.text(
            right, 1 - 0.2 / height, name, fontsize=7, va="top", ha="right", color=colour, weight="bold"
        )
        right = (drawn.get_window_extent().x0 / figure.dpi - 0.08) / width


@contextlib.contextmanager
def explanations(
    path: str | Path | None, targets: Sequence[Mapping[str, str]], offset: int = 0
) -> Iterator[Callable[[Attribution], None]]:
    """Yield `add(attribution)`, which writes a figure a protein and a target.

    Parameters
    ----------
    path : see `figure_files`; with None nothing is drawn.
    targets : sequence of {"name", "unit"}, as in a model's facts.
    offset : int: added to a place in the sequence, counted from 1, gives its number.
    """
    if path is None:
        yield lambda found: None
        return
    with figure_files(path, len(targets)) as save:

        def add(found: Attribution) -> None:
            for column, target in enumerate(targets):
                figure = explanation(found, column, target["name"], target.get("unit", ""), offset)
                save(figure, found.id, target["name"])

        yield add
