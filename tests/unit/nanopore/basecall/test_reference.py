"""The equations in numpy are those of the torch module."""

from typing import Any

import numpy as np
import pytest
import torch

from biorrn.config.recipe import parse_recipe
from biorrn.nanopore.basecall.reference import plain_scores
from biorrn.nn.sequence import build_model

HEADS: dict[str, dict[str, Any]] = {
    "ctc": {"name": "ctc", "hidden": 5},
    "tanh": {"name": "crf", "state_len": 2, "scale": 3.0},
    "clamp": {"name": "crf", "state_len": 1, "blank": None, "squash": "clamp", "scale": 0.1},
    "product of two": {
        "name": "crf",
        "state_len": 1,
        "squash": "none",
        "bias": False,
        "hidden": 3,
        "activation": "none",
    },
}
LAYERS: list[dict[str, Any]] = [
    {"width": 3, "kernel": 5, "clamp": [-0.1, 0.3]},
    {"width": 5, "kernel": 3, "stride": 2, "activation": "tanh"},
    {"width": 4, "kernel": 7, "stride": 3, "activation": "relu"},
]


@pytest.mark.parametrize("direction", ["forward", "backward", "alternating", "bidirectional"])
@pytest.mark.parametrize("head", HEADS)
def test_scores_are_those_of_torch(head: str, direction: str) -> None:
    core = {"cell": "lstm", "hidden": 7, "layers": 3, "direction": direction}
    parts = {"frontend": {"name": "conv", "layers": LAYERS}, "core": core, "head": HEADS[head]}
    network = parse_recipe({"name": "tiny", "task": "basecalling", "model": parts}).network
    torch.manual_seed(1)
    model = build_model(network, 5).eval()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    x, lengths = np.random.default_rng(2).normal(size=(4, 100)).astype(np.float32), np.array([100, 1, 6, 55])
    found = plain_scores(network, tensors, x, lengths)
    for scores, row, length in zip(found, x, lengths, strict=True):
        with torch.no_grad():
            expected = model(torch.from_numpy(row)[None, :length, None], torch.tensor([length]))[0][0].numpy()
        np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-6)
