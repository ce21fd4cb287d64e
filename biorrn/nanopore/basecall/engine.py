"""Engines that run a basecalling network: torch on any device, or compiled LSTM kernels on a CPU.

The choice depends only on the model, the processor and the variable BIORRN_ENGINE, not on the input, the batch size or
measured time, so that a command is reproducible. The kernels are used if they agree with the plain network of
`reference` on an artificial signal. torch is imported only where it is chosen. `benchmarks/bench_basecall.py` measures
the speed of both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from biorrn.base.compute import kind_of
from biorrn.base.errors import BiorrnError
from biorrn.config.network import Conv, CRFHead
from biorrn.config.recipe import Model, Recipe
from biorrn.kernels.lstm import reference
from biorrn.kernels.lstm.layers import (
    ACTIVATIONS,
    ANY,
    BFLOAT,
    FLOAT,
    INT8,
    INT16,
    NONE,
    ROWS,
    SILU,
    TANH,
    Dense,
    Layers,
    described,
    kinds,
    padded,
    unit_of,
)
from biorrn.kernels.lstm.native import KINDS
from biorrn.nanopore.basecall.reference import plain_scores
from biorrn.nn.layout import Tensors, head_layers, linear, lstm_layers, unsupported_core
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import BASES

Wanted = Sequence[Sequence[tuple[int, int, np.ndarray]]]
MARGIN = 4  # of the integers of a convolution: how far its outputs may go beyond those on an artificial signal
SHALLOW = 64  # a convolution with fewer inputs per output stays in float32: it is cheap, and reads the raw signal


def unsupported(recipe: Recipe) -> str | None:
    """Return the part of a model that the kernels do not support, or None."""
    network = recipe.model
    if not isinstance(network, Model):
        return "an ensemble, or a model of another kind than a network"
    if not isinstance(network.frontend, Conv):
        return f"frontend {network.frontend.name}"
    if network.head.name not in ("ctc", "crf"):
        return f"head {network.head.name}"
    if network.steps or network.pool:
        return "layer between core and head"
    core: Any = network.core
    if reason := unsupported_core(core):
        return reason
    return None if len(core.directions(0)) == 1 else "recurrent layers other than LSTM in one direction"


class FastEngine:
    """Compiled kernels with the packed weights of one model; `score` is thread-safe.

    Parameters
    ----------
    network : Model: of a recipe for which `unsupported` returns None.
    tensors : its weights, by the names of `nn.layout`.
    kind : dtype: one of `kernels.lstm.layers.kinds()`.
    """

    parallel = True

    def __init__(self, network: Model, tensors: Tensors, kind: np.dtype) -> None:
        self.name = described(kind)
        self.kind = INT16 if kind == INT8 else kind  # bytes are between LSTM layers alone
        core: Any = network.core
        # as many chunks per block as keep the weights in a cache for long, and the chunks as well
        self.rows = (2 if core.hidden <= 128 else 4) * ROWS
        unit = self._pack_stem(network, tensors)
        self.stride = math.prod(stride for _, _, stride, _ in self.stem)
        self.core = Layers(lstm_layers(core, tensors), self.stem[-1][0].width, kind, unit)
        self._pack_head(network, tensors)

    def _pack_stem(self, network: Any, tensors: Tensors) -> float:
        """Return the unit of the last outputs, if they are integers."""
        self.stem: list[tuple[Dense, int, int, np.dtype]] = []  # layer, kernel, stride, type of its input
        signal, unit = _artificial(1, 2000)[0][:, None], 1.0
        for place, layer in enumerate(network.frontend.layers):
            weight, bias = linear(tensors, f"frontend.layers.{place}")  # (O, C, K)
            depth = weight.shape[1] * weight.shape[2]
            kind = FLOAT if depth < SHALLOW else self.kind
            matrix = weight.transpose(0, 2, 1).reshape(len(weight), depth)
            clamp = layer.clamp or ANY
            signal = np.clip(reference.convolution(signal, weight, bias, layer.stride, layer.activation), *clamp)
            out_unit = unit_of(MARGIN * np.abs(signal).max())
            activation = ACTIVATIONS.index(layer.activation)
            packed = Dense.of(matrix, bias, kind, activation, clamp=clamp, unit=unit, out_unit=out_unit)
            self.stem.append((packed, layer.kernel, layer.stride, kind))
            unit = out_unit
        return unit

    def _pack_head(self, network: Any, tensors: Tensors) -> None:
        head = network.head
        activation, scale, clamp, self.blanks, self.blank = NONE, 1.0, ANY, 0, 0.0
        if isinstance(head, CRFHead):
            activation, scale = (TANH, head.scale) if head.squash == "tanh" else (NONE, 1.0)
            clamp = (-head.scale, head.scale) if head.squash == "clamp" else ANY
            if head.blank is not None:
                self.blanks, self.blank = len(BASES[1:]) ** head.state_len, head.blank
        between = NONE if isinstance(head, CRFHead) and head.activation == "none" else SILU
        self.head = Dense.head(head_layers(head, tensors), self.kind, activation, scale, between, clamp)
        self.symbols = self.blanks + self.head[-1].width

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Score rows and write the requested frames.

        Parameters
        ----------
        x : float32 array (B, T): normalised signal.
        lengths : int array (B,): samples of each row, at least 1.
        wanted : (first, last, out) entries for each row: frames first to last - 1 are written to out (last - first, S).
        """
        steps = -(-lengths // self.stride)
        # time first, so that the rows of a step are contiguous
        frames = np.zeros((steps.max(), len(x), padded(self.stem[-1][0].width)), self.kind)
        for row, (signal, length) in enumerate(zip(x, lengths, strict=True)):
            self._convolve(signal[:length], frames[:, row])
        frames = self.core(frames, steps)
        for row, places in enumerate(wanted):
            for first, last, out in places:
                self._finish(frames, row, first, last, out)

    def _convolve(self, signal: np.ndarray, out: np.ndarray) -> None:
        """Write the features of one row's signal (T,) to out (T' or more, C)."""
        length, channels = len(signal), 1
        h, before = _bordered(length, 1, self.stem[0][1], self.stem[0][3])
        before[:, 0] = signal
        for number, (layer, _, stride, _) in enumerate(self.stem):
            length = -(-length // stride)
            source = h.reshape(-1)
            if number + 1 < len(self.stem):
                _, kernel, _, kind = self.stem[number + 1]
                h, place = _bordered(length, layer.width, kernel, kind)
            else:
                place = out[:length]
            layer(source, 0, stride * channels, place)
            channels = layer.width

    def _finish(self, frames: np.ndarray, row: int, first: int, last: int, out: np.ndarray) -> None:
        x, step, start = frames, frames.shape[1] * frames.shape[2], (first * frames.shape[1] + row) * frames.shape[2]
        for layer in self.head[:-1]:
            hidden = np.empty((last - first, layer.width + layer.width % 2), self.kind)
            layer(x.reshape(-1), start, step, hidden)
            x, step, start = hidden, hidden.shape[1], 0
        out[:, : self.blanks] = self.blank
        self.head[-1](x.reshape(-1), start, step, out[:, self.blanks :])


def _bordered(length: int, channels: int, kernel: int, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return zeros with a border for a convolution kernel, and the view (length, channels) of the signal within.

    The end has one step more, since narrow numbers are read in pairs: an odd window has the next value with weight 0.
    """
    room = np.zeros((length + kernel, channels), kind)
    return room, room[kernel // 2 : kernel // 2 + length]


ENGINES = ("auto", "torch", "fast", *KINDS.values())  # fast: the kernels, in the kind that is fastest here
VARIABLE = "BIORRN_ENGINE"
# Largest root mean square difference from the reference, relative to the standard deviation of the scores. In bfloat16,
# trained models differ by 0.005 and untrained ones, whose scores hardly vary, by up to 0.04; a wrongly packed layer by
# about 1. With states in bytes, trained models that differ by up to 0.024 called as well as in float32, and one that
# differs by 0.029 lost 0.1 to 0.2 % of identity (docs/results.md): such a model is run in 16 bits.
TOLERANCE: dict[np.dtype, float] = {FLOAT: 1e-3, BFLOAT: 0.1, INT16: 0.05, INT8: 0.025}


FRAMES = 24  # of the artificial signal of the check


class Engine(Protocol):
    """Scores blocks of chunks.

    Attributes
    ----------
    name : str, for messages.
    parallel : bool: whether `score` is thread-safe.
    rows : int: best number of chunks per call.
    symbols : int: columns of the scores.
    """

    name: str
    parallel: bool
    rows: int
    symbols: int

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Score chunks and write the requested frames; see `FastEngine.score`."""


def choose(stored: Stored, device: object = "cpu", *, batch_size: int, size: int, name: str | None = None) -> Engine:
    """Return the engine for a model and chunks of `size` samples.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    device : torch device or its name.
    name : str, optional: entry of `ENGINES`; default: the variable BIORRN_ENGINE, else "auto".

    Raises
    ------
    BiorrnError: the name is unknown, or the named kernels do not support the model or differ from the reference.
    """
    name = name or os.environ.get(VARIABLE) or "auto"
    if name not in ENGINES:
        raise BiorrnError(f"{VARIABLE}: found '{name}'; allowed is one of {', '.join(ENGINES)}")
    place = kind_of(device)
    if name == "auto" and place == "cuda":
        from biorrn.nanopore.basecall.cuda import CudaEngine

        return CudaEngine(stored.model, str(device), batch_size, size)
    obstacle = unsupported(stored.recipe) if place == "cpu" else f"device {place}"
    possible = [] if obstacle else [kind for kind in kinds() if name in ("auto", "fast", KINDS[kind])]
    for kind in possible:
        engine = FastEngine(stored.recipe.network, stored.tensors, kind)
        if difference(engine, stored) <= TOLERANCE[kind]:
            return engine
    if name in ("auto", "torch"):
        from biorrn.nanopore.basecall.torch_engine import TorchEngine

        return TorchEngine(stored.model, str(device), batch_size, size)
    if obstacle:
        raise BiorrnError(f"{VARIABLE}: found '{name}', which does not support this model's {obstacle}; use torch")
    if not possible:
        raise BiorrnError(f"{VARIABLE}: found '{name}', for which this machine has no compiled kernels; use torch")
    raise BiorrnError(f"{VARIABLE}: found '{name}', whose scores differ from the reference for this model; use torch")


def score_whole(engine: Engine, x: np.ndarray, lengths: np.ndarray, outs: Sequence[np.ndarray]) -> None:
    """Score rows (B, T) and write all frames of row i to `outs[i]` (T'_i, S)."""
    engine.score(x, lengths, [[(0, len(out), out)] for out in outs])


def difference(engine: FastEngine, stored: Stored) -> float:
    """Return the root mean square difference of scores from the reference, relative to their standard deviation.

    The signal is artificial; one row is shorter, so that its padding is a part.
    """
    x = _artificial(ROWS + 1, FRAMES * engine.stride)
    lengths = np.full(len(x), x.shape[1])
    lengths[len(x) // 2] = x.shape[1] // 2 + 1
    outs = [np.empty((steps, engine.symbols), np.float32) for steps in -(-lengths // engine.stride)]
    score_whole(engine, x, lengths, outs)
    found = np.concatenate(outs)
    exact = np.concatenate(plain_scores(stored.recipe.network, stored.tensors, x, lengths))
    return float(np.sqrt(np.mean((found - exact) ** 2) / max(np.mean(exact.var(axis=0)), 1e-12)))


def _artificial(rows: int, samples: int) -> np.ndarray:
    """Return float32 signal (rows, samples) without a pore: levels of ten samples, and noise."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(rows, -(-samples // 10))), 10, axis=1)[:, :samples]
    return (x + 0.15 * rng.normal(size=x.shape)).astype(np.float32)
