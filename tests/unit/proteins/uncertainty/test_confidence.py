"""A model's own error bars: from a prepared file into its folder, and out again in its predictions."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from biorrn.base.errors import InputError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.forward import deviation, has_spread, values_and_spread
from biorrn.nn.sequence import build
from biorrn.nn.store import Stored, load_model, save_model
from biorrn.proteins.predict import columns_given, predict
from biorrn.proteins.uncertainty.confidence import (
    conformal_facts,
    coverage_lines,
    held_out,
    novelty_facts,
)
from biorrn.proteins.uncertainty.conformal import FOLDS, dealt
from biorrn.proteins.uncertainty.replay import chosen_without
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.records import ProteinRecord
from biorrn.training.batches import ProteinDataset, ordered_batches
from biorrn.training.task import complete, load_task
from biorrn.training.train import train

SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 6, "layers": 1}, "pool": ["mean"]},
}
MEMBERS = [{"recipe": SMALL, "seed": 1}, {"recipe": {**SMALL, "name": "other"}, "seed": 2, "weight": 3.0}]
RECIPES = {
    "one": SMALL,
    "several": {"name": "several", "task": "regression", "members": MEMBERS},
    "straightened": {"name": "several", "task": "regression", "members": MEMBERS, "calibrate": "monotone"},
}
FACTS = {"task": "regression", "outputs": 2, "targets": [{"name": "a", "unit": ""}, {"name": "b", "unit": "K"}]}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared file of two targets, the second with few values in the validation rows."""
    path = tmp_path_factory.mktemp("confidence") / "set.h5"
    rng = np.random.default_rng(0)
    with protein_writer(path, [{"name": "a", "unit": ""}, {"name": "b", "unit": "K"}]) as writer:
        for number in range(240):
            sequence = "".join(rng.choice(list("ACDEFGHIKL"), rng.integers(20, 30)))
            second = rng.normal() if number % 2 == 0 or number < 10 else np.nan
            writer.add(f"p{number}", tokens(sequence), [rng.normal(), second], 1.0, number % 2)
    return path


