"""Networks of the maker's basecallers in plain torch, apart from the importer, and writers of both kinds of folder.

Written from the description of the formats: configurations with flat keys (v3) and with a list of sublayers (v4). The
names of parameters are those of Bonito's state dictionary, so `write_bonito` saves a network as it is.
"""

from __future__ import annotations

import itertools
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS = {"swish": nn.SiLU, "tanh": nn.Tanh, "relu": nn.ReLU}


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x)


class Convolution(nn.Module):
    """Convolution, batch norm if there is one, activation; (N, C, T) -> (N, C', T')."""

    def __init__(self, insize: int, size: int, winlen: int, stride: int, activation: str, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(insize, size, winlen, stride, winlen // 2)
        self.norm = Norm(size) if norm else nn.Identity()
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class Permute(nn.Module):
    """(N, C, T) -> (T, N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(2, 0, 1)


class Clamp(nn.Module):
    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


class Lstm(nn.Module):
    """One direction; reverse: from the last step to the first."""

    def __init__(self, insize: int, size: int, reverse: bool) -> None:
        super().__init__()
        self.rnn, self.reverse = nn.LSTM(insize, size), reverse

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.flip(0))[0].flip(0) if self.reverse else self.rnn(x)[0]


class Linear(nn.Module):
    def __init__(self, insize: int, size: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(insize, size, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Transitions(Linear):
    """Scores (T, N, states * 5): five for each state, the fixed score of staying, then those of its four moves."""

    def __init__(self, insize: int, state_len: int, bias: bool, tanh: bool, scale: float, blank: float | None) -> None:
        super().__init__(insize, 4**state_len * (4 if blank is not None else 5), bias)
        self.tanh, self.scale, self.blank = tanh, scale, blank

    def forward(self, x: Tensor) -> Tensor:
        moves = self.linear(x)
        moves = self.scale * torch.tanh(moves) if self.tanh else moves
        if self.blank is None:  # it is learned
            return moves
        moves = moves.unflatten(-1, (-1, 4))
        return torch.cat([torch.full_like(moves[..., :1], self.blank), moves], -1).flatten(-2)


class Network(nn.Module):
    """The network of a `config.toml`, with weights drawn by `randomise`.

    Attributes
    ----------
    config : dict; text : str: the configuration, and the file that holds it.
    stride : int: samples a frame. state_len : int.
    """

    def __init__(self, text: str, seed: int = 0) -> None:
        super().__init__()
        self.text, self.config = text, tomllib.loads(text)
        self.state_len = self.config["global_norm"]["state_len"]
        encoder = self.config["encoder"]
        layers = [_sublayer(entry) for entry in encoder["sublayers"]] if "type" in encoder else self._flat(encoder)
        self.encoder = nn.Sequential(*layers)
        self.stride = int(np.prod([one.conv.stride[0] for one in self.encoder if isinstance(one, Convolution)]))
        self.eval()
        randomise(self, seed)

    def _flat(self, encoder: dict[str, Any]) -> list[nn.Module]:
        width, active = encoder["features"], encoder["activation"]
        return [
            Convolution(1, 4, 5, 1, active, False),
            Convolution(4, 16, 5, 1, active, False),
            Convolution(16, width, encoder["winlen"], encoder["stride"], active, False),
            Permute(),
            *(Lstm(width, width, reverse=number % 2 == 0) for number in range(5)),
            Transitions(width, self.state_len, True, True, encoder["scale"], encoder.get("blank_score")),
        ]

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores (T, states * 5) of a signal (samples,), in the order of the format."""
        with torch.inference_mode():
            return self.encoder(signal[None, None])[:, 0]

    def columns(self, signal: np.ndarray) -> np.ndarray:
        """Return scores float32 (T, 5 S) in the order of `kernels.crf.loss`.

        In the format, move k of state j comes from the state whose last bases are the first of j, and forgets base k.
        """
        scores = self(torch.from_numpy(np.asarray(signal, np.float32))).unflatten(-1, (-1, 5))
        return torch.cat([scores[..., 0], *(scores[..., 1 + k] for k in range(4))], -1).numpy()


def _sublayer(entry: dict[str, Any]) -> nn.Module:
    kind = entry["type"]
    if kind == "convolution":
        assert entry["padding"] == entry["winlen"] // 2
        sizes = entry["insize"], entry["size"], entry["winlen"], entry["stride"]
        return Convolution(*sizes, entry["activation"], entry.get("norm") == "batchnorm")
    if kind == "clamp":
        return Clamp(entry["min"], entry["max"])
    if kind == "permute":
        assert entry["dims"] == [2, 0, 1]
        return Permute()
    if kind == "lstm":
        return Lstm(entry["insize"], entry["size"], bool(entry["reverse"]))
    if kind == "linear":
        return Linear(entry["in_features"], entry["out_features"])
    assert kind == "linearcrfencoder", kind
    tanh = entry.get("activation") == "tanh"
    return Transitions(
        entry["insize"], entry["state_len"], entry["bias"], tanh, entry.get("scale", 1.0), entry.get("blank_score")
    )


def randomise(network: Network, seed: int) -> None:
    """Draw weights that use the whole range of each layer: clamps are reached, and few units are saturated."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            last = name.rsplit(".", 1)[-1]
            if not tensor.is_floating_point():
                continue
            noise = torch.empty_like(tensor).normal_(generator=rng)
            if last == "running_var":
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.dim() == 1:  # biases and batch norm
                tensor.copy_(0.2 * noise + float(".bn.weight" in name))
            else:
                gain = 3.0 if ".linear." in name else 1.5
                tensor.copy_(gain * noise / tensor[0].numel() ** 0.5)
        head = next(layer for layer in network.modules() if isinstance(layer, Transitions))
        if not head.tanh:  # scores reach the clamp, or where the clamp would be
            scores = network(torch.empty(500).normal_(generator=rng)).unflatten(-1, (-1, 5))[..., 1:]
            head.linear.weight.mul_(2.5 / scores.std())


def write_bonito(network: Network, folder: Path, number: int = 1) -> Path:
    """Write a Bonito folder: `config.toml` and a state dictionary, batch norm apart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(network.text)
    torch.save(network.state_dict(), folder / f"weights_{number}.tar")
    return folder


def write_dorado(network: Network, folder: Path) -> Path:
    """Write a Dorado folder: `config.toml` and an archive a parameter, batch norm within the convolutions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(network.text)
    places = {Convolution: itertools.count(0), Lstm: itertools.count(4), Linear: itertools.count(9)}
    places[Transitions] = places[Linear]
    for layer in network.encoder:
        if isinstance(layer, Permute | Clamp):
            continue
        number = next(places[type(layer)])
        if isinstance(layer, Convolution):
            weight, bias = _folded(layer)
            parameters = {"conv.weight": weight, "conv.bias": bias}
        else:
            parameters = dict(layer.named_parameters())
        for name, tensor in parameters.items():
            write_tensor(folder / f"{number}.{name}.tensor", tensor)
    return folder


def _folded(layer: Convolution) -> tuple[Tensor, Tensor]:
    weight, bias = layer.conv.weight.detach().double(), layer.conv.bias.detach().double()
    if isinstance(layer.norm, Norm):
        bn = layer.norm.bn
        factor = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
        weight, bias = weight * factor[:, None, None], (bias - bn.running_mean.double()) * factor + bn.bias.double()
    return weight.detach().float(), bias.detach().float()


def write_tensor(path: Path, tensor: Tensor) -> None:
    """Write a TorchScript archive of a module whose only parameter is named 0, as the maker's are."""
    holder = nn.Module()
    holder.register_parameter("0", nn.Parameter(tensor.detach().clone(), requires_grad=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(holder).save(str(path))


WRITERS = {"dorado": write_dorado, "bonito": write_bonito}


def read(folder: Path) -> Network:
    """Return the network of a folder without batch norm; every tensor is used, and no other is allowed."""
    network = Network((folder / "config.toml").read_text())
    weights = sorted(folder.glob("weights_*.tar"))
    if weights:
        network.load_state_dict(torch.load(weights[-1], weights_only=True))
        return network
    state = {}
    numbers = [number for number, layer in enumerate(network.encoder) if not isinstance(layer, Clamp)]
    for path in folder.glob("*.tensor"):
        number, name = path.name.removesuffix(".tensor").split(".", 1)
        holder = torch.jit.load(path)
        state[f"encoder.{numbers[int(number)]}.{name}"] = dict(holder.named_parameters())["0"]
    network.load_state_dict(state)
    return network


# --- configurations of each generation, small ---


def flat(width: int = 24, state_len: int = 2, stride: int = 5, more: str = "") -> str:
    """Return a configuration with flat keys, as of v3 and of RNA."""
    return f"""{_HEAD.format(state_len=state_len)}
[encoder]
activation = "swish"
features = {width}
rnn_type = "lstm"
scale = 5.0
stride = {stride}
winlen = 19
blank_score = 2.0
{more}"""


def serial(
    width: int = 24,
    state_len: int = 2,
    *,
    clamped: bool = False,
    between: int = 0,
    last: str = "swish",
    within: bool = True,
    strides: tuple[int, int, int] = (1, 1, 6),
    more: str = "",
) -> str:
    """Return a configuration with sublayers.

    Parameters
    ----------
    clamped : clamps after the convolutions; between : width of a linear layer before the head, 0 is none; last :
        activation of the last convolution; within : clamp of the scores.
    """
    blocks = []
    sizes = [1, 16, 16, width]
    for n, (winlen, stride) in enumerate(zip((5, 5, 19), strides, strict=True)):
        active = last if n == 2 else "swish"
        blocks.append(
            f'type = "convolution"\ninsize = {sizes[n]}\nsize = {sizes[n + 1]}\nbias = true\nwinlen = {winlen}\n'
            f'stride = {stride}\npadding = {winlen // 2}\nactivation = "{active}"\nnorm = "batchnorm"'
        )
        blocks += ['type = "clamp"\nmin = -0.5\nmax = 3.5'] if clamped else []
    blocks.append('type = "permute"\ndims = [ 2, 0, 1,]')
    blocks += [f'type = "lstm"\nsize = {width}\ninsize = {width}\nbias = true\nreverse = {1 - n % 2}' for n in range(5)]
    blocks += [f'type = "linear"\nin_features = {width}\nout_features = {between}'] if between else []
    blocks.append(
        f'type = "linearcrfencoder"\ninsize = {between or width}\nn_base = 4\nstate_len = {state_len}\nbias = false\n'
        "blank_score = 2.0"
    )
    blocks += ['type = "clamp"\nmin = -5.0\nmax = 5.0'] if within else []
    layers = "\n\n".join(f"[[encoder.sublayers]]\n{block}" for block in blocks)
    return f'{_HEAD.format(state_len=state_len)}\n[encoder]\ntype = "serial"\n{layers}\n{more}'


_HEAD = """[model]
package = "bonito.crf"

[labels]
labels = [ "N", "A", "C", "G", "T",]

[input]
features = 1

[global_norm]
state_len = {state_len}
"""
_PA = """
[scaling]
strategy = "pa"

[standardisation]
standardise = 1
mean = 91.88
stdev = 22.65

[run_info]
sample_rate = 5000
"""
_RNA = """
[run_info]
sample_rate = {rate}

[normalisation]
quantile_a = 0.2
quantile_b = 0.8
shift_multiplier = 0.48
scale_multiplier = 0.59

[qscore]
scale = 1.0
bias = -1.6
"""
# name of a folder -> its configuration
GENERATIONS = {
    "dna_r9.4.1_e8_fast@v3.4": flat(),
    "dna_r10.4.1_e8.2_260bps_fast@v4.0.0": serial(within=False, strides=(1, 1, 5)),
    "dna_r10.4.1_e8.2_400bps_hac@v4.2.0": serial(132, clamped=True, between=16),
    "dna_r10.4.1_e8.2_400bps_hac@v4.3.0": serial(last="tanh", more=_PA),
    "dna_r10.4.1_e8.2_400bps_sup@v4.3.0": serial(state_len=3, last="tanh", strides=(1, 2, 3), more=_PA),
    "rna002_70bps_fast@v3": flat(more=_RNA.format(rate=3000)),
    "rna004_130bps_hac@v3.0.1": flat(state_len=3, more=_RNA.format(rate=4000)),
}


# --- signal, and bases by enumeration ---


def shift_and_scale(config: dict[str, Any], name: str, picoamperes: np.ndarray) -> tuple[float, float]:
    """Return what a model subtracts from the current and divides it by; `name` is that of its folder."""
    wide = np.asarray(picoamperes, np.float64)
    if config.get("scaling", {}).get("strategy") == "pa":
        return config["standardisation"]["mean"], config["standardisation"]["stdev"]
    if name.startswith("dna_r9.4.1"):
        median = np.median(wide)
        return float(median), float(1.4826 * np.median(np.abs(wide - median)))
    keys = config.get("normalisation", {})
    low, high = np.quantile(wide, [keys.get("quantile_a", 0.2), keys.get("quantile_b", 0.9)])
    shift = keys.get("shift_multiplier", 0.51) * (low + high)
    return max(10.0, float(shift)), max(1.0, float(keys.get("scale_multiplier", 0.53) * (high - low)))


def most_probable_path(scores: np.ndarray, state_len: int) -> str:
    """Return the bases of the path with the largest product of posteriors of its transitions, over all paths.

    Scores (T, states * 5) are in the order of the format; each path and each posterior is enumerated.
    """
    frames, states = len(scores), 4**state_len
    first = np.arange(states)
    logs, ways = np.zeros(states), np.zeros((states, 0), np.int64)  # of each path so far: score, column of each frame
    at = first
    for t in range(frames):  # each path goes on in five ways
        forgotten, shifted = at // (states // 4), at * 4 % states
        columns = [5 * at, *(5 * (shifted + base) + 1 + forgotten for base in range(4))]
        logs = np.concatenate([logs + scores[t, column] for column in columns])
        ways = np.concatenate([np.column_stack([ways, column]) for column in columns])
        at = np.concatenate([at, *(shifted + base for base in range(4))])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    total = np.zeros(len(weights))
    for t in range(frames):
        posterior = np.bincount(ways[:, t], weights, minlength=5 * states)
        total += np.log(posterior[ways[:, t]])
    best = ways[total.argmax()]
    return "".join("ACGT"[column // 5 % 4] for column in best if column % 5)
