"""Drawing and saving of figures: style, colours, sizes, file formats.

Figures are drawn on objects, without pyplot and its global state, at a width that stays readable on a phone. Colours
are those of Okabe and Ito (2008), distinguishable in all common forms of colour blindness.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from biorrn.base.errors import ConfigError
from biorrn.base.files import atomic_path

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#C4C4C4"
WIDTH = 4.4  # inches; text of 10 points is then about 12 pixels on a phone
MANY = 1500  # points; more are shown as density
STYLE: Any = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 160,
    "svg.fonttype": "path",
    "svg.hashsalt": "biorrn",  # the same figure is the same bytes
}


NO_GRID = {"axes.grid": False}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with its file name (no suffix) and caption."""

    name: str
    caption: str
    figure: Figure


@contextlib.contextmanager
def canvas(width: float, height: float, style: Mapping[str, Any] = NO_GRID, **options: Any) -> Iterator[Figure]:
    """Yield an empty figure of so many inches, in the common style."""
    with matplotlib.rc_context(STYLE | style):
        figure = Figure(figsize=(width, height), **options)
        FigureCanvasAgg(figure)
        yield figure


def draw(name: str, caption: str, paint: Callable[[Figure], None], height: float = 3.2) -> Drawing:
    """Draw a figure of `height` inches with `paint`, in the common style."""
    with canvas(WIDTH, height, {}, layout="constrained") as figure:
        paint(figure)
    return Drawing(name, caption, figure)


def as_bytes(figure: Figure, format: str) -> bytes:
    """Return a figure as "svg" or "png"."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in letters that the font lacks
        figure.savefig(buffer, format=format, metadata={"Date": None} if format == "svg" else None)
    return buffer.getvalue()


def save_drawings(drawings: list[Drawing], folder: Path, beside: Path) -> list[dict[str, str]]:
    """Write each drawing as SVG and PNG; return {"path", "caption"} of the SVGs, relative to the folder of `beside`."""
    saved = []
    for drawing in drawings:
        for format in ("png", "svg"):
            target = folder / f"{drawing.name}.{format}"
            with atomic_path(target) as temporary:
                temporary.write_bytes(as_bytes(drawing.figure, format))
        saved.append({"path": Path(os.path.relpath(target, beside.parent)).as_posix(), "caption": drawing.caption})
    return saved


def slug(name: str) -> str:
    """Return a name that is safe in a file name.

    >>> slug("Tm (°C) / 1")
    'Tm_C_1'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "unnamed"


def plain(text: str) -> str:
    """Escape text so that matplotlib does not read mathematics in it."""
    return text.replace("$", r"\$")


def say(axes: Axes, text: str) -> None:
    """Show a sentence instead of data."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_xticks([])
    axes.set_yticks([])


def cloud(axes: Axes, figure: Figure, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    """Draw a scatter plot; of more than `MANY` points, their density on a logarithmic colour scale."""
    if len(x) <= MANY:
        # as pixels: a thousand circles of vectors would outweigh the rest of a report
        size = 14 if len(x) <= 300 else 6
        axes.scatter(x, y, s=size, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
    else:
        drawn = axes.hexbin(x, y, gridsize=38, bins="log", mincnt=1, cmap="viridis", linewidths=0.1, **options)
        figure.colorbar(drawn, ax=axes, label="points in a cell", pad=0.02, shrink=0.85)


def bars(axes: Axes, rows: list[tuple[str, Mapping[str, Any], str]], label: str) -> None:
    """Draw a bar of a colour for each (name, estimate, colour)."""
    for place, (_, metric, colour) in enumerate(rows):
        value, low, high = (float(metric[key]) for key in ("value", "low", "high"))
        if not np.isfinite(value):
            axes.text(0.0, place, " undefined: ranks nothing", va="center", color=GREY, fontsize=9)
            continue
        # an end may lie a rounding error on the wrong side of the value
        bounds = [[max(value - low, 0.0)], [max(high - value, 0.0)]] if np.isfinite([low, high]).all() else None
        axes.barh(place, value, xerr=bounds, height=0.65, color=colour, ecolor=INK, capsize=3)
        edge = max(value, high) if np.isfinite(high) else value
        axes.annotate(
            f"{value:.3f}", (max(edge, 0.0), place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel(plain(label))
    axes.grid(visible=False, axis="y")


FORMATS = (".svg", ".png")


MOST_WRITTEN, MOST_NAMED = 12, 40  # classes of a confusion matrix whose cells hold numbers, and whose names are shown


def confusion(table: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Callable[[Figure], None]:
    """Return what paints a confusion matrix: {true: {predicted: rows}}, as parts of each true class.

    Parameters
    ----------
    names : of the classes, in the order of the table.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        counts = np.array([list(row.values()) for row in table.values()], float)
        total = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
        drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for (true, predicted), part in np.ndenumerate(share) if len(share) <= MOST_WRITTEN else ():
            colour = "white" if part > 0.55 else INK
            text = f"{100 * part:.1f} %" if len(share) <= 5 else f"{100 * part:.0f}"
            axes.text(predicted, true, text, ha="center", va="center", fontsize=8, color=colour)
        if len(names) <= MOST_NAMED:
            labels = [plain(name) for name in names]
            size = 10 if len(names) <= MOST_WRITTEN else 5
            axes.set_xticks(range(len(names)), labels, rotation=0 if len(names) <= 4 else 60, fontsize=size)
            axes.set_yticks(range(len(names)), labels, fontsize=size)
        axes.set(xlabel="predicted", ylabel="true")
        axes.grid(visible=False)
        figure.colorbar(drawn, ax=axes, label="part of the true class", pad=0.02)

    return paint


