"""Training of models with attention: they learn, and each task refuses what it cannot use."""

from pathlib import Path
from typing import Any

import pytest

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import cores, parse_recipe
from biorrn.nn.store import load_model
from biorrn.proteins.train_table.search import first_values, propose
from biorrn.training.task import load_task
from biorrn.training.train import train

ATTENTION = {"name": "self_attention", "width": 16, "heads": 2, "feed_forward": 16}
LSTM = {"cell": "lstm", "hidden": 8, "layers": 1}
CORES: dict[str, Any] = {
    "attention": {**ATTENTION, "position": "sinusoidal"},
    "both": [LSTM, {**ATTENTION, "window": 4}],
}


def recipe(core: Any, epochs: int = 1) -> Any:
    model = {"frontend": {"name": "embedding", "width": 8}, "core": core, "pool": ["mean", "multihead"]}
    training = {"batch_size": 16, "epochs": epochs, "lr": 0.01, "ema": 0.9}
    return parse_recipe({"name": "tiny", "task": "regression", "model": model, "training": training})


@pytest.mark.parametrize("core", list(CORES))
def test_it_can_overfit_a_tiny_set(core: str, tiny_proteins: Path, tmp_path: Path) -> None:
    folder = train(recipe(CORES[core], 30), tiny_proteins, tmp_path / "run", load_task("regression"), threads=1)
    rows = (folder / "history.tsv").read_text().splitlines()
    best = [float(row.split("\t")[rows[0].split("\t").index("valid_spearman")]) for row in rows[1:]]
    assert max(best) > 0.9
    assert load_model(folder).recipe.network.core == recipe(CORES[core]).network.core


class Trial:
    """Draws the values that it is given, as an optuna trial of fixed ones does."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def suggest_float(self, name: str, *ends: float, log: bool = False) -> Any:
        return self.values[name]

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        assert self.values[name] in choices
        return self.values[name]


@pytest.mark.parametrize("core", list(CORES))
def test_a_search_leaves_such_a_core_as_it_is(core: str) -> None:
    base = recipe(CORES[core])
    assert propose(base, Trial(first_values(base))) == base


@pytest.mark.parametrize(
    ("core", "found"),
    [
        (ATTENTION, "found bidirectional; allowed in task language is forward"),
        ([{"direction": "backward"}, {**ATTENTION, "causal": True}], "found backward, then forward; allowed"),
    ],
)
def test_a_language_model_sees_one_side(core: Any, found: str, tiny_proteins: Path) -> None:
    parts = {"frontend": {"name": "tokens", "width": 8}, "core": core, "head": {"name": "tokens"}}
    training = {"loss": "cross_entropy"}
    made = parse_recipe({"name": "lm", "task": "language", "model": parts, "training": training})
    task = load_task("language")
    with pytest.raises(ConfigError, match=found):
        task.make_model(made, task.open_data(tiny_proteins, made))


def test_a_list_of_cores_is_kept_in_order() -> None:
    assert [type(core).__name__ for core in cores(recipe(CORES["both"]).network.core)] == ["Core", "SelfAttention"]
