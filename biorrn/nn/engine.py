"""CPU inference engine for property models: convolution, LSTM layers, step layer, pools and head by `kernels.lstm`.

It computes what `nn.sequence.SequenceModel` computes. The embedding, its fixed features and the first convolution are
merged into one table over windows of one-hot columns. Each row is computed by itself, so that no result depends on the
batch or on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.base.compute import jit
from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.kernels.lstm import (
    BFLOAT,
    FLOAT,
    HAS_BF16,
    NONE,
    ROWS,
    SILU,
    Dense,
    Layers,
    array,
    padded,
    to_bfloat,
    unsupported_core,
)
from biorrn.nn.cells import Stack
from biorrn.nn.ensemble import Ensemble
from biorrn.nn.frontends import Embedding
from biorrn.nn.heads import Max, Mean, Pool, Regression, Sum
from biorrn.nn.sequence import SequenceModel
from biorrn.sequences.alphabets import N_TOKENS

BLOCK = 4 * ROWS  # rows of a block: several tiles share the weights in cache
STEPS = 12  # steps of a block pooled together
POOLS = {Max: 0, Mean: 1, Sum: 2}


def unsupported(model: Any) -> str | None:
    """Return the part of the model that the kernels do not support, or None."""
    if type(model) is not SequenceModel:
        return f"a {type(model).__name__}"
    for name, known in (("frontend", Embedding), ("core", Stack), ("pool", Pool), ("head", Regression)):
        if type(part := getattr(model, name)) is not known:
            return f"{name} {type(part).__name__}"
    parts: Any = model
    if len(parts.frontend.layers) > 1:
        return "more than one convolution"
    if any(type(part) not in POOLS for part in parts.pool.parts):
        return "pools other than max, mean and sum"
    return unsupported_core(parts.core)


class PropertyEngine(nn.Module):
    """Packed weights of one model, with the call of the model; safe to call from several threads.

    Parameters
    ----------
    model : SequenceModel for which `unsupported` returns None.
    kind : dtype: `kernels.lstm.FLOAT`, or `BFLOAT` where `HAS_BF16`.
    """

    stride = 1

    def __init__(self, model: Any, kind: np.dtype) -> None:
        super().__init__()
        self.kind = kind
        self._pack_stem(model.frontend)
        self.core = Layers(model.core.layers, self.stem.width, kind)
        self.steps, self.features = None, sum(self.core.blocks)
        if model.steps is not None:
            matrix, self.features = self.core.spread(array(model.steps.weight)), model.steps.out_features
            self.steps = Dense.of(matrix, array(model.steps.bias), kind, SILU)
        self.pools = np.array([POOLS[type(part)] for part in model.pool.parts])
        head = model.head
        self.head = Dense.head(head.output, FLOAT)
        self.scale, self.shift = array(head.scale).astype(np.float64), array(head.shift).astype(np.float64)

    def _pack_stem(self, frontend: Any) -> None:
        table = array(frontend.learned.weight)  # (N_TOKENS, C)
        if frontend.fixed is not None:
            table = np.concatenate([table, array(frontend.fixed.table)], 1)
        table[0] = 0.0  # padding
        if len(frontend.layers):
            weight = array(frontend.layers[0].weight)  # (O, C, K)
            matrix = np.einsum("ock,nc->okn", weight, table).reshape(len(weight), -1)
            bias, self.taps, activation = array(frontend.layers[0].bias), weight.shape[2], SILU
        else:
            matrix, bias, self.taps, activation = table.T, np.zeros(table.shape[1], np.float32), 1, NONE
        self.stem = Dense.of(np.ascontiguousarray(matrix), bias, self.kind, activation)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tokens, sizes = x.numpy(), lengths.numpy()
        out = np.empty((len(tokens), len(self.scale)))
        for start in range(0, len(tokens), BLOCK):
            part = slice(start, start + BLOCK)
            out[part] = self._block(tokens[part], sizes[part])
        return torch.from_numpy(out), lengths

    def _block(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        height, time = -(-len(tokens) // ROWS) * ROWS, int(lengths.max(initial=1))
        sizes = np.zeros(height, np.int64)
        sizes[: len(tokens)] = lengths
        frames = np.zeros((time, height, padded(self.stem.width)), self.kind)
        frames[:, : len(tokens)] = self._stem(tokens[:, :time], lengths)
        frames = self.core(frames, sizes)
        pooled = np.zeros((len(tokens), len(self.pools) * self.features), np.float32)
        columns = self.core.columns() if self.steps is None else None
        for first in range(0, time, STEPS):  # few enough to stay in cache for the pools
            part = frames[first : first + STEPS]
            if self.steps is None:
                values = np.ascontiguousarray(_widened(part, self.kind)[:, :, columns])
            else:
                out = np.empty((len(part), height, self.features), self.kind)  # bfloat16 is written twice as fast
                self.steps(part.reshape(-1), 0, part.shape[2], out.reshape(-1, self.features))
                values = _widened(out, self.kind)
            _pool(values, first, sizes, self.pools, pooled)
        for layer in self.head:
            out = np.empty((len(tokens), layer.width), np.float32)
            layer(pooled.reshape(-1), 0, pooled.shape[1], out)
            pooled = out
        return pooled * self.scale + self.shift

    def _stem(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the features (T, B, W) of tokens (B, T), undefined beyond a row's length."""
        rows, time = tokens.shape
        span = time + self.taps  # rows are concatenated with a border; the last window needs one more value
        one = np.float32(1) if self.kind == FLOAT else to_bfloat(np.ones(1, np.float32))[0]
        windows = np.zeros((rows * span + 1, N_TOKENS), self.kind)
        row, step = np.nonzero(np.arange(time) < lengths[:, None])
        windows[row * span + self.taps // 2 + step, tokens[row, step]] = one
        out = np.zeros((rows * span, padded(self.stem.width)), self.kind)
        self.stem(windows.reshape(-1), 0, N_TOKENS, out[: len(out) - self.taps + 1])
        return out.reshape(rows, span, -1)[:, :time].transpose(1, 0, 2)


@jit()
def _pool(values, start, lengths, pools, out):  # type: ignore[no-untyped-def]
    """Pool the steps from `start` on, values (T, B, F), into out (N, pools * F), which is zero at first.

    Pools: 0 max, 1 mean, 2 sum over a row's valid steps. The mean is final after the last step.
    """
    steps, _, features = values.shape
    for row in range(out.shape[0]):
        length = lengths[row]
        for place, kind in enumerate(pools):
            target = out[row, place * features : (place + 1) * features]
            for t in range(min(steps, length - start)):
                source = values[t, row]
                if start + t == 0:
                    target[:] = source
                elif kind == 0:
                    for f in range(features):
                        target[f] = max(target[f], source[f])
                else:
                    for f in range(features):
                        target[f] += source[f]
            if kind == 1 and start < length <= start + steps:
                for f in range(features):
                    target[f] /= np.float32(length)


def _widened(frames: np.ndarray, kind: np.dtype) -> np.ndarray:
    return frames if kind == FLOAT else (frames.astype(np.uint32) << 16).view(np.float32)


def accelerated(model: nn.Module, kind: np.dtype) -> nn.Module:
    """Return the model with each supported member replaced by its engine; the given model is not changed."""
    if isinstance(model, Ensemble):
        members = [accelerated(member, kind) for member in model.members]
        fast = Ensemble(members, model.weights.shape[1], model.calibration is not None, model.neighbours)
        fast.weights.copy_(model.weights)
        fast.calibration = model.calibration
        return fast.eval()
    return model if unsupported(model) else PropertyEngine(model, kind).eval()


def chosen_kind(precision: str) -> np.dtype:
    """Return the dtype of the kernels for "auto", "32" or "bf16".

    Raises
    ------
    ConfigError: another name, or bf16 on a processor without bfloat16 arithmetic.
    """
    kind = lookup({"auto": BFLOAT if HAS_BF16 else FLOAT, "32": FLOAT, "bf16": BFLOAT}, precision, "--precision")
    if kind == BFLOAT and not HAS_BF16:
        raise ConfigError("--precision bf16: this processor has no bfloat16 arithmetic; allowed here is 32")
    return kind
