"""CPU inference engine for property models: convolution, LSTM layers, step layer, pools and head by `kernels.lstm`.

It computes what `nn.sequence.SequenceModel` computes. The embedding, its fixed features and the first convolution are
merged into one table over windows of one-hot columns. Each row is computed by itself, so that no result depends on the
batch or on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biorrn.base.compute import jit
from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.network import Embedding
from biorrn.config.recipe import Model, Recipe
from biorrn.kernels.lstm.layers import (
    BFLOAT,
    FLOAT,
    NONE,
    ROWS,
    SILU,
    Dense,
    Layers,
    kinds,
    padded,
    to_bfloat,
)
from biorrn.nn.layout import Tensors, head_layers, linear, lstm_layers, under, unsupported_core
from biorrn.nn.neighbours import Kriging
from biorrn.sequences.alphabets import N_TOKENS, TABLES

BLOCK = 4 * ROWS  # rows of a block: several tiles share the weights in cache
STEPS = 12  # steps of a block pooled together
POOLS = {"max": 0, "mean": 1, "sum": 2}


def unsupported(recipe: Recipe) -> str | None:
    """Return the part of a model that the kernels do not support, or None."""
    if not kinds():
        return "layers: no compiled kernels on this machine"
    network = recipe.model
    if not isinstance(network, Model):
        return "an ensemble, or a model of another kind than a network"
    frontend = network.frontend
    if not isinstance(frontend, Embedding):
        return f"frontend {frontend.name}"
    if frontend.symbols + 1 != N_TOKENS:
        return "alphabets other than the residues"
    if len(frontend.layers) > 1:
        return "more than one convolution"
    if network.head.name != "regression":
        return f"head {network.head.name}"
    if any(name not in POOLS for name in network.pool):
        return "pools other than max, mean and sum"
    return unsupported_core(network.core)


class PropertyEngine:
    """Packed weights of one model; safe to call from several threads.

    Parameters
    ----------
    network : Model: of a recipe for which `unsupported` returns None.
    tensors : its weights, by the names of `nn.layout`.
    kind : dtype: one of `kernels.lstm.layers.kinds()`, `FLOAT` or `BFLOAT`.
    """

    def __init__(self, network: Model, tensors: Tensors, kind: np.dtype) -> None:
        self.kind = kind
        settings: Any = network
        self._pack_stem(settings.frontend, tensors)
        self.core = Layers(lstm_layers(settings.core, tensors), self.stem.width, kind)
        self.steps, self.features = None, sum(self.core.blocks)
        if network.steps:
            matrix, bias = linear(tensors, "steps")
            self.steps, self.features = Dense.of(self.core.spread(matrix), bias, kind, SILU), network.steps
        self.pools = np.array([POOLS[name] for name in network.pool])
        self.head = Dense.head(head_layers(settings.head, tensors), FLOAT)
        self.scale, self.shift = (tensors[f"head.{name}"].astype(np.float64) for name in ("scale", "shift"))

    def _pack_stem(self, frontend: Embedding, tensors: Tensors) -> None:
        table = tensors["frontend.learned.weight"].astype(np.float32)  # (N_TOKENS, C)
        if frontend.table != "none":
            table = np.concatenate([table, *(TABLES[name] for name in frontend.table.split("+"))], 1)
        table[0] = 0.0  # padding
        if frontend.layers:
            weight, bias = linear(tensors, "frontend.layers.0")  # (O, C, K)
            matrix = np.einsum("ock,nc->okn", weight, table).reshape(len(weight), -1)
            self.taps, activation = weight.shape[2], SILU
        else:
            matrix, bias, self.taps, activation = table.T, np.zeros(table.shape[1], np.float32), 1, NONE
        self.stem = Dense.of(np.ascontiguousarray(matrix), bias, self.kind, activation)

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the values, float64 (B, K), of tokens (B, T) and lengths (B,)."""
        out = np.empty((len(tokens), len(self.scale)))
        for start in range(0, len(tokens), BLOCK):
            part = slice(start, start + BLOCK)
            out[part] = self._block(tokens[part], lengths[part])
        return out

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


