"""Fits of Gaussian processes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config import recipe as config
from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.nn.gaussian.kernels import Setting
from biorrn.nn.gaussian.model import Unwarp, make_posterior
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.training.gaussian import _pivots, learn, set_unwarp, warp
from biorrn.training.task import load_task
from biorrn.training.train import train

WILD = "MKTAYIAKQRGWLLE"
EFFECT = {2: "DEKR", 6: "GPA", 9: "WFY"}  # positions from 0, and the residues that raise the value there


def landscape(path: Path, count: int = 90, missing: bool = False, wild: str = WILD, positions: Sequence[int] = ()):
    """Write a prepared file of variants of `wild` with two targets; the last third are for validation."""
    rng = np.random.default_rng(0)
    with protein_writer(path, [{"name": "a", "unit": "u"}, {"name": "b", "unit": ""}]) as writer:
        for number in range(count):
            letters, value = list(wild), 1.0
            for at in rng.choice(list(positions or EFFECT), rng.integers(1, 3), replace=False):
                letters[at] = str(rng.choice(list("ACDEFGHIKLMNPQRSTVWY")))
                value += 1.0 if letters[at] in EFFECT.get(at, "") else -0.1
            second = float("nan") if missing and number % 3 == 0 else -value
            writer.add(f"v{number}", tokens("".join(letters)), [value, second], split=int(number >= 2 * count // 3))
    return path


def recipe(kernel: str | dict[str, Any] = "sites", **changes: Any) -> Any:
    own = {"name": kernel} if isinstance(kernel, str) else kernel
    model = {"name": "gaussian_process", "kernel": own, "steps": 8, "rows": 40, **changes}
    return parse_recipe({"name": "tiny", "task": "regression", "model": model})


def test_effects_of_another_model_are_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, task = landscape(tmp_path / "a.h5"), load_task("regression")
    with_effects = recipe(kernel={"name": "substitutions", "effects": "ddg"})
    train(with_effects, data, tmp_path / "with", task, threads=1)
    train(recipe("substitutions"), data, tmp_path / "without", task, threads=1)
    monkeypatch.setattr("biorrn.nn.told.load_model", None)  # a folder needs the other model no more
    stored, other = load_model(tmp_path / "with"), load_model(tmp_path / "without")
    assert stored.facts["gaussian"]["told"] > 2
    x, lengths = torch.from_numpy(tokens(WILD)).long().repeat(15, 1), torch.full((15,), 15)
    x[torch.arange(15), torch.arange(15)] = 20
    values, variances = stored.model.with_variance(x, lengths)
    assert bool(values.isfinite().all())
    assert bool((variances >= 0).all())
    assert not torch.allclose(values, other.model(x, lengths)[0], atol=1e-3)


@pytest.mark.parametrize("kernel", ["sites", "substitutions", "descriptors", "proteins"])
def test_a_run_folder_predicts_as_the_run_did(tmp_path: Path, kernel: str) -> None:
    data, task = landscape(tmp_path / "a.h5", missing=True), load_task("regression")
    folder = train(recipe(kernel), data, tmp_path / "run", task, threads=1)
    found = {path.name for path in folder.iterdir()}
    assert {"weights.safetensors", "recipe.yaml", "history.tsv", "provenance.json", "run.json"} <= found
    stored = load_model(folder)
    assert stored.recipe == recipe(kernel)
    assert stored.facts["task"] == "regression"
    assert stored.facts["outputs"] == 2
    assert stored.facts["gaussian"]["rows"] == [60, 40]
    assert stored.facts.get("reference", WILD) == WILD
    batch = next(iter(task.open_data(data, recipe(kernel)).valid()))
    values, variances = stored.model.with_variance(batch.x, batch.lengths)
    score = task.score([task.collect(values, batch.lengths, batch)])
    header, line = ((folder / "history.tsv").read_text()).splitlines()
    row = dict(zip(header.split("\t"), map(float, line.split("\t")), strict=True))
    assert row["valid_spearman"] == pytest.approx(score["spearman"], abs=1e-4)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["best"]["value"] == pytest.approx(score["spearman"], abs=1e-4)
    assert variances.shape == values.shape == (30, 2)


def test_effects_that_add_up_are_found(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5", 180)
    for kernel in ("sites", "substitutions"):
        folder = train(recipe(kernel, steps=12, warp="none"), data, tmp_path / kernel, load_task("regression"))
        provenance = json.loads((folder / "provenance.json").read_text())
        assert provenance["best"]["value"] > 0.7


def test_the_same_seed_gives_the_same_model_and_a_finished_run_is_left(tmp_path: Path) -> None:
    data, task = landscape(tmp_path / "a.h5"), load_task("regression")
    one = train(recipe(), data, tmp_path / "one", task, seed=1)
    two = train(recipe(), data, tmp_path / "two", task, seed=1)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (one, two)]
    assert weights[0] == weights[1]
    before = (one / "weights.safetensors").stat().st_mtime_ns
    train(recipe(), data, one, task, seed=1)
    assert (one / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="another seed"):
        train(recipe(), data, one, task, seed=2)
    train(recipe(), data, one, task, seed=2, replace=True)
    assert (one / "weights.safetensors").stat().st_mtime_ns != before


def test_the_value_of_the_reference_is_learned(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5")
    kernel = {"name": "substitutions", "reference_value": 1.0}
    folder = train(_with(kernel), data, tmp_path / "r", _task())
    x = torch.from_numpy(tokens(WILD)).long()[None]
    values = load_model(folder).model(x, torch.tensor([len(WILD)]))[0]
    assert values[0, 0].item() == pytest.approx(1.0, abs=0.3)


def _with(kernel: dict[str, Any]) -> Any:
    content = recipe("substitutions", warp="none").model_dump(mode="json")
    content["model"]["kernel"] = kernel
    return parse_recipe(content)


def _task() -> Any:
    return load_task("regression")


BAD: dict[str, tuple[Any, str]] = {
    "positions": ({"name": "sites", "positions": [3, 99]}, "allowed is 1..15"),
    "too_many": ({"name": "sites"}, "positions vary; allowed is 1..16"),
}


@pytest.mark.parametrize("name", BAD)
def test_positions_that_do_not_suit_are_refused(tmp_path: Path, name: str) -> None:
    kernel, message = BAD[name]
    wild = WILD if name == "positions" else WILD * 3
    data = landscape(tmp_path / "a.h5", wild=wild, positions=() if name == "positions" else range(40))
    with pytest.raises(ConfigError, match=message):
        train(_with(kernel), data, tmp_path / "run", _task())


def test_proteins_that_are_no_variants_are_refused(tmp_path: Path, tiny_proteins: Path) -> None:
    with pytest.raises(ConfigError, match="not variants of one protein"):
        train(recipe("substitutions"), tiny_proteins, tmp_path / "run", _task())


def test_options_without_a_meaning_are_refused(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5")
    with pytest.raises(ConfigError, match="no initial weights"):
        train(recipe(), data, tmp_path / "run", _task(), init="demo_stability")
    with pytest.raises(BiorrnError, match="--seed"):
        train(recipe(), data, tmp_path / "run", _task(), seed=-1)


@pytest.mark.parametrize("name", ["gb1", "beta_lactamase"])
def test_the_recipes_are_of_this_kind(name: str) -> None:
    assert load_recipe(name).model.name == "gaussian_process"  # type: ignore[union-attr]


def settings(**changes: object) -> config.GaussianProcess:
    return config.GaussianProcess(kernel=config.Sites(), **changes)  # type: ignore[arg-type]


TARGETS = {
    "spread": np.random.default_rng(0).gamma(2.0, 1.0, 200),
    "tied": np.repeat([0.0, 0.5, 3.0], [150, 30, 20]),
    "constant": np.full(5, 2.0),
    "two": np.array([0.0, 1.0]),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("name", ["none", "log", "rank"])
def test_a_scale_rises_and_leads_back(name: str, targets: np.ndarray) -> None:
    values, scale = warp(targets, settings(warp=name))
    order = np.argsort(targets, kind="stable")
    assert bool((np.diff(values[order]) >= 0).all())
    assert bool((np.diff(scale.values) > 0).all())
    module = Unwarp()
    set_unwarp(module, scale)
    back = module(torch.from_numpy(values))[0].numpy()
    reach = max(np.ptp(targets), 1e-4)
    assert np.abs(back - targets).max() < 0.2 * reach
    assert np.corrcoef(back, targets)[0, 1] > 0.97 if len(np.unique(targets)) > 1 else True
    beyond = module(torch.tensor([values.min() - 50.0, values.max() + 50.0]))[0].numpy()
    assert beyond[0] < targets.min()
    assert beyond[1] > targets.max()


def test_a_clipped_scale_stays_within_the_targets_and_no_surer_there() -> None:
    targets = np.array([0.0, 0.1, 0.7, 1.0, 1.0])
    values, scale = warp(targets, settings(warp="clip"))
    module = Unwarp(clip=True)
    set_unwarp(module, scale)
    found, slopes = module(torch.from_numpy(np.concatenate([values, [-50.0, 50.0]])))
    assert found.numpy() == pytest.approx([*targets, 0.0, 1.0], abs=0.01)
    assert slopes.numpy() == pytest.approx(targets.std(), rel=0.01)


def test_values_are_standardised() -> None:
    values, scale = warp(TARGETS["spread"], settings(warp="log"))
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)
    assert scale.forward(TARGETS["spread"][3]) == pytest.approx(values[3], abs=0.02)


def test_the_log_of_too_low_a_target_is_refused() -> None:
    with pytest.raises(InputError, match=r"found -0\.5; the log of target \+ 0\.1"):
        warp(np.array([-0.5, 1.0]), settings(warp="log"), "a.h5: target 't'")


def test_a_kernel_learns_which_position_matters() -> None:
    rng = np.random.default_rng(1)
    codes = torch.from_numpy(rng.integers(1, 21, (80, 2)))
    effect = torch.from_numpy(rng.standard_normal(22))
    values = effect[codes[:, 0]]
    values = (values - values.mean()) / values.std()
    setting = Setting(torch.ones(2, dtype=torch.int64), torch.arange(2))
    kernel = make_posterior(settings(), setting, 80).kernel
    _, first = learn(kernel, codes, values, torch.ones(80), settings(steps=1), 0)
    _, last = learn(kernel, codes, values, torch.ones(80), settings(steps=40), 0)
    assert last < first - 0.1
    assert kernel.amplitudes[0] > kernel.amplitudes[1] + 0.5
    assert not any(parameter.requires_grad for parameter in kernel.parameters())


def test_the_same_seed_learns_the_same() -> None:
    codes = torch.from_numpy(np.random.default_rng(1).integers(1, 21, (60, 2)))
    values = torch.linspace(-1, 1, 60, dtype=torch.float64)
    setting = Setting(torch.ones(2, dtype=torch.int64), torch.arange(2))
    found = []
    for seed in (3, 3, 4):
        kernel = make_posterior(settings(), setting, 60).kernel
        learn(kernel, codes, values, torch.ones(60), settings(steps=3, rows=20), seed)
        found.append(torch.cat([p.detach().flatten() for p in kernel.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_pivots_leave_out_what_others_tell() -> None:
    covariance = torch.eye(4, dtype=torch.float64)
    covariance[0, 1] = covariance[1, 0] = 0.999  # the second is nearly the first
    chosen = _pivots(covariance, torch.full((4,), 0.01).double(), 3).tolist()
    assert len(set(chosen)) == 3
    assert not {0, 1} <= set(chosen)
    assert _pivots(covariance, torch.ones(4).double(), 4).tolist() == [0, 1, 2, 3]


def test_a_kernel_learns_nothing_from_few_rows() -> None:
    codes = torch.from_numpy(np.random.default_rng(1).integers(1, 21, (10, 2)))
    kernel = make_posterior(settings(), Setting(torch.ones(2, dtype=torch.int64), torch.arange(2)), 10).kernel
    before = [parameter.clone() for parameter in kernel.parameters()]
    values = torch.linspace(-1, 1, 10, dtype=torch.float64)
    assert np.isfinite(learn(kernel, codes, values, torch.ones(10), settings(learn_from=11), 0)[1])
    assert all(torch.equal(a, b) for a, b in zip(before, kernel.parameters(), strict=True))
    learn(kernel, codes, values, torch.ones(10), settings(learn_from=10, steps=2), 0)
    assert not all(torch.equal(a, b) for a, b in zip(before, kernel.parameters(), strict=True))
