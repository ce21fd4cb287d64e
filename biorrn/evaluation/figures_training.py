"""Figures of a training run: losses, metrics of the validation rows, learning rate, gradient over time and depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from biorrn.evaluation.figures import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Drawing,
    draw,
    plain,
    slug,
)

History = Mapping[str, np.ndarray]
DEPTH = "grad_norm."  # what the columns of the parts of a model begin with, in the order in which data flows
# metrics that share a figure, because they share a scale: name of the figure -> columns without "valid_"
TOGETHER: dict[str, tuple[str, ...]] = {
    "agreement": ("spearman", "pearson", "r2"),
    "errors": ("rmse", "mae"),
    "identities": ("identity", "mean_identity"),
}


def _line(axes: Axes, epochs: np.ndarray, values: np.ndarray, colour: str, label: str = "") -> None:
    marker = "o" if len(epochs) <= 40 else ""
    axes.plot(epochs, values, color=colour, label=plain(label), marker=marker, markersize=3, linewidth=1.6)


def _epochs(axes: Axes) -> None:
    axes.set_xlabel("epochs done")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _curves(history: History, names: Mapping[str, str], label: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for (name, shown), colour in zip(names.items(), (BLUE, ORANGE, GREEN, RED, PURPLE, SKY), strict=False):
            _line(axes, history["epoch"] + 1, history[name], colour, shown)
        axes.set_ylabel(plain(label))
        _epochs(axes)
        if len(names) > 1:
            axes.legend()

    return paint


def _optimiser(history: History, shown: list[tuple[str, str, str]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, label, colour) in zip(panels, shown, strict=True):
            _line(axes, history["epoch"] + 1, history[name], colour)
            axes.set_ylabel(label)
            if name == "lr":
                axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        _epochs(panels[-1])

    return paint


def _depth(parts: Mapping[str, np.ndarray], epochs: np.ndarray) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        values = np.array(list(parts.values()))  # (parts, E)
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        low, high = np.nanmin(values), np.nanmax(values)
        norm = LogNorm(low, max(high, low * 1.01))
        edges = np.append(epochs + 0.5, epochs[-1] + 1.5)
        axes.grid(False)
        axes.set_facecolor("#D8D8D8")
        drawn = axes.pcolormesh(
            edges, np.arange(len(parts) + 1), values, norm=norm, cmap="viridis", shading="flat", rasterized=True
        )
        axes.set_yticks(np.arange(len(parts)) + 0.5, [plain(name) for name in parts], fontsize=9)
        axes.invert_yaxis()  # data flows from the top to the bottom
        axes.set_xlim(edges[0], edges[-1])
        _epochs(axes)
        figure.colorbar(drawn, ax=axes, label="gradient norm", pad=0.02)

    return paint


def gradient_depth(history: History) -> Drawing | None:
    """Draw the gradient norm of each part of a model over time; None where the history does not have it.

    Parameters
    ----------
    history : mapping of the columns of history.tsv to float arrays (E,); columns "grad_norm.<part>" are drawn.
    """
    parts = {name.removeprefix(DEPTH): history[name] for name in history if name.startswith(DEPTH)}
    parts = {name: values for name, values in parts.items() if (np.isfinite(values) & (values > 0)).any()}
    if len(parts) < 2 or not len(history.get("epoch", ())):
        return None
    caption = (
        "Mean norm of the gradient by part of the model (input at the top, output at the bottom) and epoch. "
        "Rows that fade towards the top are gradients that vanish on their way back; grey: none."
    )
    height = min(1.3 + 0.3 * len(parts), 7.0)
    return draw("gradient_depth", caption, _depth(parts, np.asarray(history["epoch"], float)), max(height, 2.4))


def _metrics(history: History) -> list[Drawing]:
    names = [name.removeprefix("valid_") for name in history if name.startswith("valid_") and name != "valid_loss"]
    names = [name for name in names if np.isfinite(history[f"valid_{name}"]).any()]
    groups = {
        title: [name for name in together if name in names]
        for title, together in TOGETHER.items()
        if any(name in names for name in together)
    }
    grouped = {name for together in groups.values() for name in together}
    groups |= {name: [name] for name in names if name not in grouped}
    drawings = []
    for title, together in groups.items():
        columns = {f"valid_{name}": name.replace("_", " ") for name in together}
        shown = " and ".join(", ".join(columns.values()).rsplit(", ", 1))
        label = shown if len(together) == 1 else title
        caption = f"{shown[0].upper()}{shown[1:]} of the validation rows."
        drawings.append(draw(slug(title), caption, _curves(history, columns, label)))
    return drawings


def training_figures(history: History) -> list[Drawing]:
    """Draw a run: losses, the metrics of the validation rows, learning rate with gradient norm, gradient over depth.

    Parameters
    ----------
    history : mapping of the columns of history.tsv to float arrays (E,), one value an epoch. Columns that are absent
        are not drawn.
    """
    if not len(history.get("epoch", ())):
        return []
    losses = {name: name.split("_")[0] for name in ("train_loss", "valid_loss") if name in history}
    drawings = []
    if losses:
        drawings.append(draw("loss", "Loss of the training and validation rows.", _curves(history, losses, "loss")))
    drawings += _metrics(history)
    wanted = (("lr", "learning rate", BLUE), ("grad_norm", "gradient norm", RED))
    shown = [entry for entry in wanted if entry[0] in history]
    if shown:
        caption = {
            "lr": "Learning rate at the end of each epoch",
            "grad_norm": "mean norm of the gradient before clipping",
        }
        words = " and ".join(caption[name] for name, _, _ in shown)
        drawings.append(draw("optimiser", f"{words[0].upper()}{words[1:]}.", _optimiser(history, shown)))
    depth = gradient_depth(history)
    return [*drawings, depth] if depth else drawings
