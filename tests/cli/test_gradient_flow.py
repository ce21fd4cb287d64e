"""`biorrn experiments gradient-flow`: table and figure."""

from collections.abc import Callable
from pathlib import Path

import pytest


def test_untrained_cells(tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cells", "rnn", "--cells", "lstm", "--length", "9", "--hidden", "4", "--seeds", "1", "--layers", "2"]
    assert run_cli("gradient-flow", "-o", str(tmp_path / "flow"), *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "half" in lines[0]
    assert len(lines) == 1 + 5 * 2  # three first matrices, and a stack without and with skip connections
    assert sorted(path.name for path in (tmp_path / "flow").iterdir()) == [
        "gradient_flow.png",
        "gradient_flow.svg",
        "gradient_flow.tsv",
    ]


def test_a_model_folder(kernel_model: Path, tiny_proteins: Path, tmp_path: Path, run_cli: Callable[..., int],
                        capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    words = [str(kernel_model), str(tiny_proteins), "-o", str(tmp_path / "flow"), "--seeds", "1", "--length", "5"]
    assert run_cli("gradient-flow", *words) == 0
    out = capsys.readouterr().out
    assert "untrained  lstm 1 forward" in out
    assert (tmp_path / "flow" / "gradient_flow.png").is_file()
