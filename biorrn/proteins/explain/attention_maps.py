"""Attention weights by layer and head: extraction, table, arrays, figure."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import atomic_path
from biorrn.nn.attention import Heads, MultiHead
from biorrn.nn.forward import model_on
from biorrn.nn.heads import Attention
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import RESIDUES, tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.figures import GREY, INK, canvas, figure_files, plain

LONGEST = 2000  # residues: the weights of one head are then four million
POOLS = {Attention: "attention", MultiHead: "multihead"}
TASKS = ("regression", "tagging")


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The weights of one layer, or of one pool.

    Attributes
    ----------
    layer : str: where in the model: `core.0`, of a list of cores `core.1.0`, `pool.multihead`; of a member of an
        ensemble with `members.0.` before it.
    weights : float32 array (heads, T, T), with queries by row and keys by column; of a pool (heads, T). What a query
        or a pool's head gives away sums to one.
    """

    layer: str
    weights: np.ndarray

    @property
    def pooled(self) -> bool:
        """Whether the heads have one learned query each."""
        return self.weights.ndim == 2


@dataclass(frozen=True, slots=True)
class Attended:
    """All weights of a model for one protein, in the order in which they are computed."""

    id: str
    sequence: str
    maps: list[AttentionMap]


def attend(stored: Stored, records: Iterable[ProteinRecord], device: torch.device | str = "cpu") -> Iterator[Attended]:
    """Yield the attention weights of a model for each record.

    Raises
    ------
    ConfigError: the model does not read residues, or has no attention.
    BiorrnError: a record has more than `LONGEST` residues, or none; or attention that is over something else.
    """
    task = stored.facts.get("task")
    if task not in TASKS or stored.facts.get("alphabet", RESIDUES) != RESIDUES:
        wanted = " or ".join(TASKS)
        raise ConfigError(f"{stored.path}: is a model for {task}; --attention is of one for {wanted} of proteins")
    if not _parts(stored.model):
        raise ConfigError(
            f"{stored.path}: has no attention; --attention is of a model with a core self_attention, or with a pool "
            f"{' or '.join(POOLS.values())}"
        )
    model = model_on(stored.model, device)
    return (_attended(model, record, torch.device(device)) for record in records)


def _attended(model: nn.Module, record: ProteinRecord, device: torch.device) -> Attended:
    length = len(record.sequence)
    if not 0 < length <= LONGEST:
        raise BiorrnError(f"record '{record.id}': has {length:,} residues; --attention takes 1 to {LONGEST:,}")
    x = torch.from_numpy(tokens(record.sequence)).long().to(device)[None]
    found = [
        AttentionMap(layer, weights[0].cpu().numpy())
        for layer, weights in maps_of(model, x, torch.tensor([length], device=device))
        if weights.shape[-1] == length
    ]
    if not found:
        raise BiorrnError(f"record '{record.id}': the attention of this model is not over residues")
    return Attended(record.id, record.sequence, found)