def reliability(table: Mapping[str, Any], unit: str) -> Callable[[Figure], None]:
    """Return what paints a reliability diagram, from `stats.classification.reliability` with this unit."""

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        rows = table["bins"]
        sure, right = [row["confidence"] for row in rows], [row["accuracy"] for row in rows]
        top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        top.plot(sure, right, "o-", color=BLUE, markersize=5)
        top.set(ylabel="accuracy", xlim=(min(0.25, min(sure) - 0.02), 1), ylim=(min(0.25, min(right) - 0.02), 1))
        top.text(0.03, 0.94, f"calibration error {table['calibration_error']:.3f}", transform=top.transAxes, va="top")
        widths = [row["to"] - row["from"] for row in rows]
        bottom.bar([row["from"] for row in rows], [row[unit] for row in rows], widths, align="edge", color=PALE)
        bottom.set(xlabel="probability of what was called", ylabel=unit)

    return paint


def count_bars(figure: Figure, counts: Mapping[str, int], other: str, label: str) -> None:
    """Draw counts by name as bars from top to bottom; that of the name `other` is grey."""
    axes = figure.add_subplot()
    axes.barh(range(len(counts)), list(counts.values()), color=[GREY if name == other else BLUE for name in counts])
    axes.set_yticks(range(len(counts)), list(map(plain, counts)), fontsize=10 if len(counts) < 30 else 6)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)


def count_height(counts: int) -> float:
    """Return the inches that `count_bars` needs for so many names."""
    return max(2.0, 0.22 * counts + 0.8)


def write_figure(path: Path, drawing: Drawing) -> None:
    """Write a drawing as SVG or PNG, by the suffix.

    Raises
    ------
    ConfigError: another suffix.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"--figure: found suffix '{path.suffix}'; allowed is {' or '.join(FORMATS)}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_bytes(drawing.figure, path.suffix[1:]))


Save = Callable[[Figure, str, str], None]


@contextlib.contextmanager
def figure_files(path: str | Path, targets: int = 1) -> Iterator[Save]:
    """Yield `save(figure, id, target)`, which writes the figure of a protein and a target.

    Parameters
    ----------
    path : a file, SVG or PNG by its suffix, or a folder. A file's name is taken as it is where there is one protein
        and one target; else the id, and of several targets the target, follow it. In a folder files are named by id.
    targets : int: how many there are.

    Raises
    ------
    ConfigError: another suffix, before anything is drawn.
    """
    path = Path(f"{path}/") if str(path).endswith("/") else Path(path)
    folder = path.is_dir() or not path.suffix
    suffix = FORMATS[0] if folder else path.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"--figure: found '{path}'; allowed is a name with {' or '.join(FORMATS)}, or a folder")
    used: set[Path] = set()
    waiting: list[tuple[bytes, str, str]] = []  # figures of the first protein, until it is known to be the only one

    def write(content: bytes, id: str, target: str, alone: bool = False) -> None:
        parts = [] if folder else [path.stem]
        parts += [] if alone and not folder else [slug(id)]
        parts += [slug(target)] if targets > 1 else []
        place = path if folder else path.parent
        chosen, number = place / f"{'_'.join(parts)}{suffix}", 2
        while chosen in used:  # ids that differ in characters that a name cannot hold
            chosen, number = place / f"{'_'.join(parts)}_{number}{suffix}", number + 1
        used.add(chosen)
        with atomic_path(chosen) as temporary:
            temporary.write_bytes(content)

    def save(figure: Figure, id: str, target: str) -> None:
        content = as_bytes(figure, suffix[1:])
        if not used and all(id == first for _, first, _ in waiting):
            waiting.append((content, id, target))
            return
        while waiting:
            write(*waiting.pop(0))
        write(content, id, target)

    yield save
    for kept in waiting:
        write(*kept, alone=True)
