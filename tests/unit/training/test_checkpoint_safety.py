"""A run folder that somebody else made: going on with it runs nothing that lies in it."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.base.errors import InputError
from biorrn.training.checkpoint import BEST, LAST, WholeCheckpoints


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", [BEST, LAST])
@pytest.mark.parametrize("weights_only", [None, False, True])
def test_no_object_of_a_checkpoint_is_made(name: str, weights_only: bool | None, tmp_path: Path) -> None:
    harm = Harm(tmp_path / "harmed")
    torch.save({"state_dict": {}, "epoch": 1, "callbacks": harm}, tmp_path / name)
    with pytest.raises(InputError, match="not a checkpoint of tensors and plain values"):
        WholeCheckpoints().load_checkpoint(tmp_path / name, weights_only=weights_only)
    assert not harm.path.exists()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(b"no checkpoint")
    with pytest.raises(InputError):
        WholeCheckpoints().load_checkpoint(tmp_path / LAST)
