"""Prepared files of tags: a state, or values, for each residue of a protein or base of DNA."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.hdf5_file import new_file
from biorrn.datasets.prepare import SequenceFile, Writer
from biorrn.encoders.states import States


class TagWriter(Writer):
    """Appends sequences with their labels or values; see `tag_writer`."""

    def add(
        self, id: str, tokens: np.ndarray, tags: np.ndarray, split: int = 0, said: np.ndarray | None = None
    ) -> None:
        """Append one sequence: tokens uint8 (T,), tags uint8 (T,) of states or float32 (T, K) of values, its split.

        In a file with probabilities, `said` uint8 (T, S) holds them in 1/255; None: no model said any.
        """
        row = {"id": id, "tokens": tokens, "labels" if tags.ndim == 1 else "values": tags, "split": split}
        if "probabilities" in self._fields:
            row["probabilities"] = np.zeros((len(tokens), self.columns), np.uint8) if said is None else said
        self._append(row, {"offsets": len(tokens)})


@contextlib.contextmanager
def tag_writer(
    path: str | Path,
    alphabet: str,
    states: States | None = None,
    targets: Sequence[Mapping[str, str]] = (),
    probabilities: bool = False,
) -> Iterator[TagWriter]:
    """Open a new file of tags; it takes its place at the end, whole or not at all.

    Parameters
    ----------
    path : the HDF5 file to write.
    alphabet : str: the letter of a token is at its place - 1.
    states : States, optional: of labels; None for values.
    targets : list of {"name", "unit"}: one a column of values.
    probabilities : bool: beside labels, those of the states, by a model.
    """
    with new_file(path) as file:
        file.attrs["alphabet"], file.attrs["sources"] = alphabet, "{}"
        if states is not None:
            tags = {"name": states.name, "states": states.letters, "names": list(states.names)}
            file.attrs["tags"] = json.dumps(tags)
        else:
            file.attrs["targets"] = json.dumps(list(targets))
        columns = len(states.letters) if states is not None else len(targets)
        kinds = ["values"] if states is None else ["labels", "probabilities"] if probabilities else ["labels"]
        writer = TagWriter(file, "tags", columns, kinds)
        yield writer
        writer.flush()


class TagFile(SequenceFile):
    """A prepared file of tags, open for reading."""

    kind = "tags"

    @property
    def tags(self) -> dict[str, Any] | None:
        """Return {"name", "states", "names"} of labels; None where the file holds values."""
        return dict(json.loads(self.file.attrs["tags"])) if "tags" in self.file.attrs else None

    def labels(self, row: int) -> np.ndarray:
        """Return the states uint8 (T,), `encoders.states.NO_STATE` where unknown, or the values float32 (T, K)."""
        start, end = self.file["offsets"][row : row + 2]
        return np.asarray(self.file["values" if self.tags is None else "labels"][start:end])
