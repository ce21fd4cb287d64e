"""A search tells a network that learns nothing from a fault that has nothing to do with it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import load_recipe
from biorrn.proteins.train_table import search as own_search
from biorrn.proteins.train_table.outputs import Session
from biorrn.training.task import Diverged

RECIPE = load_recipe("stability_gru")


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, errors: list[BaseException | None]) -> list[str]:
    """Search with trainings that end so, one a trial, the last ones well."""
    left = iter(errors)

    def train(*words: Any, **options: Any) -> None:
        error = next(left, None)
        if error is not None:
            raise error

    monkeypatch.setattr(own_search, "train", train)
    monkeypatch.setattr(own_search, "best_score", lambda place: 0.5)
    said: list[str] = []
    session = Session(folder, 0, {}, torch.device("cpu"), said.append, lambda *_: None)
    own_search.search(RECIPE, session, 3, 60.0)
    return said


@pytest.mark.parametrize(
    "error", [BiorrnError("run: cannot be written: No space left on device"), MemoryError(), KeyError("a bug")]
)
def test_a_fault_ends_the_search_which_goes_on_later(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, monkeypatch, [None, error])
    assert not (tmp_path / own_search.BEST).exists()
    said = run(tmp_path, monkeypatch, [])
    assert "the best on validation rows 0.5000" in said[-1]
    scores = [line.split("\t")[1:3] for line in (tmp_path / own_search.TRIALS).read_text().splitlines()[1:]]
    assert [score for state, score in scores if state == "complete"] == ["0.5"] * 3


def test_a_network_that_learns_nothing_is_a_bad_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch, [None, Diverged("training: the gradient was not finite")])
    scores = [line.split("\t")[2] for line in (tmp_path / own_search.TRIALS).read_text().splitlines()[1:]]
    assert [float(score) for score in scores] == [0.5, -1.0, 0.5]
