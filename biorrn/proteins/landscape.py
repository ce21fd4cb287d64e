"""Heat maps of mutational scans: change of the prediction by position and residue."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.base.errors import BiorrnError
from biorrn.proteins.predicted import Prediction
from biorrn.proteins.scan import Effect
from biorrn.stats.figures import GREY, INK, PALE, canvas, figure_files, plain

GROUPS = {  # by chemistry; those that replace each other stand side by side
    "special": "GPC",
    "aliphatic": "AVILM",
    "aromatic": "FYW",
    "polar": "STNQ",
    "positive": "HKR",
    "negative": "DE",
}
DELETION, INSERTION = "del", "ins"  # further rows; that of insertions shows their mean
ROWS = (*"".join(GROUPS.values()), DELETION, INSERTION)
LONGEST = 3000  # positions of a protein that is drawn


@dataclass(frozen=True, slots=True)
class Landscape:
    """Scan of one protein and one target.

    Attributes
    ----------
    id, target, unit : str.
    value : float: of the wild type.
    numbers : list of int (P,): of the positions.
    wild_type : str (P,): the residues there.
    rows : tuple of str (R,): residues, then `DELETION` and `INSERTION` where the scan has them.
    change : float array (R, P): value of the mutant minus that of the wild type; NaN where there is no mutant.
    """

    id: str
    target: str
    unit: str
    value: float
    numbers: list[int]
    wild_type: str
    rows: tuple[str, ...]
    change: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Return the mean change of the substitutions at each position, (P,); NaN where there is none."""
        part = self.change[: sum(map(len, GROUPS.values()))]
        known = np.isfinite(part)
        total, count = np.where(known, part, 0.0).sum(0), known.sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class Landscapes:
    """Collects the changes of scans, protein by protein; sequences are not kept.

    Parameters
    ----------
    targets : sequence of {"name", "unit"}, as in a model's facts.
    """

    def __init__(self, targets: Sequence[Mapping[str, str]]) -> None:
        self.targets = targets
        self.wild_type: Prediction | None = None
        self.cells: dict[tuple[str, int], list[np.ndarray]] = {}
        self.residues: dict[int, str] = {}

    def add(self, effect: Effect) -> list[Landscape]:
        """Take the next effect; return the landscapes of a protein, one a target, where one is complete.

        Raises
        ------
        BiorrnError: the protein has more than `LONGEST` positions.
        """
        mutant = effect.mutant
        if mutant is None:
            done = self.flush()
            self.wild_type = effect.prediction
            return done
        if len(mutant.wild_type) == 1 and ":" not in mutant.position:  # mutations of several residues have no cell
            number = int(mutant.position)
            row = {"-": DELETION, "+": INSERTION}.get(mutant.mutant[0], mutant.mutant)
            if row in ROWS:
                self.residues[number] = mutant.wild_type
                self.cells.setdefault((row, number), []).append(effect.difference)
            if len(self.residues) > LONGEST:
                problem = f"record '{effect.prediction.id}' has more than {LONGEST:,} positions, the most of a figure"
                raise BiorrnError(f"--figure: {problem}; choose some with --positions")
        return []

    def flush(self) -> list[Landscape]:
        """Return the landscapes of the last protein, one a target.

        Raises
        ------
        BiorrnError: none of its mutants is of a single residue.
        """
        wild, self.wild_type = self.wild_type, None
        if wild is None:
            return []
        if not self.cells:
            raise BiorrnError(f"--figure: record '{wild.id}': no mutant of a single residue, which alone are drawn")
        numbers = sorted(self.residues)
        rows = ROWS[:20] + tuple(row for row in ROWS[20:] if any(row == found for found, _ in self.cells))
        grid = np.full((len(rows), len(numbers), len(self.targets)), np.nan)
        columns = {number: column for column, number in enumerate(numbers)}
        for (row, number), changes in self.cells.items():
            grid[rows.index(row), columns[number]] = np.mean(changes, axis=0)
        letters = "".join(self.residues[number] for number in numbers)
        self.cells, self.residues = {}, {}
        return [
            Landscape(
                wild.id, target["name"], target.get("unit", "").partition(",")[0], float(wild.values[k]), numbers,
                letters, rows, grid[:, :, k],
            )
            for k, target in enumerate(self.targets)
        ]  # fmt: skip


