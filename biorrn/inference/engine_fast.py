"""A trained basecaller run by the kernels of `kernels.lstm`: convolutions, LSTM layers in one direction each, head.

It computes what `models.sequence.SequenceModel` computes, in the same order of layers, on blocks of some dozen rows.
Threads take blocks, not parts of one, so that they need not wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biorrn.kernels.lstm import BFLOAT, FLOAT, NONE, ROWS, SILU, TANH, Dense, Layers, array, padded, unsupported_core
from biorrn.models.frontends import Conv
from biorrn.models.heads import CRF, CTC, Keep
from biorrn.models.recurrent import Stack
from biorrn.models.sequence import SequenceModel

Wanted = Sequence[Sequence[tuple[int, int, np.ndarray]]]
SHALLOW = 64  # a layer of fewer inputs an output stays in float32: it costs little, and it reads the signal itself


def unsupported(model: Any) -> str | None:
    """Return what of the model these kernels do not know, or None."""
    if type(model) is not SequenceModel:
        return f"a {type(model).__name__}"
    for name, known in (("frontend", (Conv,)), ("core", (Stack,)), ("pool", (Keep,)), ("head", (CTC, CRF))):
        part = getattr(model, name)
        if type(part) not in known:
            return f"{name} {type(part).__name__}"
    core: Any = model.core
    if any(len(layer.directions) != 1 for layer in core.layers):
        return "recurrent layers other than LSTM in one direction"
    return unsupported_core(core)


class FastEngine:
    """The packed weights of one model; many threads may call `score` at once.

    Parameters
    ----------
    model : SequenceModel for which `unsupported` returns None.
    kind : dtype: `kernels.lstm.FLOAT`, or `BFLOAT` where `HAS_BF16`.
    """

    parallel = True
    rows = 4 * ROWS  # of a block: enough that weights in the nearest cache serve several tiles

    def __init__(self, model: Any, kind: np.dtype) -> None:
        self.name = "fast, bfloat16" if kind == BFLOAT else "fast, float32"
        self.kind = kind
        self.stride = model.stride
        self._pack_stem(model.frontend)
        self.core = Layers(model.core.layers, self.stem[-1][0].width, kind)
        self._pack_head(model.head)

    def _pack_stem(self, stem: Any) -> None:
        self.stem: list[tuple[Dense, int, int, np.dtype]] = []  # layer, kernel, stride, type of its input
        for layer, stride in zip(stem.layers, stem.strides, strict=True):
            weight = array(layer.weight)  # (O, C, K)
            depth = weight.shape[1] * weight.shape[2]
            kind = FLOAT if depth < SHALLOW else self.kind
            matrix = weight.transpose(0, 2, 1).reshape(len(weight), depth)
            self.stem.append((Dense.of(matrix, array(layer.bias), kind, SILU), weight.shape[2], stride, kind))

    def _pack_head(self, head: Any) -> None:
        activation, scale, self.blanks, self.blank = NONE, 1.0, 0, 0.0
        if isinstance(head, CRF):
            activation, scale = TANH, head.scale
            if head.blank is not None:
                self.blanks, self.blank = head.states, head.blank
        self.head = Dense.head(head.output, self.kind, activation, scale)
        self.symbols = self.blanks + self.head[-1].width

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Score rows and write the frames asked for.

        Parameters
        ----------
        x : float32 array (B, T): normalised signal.
        lengths : int array (B,): samples of each row, at least 1.
        wanted : for each row any number of (first, last, out): frames first to last - 1 go to out (last - first, S).
        """
        steps = -(-lengths // self.stride)
        height = -(-len(x) // ROWS) * ROWS
        frames = np.zeros(
            (steps.max(), height, padded(self.stem[-1][0].width)), self.kind
        )  # time first: a step's rows are neighbours
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
    """Return zeros with room for a kernel's border, and the view (length, channels) within where the signal goes.

    One step more at the end is for pairs: in bfloat16 an odd window is read with the value after it, weighted by 0.
    """
    room = np.zeros((length + kernel, channels), kind)
    return room, room[kernel // 2 : kernel // 2 + length]
