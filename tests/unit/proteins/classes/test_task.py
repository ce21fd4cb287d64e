"""Task classification: its loss, missing classes and weights, which rows choose and calibrate, untrained classes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nn.batch import Batch
from biorrn.nn.ensemble import LabelEnsemble, ProbabilityEnsemble, combine, each
from biorrn.nn.store import load_model
from biorrn.proteins.classes import task as classification
from biorrn.proteins.classes.calibration import FEWEST, Calibrated
from biorrn.proteins.classes.predict import scores_of
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.stats.labels import score
from biorrn.training.train import train

NAN = float("nan")


def recipe(**training: object) -> Recipe:
    settings = {"loss": "cross_entropy", "epochs": 2, "batch_size": 16, "lr": 0.01, **training}
    model = {
        "frontend": {"name": "onehot"},
        "core": {"hidden": 8, "layers": 1},
        "pool": ["mean"],
        "head": {"name": "classes"},
    }
    return parse_recipe({"name": "tiny", "task": "classification", "model": model, "training": settings})


def batch(classes: list[float], weights: list[float] | None = None) -> Batch:
    rows = len(classes)
    given = None if weights is None else torch.tensor(weights)
    return Batch(
        torch.ones(rows, 8, dtype=torch.long), torch.full((rows,), 8), torch.tensor(classes)[:, None], None, given
    )


def loss(scores: torch.Tensor, own: Batch, settings: Recipe | None = None) -> float:
    return classification.loss(None, scores, own.lengths, own, settings or recipe()).item()  # type: ignore[arg-type]


def test_the_loss_is_the_cross_entropy_of_the_rows_with_a_class() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 3)
    wanted = torch.nn.functional.cross_entropy(scores[:3], torch.tensor([2, 0, 1])).item()
    assert loss(scores, batch([2, 0, 1, NAN])) == pytest.approx(wanted)
    assert classification.share(batch([2, 0, 1, NAN]), recipe()) == 3


def test_a_row_of_weight_two_is_the_row_twice() -> None:
    torch.manual_seed(1)
    scores = torch.randn(3, 3)
    twice = loss(scores[[0, 0, 1, 2]], batch([1, 1, 0, 2]))
    assert loss(scores, batch([1, 0, 2], [2.0, 1.0, 1.0])) == pytest.approx(twice)


def test_no_class_in_a_batch_is_no_loss() -> None:
    assert loss(torch.randn(2, 3), batch([NAN, NAN])) == 0


def test_rows_choose_or_calibrate_and_never_both() -> None:
    for rows in (0, 1, 2 * FEWEST - 1, 2 * FEWEST, 101):
        choosing, calibrating = classification.halves(np.arange(rows))
        assert sorted([*choosing, *calibrating]) == list(range(rows))
        assert len(calibrating) == (rows // 2 if rows >= 2 * FEWEST else 0)


def test_relatives_are_on_one_side_and_one_large_group_is_dealt_by_rows() -> None:
    groups = np.random.default_rng(0).integers(0, 12, 90)
    choosing, calibrating = classification.halves(groups)
    assert not set(groups[choosing]) & set(groups[calibrating])
    assert 30 <= len(calibrating) <= 60
    choosing, calibrating = classification.halves(np.zeros(90, int))
    assert len(calibrating) == 45


def sets(rows: list[list[float]], weights: list[float] | None = None) -> Batch:
    return dataclasses.replace(batch([0.0] * len(rows), weights), targets=torch.tensor(rows))


def test_the_loss_of_sets_is_the_cross_entropy_of_each_class_by_itself() -> None:
    torch.manual_seed(0)
    scores, true = torch.randn(3, 2), [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
    sure = torch.where(torch.tensor(true) > 0, scores.sigmoid(), 1 - scores.sigmoid())
    wanted = -sure.log().sum(1)
    assert loss(scores, sets(true)) == pytest.approx(wanted.mean().item(), rel=1e-5)
    assert loss(scores, sets([[NAN, NAN], *true[1:]])) == pytest.approx(wanted[1:].mean().item(), rel=1e-5)
    assert loss(scores, sets(true, [2.0, 0.0, 1.0])) == pytest.approx((2 * wanted[0] + wanted[2]).item() / 3, rel=1e-5)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Return a prepared file of proteins with the motifs of none, one or two of three classes."""
    path, rng = tmp_path / "several.h5", np.random.default_rng(0)
    motifs = {"a": "WWHWC", "b": "CPPCW", "c": "HKHKH"}
    names = ["a", "a;b", "a;c", "b", "b;c", "c", "{}", "z"]
    with protein_writer(path, [{"name": "kind", "unit": "", "classes": names, "sets": True}]) as writer:
        for number in range(300):
            text = names[number % 7] if number < 298 else "z"
            parts = ["".join(rng.choice(list("ADEGILNQST"), 8)) for _ in range(3)]
            own = [motifs[one] for one in text.split(";") if one in motifs]
            line = parts[0] + "".join(motif + part for motif, part in zip(own, parts[1:], strict=False))
            split = 1 if number >= 298 else 0 if number < 160 else 1 if number < 230 else 2
            writer.add(f"p{number}", tokens(line), [names.index(text)], split=split)
    return path


