"""The figure of an embedding: similarity of residues beside BLOSUM62, and a map of the residues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from biorrn.encoders.residues import STANDARD
from biorrn.errors import ConfigError
from biorrn.evaluation.embedding import Comparison
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Drawing, as_bytes, draw, plain
from biorrn.files import atomic_path

# chemistry -> residues and colour; the heat map has this order
CHEMISTRY = {
    "aliphatic": ("IVLMA", ORANGE),
    "aromatic": ("FYW", PURPLE),
    "special": ("CGP", GREY),
    "polar": ("STNQ", GREEN),
    "positive": ("HKR", BLUE),
    "negative": ("DE", RED),
}
ORDER = "".join(residues for residues, _ in CHEMISTRY.values())
COLOUR = {residue: colour for residues, colour in CHEMISTRY.values() for residue in residues}


def _matrix(axes: Axes, figure: Figure, found: Comparison) -> None:
    places = [STANDARD.index(residue) for residue in ORDER]
    similarity, blosum = (matrix[np.ix_(places, places)] for matrix in (found.similarity, found.blosum))
    off = ~np.eye(len(ORDER), dtype=bool)
    lower, upper = np.tri(len(ORDER), k=-1, dtype=bool), np.tri(len(ORDER), k=-1, dtype=bool).T
    reach = float(np.abs(similarity[off]).max()) or 1.0
    for values, shown, limit, side, label in (
        (similarity, lower, reach, "bottom", "below: cosine similarity"),
        (blosum, upper, 4.0, "top", "above: BLOSUM62, half-bits"),
    ):
        drawn = axes.imshow(np.where(shown, values, np.nan), cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(drawn, ax=axes, label=label, shrink=0.6, aspect=30, pad=0.02, location=side)
    axes.set_xticks(range(len(ORDER)), list(ORDER), fontsize=8)
    axes.set_yticks(range(len(ORDER)), list(ORDER), fontsize=8)
    for letter in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        letter.set_color(COLOUR[letter.get_text()])
        letter.set_fontweight("bold")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for edge in np.cumsum([len(residues) for residues, _ in CHEMISTRY.values()])[:-1] - 0.5:
        axes.axhline(edge, color="white", linewidth=1)
        axes.axvline(edge, color="white", linewidth=1)


def _map(axes: Axes, found: Comparison) -> None:
    x, y = found.places.T
    axes.scatter(x, y, s=0)  # for the limits
    for residue, across, up in zip(STANDARD, x, y, strict=True):
        axes.text(
            across, up, residue, color="white", ha="center", va="center", fontsize=8, fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": COLOUR[residue], "edgecolor": "white", "alpha": 0.9},
        )  # fmt: skip
    axes.margins(0.12)
    axes.set_xlabel(f"component 1 ({100 * found.explained[0]:.0f} % of the variance)")
    axes.set_ylabel(f"component 2 ({100 * found.explained[1]:.0f} %)")
    axes.ticklabel_format(style="sci", scilimits=(-2, 3))
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, (_, colour) in CHEMISTRY.items()
    ]
    axes.legend(handles=handles, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.22), handletextpad=0.2)


def embedding_figure(found: Comparison, name: str) -> Drawing:
    """Draw similarity and BLOSUM62 as the two halves of one matrix, and below it the map of the residues."""

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, height_ratios=[1.6, 1])
        _matrix(above, figure, found)
        p_value = f"p {'<' if found.p_value <= 1e-4 else '='} {max(found.p_value, 1e-4):.1g}"
        figure.suptitle(
            f"{plain(name)}\nSpearman {found.spearman:.2f}, {found.pairs} pairs, {p_value}", fontsize=10, color=INK
        )
        _map(below, found)

    return draw("embedding", found.sentence(), paint, 8.8)


def save_embedding_figure(found: Comparison, path: str | Path, name: str) -> None:
    """Write the figure of an embedding as its suffix says.

    Raises
    ------
    ConfigError: the suffix is neither .svg nor .png.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".png"):
        raise ConfigError(f"{path}: a figure is written to a file ending in .svg or .png")
    picture = as_bytes(embedding_figure(found, name).figure, suffix[1:])
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
