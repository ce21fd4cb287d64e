"""Blocks of convolutions of Bonito's package bonito.ctc: read from config.toml, or from the weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biorrn.base.errors import Fault, InputError
from biorrn.nanopore.models.ctc import blocks_in, blocks_of
from biorrn.nanopore.models.exports import toml
from biorrn.nanopore.models.importer import import_model
from biorrn.nn.store import load_model


def block(filters: int, kernel: int, stride: int = 1, repeat: int = 1, **keys: bool) -> dict[str, Any]:
    given = {"filters": filters, "kernel": [kernel], "stride": [stride], "repeat": repeat, "dilation": [1]}
    return given | {"dropout": 0.05, "residual": False, "separable": False} | keys


def configuration(activation: str = "relu") -> dict[str, Any]:
    return {
        "model": {"package": "bonito.ctc"},
        "other": {"package": "bonito.ctc"},
        "labels": {"labels": ["N", "A", "C", "G", "T"]},
        "input": {"features": 1},
        "encoder": {"activation": activation},
        "block": [block(6, 9, 3), block(8, 5, repeat=2, separable=True, residual=True), block(7, 3)],
    }


class Reference(nn.Module):
    """The same network in plain torch, whose tensors have Bonito's names and order."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.encoder = nn.ModuleList()
        width = 1
        for entry in config["block"]:
            self.encoder.encoder.append(ReferenceBlock(width, entry, config["encoder"]["activation"]))
            width = entry["filters"]
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList([nn.Conv1d(width, 5, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for part in self.encoder.encoder:  # type: ignore[union-attr]
            x = part(x)
        return self.decoder.layers[0](x)  # type: ignore[index,operator]


def separable(insize: int, size: int, kernel: int) -> nn.Module:
    made = nn.Module()
    made.depthwise = nn.Conv1d(insize, insize, kernel, padding=kernel // 2, groups=insize, bias=False)
    made.pointwise = nn.Conv1d(insize, size, 1, bias=False)
    made.forward = lambda x: made.pointwise(made.depthwise(x))  # type: ignore[method-assign]
    return made


def plain(insize: int, size: int, kernel: int, stride: int) -> nn.Module:
    made = nn.Module()
    made.conv = nn.Conv1d(insize, size, kernel, stride, kernel // 2, bias=False)
    made.forward = made.conv.forward  # type: ignore[method-assign]
    return made


class ReferenceBlock(nn.Module):
    def __init__(self, insize: int, entry: dict[str, Any], activation: str) -> None:
        super().__init__()
        size, kernel, stride = entry["filters"], entry["kernel"][0], entry["stride"][0]
        act: list[nn.Module] = [nn.ReLU() if activation == "relu" else nn.SiLU(), nn.Dropout(0.05)]
        self.conv = nn.ModuleList()
        for number in range(entry["repeat"]):
            width = size if number else insize
            made = separable(width, size, kernel) if entry["separable"] else plain(width, size, kernel, stride)
            self.conv.extend([made, nn.BatchNorm1d(size, eps=1e-3), *(act if number + 1 < entry["repeat"] else [])])
        if entry["residual"]:
            self.residual = nn.Sequential(plain(insize, size, 1, 1), nn.BatchNorm1d(size, eps=1e-3))
        self.last = nn.Sequential(*act)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for layer in self.conv:
            h = layer(h)
        return self.last(h + self.residual(x) if hasattr(self, "residual") else h)


@pytest.fixture(params=["relu", "swish"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Reference]:
    torch.manual_seed(0)
    config = configuration(request.param)
    reference = Reference(config).eval()
    for name, tensor in reference.state_dict().items():
        if "running_var" in name:
            tensor.copy_(torch.rand_like(tensor) * 0.01 + 1e-3)  # so small that the epsilon counts
        elif "running_mean" in name or name.endswith(".bias"):
            tensor.copy_(torch.randn_like(tensor) * 0.1)
    made = tmp_path / "some_model"
    made.mkdir()
    (made / "config.toml").write_text(_toml(config))
    torch.save(reference.state_dict(), made / "weights_1.tar")
    return made, reference


def _toml(config: dict[str, Any]) -> str:
    blocks = "".join("\n[[block]]\n" + toml({"x": entry}).partition("\n")[2] for entry in config["block"])
    return toml({name: entry for name, entry in config.items() if name != "block"}) + blocks


def test_scores_are_those_of_a_plain_network(folder: tuple[Path, Reference]) -> None:
    place, reference = folder
    model = load_model(place)
    signal = torch.from_numpy(np.random.default_rng(0).normal(size=301).astype(np.float32))
    with torch.inference_mode():
        found = model.model(signal[None, :, None], torch.tensor([301]))[0][0]
        expected = reference(signal[None, None])[0].T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert model.facts["chemistry"] == ["dna_r9.4.1_e8"]
    assert model.facts["normaliser"] == "medmad"


def test_the_weights_tell_the_network(folder: tuple[Path, Reference], tmp_path: Path) -> None:
    place, reference = folder
    shapes = {name: tuple(tensor.shape) for name, tensor in reference.state_dict().items()}
    known = blocks_of(configuration())
    assert blocks_in(shapes, known).blocks == known.blocks
    wrong = configuration()
    wrong["block"] = [block(344, 9, 3), block(48, 15)]
    (place / "config.toml").write_text(_toml(wrong))
    with pytest.raises(InputError, match=r"has shape \(6, 1, 9\); .* asks for \(344, 1, 9\) .*--from-weights"):
        load_model(place)
    import_model(place, tmp_path / "out", from_weights=True)
    assert load_model(tmp_path / "out").facts["stride"] == 3


def test_names_that_are_not_bonito_s_tell_nothing() -> None:
    known = blocks_of(configuration())
    for names in ({"0.conv.weight": (4, 1, 5)}, {"encoder.encoder.1.conv.0.conv.weight": (4, 1, 5)}):
        with pytest.raises(Fault, match="has no tensors named as Bonito's blocks"):
            blocks_in(names, known)
    with pytest.raises(Fault, match="has no first convolution of block 0"):
        blocks_in({"encoder.encoder.0.residual.0.conv.weight": (4, 1, 1)}, known)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dilation": [2]}, r"dilation': found \[2\]; allowed is \[1\]"),
        ({"kernel": [4]}, "kernel': found 4; allowed is an odd number"),
        ({"kernel": 5}, "kernel': found 5; allowed is a list of one whole number"),
        ({"stride": [2], "repeat": 2}, "a block that repeats or adds its input has 1"),
        ({"dropout": 1.0}, "block.dropout': found 1; allowed is 0 to below 1"),
        ({"groups": 2}, "groups' is unknown"),
    ],
)
def test_blocks_that_are_not_supported_are_named(keys: dict[str, Any], message: str) -> None:
    config = configuration()
    config["block"][2] |= keys
    with pytest.raises(Fault, match=message):
        blocks_of(config)


def test_activations_and_tables_that_are_not_supported_are_named() -> None:
    with pytest.raises(Fault, match="activation': found 'gelu'; allowed is relu or swish or silu"):
        blocks_of(configuration("gelu"))
    with pytest.raises(Fault, match="key 'extra' is unknown"):
        blocks_of(configuration() | {"extra": {"x": 1}})
    with pytest.raises(Fault, match="key 'block': found None; allowed is a list of tables"):
        blocks_of({name: entry for name, entry in configuration().items() if name != "block"})
