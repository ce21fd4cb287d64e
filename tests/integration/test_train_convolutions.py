"""The convolutional recipes at a fraction of their widths: each learns a tiny set by heart, and can be called with."""

import json
from pathlib import Path

import numpy as np
import pytest

from biorrn.config.recipe import Recipe, change_recipe, load_recipe, parse_recipe
from biorrn.nanopore.basecall.caller import basecall
from biorrn.nn.store import load_model
from biorrn.sequences.records import SignalRecord
from biorrn.training.task import load_task
from biorrn.training.train import train

BLOCKS = {
    "chiron": [{"width": 24, "kernel": 9, "stride": 2}, {"width": 24, "kernel": 3}],
    "quartz": [
        {"width": 24, "kernel": 9, "stride": 2, "separable": False},
        {"width": 24, "kernel": 9, "repeat": 2, "residual": True},
        {"width": 32, "kernel": 1},
    ],
}


def small(name: str) -> Recipe:
    """Return a recipe with its own kinds of blocks and core, narrow and short."""
    content = load_recipe(name).model_dump(mode="json")
    content["model"]["frontend"]["blocks"] = BLOCKS[name]
    content["model"]["core"] |= {"hidden": 16, "layers": min(1, content["model"]["core"]["layers"])}
    content["chunks"] = {"samples": 240, "overlap": 40, "epoch": 192}
    changes = ["training.batch_size=16", "training.epochs=10", "training.lr=0.01", "training.ema=0.9"]
    content["training"] |= {"augment": {}, "precision": "32"}
    return change_recipe(parse_recipe(content), changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_it_can_overfit_a_tiny_set(name: str, tiny_signal: Path, tmp_path: Path) -> None:
    folder = train(small(name), tiny_signal, tmp_path / "run", load_task("basecalling"), threads=1)
    assert json.loads((folder / "provenance.json").read_text())["best"]["value"] > 0.9
    stored = load_model(folder)
    signal = np.random.default_rng(0).integers(300, 900, 2000).astype(np.int16)
    record = SignalRecord(read_id="r", raw=signal, offset=0.0, scale=0.17, sample_rate=4000.0)
    calls = [next(iter(basecall(stored, [record], batch_size=size))) for size in (1, 64)]
    assert calls[0].bases == calls[1].bases
    assert calls[0].quals.tolist() == calls[1].quals.tolist()