def maps_of(
    model: nn.Module, x: Tensor, lengths: Tensor, parts: list[tuple[str, nn.Module]] | None = None
) -> list[tuple[str, Tensor]]:
    """Return the place and the weights, float32 (B, heads, T, T) or (B, heads, T), of all attention inside a model.

    They are those of a forward pass of x (B, T) and lengths (B,), with the fused kernels replaced by the formula; of
    all layers and pools, or of some `parts` with their places.
    """
    seen: list[tuple[str, Tensor]] = []

    def keep(layer: str, pool: bool) -> Any:
        def hook(part: Any, inputs: tuple[Tensor, Tensor]) -> None:
            weights = part.weights(*inputs).float()
            seen.append((layer, weights[:, None] if pool and weights.ndim == 2 else weights))

        return hook

    chosen = _parts(model) if parts is None else parts
    handles = [part.register_forward_pre_hook(keep(name, type(part) in POOLS)) for name, part in chosen]
    try:
        if handles:
            with torch.no_grad():
                model(x, lengths)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def pools_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the attention pools of a model with their places."""
    return [(name, part) for name, part in _parts(model) if type(part) in POOLS]


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for path, part in model.named_modules():
        words = [word for word in path.split(".") if word not in ("layers", "parts")]
        if type(part) in POOLS:
            found.append((".".join([*words[:-1], POOLS[type(part)]]), part))  # type: ignore[index]
        elif isinstance(part, Heads):
            found.append((".".join(words[:-1]), part))
    return found


TOP_WEIGHTS = 50  # weights of a head in a table, by default
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
    the largest of a head first. A pool's query is learned and has no position: 0, residue `-`. A file `.npz`
    holds all weights: `ids`, `sequences`, and float32 arrays `0.core.0` (heads, T, T) or `0.pool.multihead` (heads, T)
    by the number of the protein, from 0, and the layer.

    Parameters
    ----------
    top : int, optional: weights of a head in a table, default `TOP_WEIGHTS`; 0 is all.
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
    with _arrays(path) if arrays else _table(path, TOP_WEIGHTS if top is None else top, offset) as write:
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


ACROSS = 4  # heads side by side
MOST = 64  # heat maps of one figure
LETTERS = 60  # residues up to which each is named; longer proteins have numbers
RESIDUE, SMALLEST, LARGEST = 0.075, 1.6, 3.4  # inches of a heat map: a residue, least and most
LEFT, RIGHT, TOP_SPACE, BOTTOM, BETWEEN, TITLE = 0.75, 0.85, 0.65, 0.5, 0.35, 0.3  # inches around and between
STRIP = 0.24  # inches a head of a pool
MOST_NUMBERS, STEPS = 8, (10, 20, 50, 100, 200, 500)  # of an axis, and what may lie between them
MAP = colors.LinearSegmentedColormap.from_list("weights", ["#FFFFFF", "#9CC7E5", "#0072B2", "#06253D"])


def attention_figure(found: Attended, offset: int = 0) -> Figure:
    """Draw all attention of a model for one protein, a row of heads a layer; colours of a layer share one scale.

    Raises
    ------
    BiorrnError: there are more than `MOST` heat maps.
    """
    number = sum(1 if one.pooled else len(one.weights) for one in found.maps)
    if number > MOST:
        raise BiorrnError(f"--figure: record '{found.id}' has {number} heat maps; a figure shows up to {MOST}")
    length = len(found.sequence)
    side = min(max(length * RESIDUE, SMALLEST), LARGEST)
    columns = max([1, *(min(len(one.weights), ACROSS) for one in found.maps if not one.pooled)])
    span = columns * side + (columns - 1) * BETWEEN
    pools = max(span, min(length * 0.13, 9.0))  # the strips of pools are as wide as all maps, or as letters need
    width = LEFT + pools + RIGHT
    rows = [_rows(one) for one in found.maps]
    tall = [
        TITLE + (len(one.weights) * STRIP if one.pooled else lines * side + (lines - 1) * BETWEEN) + BOTTOM
        for one, lines in zip(found.maps, rows, strict=True)
    ]
    height = TOP_SPACE + sum(tall)
    with canvas(width, height) as figure:
        figure.text(LEFT / width, 1 - 0.12 / height, plain(found.id), fontsize=11, weight="bold", va="top", color=INK)
        figure.text(
            LEFT / width, 1 - 0.36 / height, "attention: which residues (across) each residue (down) takes from",
            fontsize=8, va="top", color=GREY,
        )  # fmt: skip
        top = height - TOP_SPACE
        for one, needs in zip(found.maps, tall, strict=True):
            norm = colors.Normalize(0, float(one.weights.max()) or 1.0)
            figure.text(LEFT / width, top / height, plain(one.layer), fontsize=9, weight="bold", va="top", color=INK)
            low = top - TITLE

            def place(left: float, above: float, wide: float, high: float) -> Axes:
                return figure.add_axes((left / width, (above - high) / height, wide / width, high / height))

            if one.pooled:
                high = len(one.weights) * STRIP
                _strip(place(LEFT, low, pools, high), one, norm, found.sequence, offset)
                bar = place(LEFT + pools + 0.1, low, 0.1, high)
            else:
                for head, weights in enumerate(one.weights):
                    row, column = divmod(head, ACROSS)
                    at = LEFT + column * (side + BETWEEN), low - row * (side + BETWEEN)
                    _map(place(*at, side, side), weights, norm, found.sequence, offset, f"head {head + 1}")
                wide = min(len(one.weights), ACROSS) * (side + BETWEEN) - BETWEEN
                bar = place(LEFT + wide + 0.1, low, 0.1, side)
            figure.colorbar(matplotlib.cm.ScalarMappable(norm, MAP), cax=bar)
            bar.tick_params(labelsize=6, length=2, pad=2)
            top -= needs
    return figure


def _rows(one: AttentionMap) -> int:
    return 1 if one.pooled else -(-len(one.weights) // ACROSS)


def _ticks(axes: Axes, sequence: str, offset: int, side: float, down: bool) -> None:
    if len(sequence) <= LETTERS:
        places = np.arange(len(sequence))
        size = max(2.5, min(7.0, 72 * side / len(sequence) * 0.95))
        axes.set_xticks(places, list(sequence), fontsize=size)
        if down:
            axes.set_yticks(places, list(sequence), fontsize=size)
        axes.tick_params(length=0, pad=1.5)
        return
    step = next(step for step in STEPS if len(sequence) <= MOST_NUMBERS * step)
    numbers = [n for n in range(1 + offset, len(sequence) + 1 + offset) if n % step == 0]
    axes.set_xticks([n - 1 - offset for n in numbers], [str(n) for n in numbers], fontsize=6)
    if down:
        axes.set_yticks([n - 1 - offset for n in numbers], [str(n) for n in numbers], fontsize=6)
    axes.tick_params(length=2, pad=1.5)


def _map(axes: Axes, weights: np.ndarray, norm: colors.Normalize, sequence: str, offset: int, title: str) -> None:
    axes.imshow(weights, cmap=MAP, norm=norm, aspect="equal", interpolation="nearest")
    _ticks(axes, sequence, offset, axes.get_position().width * axes.figure.get_figwidth(), down=True)  # type: ignore[union-attr]
    axes.set_title(title, fontsize=7, color=GREY, pad=2)


def _strip(axes: Axes, one: AttentionMap, norm: colors.Normalize, sequence: str, offset: int) -> None:
    axes.imshow(one.weights, cmap=MAP, norm=norm, aspect="auto", interpolation="nearest")
    _ticks(axes, sequence, offset, axes.get_position().width * axes.figure.get_figwidth(), down=False)  # type: ignore[union-attr]
    axes.set_yticks(range(len(one.weights)), [f"head {head}" for head in range(1, len(one.weights) + 1)], fontsize=7)


@contextlib.contextmanager
def attention_figures(path: str | Path | None, offset: int = 0) -> Iterator[Callable[[Attended], None]]:
    """Yield `add(attended)`, which writes a figure a protein.

    Parameters
    ----------
    path : see `figure_files`; with None nothing is drawn.
    offset : int: added to a place in the sequence, counted from 1, gives its number.
    """
    if path is None:
        yield lambda found: None
        return
    with figure_files(path) as save:
        yield lambda found: save(attention_figure(found, offset), found.id, "attention")
