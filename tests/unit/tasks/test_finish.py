"""What is added to the facts of a trained model: how many frames the bases of a basecaller come early."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biorrn.config import parse_recipe
from biorrn.datasets.prepare import signal_writer
from biorrn.models.store import Stored
from biorrn.tasks.finish import frames_early

STRIDE, DWELL = 5, 20


class Sure(nn.Module):
    """Reads the level of each base off the signal and says the base some frames before it begins."""

    def __init__(self, early: int) -> None:
        super().__init__()
        self.early = early

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        levels = x[:, ::STRIDE, 0].round().long()  # 1 to 4 for the base, (B, T')
        new = torch.ones_like(levels, dtype=torch.bool)
        new[:, 1:] = levels[:, 1:] != levels[:, :-1]
        said = torch.where(new, levels, 0)  # CTC: a base in its first frame, blanks behind it
        said = torch.roll(said, -self.early, 1)
        return 20.0 * torch.nn.functional.one_hot(said, 5).float(), -(-lengths // STRIDE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("early") / "levels.h5"
    rng = np.random.default_rng(0)
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for number in range(4):
            bases = rng.integers(1, 5, 400)
            bases = np.array([b for a, b in zip([0, *bases], bases, strict=False) if a != b], np.uint8)
            signal = np.repeat(bases.astype(np.float32), DWELL)
            writer.add(f"r{number}", signal, bases, np.arange(len(bases)) * DWELL, split=int(number > 0))
    return path


@pytest.mark.parametrize("early", [0, 1, 3])
def test_frames_early_are_those_of_the_model(early: int, prepared: Path) -> None:
    network = {
        "frontend": {"name": "conv", "layers": [{"width": 4, "kernel": 5}]},
        "core": {"cell": "lstm", "hidden": 4, "layers": 1},
        "head": {"name": "ctc"},
    }
    chunks = {"samples": 2000, "overlap": 100}
    recipe = parse_recipe({"name": "sure", "task": "basecalling", "model": network, "chunks": chunks})
    found, seen = frames_early(Stored(Sure(early), recipe, {"stride": STRIDE}, Path("sure")), prepared, device="cpu")
    assert found == early
    assert seen > 500