def of_sets(**training: object) -> Recipe:
    model = {
        "frontend": {"name": "embedding", "width": 8, "layers": [{"width": 32, "kernel": 7}]},
        "core": {"layers": 0},
        "pool": ["max"],
        "head": {"name": "labels"},
    }
    settings = {"loss": "cross_entropy", "epochs": 25, "batch_size": 16, "lr": 0.02, **training}
    return parse_recipe({"name": "sets", "task": "classification", "model": model, "training": settings})


def test_sets_become_rows_of_zeros_and_ones(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = classification.open_data(several, of_sets())
    assert data.facts["classes"] == ["a", "b", "c"]
    assert data.facts["sets"] is True
    assert "1 of 4 classes has no training row and is not learned: z" in capsys.readouterr().err
    assert data.rows.targets[:7].tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 0, 1],
        [0, 1, 0],
        [0, 1, 1],
        [0, 0, 1],
        [0, 0, 0],
    ]
    whole = classification.ProteinDataset(several, "valid")
    classification.renumber(whole, ["a", "b", "c"])
    assert np.isnan(whole.targets[-2:]).all()  # of a class that nothing trained; that of none is known
    assert np.isfinite(whole.targets[:-2]).all()


def test_a_head_that_does_not_fit_is_told(several: Path, tiny_classes: Path) -> None:
    with pytest.raises(ConfigError, match="needs head 'labels' for sets of classes, as in 'kind'; found 'classes'"):
        classification.make_model(recipe(), classification.open_data(several, recipe()))
    with pytest.raises(ConfigError, match="needs head 'classes' for one class a protein"):
        classification.make_model(of_sets(), classification.open_data(tiny_classes, of_sets()))


def test_sets_are_learned_calibrated_and_averaged(several: Path, tmp_path: Path) -> None:
    members = [{"recipe": of_sets().model_dump(mode="json"), "seed": seed} for seed in (0, 1)]
    both = parse_recipe({"name": "two", "task": "classification", "members": members})
    folder = train(both, several, tmp_path / "run", classification, threads=1, inside=True)  # type: ignore[arg-type]
    classification.complete(folder, several, "cpu")
    stored = load_model(folder)
    assert isinstance(stored.model, LabelEnsemble)
    scores, true, _ = classification.scored(stored, several, "test", torch.device("cpu"))
    x, lengths = torch.randint(1, 21, (5, 16)), torch.full((5,), 16)
    with torch.inference_mode():
        shares = torch.sigmoid(each(stored.model, x, lengths)).mean(0)
        assert torch.allclose(scores_of(stored.model, x, lengths, sets=True).sigmoid(), shares, atol=1e-5)
    made = Calibrated.of(stored.facts, 0.9)
    assert made is not None
    called = made.called(made(scores)[0])
    assert score(true, called, made(scores)[0])["micro_f1"] > 0.9


