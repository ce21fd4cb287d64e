"""The network that a `config.toml` of Bonito's package `bonito.ctc` describes: blocks of convolutions, and CTC.

Bonito's first models, for R9.4.1, and those of others that were trained with it, are such networks (QuartzNet, Kriman
et al. 2020). Each block has `repeat` convolutions, separable or not, each followed by batch norm and an activation, and
may add its input to its output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.base.errors import Fault
from biorrn.config.network import Separable
from biorrn.nanopore.models.configs import (
    ACTIVATIONS,
    BATCHES,
    MOST,
    NORM,
    OTHERS,
    Keys,
    check_input,
    odd_window,
    table,
)

EPSILON = 1e-3  # of the batch norm of `bonito.ctc`
OURS = 1e-5  # of `nn.convolutions.MaskedBatchNorm`
NORMS = ("scale", "shift", "mean", "variance")  # of biorrn, in the order of `NORM`
SYMBOLS = 5  # blank and bases
PLACE = re.compile(r"\bencoder\.(\d+)\.(conv|residual)\.(\d+)\.(depthwise|pointwise|conv)\.weight$")
STEP = 4  # places of a convolution in its block: it, batch norm, activation, dropout


@dataclass(frozen=True, slots=True)
class Block:
    """Convolutions of one kernel, each with batch norm and activation; the first has the stride."""

    insize: int
    size: int
    winlen: int
    stride: int = 1
    repeat: int = 1
    residual: bool = False
    separable: bool = False

    def convolutions(self) -> Iterator[tuple[str, str, dict[str, tuple[int, ...]]]]:
        """Yield for each convolution its place in the file, its place in a biorrn model, and its weights' shapes."""
        for number in range(self.repeat):
            width = self.size if number else self.insize
            shapes: dict[str, tuple[int, ...]] = {"conv": (self.size, width, self.winlen)}
            if self.separable:
                shapes = {"depthwise": (width, 1, self.winlen), "pointwise": (self.size, width, 1)}
            yield f"conv.{number * STEP}", f"convolutions.{number}", shapes
        if self.residual:
            yield "residual.0", "shortcut", {"conv": (self.size, self.insize, 1)}


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks in sequence, then a linear layer to the scores of blank and bases."""

    blocks: tuple[Block, ...]
    activation: str
    dropout: float = 0.0

    loss = "ctc"

    @property
    def stride(self) -> int:
        """Return the samples of a frame."""
        return math.prod(block.stride for block in self.blocks)

    @classmethod
    def of(cls, frontend: Separable) -> Blocks:
        """Return the network of a biorrn front end."""
        widths = [1, *(block.width for block in frontend.blocks)]
        made = (
            Block(width, block.width, block.kernel, block.stride, block.repeat, block.residual, block.separable)
            for width, block in zip(widths, frontend.blocks, strict=False)
        )
        return cls(tuple(made), frontend.activation, frontend.dropout)

    def tables(self) -> list[dict[str, Any]]:
        """Return the entries of `block` in a `config.toml`."""
        return [
            {"filters": block.size, "repeat": block.repeat, "kernel": [block.winlen], "stride": [block.stride],
             "dilation": [1], "dropout": self.dropout, "residual": block.residual, "separable": block.separable}
            for block in self.blocks
        ]  # fmt: skip

    def parameters(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each tensor, in the order of the file."""
        for place, block in enumerate(self.blocks):
            for before, _, shapes in block.convolutions():
                yield from ((f"{place}.{before}.{name}.weight", shape) for name, shape in shapes.items())
                norm = _after(before)
                yield from ((f"{place}.{norm}.{name}", (block.size,)) for name in NORM)
                yield f"{place}.{norm}.{BATCHES}", ()
        yield "decoder.weight", (SYMBOLS, self.blocks[-1].size, 1)
        yield "decoder.bias", (SYMBOLS,)

    def model(self) -> dict[str, Any]:
        """Return the model of a biorrn recipe."""
        blocks = [{"width": block.size, "kernel": block.winlen, "stride": block.stride, "repeat": block.repeat,
                   "separable": block.separable, "residual": block.residual} for block in self.blocks]  # fmt: skip
        return {
            "frontend": {"name": "separable", "blocks": blocks, "activation": self.activation, "dropout": self.dropout},
            "core": {"layers": 0},
            "head": {"name": "ctc"},
        }

    def tensors(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the tensors of the biorrn model from the parameters by name."""
        made = {}
        for place, block in enumerate(self.blocks):
            for before, ours, shapes in block.convolutions():
                own = f"frontend.blocks.{place}.{ours}"
                last = own
                if "depthwise" in shapes:
                    made[f"{own}.along.weight"] = values[f"{place}.{before}.depthwise.weight"]
                    last = f"{own}.mixed"
                name = "pointwise" if "pointwise" in shapes else "conv"
                made[f"{last}.conv.weight"] = values[f"{place}.{before}.{name}.weight"]
                scale, shift, mean, variance = (values[f"{place}.{_after(before)}.{norm}"] for norm in NORM)
                norms = {
                    "scale": scale,
                    "shift": shift,
                    "mean": mean,
                    "variance": variance + np.float32(EPSILON - OURS),
                }
                made |= {f"{last}.norm.{norm}": array for norm, array in norms.items()}
        made["head.output.1.weight"] = values["decoder.weight"][:, :, 0]
        made["head.output.1.bias"] = values["decoder.bias"]
        return made

    def values(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the parameters by their names in Bonito from the tensors of the biorrn model; `tensors` undoes it."""
        made: dict[str, np.ndarray] = {}
        for place, block in enumerate(self.blocks):
            for before, ours, shapes in block.convolutions():
                own, theirs = f"frontend.blocks.{place}.{ours}", f"encoder.encoder.{place}"
                last = own if "conv" in shapes else f"{own}.mixed"
                for name in shapes:
                    source = f"{own}.along.weight" if name == "depthwise" else f"{last}.conv.weight"
                    made[f"{theirs}.{before}.{name}.weight"] = tensors[source]
                norm = dict(zip(NORM, (tensors[f"{last}.norm.{part}"] for part in NORMS), strict=True))
                norm["running_var"] = _before(norm["running_var"], np.float32(EPSILON - OURS))
                made |= {f"{theirs}.{_after(before)}.{name}": array for name, array in norm.items()}
                made[f"{theirs}.{_after(before)}.{BATCHES}"] = np.array(0)
        made["decoder.layers.0.weight"] = tensors["head.output.1.weight"][:, :, None]
        made["decoder.layers.0.bias"] = tensors["head.output.1.bias"]
        return made


def _before(sums: np.ndarray, added: np.float32) -> np.ndarray:
    """Return float32 numbers whose sums with `added` are `sums`, to the last bit where float32 has such numbers."""
    found = sums - added
    return found + (sums - (found + added))


def _after(place: str) -> str:
    """Return the place of the batch norm after a convolution.

    >>> _after("conv.4"), _after("residual.0")
    ('conv.5', 'residual.1')
    """
    part, number = place.split(".")
    return f"{part}.{int(number) + 1}"


def blocks_in(shapes: Mapping[str, tuple[int, ...]], known: Blocks) -> Blocks:
    """Return the network that names and shapes of a checkpoint's tensors tell; stride and activation are those `known`.

    Raises
    ------
    Fault: the names are not those that Bonito gives.

    >>> shapes = {"encoder.0.conv.0.conv.weight": (12, 1, 9), "encoder.0.residual.0.conv.weight": (12, 1, 1)}
    >>> blocks_in(shapes, Blocks((Block(1, 8, 5, stride=3),), "relu")).blocks
    (Block(insize=1, size=12, winlen=9, stride=3, repeat=1, residual=True, separable=False),)
    """
    found: dict[int, dict[tuple[str, int, str], tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if match := PLACE.search(name):
            found.setdefault(int(match[1]), {})[match[2], int(match[3]), match[4]] = shape
    if not found or sorted(found) != list(range(len(found))):
        raise Fault("has no tensors named as Bonito's blocks, such as encoder.encoder.0.conv.0.conv.weight")
    made: list[Block] = []
    for number in range(len(found)):
        kinds = found[number]
        separable = ("conv", 0, "depthwise") in kinds
        last, first = ("pointwise", "depthwise") if separable else ("conv", "conv")
        if ("conv", 0, last) not in kinds:
            raise Fault(f"has no first convolution of block {number}")
        size, winlen = kinds["conv", 0, last][0], kinds["conv", 0, first][-1]
        stride = known.blocks[number].stride if number < len(known.blocks) else 1
        repeat = len({place for part, place, _ in kinds if part == "conv"})
        residual = any(part == "residual" for part, _, _ in kinds)
        made.append(Block(made[-1].size if made else 1, size, winlen, stride, repeat, residual, separable))
    return Blocks(tuple(made), known.activation, known.dropout)


def blocks_of(config: Mapping[str, Any]) -> Blocks:
    """Return the network of a `bonito.ctc` configuration.

    Raises
    ------
    Fault: a block or key that is not supported or unknown; the message names it.
    """
    for name, entry in config.items():
        packages = isinstance(entry, dict) and set(entry) == {"package"}  # of other networks of TargetCall
        if not packages and name not in ("block", "encoder", *OTHERS):
            raise Fault(f"key '{name}' is unknown")
    check_input(config)
    encoder = Keys(table(config, "encoder"), "encoder")
    activation = encoder.word("activation", {name: ACTIVATIONS[name] for name in ("relu", "swish", "silu")})
    encoder.close()
    entries = config.get("block")
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST or not all(isinstance(e, dict) for e in entries):
        raise Fault(f"key 'block': found {entries!r:.40}; allowed is a list of tables")
    made: list[Block] = []
    dropouts = []
    for number, entry in enumerate(entries):
        keys = Keys(entry, f"block[{number}]")
        keys.same("dilation", [1])
        winlen, (stride,) = odd_window(keys, "kernel", listed=True), (keys.listed("stride"),)
        block = Block(made[-1].size if made else 1, keys.count("filters"), winlen, stride, keys.count("repeat"),
                      keys.flag("residual", False), keys.flag("separable", False))  # fmt: skip
        if block.stride > 1 and (block.repeat > 1 or block.residual):
            raise Fault(f"key 'block[{number}].stride': found {stride}; a block that repeats or adds its input has 1")
        dropouts.append(keys.number("dropout", 0.0))
        keys.close()
        made.append(block)
    if not all(0 <= dropout < 1 for dropout in dropouts):
        raise Fault(f"key 'block.dropout': found {max(dropouts):g}; allowed is 0 to below 1")
    return Blocks(tuple(made), activation, max(dropouts))
