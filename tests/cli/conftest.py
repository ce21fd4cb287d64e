"""What the tests of the command line share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from biorrn.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def biorrn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line here and returns its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["biorrn", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small untrained basecaller for R9.4.1, with scores spread enough to call bases."""
    import torch

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(3)
    recipe = load_recipe("demo_basecall")
    made = build_model(recipe.model, 5)
    with torch.no_grad():
        made.head.output[-1].weight.mul_(30)
    facts = {"task": "basecalling", "outputs": 5, "normaliser": "medmad", "sample_rate": 4000.0, "stride": made.stride}
    save_model(folder, made, recipe, facts | {"chemistry": ["dna_r9.4.1_e8"]})
    return folder
