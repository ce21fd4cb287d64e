"""The rows of a prepared file of tags, and predictions of their residues joined to them by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import InputError
from biorrn.sequences.prediction_files import finite, prediction_rows
from biorrn.sequences.prepared.schema import NO_LABEL
from biorrn.tagging.prepare import TagFile


@dataclass(frozen=True, slots=True)
class Tagged:
    """Proteins, or other sequences, with a label or values at each residue.

    Attributes
    ----------
    ids : str array (N,).
    tokens : uint8 array (total,): residues of all rows, one after another; the place in `alphabet` + 1.
    lengths : int64 array (N,): residues of each row.
    labels : int16 array (total,): the place of the state in `states`, -1 where it is not known; empty of values.
    values : float32 array (total, K), NaN where missing; K is 0 of states.
    states, alphabet : str.
    """

    ids: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    states: str
    alphabet: str

    def select(self, rows: np.ndarray) -> Tagged:
        """Return the rows where the bool array `rows` (N,) is True."""
        residues = np.repeat(rows, self.lengths)
        labels, values = (part[residues] if len(part) else part for part in (self.labels, self.values))
        return Tagged(
            self.ids[rows], self.tokens[residues], self.lengths[rows], labels, values, self.states, self.alphabet
        )

    def sequences(self) -> list[str]:
        """Return the letters of each row."""
        letters = np.frombuffer(f"-{self.alphabet}".encode(), np.uint8)[self.tokens].tobytes().decode()
        ends = np.cumsum(self.lengths)
        return [letters[end - length : end] for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class PreparedTags:
    """A prepared file of tags: all rows, the split of each, what the states or values are called, and its note."""

    rows: Tagged
    split: np.ndarray  # uint8 (N,)
    name: str  # of what is tagged; "" of values
    state_names: list[str]
    targets: list[dict[str, str]]  # {"name", "unit"} for each of the K values
    note: str


def read_prepared_tags(path: str | Path) -> PreparedTags:
    """Read a prepared file of tags whole.

    Raises
    ------
    InputError: the file is missing, is not HDF5, or is not a prepared file of tags.
    """
    with TagFile(path) as prepared:
        file, tags = prepared.file, prepared.tags
        tokens = file["tokens"][:]
        labels, values = np.zeros(0, np.int16), np.zeros((len(tokens), 0), np.float32)
        if tags is None:
            values = file["values"][:]
        else:
            labels = file["labels"][:].astype(np.int16)
            labels[labels == NO_LABEL] = -1
        rows = Tagged(
            np.array(prepared.strings("id"), dtype=object),
            tokens,
            np.diff(file["offsets"][:].astype(np.int64)),
            labels,
            values,
            tags["states"] if tags else "",
            prepared.alphabet,
        )
        names = list(tags["names"]) if tags else []
        note = str(file.attrs.get("note", ""))
        return PreparedTags(rows, file["split"][:], tags["name"] if tags else "", names, prepared.targets, note)


@dataclass(frozen=True, slots=True)
class TagPredictions:
    """What a model said of each residue, in the rows' order.

    Attributes
    ----------
    states : int64 array (total,): the place of the state that was called; empty of values.
    scores : float32 array (total, S): probabilities, NaN where the table has none; or values (total, K).
    flags : dict: how often each flag was set.
    """

    states: np.ndarray
    scores: np.ndarray
    flags: dict[str, int]


def join_tags(path: str | Path, rows: Tagged, targets: Sequence[str], prepared: str | Path) -> TagPredictions:
    """Read predictions, as `biorrn predict` writes them in a table, and put them in the order of `rows`.

    Records of the table that are not asked for are ignored. A table without probabilities will do.

    Parameters
    ----------
    targets : the columns of values; none where states are predicted.

    Raises
    ------
    InputError: a column, an id or a residue is missing, a residue has two different predictions or another letter, a
        state is none of the file's, or a value is not a number.
    """
    states = {state: place for place, state in enumerate(rows.states)}
    begins = np.cumsum(rows.lengths) - rows.lengths
    where = dict(zip(rows.ids, zip(begins.tolist(), rows.lengths.tolist(), strict=True), strict=True))
    called = np.full(len(rows.tokens), -1)
    scores = np.full((len(rows.tokens), len(states) or len(targets)), np.nan, np.float32)
    seen = np.zeros(len(rows.tokens), bool)
    columns, table = prediction_rows(path, ["id", "position", *(["state"] if states else targets)])
    names = [f"p_{state}" for state in states] if states else list(targets)
    given = all(name in columns for name in names)
    for row in table:
        begin, length = where.get(row["id"], (0, 0))
        if not length:
            continue
        place = begin + _position(path, row, length) - 1
        _check_residue(path, row, rows, place)
        found = [finite(path, row, name) for name in names] if given else []
        state = _state(path, row, states) if states else -1
        if seen[place] and (state != called[place] or (given and not np.allclose(scores[place], found))):
            raise InputError(path, f"position {row['position']} has two different predictions", row["id"])
        seen[place], called[place] = True, state
        if given:
            scores[place] = found
    if not seen.all():
        place = int(np.argmin(seen))
        row_at = int(np.searchsorted(begins, place, side="right")) - 1
        missing = f"no prediction for {int((~seen).sum()):,} of {len(seen):,} residues of {Path(prepared).name}"
        raise InputError(path, f"{missing}, the first at position {place - int(begins[row_at]) + 1}", rows.ids[row_at])
    return TagPredictions(called if states else called[:0], scores, {})


def _check_residue(path: str | Path, row: Mapping[str, Any], rows: Tagged, place: int) -> None:
    """Raise where the table gives another residue than the prepared row has; it need not give any."""
    residue, own = row.get("residue"), rows.alphabet[rows.tokens[place] - 1]
    if residue and residue != own:
        found = f"position {row['position']}: found residue '{residue}'; the prepared row has '{own}'"
        raise InputError(path, found, row["id"])


def _state(path: str | Path, row: Mapping[str, Any], states: Mapping[str, int]) -> int:
    state = states.get(str(row["state"]))
    if state is None:
        allowed = f"allowed is one of {''.join(states)}"
        raise InputError(path, f"position {row['position']}: found state '{row['state']}'; {allowed}", row["id"])
    return state


def _position(path: str | Path, row: Mapping[str, Any], length: int) -> int:
    text = str(row["position"])
    position = int(text) if text.isdecimal() and len(text) < 10 else 0
    if not 1 <= position <= length:
        raise InputError(path, f"found position '{text[:20]}'; the prepared row has {length} residues", row["id"])
    return position