# red lowers, blue raises; distinguishable in all forms of colour blindness; cut before both ends are nearly black
MAP = colors.ListedColormap(matplotlib.colormaps["RdBu"](np.linspace(0.06, 0.94, 255)), "change")
COLOUR_QUANTILE = 0.99  # quantile of the changes at which the colours end: one extreme mutant must not pale the rest
BLOCK = 60  # positions side by side
CELL, STRIP = (0.165, 0.15), 0.42  # inches: a cell's width and height; height of the means above a block
LEFT, RIGHT, TOP, GAP, BOTTOM = 0.95, 0.2, 0.85, 0.62, 0.45  # inches around and between blocks
LEAST = 30  # cells of width that the title and the colour bar need


@contextlib.contextmanager
def heat_maps(path: str | Path | None, targets: Sequence[Mapping[str, str]]) -> Iterator[Callable[[Effect], None]]:
    """Yield `add(effect)`, which takes the effects of a scan in order and writes a heat map a protein and a target.

    Parameters
    ----------
    path : see `figure_files`; with None nothing is drawn.
    targets : sequence of {"name", "unit"}, as in a model's facts.
    """
    if path is None:
        yield lambda effect: None
        return
    landscapes = Landscapes(targets)
    with figure_files(path, len(targets)) as save:

        def draw(done: list[Landscape]) -> None:
            for one in done:
                save(heat_map(one), one.id, one.target)

        yield lambda effect: draw(landscapes.add(effect))
        draw(landscapes.flush())


