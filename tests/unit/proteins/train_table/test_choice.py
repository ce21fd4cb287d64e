"""The choice of a model for a table, and the search over recipes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import GaussianProcess, Recipe, load_recipe, parse_recipe
from biorrn.proteins.train_table import search as own_search
from biorrn.proteins.train_table.choice import (
    CANDIDATES,
    EMBEDDED_NETWORK,
    EPOCHS,
    GRU,
    KERNEL_ROWS,
    KINDS,
    VARIANT,
    fit_time,
    plan,
)
from biorrn.proteins.train_table.outputs import Session
from biorrn.proteins.train_table.search import first_values, network_of, propose, with_network
from biorrn.proteins.train_table.table import Look
from biorrn.training.task import Diverged

EMBEDDED: dict[str, Any] = EMBEDDED_NETWORK | {
    "model": EMBEDDED_NETWORK["model"] | {"frontend": {"name": "embeddings", "per": "mean", "path": "e.h5"}}
}
NATURAL = Look(2000, 600_000, 2000, 50, 300, 900, 500, "natural", 0.0, 0.0, 0.0, "", 0, 0.0)
SEEN = {
    "natural": NATURAL,
    "designs": replace(NATURAL, kind="designs"),
    "variants": replace(NATURAL, kind="variants", reference="MKV" * 30, positions=40),
    "classes": replace(NATURAL, targets=[{"name": "family", "known": 2000, "missing": 0, "classes": {"a": 9, "b": 9}}]),
}


def parts(recipe: Recipe) -> list[Recipe]:
    return [recipe] if recipe.members is None else [m.recipe for m in recipe.members if isinstance(m.recipe, Recipe)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [30, 2000, 100_000])
def test_every_kind_and_size_has_a_recipe(kind: str, rows: int) -> None:
    made = plan(SEEN[kind], rows, 20, lambda recipe: rows / 2000)
    kinds = [isinstance(part.model, GaussianProcess) for part in parts(made.recipe)]
    assert any(kinds) == (rows <= KERNEL_ROWS and kind != "classes")
    assert made.recipe.task == ("classification" if kind == "classes" else "regression")
    assert not all(kinds)
    assert made.lines


TUNED = {"frontend": {"name": "plm", "path": "esm2_t6_8M_UR50D", "checkpointing": True}, "batch_size": 4}


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_can_be_asked_for(name: str) -> None:
    kind = "classes" if name.endswith(("classes", "linear")) else "variants"
    seen = replace(SEEN[kind], embeddings="e.h5", tuned=TUNED)
    made = plan(seen, 500, 20, lambda recipe: 1.0, model=name, seeds=1)
    assert made.recipe.members is None


@pytest.mark.parametrize("kind", ["natural", "classes"])
def test_adapters_stand_beside_the_frozen_language_model(kind: str) -> None:
    made = plan(replace(SEEN[kind], embeddings="e.h5", tuned=TUNED), 500, 20, lambda recipe: 1.0)
    own = {part.name: part for part in parts(made.recipe)}
    assert ("own_plm_classes" if kind == "classes" else "own_plm_network") in own
    tuned = own["own_plm_lora"]
    assert (tuned.task, tuned.training.batch_size) == (made.recipe.task, 4)
    assert tuned.network.frontend.checkpointing
    assert [part.name for part in parts(made.recipe)].count("own_plm_lora") == 1, "a language model for each seed"
    assert made.recipe.combine == "stack"
    with pytest.raises(ConfigError, match="--model plm_lora: needs --tune lora"):
        plan(replace(SEEN[kind], embeddings="e.h5"), 500, 20, lambda recipe: 1.0, model="plm_lora")


def test_classes_of_variants_read_substitutions() -> None:
    made = plan(replace(SEEN["classes"], kind="variants", reference="MKV" * 30), 500, 20, lambda recipe: 1.0, seeds=1)
    assert made.recipe.network.frontend.name == "variant"
    assert made.recipe.network.head.name == "classes"


def test_classes_of_embeddings_read_embeddings() -> None:
    made = plan(replace(SEEN["classes"], embeddings="e.h5"), 500, 20, lambda recipe: 1.0, seeds=1)
    hidden, linear = parts(made.recipe)
    assert {part.network.frontend.name for part in (hidden, linear)} == {"embeddings"}
    assert [part.network.head.hidden for part in (hidden, linear)] == [128, 0]
    assert (made.recipe.task, made.recipe.combine) == ("classification", "mean")


@pytest.mark.parametrize("embeddings", ["", "e.h5"])
def test_sets_of_classes_have_their_head(embeddings: str) -> None:
    target = {"name": "y", "classes": {"a": 250, "b": 250}, "sets": True}
    seen = replace(SEEN["classes"], embeddings=embeddings, targets=[target])
    made = plan(seen, 500, 20, lambda recipe: 1.0, seeds=1)
    assert {part.network.head.name for part in parts(made.recipe)} == {"labels"}


def test_embeddings_add_candidates_and_those_need_them() -> None:
    names = [part.name for part in parts(plan(SEEN["natural"], 500, 20, lambda recipe: 1.0).recipe)]
    seen = replace(SEEN["natural"], embeddings="e.h5")
    more = [part.name for part in parts(plan(seen, 500, 20, lambda recipe: 1.0).recipe)]
    assert set(more) - set(names) == {"own_plm_gaussian", "own_plm_network"}
    assert {part.name for part in parts(plan(seen, 50_000, 20, lambda recipe: 1.0).recipe)} >= {"own_plm_network"}
    with pytest.raises(ConfigError, match="--model plm_gaussian: reads embeddings; give their file with --embeddings"):
        plan(SEEN["natural"], 500, 20, lambda recipe: 1.0, model="plm_gaussian")


def test_few_positions_are_modelled_with_their_interactions() -> None:
    few = plan(replace(SEEN["variants"], positions=4), 300, 20, lambda recipe: 1.0, model="gaussian").recipe
    assert isinstance(few.model, GaussianProcess)
    assert few.model.kernel.name == "sites"


def test_a_network_without_time_is_left_out_where_another_model_is() -> None:
    short = plan(SEEN["natural"], 2000, 1, lambda recipe: 100.0)
    assert isinstance(short.recipe.model, GaussianProcess)
    assert any("left out" in line for line in short.lines)
    alone = plan(SEEN["natural"], 2000, 1, lambda recipe: 100.0, model="gru")
    assert alone.recipe.training.epochs == 1


def test_a_recipe_of_the_package_and_changes_are_taken() -> None:
    made = plan(SEEN["natural"], 500, 20, lambda recipe: 1.0, model="stability_gru", changes=["training.epochs=2"])
    assert made.recipe.name == "stability_gru"
    assert made.recipe.training.epochs == 2
    with pytest.raises(ConfigError, match="did you mean"):
        plan(SEEN["natural"], 500, 20, lambda recipe: 1.0, model="stabilty_gru")
    with pytest.raises(ConfigError, match="does not fit this data"):
        plan(SEEN["natural"], 500, 20, lambda recipe: 1.0, model="variant")


@pytest.mark.parametrize("seconds", [1, 30, 300, 30_000])
def test_more_time_never_makes_less(seconds: float) -> None:
    def speed(recipe: Recipe) -> float:
        return recipe.network.core.hidden / 64

    def size(seconds: float) -> tuple[int, int, int]:
        recipe, seeds, _ = fit_time(parse_recipe(GRU), 2000, seconds, speed, 3)
        return recipe.network.core.hidden, recipe.training.epochs * seeds, recipe.training.epochs

    assert size(10 * seconds)[0] >= size(seconds)[0]
    width, total, epochs = size(seconds)
    assert 1 <= epochs <= EPOCHS[1]
    assert epochs == 1 or total * width / 64 <= seconds


@pytest.mark.parametrize("content", [GRU, VARIANT, EMBEDDED])
def test_a_search_starts_from_what_was_chosen(content: dict) -> None:
    optuna = pytest.importorskip("optuna")
    base = parse_recipe(content)
    again = propose(base, optuna.trial.FixedTrial(first_values(base)))
    assert again.network.pool == base.network.pool
    assert again.network.head == base.network.head
    assert again.network.core.hidden == base.network.core.hidden
    assert again.training == base.training


def test_what_was_found_goes_to_every_member_of_that_recipe() -> None:
    whole = plan(SEEN["natural"], 2000, 20, lambda recipe: 0.1).recipe
    old = network_of(whole)
    new = old.model_copy(update={"name": "found"})
    names = [part.name for part in parts(with_network(whole, old, new))]
    assert names.count("found") == [part.name for part in parts(whole)].count(old.name) > 1
    with pytest.raises(ConfigError, match="--search"):
        network_of(plan(SEEN["natural"], 300, 20, lambda recipe: 1.0, model="gaussian").recipe)


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
