"""What `biorrn activations` and `biorrn embed states` write: pages, figures, tables and arrays of hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from biorrn.datasets.sequence_set import SequenceSet
from biorrn.errors import ConfigError
from biorrn.evaluation.activation_page import Page, page, scales_of
from biorrn.evaluation.unit_correlation import Choice, Correlations, parse_units
from biorrn.evaluation.unit_properties import choose_names, label_properties, properties_of, read_labels
from biorrn.files import atomic_path, write_text
from biorrn.inference.activations import States, Watched, check_size
from biorrn.inference.writers.tables import open_table

SHOWN = 20  # sequences of a page or figure


@dataclass(frozen=True, slots=True)
class Found:
    """Units of a model and what they respond to.

    Attributes
    ----------
    states : list of States: of every sequence, all units.
    units : list of Choice: those to show.
    directions : list of str: which way each reads; "" where all read the same way.
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
    """Choose the units to show and say what they correlate with.

    Parameters
    ----------
    units : numbers with commas, or None or "auto": for each property the unit that correlates most with it.
    properties : names with commas, see `unit_properties.properties_of`; None is all of them.
    labels : file of labels, see `unit_properties.read_labels`; each becomes a property.
    most : int: units that "auto" gives at most, the highest correlations first.

    Raises
    ------
    ConfigError: an unknown property or unit.
    InputError: labels that do not belong to the sequences.
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
        for choice in sums.choose():  # a unit that answers to two properties is shown once
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
    from biorrn.evaluation.figures import as_bytes
    from biorrn.evaluation.figures_activations import activation_figure

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
    """Write all units of all sequences, and which were chosen for what."""
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
    """Write the states of sequences, or with `mean` a vector a sequence.

    Raises
    ------
    ConfigError: a suffix that has no writer.
    BiorrnError: more states than memory should hold, see `inference.activations.check_size`.
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
    """Write the mean state of each sequence: NPZ of ids (N,) and means float32 (N, H), or a table by another suffix."""
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
    """Return what writes a file of this name.

    Raises
    ------
    ConfigError: another suffix.
    """
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
