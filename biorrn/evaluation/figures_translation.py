"""Where the symbols of a translation looked: the attention of a decoder, drawn over what went in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.errors import ConfigError, InputError
from biorrn.evaluation.figures import BLUE, WIDTH, Drawing, draw, plain
from biorrn.evaluation.figures_compare import FORMATS, write_figure
from biorrn.inference.translate import Translation

LETTERS = 60  # symbols of a side up to which each is written
LONGEST = 2000  # symbols of a side that a figure shows at most


class Chosen:
    """Says of the ids of records, in turn, whether theirs is the attention to draw.

    Parameters
    ----------
    figure : str, optional: the file to draw; without it nothing is.
    record : str, optional: the id; the first of all without it.

    Raises
    ------
    ConfigError: a record without a figure, or a figure of another format.
    """

    def __init__(self, figure: str | None, record: str | None) -> None:
        if figure is None and record is not None:
            raise ConfigError("--record: is drawn; name the figure with --attention")
        if figure is not None and Path(figure).suffix not in FORMATS:
            raise ConfigError(f"--attention: found suffix '{Path(figure).suffix}'; allowed is {' or '.join(FORMATS)}")
        self.record, self.open = record, figure is not None

    def __call__(self, name: str) -> bool:
        found = self.open and self.record in (None, name)
        self.open = self.open and not found
        return found

    def check(self, source: str | Path) -> None:
        """Raise where the record never came.

        Raises
        ------
        InputError: the file has no record of the id.
        """
        if self.open:
            raise InputError(source, "there is no such record to draw", self.record)


def attention_drawing(found: Translation, name: str = "attention") -> Drawing:
    """Return a drawing of the weights (U, T): a row a symbol told, the end last, a column a symbol of the source.

    Raises
    ------
    InputError: a side has more than `LONGEST` symbols.
    """
    weights = found.attention
    assert weights is not None
    told, looked = weights.shape
    if max(told, looked) > LONGEST:
        raise InputError("--attention", f"{told} by {looked} symbols; a figure shows up to {LONGEST}", found.id)
    rows = [*found.target_symbols, "end"][:told]

    def paint(figure: Figure) -> None:
        side = max(WIDTH, min(12.0, 0.13 * looked + 1.2))
        figure.set_figwidth(side)
        axes = figure.subplots()
        _matrix(axes, figure, weights)
        _letters(axes, rows, found.source_symbols)
        axes.set(xlabel="source", ylabel="told", title=plain(found.id))

    caption = f"Attention of {found.id}: each row shows the attention of the decoder when it predicted that symbol."
    return draw(name, caption, paint, height=max(3.2, min(12.0, 0.13 * told + 1.0)))


def signal_drawing(
    signal: np.ndarray, attention: np.ndarray, bases: str, stride: int, rate: float, title: str, name: str
) -> Drawing:
    """Return a drawing of a chunk of signal with, below it, where each base that was told looked.

    Parameters
    ----------
    signal : float32 array (T,): normalised current.
    attention : float32 array (U, T'): weights; T' steps of `stride` samples.
    rate : float: samples a second.
    """

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.4])
        milliseconds = 1000 / rate
        upper.plot(np.arange(len(signal)) * milliseconds, signal, color=BLUE, linewidth=0.8)
        upper.set(ylabel="current", title=plain(title))
        span = (0.0, attention.shape[1] * stride * milliseconds)
        _matrix(lower, figure, attention, span)
        _letters(lower, [*bases, "end"][: len(attention)], [])
        lower.set(xlabel="time (ms)", ylabel="predicted base")

    caption = f"{title}: current, and below it where the decoder looked for each base."
    return draw(name, caption, paint, height=4.6)


def _matrix(axes: Axes, figure: Figure, weights: np.ndarray, span: tuple[float, float] | None = None) -> None:
    across = span or (-0.5, weights.shape[1] - 0.5)
    drawn = axes.imshow(
        weights, aspect="auto", cmap="magma_r", vmin=0, vmax=1, interpolation="nearest",
        extent=(*across, len(weights) - 0.5, -0.5),
    )  # fmt: skip
    axes.grid(False)
    figure.colorbar(drawn, ax=axes, label="weight", pad=0.02, shrink=0.8)


def _letters(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    if rows and len(rows) <= LETTERS:
        axes.set_yticks(range(len(rows)), rows, fontsize=6)
    if columns and len(columns) <= LETTERS:
        turn = 90 if max(map(len, columns)) > 1 else 0
        axes.set_xticks(range(len(columns)), columns, fontsize=6, rotation=turn)


def draw_attention(path: str | Path, found: Translation) -> None:
    """Write the attention of a translation as SVG or PNG, by the suffix."""
    write_figure(Path(path), attention_drawing(found))
