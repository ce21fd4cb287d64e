"""Training of ensembles: members trained in turn or together, and their weights."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import Recipe, change_recipe, parse_recipe
from biorrn.nn.ensemble import KNOTS, Ensemble, ProbabilityEnsemble
from biorrn.nn.store import load_model
from biorrn.proteins import task as regression
from biorrn.training import ensemble
from biorrn.training.batches import ProteinDataset
from biorrn.training.ensemble import FEWEST, _set_weights, rising_knots, stacked_weights
from biorrn.training.train import train

SMALL = {
    "name": "small one",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 8, "layers": 1}, "pool": ["mean"]},
    "training": {"epochs": 2, "batch_size": 16, "lr": 0.01},
}
MEMBERS = [{"recipe": SMALL, "seed": seed, "weight": seed + 1} for seed in (0, 1)]


def several(**more: object) -> Recipe:
    return parse_recipe({"name": "several", "task": "regression", "members": MEMBERS, **more})


def here(work: list[dict], jobs: int) -> None:
    """Train members in this process: a new one takes seconds to import torch."""
    for job in work:
        own = parse_recipe(yaml.safe_load(job["recipe"]))
        train(own, job["data"], job["folder"], regression, **job["options"])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_proteins: Path) -> Path:
    folder = tmp_path_factory.mktemp("ensemble") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "run_members", here)
        return train(several(), tiny_proteins, folder, regression, threads=1, seed=2)  # type: ignore[arg-type]


def test_members_are_runs_and_the_whole_is_their_mean(run: Path, tiny_proteins: Path) -> None:
    names = sorted(path.name for path in (run / "members").iterdir())
    assert names == ["00_small_one_2000", "01_small_one_2001"]
    stored = load_model(run)
    assert isinstance(stored.model, Ensemble)
    assert stored.facts["weights"] == [[pytest.approx(1 / 3)], [pytest.approx(2 / 3)]]
    assert stored.facts["targets"] == [{"name": "leucine", "unit": "percent"}]
    for name, member in zip(names, stored.model.members, strict=True):
        own = load_model(run / "members" / name).model.state_dict()
        assert all(torch.equal(own[key], tensor) for key, tensor in member.state_dict().items())
    batch = next(iter(regression.open_data(tiny_proteins, change_recipe(several(), []).members[0].recipe).valid()))  # type: ignore[index,arg-type]
    with torch.no_grad():
        one, two = (member(batch.x, batch.lengths)[0] for member in stored.model.members)
        torch.testing.assert_close(stored.model(batch.x, batch.lengths)[0], (one + 2 * two) / 3)


def test_what_a_run_tells(run: Path) -> None:
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["jobs"] == facts["threads"] == 1
    assert facts["seconds"] == pytest.approx(sum(one["seconds"] for one in facts["members"].values()), abs=0.2)
    header, *rows = (line.split("\t") for line in (run / "history.tsv").read_text().splitlines())
    assert header == ["member", "seed", "epoch", "seconds", "member_spearman", "ensemble_spearman"]
    assert [row[:2] for row in rows] == [["0", "2000"], ["1", "2001"]]
    assert float(rows[-1][-1]) == pytest.approx(facts["best"]["value"], abs=1e-5)
    assert rows[0][-1] == rows[0][-2]  # the mean of one


def test_a_finished_run_is_left_alone(run: Path, tiny_proteins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "run_members", lambda *_: pytest.fail("a member was trained"))
    before = (run / "weights.safetensors").stat().st_mtime_ns
    train(several(), tiny_proteins, run, regression, threads=1, seed=2)  # type: ignore[arg-type]
    assert (run / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="another recipe"):
        train(several(combine="stack"), tiny_proteins, run, regression, threads=1, seed=2)  # type: ignore[arg-type]


def test_a_broken_run_keeps_the_members_that_are_finished(
    run: Path, tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    for name in ("provenance.json", "weights.safetensors", "recipe.yaml"):
        (again / name).unlink()
    shutil.rmtree(again / "members" / "01_small_one_2001")
    kept = again / "members" / "00_small_one_2000" / "weights.safetensors"
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr(ensemble, "run_members", here)
    train(several(), tiny_proteins, again, regression, threads=1, seed=2)  # type: ignore[arg-type]
    assert kept.stat().st_mtime_ns == before
    ours, theirs = load_file(again / "weights.safetensors"), load_file(run / "weights.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_stacked_and_calibrated_without_training_again(
    run: Path, tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.copytree(again / "members" / "00_small_one_2000", again / "members" / "09_old_1")
    trained: list[str] = []

    def note(work: list[dict], jobs: int) -> None:
        before = {job["folder"]: os.stat(job["folder"] + "/weights.safetensors").st_mtime_ns for job in work}
        here(work, jobs)
        trained.extend(f for f, time in before.items() if os.stat(f + "/weights.safetensors").st_mtime_ns != time)

    monkeypatch.setattr(ensemble, "run_members", note)
    changed = several(combine="stack", calibrate="monotone")
    train(changed, tiny_proteins, again, regression, threads=1, seed=2, replace=True)  # type: ignore[arg-type]
    assert not trained
    assert not (again / "members" / "09_old_1").exists()  # `--init` would take it for a member
    stored = load_model(again)
    assert isinstance(stored.model, Ensemble)
    assert stored.model.calibration is not None
    assert np.sum(stored.facts["weights"]) == pytest.approx(1)
    assert stored.recipe.combine == "stack"


@pytest.mark.parametrize(("option", "message"), [({"jobs": 0}, "--jobs: found 0"), ({"seed": -1}, "--seed: found -1")])
def test_numbers_that_cannot_be(option: dict[str, int], message: str, tiny_proteins: Path, tmp_path: Path) -> None:
    with pytest.raises(BiorrnError, match=message):
        train(several(), tiny_proteins, tmp_path / "run", regression, **option)  # type: ignore[arg-type]


def test_neighbours_remember_what_the_members_got_wrong(
    run: Path, tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "run_members", here)
    asked = {"mismatches": 1, "noise": 0.01, "decay": 0.1}
    folder = train(several(neighbours=asked), tiny_proteins, tmp_path / "run", regression, threads=1, seed=2)  # type: ignore[arg-type]
    stored, plain = load_model(folder), load_model(run)
    rows = ProteinDataset(tiny_proteins, "train")
    assert stored.facts["neighbours"] == [len(rows), rows.lengths.max()]
    batch = rows.collate(range(len(rows)))
    with torch.no_grad():
        without, found = (one.model(batch.x, batch.lengths)[0] for one in (plain, stored))
    assert (found - batch.targets).abs().mean() < 0.2 * (without - batch.targets).abs().mean()  # type: ignore[operator]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_weights_are_shares_and_no_worse_than_equal_ones(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.normal(50, 3, 80)
    values = true + rng.normal(0, rng.uniform(0.5, 5, (members, 1)), (members, 80))
    weights = stacked_weights(values, true, np.arange(members))
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)

    def error(shares: np.ndarray) -> float:
        return float(np.square(shares @ values - true).mean())

    assert error(weights) <= error(np.full(members, 1 / members)) * (1 + 1e-4)


def test_a_perfect_member_gets_the_more_the_more_rows_say_so() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(60, 5, 10_000)
    both = np.stack([rng.normal(60, 5, 10_000), true])
    shares = [stacked_weights(both[:, :rows], true[:rows], np.arange(2))[1] for rows in (4, 100, 10_000)]
    assert 0.5 < shares[0] < shares[1] < shares[2]
    assert shares[1] > 0.95
    assert shares[2] > 0.999


def test_classes_are_weighed_by_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 60)
    good = 0.8 * np.eye(3)[true] + 0.2 / 3
    values = np.stack([rng.dirichlet(np.ones(3), 60), good]).astype(np.float32)
    model = {"frontend": {"name": "onehot"}, "pool": ["mean"], "head": {"name": "classes"}}
    one = {"name": "one", "task": "classification", "model": model, "training": {"loss": "cross_entropy"}}
    members = [{"recipe": one | {"name": name}} for name in ("one", "two")]
    recipe = several(task="classification", members=members, combine="stack")
    both = ProbabilityEnsemble([torch.nn.Identity(), torch.nn.Identity()], 3)
    _set_weights(both, recipe, values, true)
    assert torch.allclose(both.weights.sum(0), torch.ones(3))
    assert (both.weights[:, :1] == both.weights).all()
    assert float(both.weights[1, 0]) > 0.9


def test_seeds_of_one_recipe_are_one_member_of_a_stack() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1, 6)  # too few for five weights, enough for two
    seeds = true + rng.normal(0, 0.5, (4, 6))
    values = np.stack([rng.normal(0, 1, 6), *seeds])
    assert np.ptp(stacked_weights(values, true, np.arange(5))) == 0
    weights = stacked_weights(values, true, np.array([0, 1, 1, 1, 1]))
    assert np.ptp(weights[1:]) < 1e-12
    pair = stacked_weights(np.stack([values[0], seeds.mean(0)]), true, np.arange(2))
    assert weights[0] == pytest.approx(pair[0])
    assert 0 < weights[0] < 0.3


@pytest.mark.parametrize("rows", [4, 3])
def test_the_weights_of_a_stack_are_told(rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    small, *_ = several().members or []
    parts = [{"recipe": small.recipe.model_dump(mode="json"), "seed": seed} for seed in range(2)]  # type: ignore[union-attr]
    other = parts[0]["recipe"] | {"name": "other"}  # type: ignore[operator]
    recipe = several(combine="stack", members=[*parts, {"recipe": other}])
    true = np.arange(float(rows))
    values = np.stack([-true, -true, true])[..., None]
    whole = Ensemble([torch.nn.Identity() for _ in range(3)], 1)
    _set_weights(whole, recipe, values, true[:, None])
    line = capsys.readouterr().err
    if rows == 4:
        assert float(whole.weights[2, 0]) > 0.6
        assert "small one 0.0" in line
        assert "(from 4 validation rows)" in line
    else:
        assert torch.allclose(whole.weights[:, 0], torch.tensor([0.25, 0.25, 0.5]))
        assert "small one 0.50, other 0.50 (fewer than 2 validation rows for each)" in line


def test_too_few_rows_are_not_fitted() -> None:
    true = np.array([1.0, 2.0, np.nan, np.nan, 3.0])
    assert stacked_weights(np.arange(10.0).reshape(2, 5), true, np.arange(2)).tolist() == [0.5, 0.5]
    x, y = rising_knots(np.arange(FEWEST - 1.0), np.arange(FEWEST - 1.0) * 3)
    assert x.tolist() == y.tolist() == list(range(KNOTS))


@pytest.mark.parametrize("true", [-np.arange(200.0), np.ones(200), np.full(200, np.nan)])
def test_what_does_not_rise_is_not_fitted(true: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        x, y = rising_knots(np.arange(200.0), true)
    assert np.array_equal(x, y)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 1.0, 100.0]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_knots_rise_strictly(seed: int, spread: float, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, spread, 300)
    true = values + rng.normal(0, spread, 300)
    if rounded:
        values = np.round(values / spread) * spread  # many ties
    x, y = rising_knots(values, true)
    assert x.dtype == y.dtype == np.float32
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


def test_a_bent_scale_is_straightened() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 8, 2000)
    x, y = rising_knots(np.log(true), true)  # predicted as if on another scale
    assert np.abs(y - np.exp(x)).max() < 0.6
    assert np.abs(y - np.exp(x)).mean() < 0.2