class EnsembleEngine:
    """The engines of a network or of the members of an ensemble, with what turns their values into the model's.

    Safe to call from several threads.
    """

    def __init__(self, recipe: Recipe, tensors: Tensors, kind: np.dtype) -> None:
        recipes = [recipe] if recipe.members is None else [member.recipe for member in recipe.members]
        parts = [tensors] if recipe.members is None else [under(tensors, f"members.{n}") for n in range(len(recipes))]
        self.members = [PropertyEngine(one.network, own, kind) for one, own in zip(recipes, parts, strict=True)]
        self.weights = tensors.get("weights", np.ones((1, 1), np.float32)).astype(np.float64)  # (M, K)
        self.knots = under(tensors, "calibration")
        self.kriging: Kriging | None = None
        if recipe.neighbours is not None:
            near, asked = under(tensors, "neighbours"), recipe.neighbours
            settings = (asked.mismatches, asked.noise, asked.decay)
            self.kriging = Kriging(near["tokens"], near["residuals"], *settings)

    @classmethod
    def of(cls, recipe: Recipe, tensors: Callable[[], Tensors], kind: np.dtype) -> EnsembleEngine | None:
        """Return the engine of a model of which all parts are supported, else None."""
        recipes = [recipe] if recipe.members is None else [member.recipe for member in recipe.members]
        if any(isinstance(one, str) or unsupported(one) for one in recipes):
            return None
        return cls(recipe, tensors(), kind)

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return values and spread as `nn.forward.values_and_spread`, float64 (B, K), of tokens (B, T)."""
        members = [member(tokens, lengths) for member in self.members]
        if self.kriging is not None:
            correction = self.kriging(tokens, lengths)
            members = [values + correction for values in members]
        # sums in a fixed order, so that results do not depend on the number of rows
        value = members[0] * self.weights[0]
        for values, weight in zip(members[1:], self.weights[1:], strict=True):
            value = value + values * weight
        if self.knots:
            value = calibrated(value, self.knots["x"], self.knots["y"])
        return value, deviation(members) if len(members) > 1 else None


def calibrated(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return what `nn.ensemble.Calibration` of knots x and y (K, `KNOTS`) makes of values (N, K)."""
    out = np.empty_like(values)
    for target, (column, own, made) in enumerate(zip(values.T, x, y, strict=True)):
        right = np.clip(np.searchsorted(own, column), 1, len(own) - 1)
        x0, x1, y0, y1 = own[right - 1], own[right], made[right - 1], made[right]
        inside = np.minimum(np.maximum(y0 + (column - x0) * ((y1 - y0) / (x1 - x0)), y0), y1)
        beyond = np.where(column < own[0], made[0] + (column - own[0]), made[-1] + (column - own[-1]))
        out[:, target] = np.where((column < own[0]) | (column > own[-1]), beyond, inside)
    return out


def deviation(members: Sequence[np.ndarray]) -> np.ndarray:
    """Return the standard deviation of equal arrays, element by element, summed in their order."""
    mean = np.zeros_like(members[0])
    for values in members:
        mean = mean + values
    mean = mean / len(members)
    squares = np.zeros_like(mean)
    for values in members:
        squares = squares + np.square(values - mean)
    return np.sqrt(squares / len(members))


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


def chosen_kind(precision: str) -> np.dtype:
    """Return the dtype of the kernels for "auto", "32" or "bf16".

    Raises
    ------
    ConfigError: another name, or bf16 on a processor without bfloat16 arithmetic.
    """
    narrow = BFLOAT in kinds()
    kind = lookup({"auto": BFLOAT if narrow else FLOAT, "32": FLOAT, "bf16": BFLOAT}, precision, "--precision")
    if kind == BFLOAT and not narrow:
        raise ConfigError("--precision bf16: this processor has no bfloat16 arithmetic; allowed here is 32")
    return kind