def heat_map(scan: Landscape) -> Figure:
    """Draw a scan: a block of `BLOCK` positions below the other, the mean change of each position above its column."""
    positions = len(scan.numbers)
    blocks = -(-positions // BLOCK)
    across = -(-positions // blocks)
    tall = len(scan.rows) * CELL[1]
    width = LEFT + max(across, LEAST) * CELL[0] + RIGHT
    height = TOP + blocks * (STRIP + 0.06 + tall) + (blocks - 1) * GAP + BOTTOM
    limit = float(np.nanquantile(np.abs(scan.change), COLOUR_QUANTILE)) or 1.0
    norm = colors.Normalize(-limit, limit)
    with canvas(width, height) as figure:
        _legend(figure, scan, norm, width, height)
        means = scan.mean
        span = _span(means)
        for block in range(blocks):
            part = slice(block * across, min((block + 1) * across, positions))
            wide = (part.stop - part.start) * CELL[0]
            top = height - TOP - block * (STRIP + 0.06 + tall + GAP)
            strip = figure.add_axes((LEFT / width, (top - STRIP) / height, wide / width, STRIP / height))
            box = (LEFT / width, (top - STRIP - 0.06 - tall) / height, wide / width, tall / height)
            _means(strip, means[part], span, norm)
            _cells(figure.add_axes(box), scan, part, norm)
    return figure


def signed(value: float) -> str:
    """Return a change with its sign, two digits."""
    return f"{value:+.2g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _beside(axes: Axes, text: str, height: float, points: float) -> None:
    axes.annotate(
        text, (axes.get_xlim()[0], height), xytext=(points, 0), textcoords="offset points", ha="right", va="center",
        fontsize=7, color=GREY, annotation_clip=False,
    )  # fmt: skip


def _span(means: np.ndarray) -> tuple[float, float]:
    known = means[np.isfinite(means)]
    low, high = (min(float(known.min()), 0.0), max(float(known.max()), 0.0)) if len(known) else (0.0, 0.0)
    return (low, high) if high > low else (-1.0, 1.0)


def _means(axes: Axes, means: np.ndarray, span: tuple[float, float], norm: colors.Normalize) -> None:
    axes.bar(range(len(means)), np.nan_to_num(means), width=0.8, color=GREY)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set(xlim=(-0.5, len(means) - 0.5), ylim=span, xticks=[])
    axes.set_yticks(span, [signed(value) for value in span], fontsize=6)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(length=2, pad=2)
    _beside(axes, "mean", sum(span) / 2, -26)


def _cells(axes: Axes, scan: Landscape, part: slice, norm: colors.Normalize) -> None:
    grid, numbers, letters = scan.change[:, part], scan.numbers[part], scan.wild_type[part]
    axes.set_facecolor("#E4E4E4")  # no mutant
    axes.pcolormesh(grid, cmap=MAP, norm=norm, edgecolors="white", linewidth=0.3, rasterized=scan.change.size > 8000)
    home = [(column, scan.rows.index(letter)) for column, letter in enumerate(letters) if letter in scan.rows]
    for column, row in home:  # white, as no change
        axes.add_patch(matplotlib.patches.Rectangle((column, row), 1, 1, facecolor="white", edgecolor="none"))
    axes.plot(*(np.array(home).T + 0.5 if home else ([], [])), ".", color=INK, markersize=3.2)
    axes.set_xlim(0, len(numbers))
    axes.set_ylim(len(scan.rows), 0)
    marked = {column for column, number in enumerate(numbers) if number % 10 == 0}
    marked |= set() if marked & {1, 2} else {0}  # the first, where its number meets no other
    labels = [f"{letter}\n{numbers[i]}" if i in marked else letter for i, letter in enumerate(letters)]
    axes.set_xticks(np.arange(len(numbers)) + 0.5, labels, fontsize=7, linespacing=1.3)
    axes.set_yticks(np.arange(len(scan.rows)) + 0.5, scan.rows, fontsize=6.5)
    axes.tick_params(length=0, pad=2)
    axes.spines[["bottom", "left"]].set_visible(False)
    row = 0
    for name, residues in [*GROUPS.items(), *((extra, "-") for extra in scan.rows[20:])]:
        if len(residues) > 1:
            _beside(axes, name, row + len(residues) / 2, -18)
        row += len(residues)
        if row < len(scan.rows):
            axes.axhline(row, color="white", linewidth=2)
    for column in range(1, len(numbers)):
        if numbers[column] != numbers[column - 1] + 1:  # positions between are not shown
            axes.axvline(column, color=INK, linewidth=0.8)


def _legend(figure: Figure, scan: Landscape, norm: colors.Normalize, width: float, height: float) -> None:
    unit = f" {scan.unit}" if scan.unit else ""
    figure.text(LEFT / width, 1 - 0.16 / height, plain(scan.id), fontsize=11, weight="bold", va="top", color=INK)
    text = f"{scan.target}: wild type {scan.value:.3g}{unit}, marked by dots"
    figure.text(LEFT / width, 1 - 0.42 / height, plain(text), fontsize=8, va="top", color=INK)
    wide = 1.5
    place = ((width - RIGHT - wide) / width, 1 - 0.3 / height, wide / width, 0.11 / height)
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, MAP), cax=figure.add_axes(place), orientation="horizontal", extend="both"
    )
    bar.set_ticks([norm.vmin or 0.0, 0.0, norm.vmax or 0.0])
    bar.ax.set_xticklabels([signed(tick) for tick in bar.get_ticks()], fontsize=7)
    bar.ax.tick_params(length=2, pad=1)
    bar.outline.set_edgecolor(PALE)  # type: ignore[operator]
    bar.ax.set_xlabel(plain(f"change of {scan.target}{f' ({scan.unit})' if scan.unit else ''}"), fontsize=7, labelpad=1)
