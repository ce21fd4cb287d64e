"""CPU inference engine for property models: convolution, LSTM layers, step layer, pools and head by `kernels.lstm`.

It computes what `nn.sequence.SequenceModel` computes. The embedding, its fixed features and the first convolution are
merged into one table: what each residue of a window adds to the layer. Each row is computed by itself, so that no
result depends on the batch or on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.network import Embedding
from biorrn.config.recipe import Model, Recipe
from biorrn.kernels.lstm.layers import BFLOAT, FLOAT, INT16, NONE, SILU, Dense, kinds
from biorrn.kernels.lstm.property import POOLS, Property
from biorrn.nn.layout import Tensors, head_layers, linear, lstm_layers, under, unsupported_core
from biorrn.nn.neighbours import Kriging
from biorrn.sequences.alphabets import N_TOKENS, TABLES

CHECKED, TOLERANCE = 24, 0.005  # artificial proteins, each of so many residues; part of a standard deviation


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
    kind : dtype: one of `kernels.lstm.layers.kinds()`, but not bytes.
    """

    def __init__(self, network: Model, tensors: Tensors, kind: np.dtype) -> None:
        settings: Any = network
        table = tensors["frontend.learned.weight"].astype(np.float32)  # (N_TOKENS, C)
        if settings.frontend.table != "none":
            table = np.concatenate([table, *(TABLES[name] for name in settings.frontend.table.split("+"))], 1)
        table[0] = 0.0  # padding
        if settings.frontend.layers:
            weight, bias = linear(tensors, "frontend.layers.0")  # (O, C, K)
            table, activation = np.einsum("ock,nc->kno", weight, table), SILU
        else:
            table, bias, activation = table[None], np.zeros(table.shape[1], np.float32), NONE
        steps = linear(tensors, "steps") if network.steps else None
        layers = lstm_layers(settings.core, tensors)
        self.pools = Property(table, bias, activation, layers, steps, network.pool, kind)
        self.head = Dense.head(head_layers(settings.head, tensors), FLOAT)
        self.scale, self.shift = (tensors[f"head.{name}"].astype(np.float64) for name in ("scale", "shift"))

    @classmethod
    def of(cls, network: Model, tensors: Tensors, kind: np.dtype) -> PropertyEngine:
        """Return the engine in a kind of numbers; in float32 where integers do not suffice for this network.

        That is where values of artificial proteins differ by more than `TOLERANCE` of their standard deviation.
        """
        made = cls(network, tensors, kind)
        if kind != INT16:
            return made
        exact = cls(network, tensors, FLOAT)
        tokens = np.random.default_rng(0).integers(1, N_TOKENS, (CHECKED, CHECKED))
        lengths = np.full(CHECKED, CHECKED)
        wanted = exact(tokens, lengths)
        apart = np.sqrt(np.mean(np.square(made(tokens, lengths) - wanted), 0))
        return made if (apart <= TOLERANCE * wanted.std(0)).all() else exact

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the values, float64 (B, K), of tokens (B, T) and lengths (B,), 1 or more."""
        values = self.pools(tokens, lengths)
        for layer in self.head:
            out = np.empty((len(values), layer.width), np.float32)
            layer(values.reshape(-1), 0, values.shape[1], out)
            values = out
        return values * self.scale + self.shift


class EnsembleEngine:
    """The engines of a network or of the members of an ensemble, with what turns their values into the model's.

    Safe to call from several threads.
    """

    def __init__(self, recipe: Recipe, tensors: Tensors, kind: np.dtype) -> None:
        recipes: list[Any] = [recipe] if recipe.members is None else [member.recipe for member in recipe.members]
        parts = [tensors] if recipe.members is None else [under(tensors, f"members.{n}") for n in range(len(recipes))]
        self.members = [PropertyEngine.of(one.network, own, kind) for one, own in zip(recipes, parts, strict=True)]
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


def chosen_kind(precision: str) -> np.dtype:
    """Return the dtype of the kernels for "auto", "32" or "bf16".

    auto is integers of 16 bits where the processor has them (AVX2): as fast as bfloat16, a fifth of its error, and the
    same values on each such processor.

    Raises
    ------
    ConfigError: another name, or bf16 on a processor without bfloat16 arithmetic.
    """
    known = {"auto": INT16 if INT16 in kinds() else FLOAT, "32": FLOAT, "bf16": BFLOAT}
    kind = lookup(known, precision, "--precision")
    if kind == BFLOAT and BFLOAT not in kinds():
        raise ConfigError("--precision bf16: this processor has no bfloat16 arithmetic; allowed here is 32")
    return kind
