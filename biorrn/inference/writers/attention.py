"""Attention weights as a file: a table of the largest, or all of them as NumPy arrays."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from biorrn.errors import ConfigError
from biorrn.files import atomic_path
from biorrn.inference.attention_maps import Attended
from biorrn.inference.writers.tables import open_table

TOP = 50  # weights of a head that are written where nothing is said
COLUMNS: dict[str, type] = {
    "id": str,
    "layer": str,
    "head": int,
    "query": int,
    "query_residue": str,
    "key": int,
    "key_residue": str,
    "weight": float,
}
Write = Callable[[Attended], None]


@contextlib.contextmanager
def attention_file(path: str | Path, top: int | None = None, offset: int = 0) -> Iterator[Write]:
    """Open a file of attention weights and yield `write(attended)`.

    A table has one row a weight: id, layer, head (from 1), position and residue of the query and of the key, weight,
    the largest of a head first. A pool's query is learned and stands nowhere: position 0, residue `-`. A file `.npz`
    holds all weights: `ids`, `sequences`, and float32 arrays `0.core.0` (heads, T, T) or `0.pool.multihead` (heads, T)
    by the number of the protein, from 0, and the layer.

    Parameters
    ----------
    top : int, optional: weights of a head in a table, default `TOP`; 0 is all.
    offset : int: added to a place in the sequence, counted from 1, gives the position.

    Raises
    ------
    ConfigError: `top` is negative, or is given for an array.
    """
    if top is not None and top < 0:
        raise ConfigError(f"--top: found {top}; allowed is 0 for all, or a number of weights")
    arrays = Path(path).suffix.lower() == ".npz"
    if arrays and top is not None:
        raise ConfigError(f"--top: found {top} for {path}; a file .npz holds all weights")
    with _arrays(path) if arrays else _table(path, TOP if top is None else top, offset) as write:
        yield write


@contextlib.contextmanager
def _table(path: str | Path, top: int, offset: int) -> Iterator[Write]:
    with open_table(path, COLUMNS) as row:

        def write(found: Attended) -> None:
            for one in found.maps:
                for head, weights in enumerate(one.weights, 1):
                    order = np.argsort(-weights, axis=None, kind="stable")[: top or None]
                    for place, weight in zip(order.tolist(), weights.ravel()[order].tolist(), strict=True):
                        query, key = (None, place) if one.pooled else divmod(place, weights.shape[1])
                        asks = (0, "-") if query is None else (query + 1 + offset, found.sequence[query])
                        row([found.id, one.layer, head, *asks, key + 1 + offset, found.sequence[key], weight])

        yield write


@contextlib.contextmanager
def _arrays(path: str | Path) -> Iterator[Write]:
    names: list[tuple[str, str]] = []
    with atomic_path(Path(path)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, array: np.ndarray) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)

        def write(found: Attended) -> None:
            for one in found.maps:
                put(f"{len(names)}.{one.layer}", one.weights.astype(np.float32))
            names.append((found.id, found.sequence))

        yield write
        put("ids", np.array([id for id, _ in names], dtype=str))
        put("sequences", np.array([sequence for _, sequence in names], dtype=str))
