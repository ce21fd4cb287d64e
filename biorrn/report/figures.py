"""Figures of the report, with their captions: histograms, training curves, runs side by side, cost.

Figures are embedded as `data:` images with their size and a name for the download. An SVG in an image cannot run a
script, so a figure from a file is as harmless as the escaped text around it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from biorrn.base.errors import InputError
from biorrn.base.files import inside
from biorrn.stats.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    Drawing,
    as_bytes,
    draw,
    plain,
    slug,
)
from biorrn.stats.metrics import NAMES

BIG = 200_000  # bytes of an SVG above which the PNG beside it is embedded instead
# raised by content of an unexpected form: JSON has integers of any size and deep nesting
UNUSABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
TYPES = {"svg": "image/svg+xml", "png": "image/png"}
HEADS = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n"}  # what is near the beginning of such a file
LARGEST = 32_000_000  # bytes of a figure
LETTERS = 80  # of the name of a download
SIZE = re.compile(rb'<svg[^>]*?\bwidth="([0-9.]+)(?:pt|px)?"[^>]*?\bheight="([0-9.]+)(?:pt|px)?"')
MATPLOTLIB = b"Matplotlib v"  # how its SVGs name their maker
# invisible parts of matplotlib's SVGs: prolog, metadata, comments, blanks between elements
UNSEEN = re.compile(rb"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", re.DOTALL)
# coordinates: a hundredth of a point is more than a screen shows; numbers of `scale` are left as they are
PLACES = re.compile(rb'(?<=[\s]d=")[^"]*(?=")|(?<=[\s][xy]=")[^"]*(?=")|(?<=translate\()[^)]*(?=\))')
LONG = re.compile(rb"(\d+\.\d\d)\d+")
STEPS = re.compile(rb"\s*([A-Za-z])\s*")  # of a path


def image(data: bytes, format: str) -> str:
    """Return a picture as a `data:` address."""
    return f"data:{TYPES[format]};base64,{base64.b64encode(data).decode()}"


def _placed(found: re.Match[bytes]) -> bytes:
    return STEPS.sub(rb"\1", LONG.sub(rb"\1", found.group()))


def slim(svg: bytes) -> bytes:
    """Shrink an SVG of matplotlib to little more than half its bytes; other SVGs are unchanged.

    >>> slim(b'<!-- Matplotlib v3 --> <g> <path d="M 1.234567 -0.5 L 2 3"/> </g>')
    b'<g><path d="M1.23 -0.5L2 3"/></g>'
    """
    return PLACES.sub(_placed, UNSEEN.sub(b"", svg)) if MATPLOTLIB in svg[:3000] else svg


def size(data: bytes, format: str) -> tuple[int, int] | None:
    """Return width and height of a picture, in points (SVG) or pixels (PNG); None where the file does not say."""
    if format == "png":
        whole = len(data) >= 24 and data[12:16] == b"IHDR"
        return (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) if whole else None
    found = SIZE.search(data[:4000])
    try:
        width, height = (round(float(side)) for side in found.groups()) if found else (0, 0)
    except (ValueError, OverflowError):
        return None
    return (width, height) if width and height else None


def embedded(data: bytes, format: str, caption: str, name: str) -> dict[str, Any]:
    """Return a figure for the template: source, caption, format, width and height (or None), name of its download."""
    data = slim(data) if format == "svg" else data
    width, height = size(data, format) or (None, None)
    return {
        "source": image(data, format),
        "caption": caption,
        "format": format,
        "width": width,
        "height": height,
        "name": slug(name)[:LETTERS],
    }


def drawn(drawings: Iterable[Drawing | None], name: str) -> list[dict[str, Any]]:
    """Return drawings for the template; None among them is left out. `name` goes before the names of downloads."""
    return [
        embedded(as_bytes(drawing.figure, "svg"), "svg", drawing.caption, f"{name}_{drawing.name}")
        for drawing in drawings
        if drawing is not None
    ]


def figures_of(content: dict[str, Any], path: Path, name: str) -> list[dict[str, Any]]:
    """Return the figures that a JSON file lists, for the template.

    Raises
    ------
    InputError: a figure is missing, lies outside the folder of the file, is too large, or is neither SVG nor PNG.
    """
    found = []
    entries = content.get("figures") or []
    if not isinstance(entries, list):
        raise InputError(path, f"key 'figures': found {type(entries).__name__}; expected a list")
    for entry in entries:
        try:
            figure, caption = inside(path.parent, entry["path"], path), str(entry.get("caption", ""))
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(path, "key 'figures': each entry needs 'path' and 'caption'") from error
        other = figure.with_suffix(".png")
        if figure.suffix == ".svg" and other.is_file() and figure.is_file() and figure.stat().st_size > BIG:
            figure = other
        if figure.suffix[1:] not in TYPES:
            raise InputError(path, f"figure '{entry['path']}': found suffix '{figure.suffix}'; allowed is .svg or .png")
        try:
            if figure.exists() and not (figure.is_file() and figure.stat().st_size <= LARGEST):
                raise InputError(figure, f"is no file of at most {LARGEST:,} bytes; {path.name} names it as a figure")
            data = figure.read_bytes()
        except OSError as error:
            raise InputError(figure, f"cannot be read: {error.strerror}; {path.name} names it") from error
        if HEADS[figure.suffix[1:]] not in data[:4000]:
            raise InputError(figure, f"is no {figure.suffix[1:].upper()}; {path.name} names it as a figure")
        found.append(embedded(data, figure.suffix[1:], caption, f"{name}_{figure.stem}"))
    return found


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
    """Draw the composition of the sequences of each split; None for no letters.

    Parameters
    ----------
    parts : {split: {letter: share of the residues or bases}}.
    """
    letters = [letter for letter in dict.fromkeys(key for shares in parts.values() for key in shares)]
    letters = [letter for letter in letters if any(shares.get(letter) for shares in parts.values())]
    if not letters or len(letters) > 30:
        return None
    return draw("composition", "Composition by split.", _letters(parts, letters))


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
        "Rows that fade towards the top are vanishing gradients; grey: none."
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
        shown = NAMES["selection"] if together == ["selection"] else shown
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


SHOWN = 40  # runs in a figure; the best are drawn
NAME_LETTERS = 22  # of a name
RULE_COLOURS = (BLUE, ORANGE, GREEN, SKY, PURPLE, RED, PALE)


def short(name: str, letters: int = NAME_LETTERS) -> str:
    """Shorten a long name in its middle.

    >>> short("stability_gru_lr0.003_seed1", 12)
    'stabil…seed1'
    """
    return name if len(name) <= letters else f"{name[: letters // 2]}…{name[len(name) - (letters - 1) // 2 :]}"


def _beginning(names: list[str]) -> str:
    """Return the common beginning of names, up to the end of a word."""
    first, last = min(names), max(names)
    same = (place for place, letter in enumerate(first) if place >= len(last) or letter != last[place])
    return re.sub(r"[^_ -]*$", "", first[: next(same, len(first))])


def shortened(names: list[str], letters: int = NAME_LETTERS) -> list[str]:
    """Shorten names for an axis: if one is long, without their common beginning.

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
        for rule, colour in zip(rules, RULE_COLOURS + (GREY,) * len(rules), strict=False):
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
    kept = {
        name: {rule: times[name].get(rule, 0.0) / scale for rule in rules[: len(RULE_COLOURS) - 1]} for name in order
    }
    if len(rules) >= len(RULE_COLOURS):
        rest = rules[len(RULE_COLOURS) - 1 :]
        for name in order:
            kept[name]["other"] = sum(times[name].get(rule, 0.0) for rule in rest) / scale
        rules = [*rules[: len(RULE_COLOURS) - 1], "other"]
    shown = {name: kept[name] for name in order[:SHOWN]}
    caption = "Wall time by run, data set or sample, and by rule of the workflow."
    if len(order) > SHOWN:
        caption += f" The longest {SHOWN} of {len(order)}."
    height = 1.1 + 0.3 * len(shown) + 0.2 * ((len(rules) + 1) // 2)
    return draw("cost", caption, _stack(shown, rules, unit), height)