def made(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    recipe = parse_recipe(RECIPES[name])
    save_model(folder, build(recipe, FACTS), recipe, FACTS)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_values_are_the_models_own(name: str, tmp_path: Path) -> None:
    model = load_model(made(name, tmp_path)).model
    x, lengths = torch.randint(1, 21, (8, 12)), torch.full((8,), 12)
    with torch.no_grad():
        values, spread = values_and_spread(model, x, lengths)
        assert torch.equal(values, model(x, lengths)[0])
    assert has_spread(model) == (spread is not None) == (name != "one")
    if spread is not None:
        assert spread.shape == values.shape
        assert (spread > 0).all()


def test_spread_of_a_model_with_variances() -> None:
    class Known(torch.nn.Module):
        def with_variance(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return lengths[:, None].float(), lengths[:, None].float()

    values, spread = values_and_spread(Known(), torch.ones(2, 9, dtype=torch.int64), torch.tensor([4, 9]))
    assert values.tolist() == [[4], [9]]
    assert spread is not None
    assert spread.tolist() == [[2], [3]]


def test_deviation_is_that_of_the_members() -> None:
    members = torch.randn(5, 7, 2, dtype=torch.float64)
    torch.testing.assert_close(deviation(members), members.std(0, correction=0))


@pytest.mark.parametrize("name", RECIPES)
def test_a_trained_model_is_completed_once(
    name: str, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(name, tmp_path)
    complete("regression", folder, prepared, device="cpu")
    facts = load_model(folder).facts
    assert set(facts["conformal"]) == {"a"}  # the second target has 5 values in the validation rows
    assert facts["conformal"]["a"]["rows"] == 120
    assert facts["novelty"]["threshold"] > 0
    assert {key: facts[key] for key in FACTS} == FACTS
    assert "too few validation values for intervals of b" in capsys.readouterr().err
    before = (folder / "weights.safetensors").read_bytes()
    complete("regression", folder, prepared, device="cpu")
    assert (folder / "weights.safetensors").read_bytes() == before
    complete("language", tmp_path / "nothing", prepared)  # which needs nothing


@pytest.mark.parametrize("name", ["one", "several"])
def test_predictions_carry_intervals_and_flags(name: str, prepared: Path, tmp_path: Path) -> None:
    stored = load_model(made(name, tmp_path))
    held = held_out(stored, prepared, "train")  # there both targets are whole
    calibrated = Stored.of(
        stored.model, stored.recipe, stored.facts | conformal_facts(held) | novelty_facts(prepared), stored.path
    )
    records = [
        ProteinRecord("like", "ACDEFGHIKLACDEFGHIKLACDE"),
        ProteinRecord("empty", ""),
        ProteinRecord("w", "W" * 24),
    ]
    bare, like = list(predict(stored, records)), list(predict(calibrated, records))
    for before, after in zip(bare, like, strict=True):
        np.testing.assert_array_equal(before.values, after.values)
        assert before.lower is None
        assert (after.spread is None) == (name == "one")
        assert after.lower is not None
        assert after.upper is not None
        if after.length:
            if "unlike_training" in after.flags:
                assert np.isnan([after.lower, after.upper]).all()  # nothing was measured on such proteins
                continue
            np.testing.assert_allclose((after.lower + after.upper) / 2, after.values, rtol=1e-6)
            assert (after.lower < after.upper).all()
        else:
            assert np.isnan([after.lower, after.upper]).all()
    assert [("unlike_training" in one.flags) for one in like] == [False, False, True]
    wide = next(predict(calibrated, records, level=0.95))
    assert wide.lower is not None
    assert (wide.lower < like[0].lower).all()
    assert columns_given(calibrated, 0.9) == ({"intervals": True, "spread": name == "several"}, "")


def test_what_is_said_of_a_model_without_intervals(prepared: Path, tmp_path: Path) -> None:
    stored = load_model(made("one", tmp_path))
    given, note = columns_given(stored, 0.9)
    assert given == {"intervals": False, "spread": False}
    assert "no intervals: the model carries none (it was never calibrated" in note
    entry = {"rows": 12, "floor": None, "quantiles": [1.0] * 42 + [None] * 8}
    few = Stored.of(stored.model, stored.recipe, FACTS | {"conformal": {"a": entry, "b": entry}}, stored.path)
    assert columns_given(few, 0.9) == ({"intervals": True, "spread": False}, "")
    given, note = columns_given(few, 0.99)
    assert not given["intervals"]
    assert "too few calibration rows for 0.99: a (12 rows), b (12 rows)" in note


def test_held_out_rows_are_in_order(prepared: Path, tmp_path: Path) -> None:
    stored = load_model(made("several", tmp_path))
    held = held_out(stored, prepared)
    assert held.true.shape == held.predicted.shape == (120, 2)
    assert held.spread is not None
    assert held.spread.shape == (120, 2)
    assert int(np.isfinite(held.true[:, 1]).sum()) == 5
    whole = held_out(stored, prepared, "train")
    lines = [line.split("\t") for line in coverage_lines(whole, folds=4)]
    assert lines[0][:4] == ["target", "level", "coverage", "width"]
    assert [line[0] for line in lines[1:]] == ["a"] * 4 + ["b"] * 4
    assert all(line[-2:] == ["120", "4"] for line in lines[1:])


def test_another_models_targets_are_refused(tiny_proteins: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the targets leucine; the model has a, b"):
        held_out(load_model(made("one", tmp_path)), tiny_proteins)


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of an ensemble of two networks, one of which learns an order alone, stacked and straightened."""
    training = {"epochs": 4, "batch_size": 32, "lr": 0.02}
    second = {**SMALL, "name": "other", "training": {**training, "loss": "rank"}}
    members = [{"recipe": {**SMALL, "training": training}, "seed": 1}, {"recipe": second, "seed": 2}]
    content = {"name": "several", "task": "regression", "members": members, "combine": "stack", "calibrate": "monotone"}
    folder = tmp_path_factory.mktemp("confidence") / "run"
    train(parse_recipe(content), prepared, folder, load_task("regression"), device="cpu", threads=1, inside=True)
    return folder


def test_no_row_calibrates_an_interval_of_what_it_chose(run: Path, prepared: Path, tmp_path: Path) -> None:
    stored = load_model(run)
    held = chosen_without(stored, prepared, torch.device("cpu"))
    own = held_out(stored, prepared)
    assert held is not None
    np.testing.assert_array_equal(held.true, own.true)
    assert held.names == own.names
    assert held.spread is not None
    assert not np.allclose(held.predicted, own.predicted)  # each fold was chosen and straightened by the others

    # the first fold has other values: what is said of it stays, what is said of the others changes
    order = np.concatenate(ordered_batches(ProteinDataset(prepared, "valid").lengths, 512))
    part = order[dealt(np.arange(120), FOLDS)[0]]
    other = tmp_path / "other.h5"
    shutil.copy(prepared, other)
    with h5py.File(other, "r+") as file:
        rows = np.flatnonzero(file["split"][:] == 1)
        file["targets"][np.sort(rows[part])] = np.float32(50.0)
    again = chosen_without(stored, other, torch.device("cpu"))
    assert again is not None
    np.testing.assert_array_equal(again.predicted[part], held.predicted[part])
    assert not np.allclose(np.delete(again.predicted, part, 0), np.delete(held.predicted, part, 0))


def test_a_run_that_kept_no_epochs_gets_no_intervals(
    run: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for path in folder.rglob("last.ckpt"):
        path.unlink()
    complete("regression", folder, prepared, device="cpu")
    assert "conformal" not in load_model(folder).facts
    assert "the validation rows chose the model" in capsys.readouterr().err
