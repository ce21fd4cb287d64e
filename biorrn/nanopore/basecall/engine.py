"""Engines that run a basecalling network: torch on any device, or compiled LSTM kernels on a CPU.

The choice depends only on the model, the processor and the variable BIORRN_ENGINE, not on the input, the batch size or
measured time, so that a command is reproducible. The kernels are used if they agree with torch on an artificial
signal. `benchmarks/bench_basecall.py` measures their speed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.network import Conv, CRFHead
from biorrn.config.recipe import Model, Recipe
from biorrn.kernels.lstm import (
    BFLOAT,
    FLOAT,
    HAS_BF16,
    LANES,
    NONE,
    ROWS,
    SILU,
    TANH,
    Dense,
    Layers,
    padded,
)
from biorrn.nn.forward import PASS_ROWS, BatchLimit, model_on, padded_rows
from biorrn.nn.layout import Tensors, head_layers, linear, lstm_layers, unsupported_core
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import BASES

Wanted = Sequence[Sequence[tuple[int, int, np.ndarray]]]
SHALLOW = 64  # a convolution with fewer inputs per output stays in float32: it is cheap, and reads the raw signal
CONVOLVED = {"silu": SILU, "tanh": TANH}  # activations of convolutions


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
    if any(layer.clamp or layer.activation not in CONVOLVED for layer in network.frontend.layers):
        return "convolutions with ReLU or clamp"
    if isinstance(network.head, CRFHead) and network.head.squash == "clamp":
        return "head with clamp"
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
    kind : dtype: `kernels.lstm.FLOAT`, or `BFLOAT` where `HAS_BF16`.
    """

    parallel = True
    rows = 4 * ROWS  # chunks per block, so that weights in the cache serve several tiles

    def __init__(self, network: Model, tensors: Tensors, kind: np.dtype) -> None:
        self.name = "fast, bfloat16" if kind == BFLOAT else "fast, float32"
        self.kind = kind
        core: Any = network.core
        self._pack_stem(network, tensors)
        self.stride = math.prod(stride for _, _, stride, _ in self.stem)
        self.core = Layers(lstm_layers(core, tensors), self.stem[-1][0].width, kind)
        self._pack_head(network, tensors)

    def _pack_stem(self, network: Any, tensors: Tensors) -> None:
        self.stem: list[tuple[Dense, int, int, np.dtype]] = []  # layer, kernel, stride, type of its input
        for place, layer in enumerate(network.frontend.layers):
            weight, bias = linear(tensors, f"frontend.layers.{place}")  # (O, C, K)
            depth = weight.shape[1] * weight.shape[2]
            kind = FLOAT if depth < SHALLOW else self.kind
            matrix = weight.transpose(0, 2, 1).reshape(len(weight), depth)
            self.stem.append(
                (Dense.of(matrix, bias, kind, CONVOLVED[layer.activation]), layer.kernel, layer.stride, kind)
            )

    def _pack_head(self, network: Any, tensors: Tensors) -> None:
        head = network.head
        activation, scale, self.blanks, self.blank = NONE, 1.0, 0, 0.0
        if isinstance(head, CRFHead):
            activation, scale = (TANH, head.scale) if head.squash == "tanh" else (NONE, 1.0)
            if head.blank is not None:
                self.blanks, self.blank = len(BASES[1:]) ** head.state_len, head.blank
        between = NONE if isinstance(head, CRFHead) and head.activation == "none" else SILU
        self.head = Dense.head(head_layers(head, tensors), self.kind, activation, scale, between)
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
        height = -(-len(x) // ROWS) * ROWS
        frames = np.zeros(
            (steps.max(), height, padded(self.stem[-1][0].width)), self.kind
        )  # time first, so that the rows of a step are contiguous
        for row, (signal, length) in enumerate(zip(x, lengths, strict=True)):
            self._convolve(signal[:length], frames[:, row])
        steps = np.pad(steps, (0, height - len(x)))
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

    The end has one step more, since bfloat16 kernels read pairs: an odd window includes the next value with weight 0.
    """
    room = np.zeros((length + kernel, channels), kind)
    return room, room[kernel // 2 : kernel // 2 + length]


ENGINES = ("auto", "torch", "fast", "float32")  # fast: bfloat16 where the processor supports it
VARIABLE = "BIORRN_ENGINE"
# Fewest floats in a vector register for the kernels. Speed relative to torch, one thread: 1.0 with 8 floats, 1.9 with
# 16, 3.2 in bfloat16. Processors other than x86 have 4 and were not measured.
WORTHWHILE = 8
SAMPLES_A_PASS = 160_000  # in a forward pass of torch on a CPU; more is not faster and needs more memory
# Largest root mean square difference from torch, relative to the standard deviation of the scores. In bfloat16, trained
# models differ by 0.005 and untrained ones, whose scores hardly vary, by up to 0.04; a wrongly packed layer by about 1.
TOLERANCE: dict[np.dtype, float] = {FLOAT: 1e-3, BFLOAT: 0.1}


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


class TorchEngine:
    """The torch model: float32 on a CPU, half precision on CUDA."""

    parallel = False

    def __init__(self, model: torch.nn.Module, device: torch.device | str, batch_size: int, size: int) -> None:
        self.device = torch.device(device)
        self.model = model_on(model, self.device)
        self.name = f"torch, {self.device.type}"
        most = max(PASS_ROWS, SAMPLES_A_PASS // size // PASS_ROWS * PASS_ROWS)
        self.rows = min(batch_size, most) if self.device.type == "cpu" else batch_size
        self.limit = BatchLimit(self.rows)
        short = torch.zeros(1, min(size, 100), 1, device=self.device)
        with torch.inference_mode():
            self.symbols = int(self.model(short, torch.tensor([short.shape[1]], device=self.device))[0].shape[2])

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Score chunks, in smaller passes where memory does not suffice."""

        def work(part: Sequence[int], rows: int) -> None:
            padding = padded_rows(len(part), rows, self.device) - len(part)
            signal = torch.from_numpy(np.pad(x[part], ((0, padding), (0, 0))))
            steps = torch.from_numpy(np.pad(lengths[part], (0, padding), constant_values=x.shape[1]))
            half = self.device.type == "cuda"
            with torch.inference_mode(), torch.autocast("cuda", torch.float16) if half else nullcontext():
                outputs = self.model(signal[:, :, None].to(self.device), steps.to(self.device))[0]
                scores = (outputs.half() if half else outputs.float()).cpu().numpy()  # (B, T', S)
            for row, frames in zip(part, scores, strict=False):
                for first, last, out in wanted[row]:
                    out[:] = frames[first:last]

        self.limit.each(range(len(x)), work)


def choose(
    stored: Stored, device: torch.device | str, *, batch_size: int, size: int, name: str | None = None
) -> Engine:
    """Return the engine for a model and chunks of `size` samples.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    name : str, optional: entry of `ENGINES`; default: the variable BIORRN_ENGINE, else "auto".

    Raises
    ------
    BiorrnError: the name is unknown, or the named kernels do not support the model or do not agree with torch.
    """
    name = name or os.environ.get(VARIABLE) or "auto"
    if name not in ENGINES:
        raise BiorrnError(f"{VARIABLE}: found '{name}'; allowed is one of {', '.join(ENGINES)}")
    if name == "auto" and torch.device(device).type == "cuda":
        from biorrn.nanopore.basecall.cuda import CudaEngine

        return CudaEngine(stored.model, device, batch_size, size)
    plain = TorchEngine(stored.model, device, batch_size, size)
    obstacle = unsupported(stored.recipe) if plain.device.type == "cpu" else f"device {plain.device.type}"
    if name == "torch" or (name == "auto" and (obstacle or LANES < WORTHWHILE)):
        return plain
    if obstacle:
        raise BiorrnError(f"{VARIABLE}: found '{name}', which does not support this model's {obstacle}; use torch")
    kinds: list[np.dtype] = [BFLOAT, FLOAT] if HAS_BF16 and name != "float32" else [FLOAT]
    for kind in kinds:
        engine = FastEngine(stored.recipe.network, stored.tensors, kind)
        if _difference(engine, plain) <= TOLERANCE[kind]:
            return engine
    if name == "auto":
        return plain
    raise BiorrnError(f"{VARIABLE}: found '{name}', whose scores differ from torch's for this model; use torch")


def _difference(fast: FastEngine, plain: TorchEngine) -> float:
    """Return the root mean square difference of scores, relative to their standard deviation along the signal."""
    exact = _scores(plain, fast)
    found = _scores(fast, fast) - exact
    return float(np.sqrt(np.mean(found**2) / max(np.mean(exact.var(axis=0)), 1e-12)))


def _scores(engine: Engine, like: FastEngine, rows: int = 2 * PASS_ROWS, samples: int = 1000) -> np.ndarray:
    """Return the scores (N, S) of an artificial signal: levels of ten samples, and noise."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(rows, samples // 10)), 10, axis=1)
    x = (x + 0.15 * rng.normal(size=x.shape)).astype(np.float32)
    lengths = np.full(rows, samples)
    lengths[rows // 2] = samples // 2 + 1  # padding is part of the test
    outs = [np.empty((steps, like.symbols), np.float32) for steps in -(-lengths // like.stride)]
    engine.score(x, lengths, [[(0, len(out), out)] for out in outs])
    return np.concatenate(outs)
