"""What the tests of commands share: running one, and a small basecaller."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def biorrn(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line here and returns its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        code = run_cli(*words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def make_caller(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a small untrained basecaller, with scores spread enough to call bases."""
    import torch

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model

    def make(**facts: object) -> Path:
        folder = tmp_path_factory.mktemp("models") / "tiny"
        torch.manual_seed(3)
        recipe = load_recipe("demo_basecall")
        made = build_model(recipe.model, 5)
        with torch.no_grad():
            made.head.output[-1].weight.mul_(30)
        signal = {"normaliser": "medmad", "sample_rate": 4000.0, "stride": made.stride}
        save_model(folder, made, recipe, {"task": "basecalling", "outputs": 5} | signal | facts)
        return folder

    return make


@pytest.fixture(scope="session")
def model(make_caller: Callable[..., Path]) -> Path:
    """Return a small untrained basecaller for R9.4.1."""
    return make_caller(chemistry=["dna_r9.4.1_e8"])
