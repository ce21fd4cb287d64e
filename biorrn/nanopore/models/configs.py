"""The network that a `config.toml` of Dorado or Bonito describes: convolutions, LSTM layers and a CRF head.

Two generations are read: flat keys under `encoder` (version 3), and a list of `sublayers` (version 4, and 5 where it
has LSTM layers). A key that is not known here is an error, since it would change the numbers. Which layer computes what
follows the public sources of Bonito (github.com/nanoporetech/bonito), which trains these models, and of Dorado.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import Fault, InputError
from biorrn.base.files import read_text
from biorrn.base.lookup import nearest

CONFIG = "config.toml"
MOST = 1 << 16  # characters of a config.toml, layers, features
LABELS = ["N", "A", "C", "G", "T"]  # N is the blank
ACTIVATIONS = {"swish": "silu", "silu": "silu", "tanh": "tanh", "relu": "relu"}
# tables that say nothing of the network; each is used elsewhere, or is a record of the training
OTHERS = ("labels", "input", "qscore", "run_info", "scaling", "standardisation", "normalisation", "basecaller",
          "training", "training_dataset", "poly_a", "biorrn")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with padding winlen // 2; batch norm if `norm`, the activation, a clamp if there is one."""

    insize: int
    size: int
    winlen: int
    stride: int
    activation: str  # of `config.network.ActivatedLayer`
    bias: bool = True
    norm: bool = False
    clamp: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Linear layers from the LSTM's features to the scores of transitions.

    Attributes
    ----------
    state_len : int: bases a state.
    blank : float or None: score of staying; None: it is an output, the first of each state.
    scale : float; squash : str: as in `config.network.CRFHead`; with squash "none" the outputs are times `scale`.
    bias : bool: of the last layer.
    hidden : int: features between two linear layers without an activation; 0: one layer.
    hidden_bias : bool.
    """

    state_len: int
    blank: float | None
    scale: float = 1.0
    squash: str = "none"
    bias: bool = True
    hidden: int = 0
    hidden_bias: bool = True

    @property
    def outputs(self) -> int:
        """Return the outputs of the last layer."""
        return 4**self.state_len * (4 if self.blank is not None else 5)


@dataclass(frozen=True, slots=True)
class Network:
    """The layers of a model, in the order in which they run.

    `size` is the units of an LSTM layer; `reverse` says of each whether it runs back.
    """

    convolutions: tuple[Convolution, ...]
    size: int
    reverse: tuple[bool, ...]
    head: Head

    def parameters(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each tensor in the order of the model; names as Dorado's files, batch norm apart."""
        for place, layer in enumerate(self.convolutions):
            yield f"{place}.conv.weight", (layer.size, layer.insize, layer.winlen)
            if layer.bias:
                yield f"{place}.conv.bias", (layer.size,)
            if layer.norm:
                yield from ((f"{place}.norm.{name}", (layer.size,)) for name in NORM)
                yield f"{place}.norm.{BATCHES}", ()
        first = len(self.convolutions) + 1  # a permutation of the axes lies between
        for place in range(first, first + len(self.reverse)):
            insize = self.convolutions[-1].size if place == first else self.size
            yield f"{place}.rnn.weight_ih_l0", (4 * self.size, insize)
            yield f"{place}.rnn.weight_hh_l0", (4 * self.size, self.size)
            yield from ((f"{place}.rnn.{name}", (4 * self.size,)) for name in ("bias_ih_l0", "bias_hh_l0"))
        place, width = first + len(self.reverse), self.size
        if self.head.hidden:
            yield f"{place}.linear.weight", (self.head.hidden, self.size)
            if self.head.hidden_bias:
                yield f"{place}.linear.bias", (self.head.hidden,)
            place, width = place + 1, self.head.hidden
        yield f"{place}.linear.weight", (self.head.outputs, width)
        if self.head.bias:
            yield f"{place}.linear.bias", (self.head.outputs,)

    loss = "crf"

    @property
    def stride(self) -> int:
        """Return the samples of a frame."""
        return math.prod(layer.stride for layer in self.convolutions)

    def model(self) -> dict[str, Any]:
        """Return the model of a biorrn recipe.

        Raises
        ------
        Fault: the LSTM layers run in an order that `config.network.Core` does not have.
        """
        layers = [{"width": layer.size, "kernel": layer.winlen, "stride": layer.stride, "activation": layer.activation,
                   "clamp": layer.clamp} for layer in self.convolutions]  # fmt: skip
        core = {"cell": "lstm", "hidden": self.size, "layers": len(self.reverse), "direction": self._direction()}
        head = self.head
        last = {"state_len": head.state_len, "blank": head.blank, "scale": head.scale, "squash": head.squash}
        last |= {"bias": head.bias, "hidden": head.hidden, "activation": "none" if head.hidden else "silu"}
        return {"frontend": {"name": "conv", "layers": layers}, "core": core, "head": {"name": "crf"} | last}

    def _direction(self) -> str:
        plans = {"alternating": (True, False), "forward": (False, False), "backward": (True, True)}
        for name, plan in plans.items():
            if self.reverse == tuple(plan[layer % 2] for layer in range(len(self.reverse))):
                return name
        order = ", ".join("backward" if way else "forward" for way in self.reverse)
        raise Fault(f"its LSTM layers run {order}; supported are backward and forward in turn, or one way for all")

    def tensors(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the tensors of the biorrn model from the parameters by name; batch norm goes into the convolutions."""
        made = {}
        for place, part in enumerate(self.convolutions):
            weight, bias = values[f"{place}.conv.weight"], values.get(f"{place}.conv.bias")
            bias = np.zeros(part.size, np.float32) if bias is None else bias
            if f"{place}.norm.weight" in values:
                gamma, beta, mean, variance = (values[f"{place}.norm.{name}"].astype(np.float64) for name in NORM)
                factor = gamma / np.sqrt(variance + EPSILON)
                weight, bias = weight * factor[:, None, None], (bias - mean) * factor + beta
            made[f"frontend.layers.{place}.weight"] = weight.astype(np.float32)
            made[f"frontend.layers.{place}.bias"] = bias.astype(np.float32)
        first = len(self.convolutions) + 1
        for layer, place in enumerate(range(first, first + len(self.reverse))):
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                made[f"core.layers.{layer}.cells.0.{name}"] = values[f"{place}.rnn.{name}"]
        head, place, output = self.head, first + len(self.reverse), 1
        if head.hidden:
            made["head.output.1.weight"] = values[f"{place}.linear.weight"]
            made["head.output.1.bias"] = values.get(f"{place}.linear.bias", np.zeros(head.hidden, np.float32))
            place, output = place + 1, 3
        for name in ("weight", "bias"):
            if f"{place}.linear.{name}" in values:
                rows = _planes(values[f"{place}.linear.{name}"], 4**head.state_len)
                made[f"head.output.{output}.{name}"] = rows * np.float32(head.scale) if head.squash == "none" else rows
        return made


def _planes(rows: np.ndarray, states: int) -> np.ndarray:
    """Return rows of the last layer, kept state by state, in the planes of `kernels.crf.loss`."""
    return np.ascontiguousarray(rows.reshape(states, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape))


EPSILON = 1e-5  # of the batch norm of `bonito.crf`
NORM, BATCHES = ("weight", "bias", "running_mean", "running_var"), "num_batches_tracked"


@dataclass
class Keys:
    """A table of a config.toml, of which each key is taken once; `close` refuses those that are left.

    Raises
    ------
    Fault: a key is missing, of another type than asked for, or unknown.
    """

    table: Mapping[str, Any]
    place: str
    taken: set[str] = field(default_factory=set)

    def _take(self, name: str, default: Any) -> Any:
        self.taken.add(name)
        found = self.table.get(name, default)
        if found is REQUIRED:
            raise Fault(f"key '{self.place}.{name}' is missing")
        return found

    def _odd(self, name: str, found: Any, allowed: str) -> Fault:
        return Fault(f"key '{self.place}.{name}': found {found!r:.60}; allowed is {allowed}")

    def count(self, name: str, default: Any = ..., least: int = 1) -> int:
        """Return a whole number from `least` to `MOST`."""
        found = self._take(name, REQUIRED if default is ... else default)
        if type(found) is not int or not least <= found <= MOST:
            raise self._odd(name, found, f"a whole number from {least} to {MOST:,}")
        return found

    def listed(self, name: str) -> int:
        """Return the whole number in a list of one."""
        found = self._take(name, REQUIRED)
        if not isinstance(found, list) or len(found) != 1 or type(found[0]) is not int or not 1 <= found[0] <= MOST:
            raise self._odd(name, found, f"a list of one whole number from 1 to {MOST:,}")
        return found[0]

    def number(self, name: str, default: Any = ...) -> Any:
        """Return a finite number, or the default."""
        found = self._take(name, REQUIRED if default is ... else default)
        if found is not None and (type(found) not in (int, float) or not abs(found) < 1e9):
            raise self._odd(name, found, "a number")
        return None if found is None else float(found)

    def flag(self, name: str, default: bool = True) -> bool:
        """Return true or false, which may be written as 1 or 0."""
        found = self._take(name, default)
        if found not in (True, False):
            raise self._odd(name, found, "true or false")
        return bool(found)

    def word(self, name: str, allowed: Mapping[str, Any] | tuple[str, ...], default: Any = ...) -> Any:
        """Return a name that is among those allowed; of a mapping its entry."""
        found = self._take(name, REQUIRED if default is ... else default)
        if found is None and default is None:
            return None
        if not isinstance(found, str) or found not in allowed:
            raise self._odd(name, found, " or ".join(allowed))
        return allowed[found] if isinstance(allowed, Mapping) else found

    def same(self, name: str, value: Any, default: Any = ...) -> None:
        """Check that a key has the one value that is supported."""
        found = self._take(name, value if default is ... else default)
        if found != value:
            raise self._odd(name, found, repr(value))

    def unused(self, *names: str) -> None:
        """Take keys that do not change the numbers."""
        self.taken.update(names)

    def close(self) -> None:
        """Refuse keys that nobody took."""
        for name in self.table:
            if name not in self.taken:
                close = nearest(str(name), self.taken)
                hint = f"; did you mean '{close}'?" if close else f"; known are {', '.join(sorted(self.taken))}"
                raise Fault(f"key '{self.place}.{name}' is unknown{hint}")


REQUIRED = object()


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the `config.toml` of a model folder.

    Raises
    ------
    InputError: there is none, it cannot be read, or it is not TOML.
    """
    path = Path(folder) / CONFIG
    try:
        return tomllib.loads(read_text(path, MOST))
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise InputError(path, f"is not TOML: {str(error)[:200]}") from error
    except RecursionError as error:
        raise InputError(path, "is not TOML that a model has: it is nested too deeply") from error


def network_of(config: Mapping[str, Any]) -> Network:
    """Return the network of a `bonito.crf` configuration.

    Raises
    ------
    Fault: a layer or key that is not supported or unknown; the message names it.
    """
    model = table(config, "model")
    encoder, place = (model["encoder"], "model.encoder") if "encoder" in model else (config.get("encoder"), "encoder")
    if not isinstance(encoder, dict):
        raise Fault("table 'encoder' is missing")
    allowed = {"model", "encoder", "global_norm", *OTHERS}
    for name, entry in config.items():
        if name not in allowed:
            raise Fault(f"table '{name}' is unknown" if isinstance(entry, dict) else f"key '{name}' is unknown")
    keys = Keys(model, "model")
    keys.unused("package", "type", "encoder", "seqdist")
    keys.close()
    check_input(config)
    state_len = _state_len(config, model)
    layers = list(_layers(encoder, place))
    return _flat(encoder, state_len) if not layers else _serial(layers, state_len)


def table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a table of a configuration, empty where there is none; a `Fault` where it is something else."""
    found = config.get(name, {})
    if not isinstance(found, dict):
        raise Fault(f"key '{name}': found {found!r:.60}; allowed is a table")
    return found


def check_input(config: Mapping[str, Any]) -> None:
    """Check that a network reads one channel and calls A, C, G and T; a `Fault` otherwise."""
    keys = Keys(table(config, "input"), "input")
    keys.same("features", 1)
    keys.unused("n_pre_context_bases", "n_post_context_bases")  # of the training's references
    keys.close()
    keys = Keys(table(config, "labels"), "labels")
    keys.same("labels", LABELS)
    keys.close()


def _state_len(config: Mapping[str, Any], model: Mapping[str, Any]) -> int:
    where = "global_norm" if "global_norm" in config else "model.seqdist"
    keys = Keys(table(config, "global_norm") if where == "global_norm" else table(model, "seqdist"), where)
    keys.same("alphabet", LABELS)
    keys.unused("type")
    found = keys.count("state_len")
    keys.close()
    if found > 5:
        raise Fault(f"key '{where}.state_len': found {found}; allowed is 1 to 5")
    return found


# -- version 3: flat keys --------------------------------------------------------------------------------------------


def _flat(encoder: Mapping[str, Any], state_len: int) -> Network:
    keys = Keys(encoder, "encoder")
    size, first = keys.count("features"), keys.count("first_conv_size", 4)
    activation, norm = keys.word("activation", ACTIVATIONS), keys.word("norm", ("batchnorm",), None) is not None
    layers = keys.count("num_layers", 5)
    keys.word("rnn_type", ("lstm",))
    keys.unused("expand_blanks")
    winlen = odd_window(keys, "winlen")
    convolutions = (
        Convolution(1, first, 5, 1, activation, norm=norm),
        Convolution(first, 16, 5, 1, activation, norm=norm),
        Convolution(16, size, winlen, keys.count("stride"), activation, norm=norm),
    )
    head = Head(state_len, keys.number("blank_score", None), _positive(keys, "scale"), "tanh")
    keys.close()
    return Network(convolutions, size, tuple((layers - number) % 2 == 1 for number in range(layers)), head)


def odd_window(keys: Keys, name: str, listed: bool = False) -> int:
    """Return the samples of a kernel, an odd number."""
    found = keys.listed(name) if listed else keys.count(name)
    if found % 2 == 0:
        raise Fault(f"key '{keys.place}.{name}': found {found}; allowed is an odd number")
    return found


def _positive(keys: Keys, name: str, default: Any = ...) -> float:
    found = keys.number(name, default)
    if found is not None and found <= 0:
        raise Fault(f"key '{keys.place}.{name}': found {found:g}; allowed is a number above 0")
    return found  # type: ignore[no-any-return]


# -- version 4: sublayers --------------------------------------------------------------------------------------------


def _layers(encoder: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the layers of an encoder with their places in the file; none for one of flat keys."""
    kind = encoder.get("type")
    if kind is None and "sublayers" not in encoder:
        return
    if kind == "namedserial":
        for name, entry in encoder.items():
            if isinstance(entry, dict):
                yield from _layers(entry, f"{place}.{name}") if "sublayers" in entry else [(f"{place}.{name}", entry)]
        return
    if kind not in ("serial", None):
        raise Fault(f"layer '{place}' is of type {kind!r:.40}, which is not supported; allowed is serial")
    keys = Keys(encoder, place)
    keys.unused("type", "sublayers")
    keys.close()
    entries = encoder.get("sublayers")
    if (
        not isinstance(entries, list)
        or not 0 < len(entries) <= MOST
        or not all(isinstance(one, dict) for one in entries)
    ):
        raise Fault(f"key '{place}.sublayers': found {entries!r:.40}; allowed is a list of tables")
    for number, entry in enumerate(entries):
        yield f"{place}.sublayers[{number}]", entry


def _serial(layers: list[tuple[str, Mapping[str, Any]]], state_len: int) -> Network:
    made = _Serial(state_len)
    for place, entry in layers:
        if not isinstance(kind := entry.get("type"), str) or kind not in SUBLAYERS:
            raise Fault(
                f"layer '{place}' is of type {kind!r:.40}, which is not supported; allowed is {', '.join(SUBLAYERS)}"
            )
    for place, entry in layers:
        keys = Keys(entry, place)
        keys.unused("type")
        SUBLAYERS[entry["type"]](made, keys)
        keys.close()
    return made.network()


class _Serial:
    """Collects sublayers in the order convolution and clamp, permute, lstm, linear, linearcrfencoder, clamp."""

    def __init__(self, state_len: int) -> None:
        self.state_len = state_len
        self.convolutions: list[Convolution] = []
        self.size = 0
        self.reverse: list[bool] = []
        self.permuted = False
        self.linear: tuple[int, bool] | None = None
        self.head: Head | None = None

    def _order(self, keys: Keys, fine: bool) -> None:
        if not fine:
            raise Fault(f"layer '{keys.place}' ({keys.table['type']}) stands where it is not supported")

    def _width(self, keys: Keys, name: str, width: int, default: Any = ...) -> None:
        found = keys.count(name, default)
        if found != width:
            raise Fault(f"key '{keys.place}.{name}': found {found}; the layer before has {width} outputs")

    def convolution(self, keys: Keys) -> None:
        self._order(keys, not self.permuted)
        self._width(keys, "insize", self.convolutions[-1].size if self.convolutions else 1)
        winlen = odd_window(keys, "winlen")
        padding = keys.count("padding", 0, least=0)
        if padding != winlen // 2:
            raise Fault(f"key '{keys.place}.padding': found {padding}; allowed is half of winlen, {winlen // 2}")
        activation = keys.word("activation", ACTIVATIONS)
        norm = keys.word("norm", ("batchnorm",), None) is not None
        made = Convolution(self.convolutions[-1].size if self.convolutions else 1, keys.count("size"), winlen,
                           keys.count("stride", 1), activation, keys.flag("bias"), norm)  # fmt: skip
        self.convolutions.append(made)

    def clamp(self, keys: Keys) -> None:
        low, high = keys.number("min"), keys.number("max")
        if low >= high:
            raise Fault(
                f"layer '{keys.place}': found min {low:g} and max {high:g}; allowed is a lower and a higher number"
            )
        if self.head is not None:
            if low != -high or self.head.squash == "clamp":
                raise Fault(
                    f"layer '{keys.place}': found {low:g} to {high:g} for the scores; allowed is one clamp, -x to x"
                )
            if self.head.squash == "tanh" and self.head.scale > high:
                raise Fault(f"layer '{keys.place}': found a clamp to {high:g} of scores within {self.head.scale:g}")
            if self.head.squash == "none":
                if self.head.scale != 1.0:
                    raise Fault(f"layer '{keys.place}': a clamp after 'scale' without activation is not supported")
                self.head = replace(self.head, squash="clamp", scale=high)
            return
        self._order(keys, bool(self.convolutions) and not self.permuted and self.convolutions[-1].clamp is None)
        self.convolutions[-1] = replace(self.convolutions[-1], clamp=(low, high))

    def permute(self, keys: Keys) -> None:
        keys.same("dims", [2, 0, 1], default=None)
        self._order(keys, bool(self.convolutions) and not self.permuted)
        self.permuted = True

    def lstm(self, keys: Keys) -> None:
        self._order(keys, self.permuted and self.linear is None and self.head is None)
        width = self.size or self.convolutions[-1].size
        self._width(keys, "insize", width, default=width)
        size = keys.count("size")
        if self.reverse and size != self.size:
            raise Fault(f"key '{keys.place}.size': found {size}; the LSTM layer before has {self.size}")
        self.size = size
        keys.same("bias", True)
        self.reverse.append(keys.flag("reverse", False))

    def decomposed(self, keys: Keys) -> None:
        self._order(keys, bool(self.reverse) and self.linear is None and self.head is None)
        self._width(keys, "in_features", self.size)
        self.linear = keys.count("out_features"), keys.flag("bias")

    def scores(self, keys: Keys) -> None:
        self._order(keys, bool(self.reverse) and self.head is None)
        hidden, hidden_bias = self.linear or (0, True)
        self._width(keys, "insize", hidden or self.size)
        keys.same("n_base", 4)
        keys.unused("state_len", "expand_blanks", "permute")  # that of the states counts, as in Dorado
        tanh = keys.word("activation", ("tanh",), None) is not None
        scale = _positive(keys, "scale", None) or 1.0
        self.head = Head(self.state_len, keys.number("blank_score", None), scale, "tanh" if tanh else "none",
                         keys.flag("bias"), hidden, hidden_bias)  # fmt: skip

    def network(self) -> Network:
        if self.head is None:
            raise Fault("its encoder has no layer of type linearcrfencoder")
        return Network(tuple(self.convolutions), self.size, tuple(self.reverse), self.head)


SUBLAYERS = {
    "convolution": _Serial.convolution,
    "clamp": _Serial.clamp,
    "permute": _Serial.permute,
    "lstm": _Serial.lstm,
    "linear": _Serial.decomposed,
    "linearcrfencoder": _Serial.scores,
}
