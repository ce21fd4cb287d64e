"""Trainings that go wrong say so, on stderr and in the run folder; one that goes well says nothing."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.proteins import task as regression
from biorrn.report.page import render
from biorrn.training.train import train

MODEL = {
    "frontend": {"name": "embedding", "width": 8},
    "core": {"cell": "gru", "hidden": 8, "layers": 1},
    "pool": ["mean"],
}
DEEP = {"cell": "rnn", "hidden": 8, "layers": 6, "direction": "forward"}


def recipe(core: dict[str, Any] | None = None, **training: Any) -> Recipe:
    settings = {"batch_size": 16, "epochs": 3, "lr": 0.01, **training}
    model = MODEL | ({"core": core} if core else {})
    return parse_recipe({"name": "tiny", "task": "regression", "model": model, "training": settings})


def task(**changes: Any) -> Any:
    return SimpleNamespace(**(vars(regression) | changes))


def weak(recipe: Recipe, data: Any) -> Any:
    """A model whose recurrent layers pass next to nothing on."""
    made = regression.make_model(recipe, data)
    with torch.no_grad():
        for parameter in made.core.parameters():
            parameter.mul_(1e-3)
    return made


def nan_from(first: int, last: int) -> Any:
    """A loss that is NaN from one call to another; training and validation both call it."""
    calls = 0

    def loss(*given: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return regression.loss(*given) * (torch.nan if first <= calls <= last else 1.0)

    return loss


CASES = {
    "healthy": (recipe(), task(), []),
    "vanishing": (recipe(DEEP), task(make_model=weak), ["vanishing_depth"]),
    "exploding": (recipe(lr=1000.0), task(), ["exploding"]),
    "not a number": (recipe(), task(loss=nan_from(2, 2)), ["not_finite"]),
}


@pytest.mark.parametrize("name", CASES)
def test_warnings(name: str, tiny_proteins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, problem, kinds = CASES[name]
    folder = train(settings, tiny_proteins, tmp_path / "run", problem, threads=1, device="cpu")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    kept = json.loads((folder / "provenance.json").read_text())["warnings"]
    assert list(dict.fromkeys(entry["kind"] for entry in kept)) == kinds
    assert len({(entry["epoch"], entry["kind"]) for entry in kept}) == len(kept)
    assert told == [f"warning: epoch {entry['epoch']}: {entry['message']}" for entry in kept]
    assert (folder / "warnings.tsv").is_file() == bool(kinds)
    page = render(runs=[folder])
    assert page.count("<strong>Warning</strong>") == len(kept)


def test_a_run_that_is_given_up_leaves_its_warning(
    tiny_proteins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, settings = tmp_path / "run", recipe(batch_size=2, epochs=2)
    with pytest.raises(BiorrnError, match=r"not finite in 20 steps in a row"):
        train(settings, tiny_proteins, folder, task(loss=nan_from(2, 10**9)), threads=1, device="cpu")
    rows = (folder / "warnings.tsv").read_text().splitlines()
    assert [row.split("\t")[:2] for row in rows] == [["epoch", "kind"], ["1", "not_finite"]]
    # begun anew, and well
    capsys.readouterr()
    train(settings, tiny_proteins, folder, task(), threads=1, device="cpu")
    assert "warning" not in capsys.readouterr().err
    assert not (folder / "warnings.tsv").exists()
