"""Output of hidden states: HTML pages, figures, tables and arrays (`biorrn activations`, `biorrn embed states`)."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import atomic_path, write_text
from biorrn.experiments.activations.states import States, Watched, check_size
from biorrn.experiments.activations.units import (
    Choice,
    Correlations,
    choose_names,
    label_properties,
    parse_units,
    properties_of,
    read_labels,
)
from biorrn.sequences.sequence_set import SequenceSet
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.figures import GREY, INK, Drawing, as_bytes, draw, plain

BLOCK = 10  # letters between numbers
SHADES = 9  # of each sign
PERCENTILE = 99  # of the absolute values, drawn with the strongest shade

STYLE = """:root{color-scheme:light dark;--paper:#fff;--ink:#222;--soft:#767676;--up:0,114,178;--down:213,94,0}
@media(prefers-color-scheme:dark){:root{--paper:#161616;--ink:#e8e8e8;--soft:#9a9a9a;--up:60,160,225;--down:235,120,30}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1rem auto;
padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.8rem 0 .3rem}p.id{color:var(--soft);font-size:.85rem;margin:.8rem 0 0}
p.s{font:.95rem/1.9 ui-monospace,monospace;margin:0}p.s span{display:inline-block;margin-right:.5rem}
i{font-style:normal}sub{color:var(--soft);font-size:.6rem;vertical-align:super;margin-right:.15rem}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Content of a page.

    Attributes
    ----------
    title : str: the model and the layer.
    units : list of (Choice, direction): direction is "", "forward" or "backward".
    scales : float array (U,): the value with the strongest shade, by unit.
    """

    title: str
    units: Sequence[tuple[Choice, str]]
    scales: np.ndarray


def scales_of(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the value with the strongest shade by unit, float64 (U,), of states (T_i, U)."""
    every = np.abs(np.concatenate(values)) if values else np.ones((1, 1))
    return np.maximum(np.percentile(every, PERCENTILE, axis=0).astype(np.float64), 1e-9)


def shades(values: np.ndarray, scale: float) -> np.ndarray:
    """Return the shade of each value (T,), int64: from -`SHADES` to `SHADES`.

    >>> shades(np.array([-9.0, -1.0, 0.0, 0.5]), 1.0).tolist()
    [-9, -9, 0, 4]
    """
    return np.rint(np.clip(values / scale, -1, 1) * SHADES).astype(np.int64)


def _style() -> str:
    rules = [
        f".{sign}{shade}{{background:rgba(var(--{name}),{0.75 * shade / SHADES:.2f})}}"
        for sign, name in (("p", "up"), ("n", "down"))
        for shade in range(1, SHADES + 1)
    ]
    return STYLE + "\n".join(rules) + "\n"


def coloured(sequence: str, values: np.ndarray, scale: float) -> str:
    """Return a coloured sequence as HTML, in numbered blocks of ten letters."""
    parts = []
    every = shades(values, scale).tolist()
    for start in range(0, len(sequence), BLOCK):
        letters = zip(sequence[start : start + BLOCK], every[start : start + BLOCK], strict=True)
        runs = []
        for shade, group in itertools.groupby(letters, key=lambda pair: pair[1]):
            text = html.escape("".join(letter for letter, _ in group))
            runs.append(f'<i class="{"p" if shade > 0 else "n"}{abs(shade)}">{text}</i>' if shade else text)
        parts.append(f"<span><sub>{start + 1}</sub>{''.join(runs)}</span>")
    return "".join(parts)


def page(shown: Page, sequences: Sequence[States], note: str = "") -> Iterator[str]:
    """Yield the lines of the page: of each unit, every sequence coloured by the unit's state.

    Parameters
    ----------
    sequences : their `values` (T, U) are of the units of `shown`.
    note : str: below the title.
    """
    title = html.escape(shown.title)
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n'
    yield f"<title>{title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    ramp = "".join(f'<i class="n{shade}">&nbsp;&nbsp;</i>' for shade in range(SHADES, 0, -3))
    ramp += "&nbsp;0&nbsp;" + "".join(f'<i class="p{shade}">&nbsp;&nbsp;</i>' for shade in range(3, SHADES + 1, 3))
    yield f"<p>Each letter has the colour of the unit's state after it was read: below zero {ramp} above.\n"
    yield f"{html.escape(note)}</p>\n"
    for column, (choice, direction) in enumerate(shown.units):
        scale = float(shown.scales[column])
        reads = f"; reads {direction}" if direction else ""
        yield f"<section>\n<h2>{html.escape(choice.sentence())}{reads}; full colour at ±{scale:.2g}</h2>\n"
        for one in sequences:
            yield f'<p class="id">{html.escape(one.id)}</p>\n'
            yield f'<p class="s">{coloured(one.sequence, one.values[:, column], scale)}</p>\n'
        yield "</section>\n"
    yield "</body>\n</html>\n"


SHOWN = 20  # sequences of a page or figure


@dataclass(frozen=True, slots=True)
class Found:
    """Units of a model and the properties they correlate with.

    Attributes
    ----------
    states : list of States: of every sequence, all units.
    units : list of Choice: the units to show.
    directions : list of str: reading direction of each; "" if all are the same.
    title : str: the model and its part.
    """

    states: list[States]
    units: list[Choice]
    directions: list[str]
    title: str

    def of_units(self, most: int | None = None) -> list[States]:
        """Return the states of the units to show, (T, U), of the first sequences."""
        chosen = [choice.unit for choice in self.units]
        return [replace(one, values=one.values[:, chosen]) for one in self.states[:most]]


def look(
    watched: Watched,
    states: Iterable[States],
    *,
    units: str | None = None,
    properties: str | None = None,
    labels: str | Path | None = None,
    most: int = 8,
    name: str = "",
) -> Found:
    """Choose the units to show and their best correlations.

    Parameters
    ----------
    units : comma-separated numbers; None or "auto" for the unit with the highest correlation for each property.
    properties : comma-separated names, see `units.properties_of`; None for all.
    labels : file of labels, see `units.read_labels`; each becomes a property.
    most : int: maximum number of units of "auto", the highest correlations first.

    Raises
    ------
    ConfigError: an unknown property or unit.
    InputError: labels that do not fit the sequences.
    """
    if most < 1:
        raise ConfigError(f"--most: found {most}; allowed is 1 or more")
    names = choose_names(properties, watched.alphabet)
    known = read_labels(labels) if labels is not None else {}
    letters = sorted({letter for text in known.values() for letter in text})
    every = []
    sums = Correlations(watched.width, [*names, *(f"label {letter}" for letter in letters)])
    asked = parse_units(units, watched.width)
    for one in states:
        found = properties_of(one.sequence, watched.alphabet)
        sums.add(one.values, found | label_properties(known, one, letters, labels))
        every.append(one)
    if asked is None:
        chosen: list[Choice] = []
        for choice in sums.choose():  # each unit is shown once
            if choice.unit not in [one.unit for one in chosen] and len(chosen) < most:
                chosen.append(choice)
    else:
        chosen = [sums.best_of(unit) for unit in asked]
    both = len(watched.directions) > 1
    ways = [watched.direction(choice.unit) if both else "" for choice in chosen]
    return Found(every, chosen, ways, f"{name}, {watched.name}".removeprefix(", "))


def _shown(found: Found, most: int | None) -> tuple[Page, list[States]]:
    own = found.of_units(most)
    units = list(zip(found.units, found.directions, strict=True))
    return Page(found.title, units, scales_of([one.values for one in own])), own


def _html(path: str | Path, found: Found) -> None:
    shown, own = _shown(found, SHOWN)
    left = len(found.states) - len(own)
    with write_text(path) as stream:
        stream.writelines(page(shown, own, f"The first {SHOWN} of {left + SHOWN} sequences." if left else ""))


def _figure(path: str | Path, found: Found) -> None:

    drawing = activation_figure(*_shown(found, SHOWN))
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_bytes(drawing.figure, Path(path).suffix.lower()[1:]))


def _table(path: str | Path, found: Found) -> None:
    columns: dict[str, type] = {"id": str, "position": int, "residue": str}
    columns |= {f"unit_{choice.unit}": float for choice in found.units}
    with open_table(path, columns) as write:
        for one in found.of_units():
            for place, (letter, row) in enumerate(zip(one.sequence, one.values.tolist(), strict=True), 1):
                write([one.id, place, letter, *row])


def _arrays(path: str | Path, found: Found) -> None:
    """Write all units of all sequences, and the chosen units with their properties."""
    chosen = {
        "units": np.array([choice.unit for choice in found.units]),
        "properties": np.array([choice.property for choice in found.units], str),
        "correlations": np.array([choice.correlation for choice in found.units]),
    }
    save_states(path, found.states, chosen)


def save_states(path: str | Path, states: Sequence[States], more: dict[str, np.ndarray] | None = None) -> None:
    """Write states as NPZ: ids (N,), offsets (N + 1,), letters (total,) and states float32 (total, H).

    The states of sequence i are states[offsets[i]:offsets[i + 1]].
    """
    ends = np.cumsum([len(one.sequence) for one in states])
    content = {
        "ids": np.array([one.id for one in states], str),
        "offsets": np.concatenate([[0], ends]).astype(np.int64),
        "letters": np.array(list("".join(one.sequence for one in states)), "S1"),
        "states": np.concatenate([one.values for one in states]).astype(np.float32),
    }
    _save(path, content | (more or {}))


def export_states(
    path: str | Path, watched: Watched, sequences: SequenceSet, states: Iterable[States], mean: bool
) -> None:
    """Write the states of sequences, or with `mean` one vector per sequence.

    Raises
    ------
    ConfigError: an unknown suffix.
    BiorrnError: too many states for memory, see `experiments.activations.states.check_size`.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ".tsv" if str(path) == "-" else ""
    allowed = (".npz", ".tsv", ".csv", ".parquet") if mean else (".npz",)
    if suffix not in allowed or (suffix == ".npz" and not str(path).lower().endswith(".npz")):
        raise ConfigError(f"--output: found '{path}'; allowed is a name that ends in {', '.join(allowed)}")
    if mean:
        _save_means(path, states)
    else:
        check_size(watched, sequences)
        save_states(path, list(states))


def _save_means(path: str | Path, states: Iterable[States]) -> None:
    """Write the mean state of each sequence: NPZ of ids (N,) and means float32 (N, H), or a table."""
    means = [(one.id, len(one.sequence), one.values.sum(0) / max(len(one.sequence), 1)) for one in states]
    if Path(path).suffix.lower() == ".npz":
        ids = np.array([id for id, _, _ in means], str)
        _save(path, {"ids": ids, "means": np.stack([mean for _, _, mean in means]).astype(np.float32)})
    else:
        columns: dict[str, type] = {"id": str, "length": int}
        columns |= {f"state_{number}": float for number in range(len(means[0][2]))}
        with open_table(path, columns) as write:
            for id, length, mean in means:
                write([id, length, *map(float, mean)])


def _save(path: str | Path, content: dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **content)  # type: ignore[arg-type]  # of any names


def writer_of(path: str | Path) -> Callable[[str | Path, Found], None]:
    """Return the writer for a file name; ConfigError for an unknown suffix."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    found = WRITERS.get(suffixes[-1] if suffixes else ".tsv" if str(path) == "-" else "")
    packed = str(path).lower().endswith(".gz")
    if found is None or (packed and found not in (_table, _html)):
        raise ConfigError(
            f"--output: found '{path}'; allowed is a name that ends in {', '.join(WRITERS)}, or - for TSV"
        )
    return found


WRITERS: dict[str, Callable[[str | Path, Found], None]] = {
    ".html": _html,
    ".svg": _figure,
    ".png": _figure,
    ".tsv": _table,
    ".csv": _table,
    ".parquet": _table,
    ".npz": _arrays,
}


LINE = 50  # letters
MOST = 120  # lines of a figure
HEIGHT, TITLE = 0.2, 0.45  # inches of a line, and of a title


def _lines(sequences: Sequence[States]) -> list[tuple[str, int, str, np.ndarray]]:
    """Return id, number of the first letter, letters and states (T, U) of each line."""
    return [
        (one.id, start + 1, one.sequence[start : start + LINE], one.values[start : start + LINE])
        for one in sequences
        for start in range(0, len(one.sequence), LINE)
    ]


def _unit(axes: Axes, lines: list[tuple[str, int, str, np.ndarray]], column: int, scale: float, title: str) -> None:
    cells = np.full((len(lines), LINE), np.nan)
    for row, (_, _, letters, values) in enumerate(lines):
        cells[row, : len(letters)] = values[:, column] / scale
    axes.imshow(cells, cmap="RdBu", vmin=-1.7, vmax=1.7, aspect="auto", interpolation="nearest")
    for row, (id, first, letters, _) in enumerate(lines):
        for place, letter in enumerate(letters):
            axes.text(place, row, letter, ha="center", va="center", fontsize=5.5, family="DejaVu Sans Mono", color=INK)
        name = f"{plain(id[:14])} 1" if first == 1 else str(first)
        axes.annotate(name, (-0.7, row), ha="right", va="center", fontsize=5.5, color=GREY, annotation_clip=False)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(plain(title), fontsize=7.5, loc="left", color=INK)


def activation_figure(shown: Page, sequences: Sequence[States]) -> Drawing:
    """Return the figure of every unit of `shown` along every sequence; BiorrnError for more than `MOST` lines."""
    lines = _lines(sequences)
    if len(lines) * len(shown.units) > MOST:
        raise BiorrnError(
            f"a figure shows up to {MOST} lines of {LINE} letters; found {len(lines)} for each of {len(shown.units)} "
            "units; use fewer units or sequences, or an output that ends in .html"
        )

    def paint(figure: Figure) -> None:
        figure.suptitle(plain(shown.title), fontsize=9, color=INK)
        panels = figure.subplots(len(shown.units), 1, squeeze=False)[:, 0]
        for column, ((choice, _), axes) in enumerate(zip(shown.units, panels, strict=True)):
            _unit(axes, lines, column, float(shown.scales[column]), choice.sentence().replace(" (", "\n("))

    height = 0.3 + len(shown.units) * (TITLE + HEIGHT * len(lines))
    return draw("activations", f"{shown.title}: states of units along sequences", paint, height)