def test_of_equal_macro_f1_the_surer_epoch_is_taken() -> None:
    true = np.array([0, 1])
    sure, less = (classification.score([(np.array([[p, 1 - p], [1 - p, p]]), true)]) for p in (0.9, 0.6))
    assert sure["macro_f1"] == less["macro_f1"] == 1
    assert sure[classification.monitor] > less[classification.monitor]


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Return a prepared file with four classes, of which `none` has no training row."""
    path = tmp_path / "uneven.h5"
    with protein_writer(path, [{"name": "kind", "unit": "", "classes": ["a", "none", "b", "c"]}]) as writer:
        for number in range(60):
            place = (0, 2, 3)[number % 3] if number < 50 else 1
            writer.add(f"p{number}", tokens("ACDEFGHIKL"[number % 3 :]), [place], split=int(number >= 40))
    return path


def test_a_class_without_training_rows_is_not_learned(uneven: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = classification.open_data(uneven, recipe())
    assert data.facts["classes"] == ["a", "b", "c"]
    assert data.facts["outputs"] == 3
    assert "1 of 4 classes has no training row and is not learned: none" in capsys.readouterr().err
    assert set(data.rows.targets[:, 0].tolist()) == {0, 1, 2}
    true = np.concatenate([classification._true(one)[0].numpy() for one in data.valid()])
    assert (true == classification.NO_CLASS).sum() <= 10
    assert set(true.tolist()) <= {-1, 0, 1, 2}


def test_initial_scores_are_the_shares_of_the_classes(tiny_classes: Path) -> None:
    data = classification.open_data(tiny_classes, recipe())
    model = classification.make_model(recipe(), data)
    assert torch.softmax(model.head.output[-1].bias, 0).tolist() == pytest.approx([1 / 3] * 3)  # type: ignore[index,union-attr]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"loss": "mse"}, "task classification has cross_entropy"), ({}, "needs head 'classes' for one class a protein")],
)
def test_recipes_that_do_not_fit(change: dict[str, str], message: str, tiny_classes: Path) -> None:
    own = recipe(**change)
    if not change:
        own = own.model_copy(update={"model": own.network.model_copy(update={"head": recipe_of_regression().head})})
    with pytest.raises(ConfigError, match=message):
        classification.make_model(own, classification.open_data(tiny_classes, own))


def recipe_of_regression():  # type: ignore[no-untyped-def]
    from biorrn.config.recipe import load_recipe

    return load_recipe("demo_stability").network


def test_one_class_cannot_be_learned(tmp_path: Path) -> None:
    with protein_writer(tmp_path / "one.h5", [{"name": "kind", "unit": "", "classes": ["a", "b"]}]) as writer:
        for number in range(8):
            writer.add(f"p{number}", tokens("ACDEF"), [number > 5], split=int(number > 5))
    with pytest.raises(InputError, match=r"has training rows of 1 class\(es\); expected two or more"):
        classification.open_data(tmp_path / "one.h5", recipe())


def test_an_ensemble_has_the_mean_probability(tiny_classes: Path, tmp_path: Path) -> None:
    members = [{"recipe": recipe().model_dump(mode="json"), "seed": seed} for seed in (0, 1)]
    both = parse_recipe({"name": "two", "task": "classification", "members": members})
    folder = train(both, tiny_classes, tmp_path / "run", classification, threads=1, inside=True)  # type: ignore[arg-type]
    model = load_model(folder).model
    assert isinstance(model, ProbabilityEnsemble)
    x, lengths = torch.randint(1, 21, (5, 16)), torch.full((5,), 16)
    with torch.inference_mode():
        shares = torch.softmax(each(model, x, lengths), -1)
        assert torch.allclose(scores_of(model, x, lengths).exp(), shares.mean(0), atol=1e-6)
        assert torch.allclose(combine(model, shares).sum(1), torch.ones(5))
