"""The task of tagging: it can overfit a tiny set with every loss; masks, padding, ensembles, what cannot be."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Recipe, load_recipe, parse_recipe, recipe_names
from biorrn.nn.batch import Batch
from biorrn.nn.ensemble import ProbabilityEnsemble, probabilities
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import DNA, RESIDUES, THREE
from biorrn.tagging import task as tagging
from biorrn.tagging.prepare import tag_writer
from biorrn.training import ensemble
from biorrn.training.task import load_task
from biorrn.training.train import train

TASK = load_task("tagging")
HEADS = {"cross_entropy": "tags", "crf": "tags_crf"} | dict.fromkeys(("mse", "huber", "huber+order"), "values")


def recipe(loss: str = "cross_entropy", epochs: int = 1, frontend: Any = None, **training: Any) -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "task": "tagging",
            "model": {
                "frontend": frontend or {"name": "onehot"},
                "core": {"cell": "gru", "hidden": 12, "layers": 1},
                "head": {"name": HEADS[loss]},
            },
            "training": {"loss": loss, "epochs": epochs, "batch_residues": 256, "lr": 0.05} | training,
        }
    )


def write(path: Path, values: bool = False, alphabet: str = RESIDUES) -> Path:
    """Write sequences whose state follows from a residue and the one before, some of them unknown."""
    rng, letters = np.random.default_rng(0), len(alphabet) - 1
    with tag_writer(path, alphabet, None if values else THREE, [{"name": "size", "unit": "A"}] * values) as writer:
        for row in range(16):
            tokens = rng.integers(1, letters + 1, rng.integers(20, 60)).astype(np.uint8)
            tags = ((tokens > letters // 2) + (np.roll(tokens, 1) > letters // 2)).astype(np.uint8)
            tags[0] = 255
            sizes = np.where(tags == 255, np.nan, 5 + 10.0 * tags + tokens / 4)[:, None].astype(np.float32)
            found = sizes if values else tags
            writer.add(f"p{row}", tokens, found, int(row > 12))
    return path


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tags") / "states.h5")


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tags") / "values.h5", values=True)


@pytest.mark.parametrize("loss", HEADS)
def test_it_learns_a_rule(loss: str, states: Path, values: Path, tmp_path: Path) -> None:
    path = values if HEADS[loss] == "values" else states
    stored = load_model(train(recipe(loss, 16), path, tmp_path / "run", TASK, threads=1))
    best = json.loads((tmp_path / "run" / "provenance.json").read_text())["best"]
    assert best["metric"] == "valid_agreement"
    assert best["value"] > 0.9
    assert stored.facts["kind"] == ("values" if HEADS[loss] == "values" else "states")
    assert stored.facts["alphabet"] == RESIDUES
    if HEADS[loss] == "values":
        assert stored.facts["targets"] == [{"name": "size", "unit": "A"}]
        batch = next(iter(tagging.open_data(path, recipe(loss)).valid()))
        with torch.no_grad():
            found = stored.model(batch.x, batch.lengths)[0]
        assert 8 < found.mean() < 28  # in the unit of the targets
    else:
        assert stored.facts["states"] == "HEC"
        assert stored.facts["state_names"] == ["helix", "strand", "coil"]


@pytest.mark.parametrize("loss", ["cross_entropy", "crf", "mse", "huber+order"])
def test_padding_and_unknown_states_say_nothing(loss: str, states: Path, values: Path) -> None:
    own = recipe(loss)
    data = tagging.open_data(values if HEADS[loss] == "values" else states, own)
    model = tagging.make_model(own, data).eval()
    batch = next(iter(data.valid()))
    assert batch.targets is not None
    total = 0.0
    with torch.no_grad():
        for row, length in enumerate(batch.lengths.tolist()):
            rows = slice(row, row + 1)
            one = Batch(batch.x[rows, :length], batch.lengths[rows], batch.targets[rows, :length])
            total += float(tagging.loss(model, *model(one.x, one.lengths), one, own)) * tagging.share(one, own)
        mean = float(tagging.loss(model, *model(batch.x, batch.lengths), batch, own))
        assert total / tagging.share(batch, own) == pytest.approx(mean, rel=1e-4)
        missing = torch.nan if HEADS[loss] == "values" else -1
        none = Batch(batch.x, batch.lengths, torch.full_like(batch.targets, missing))
        assert float(tagging.loss(model, *model(none.x, none.lengths), none, own)) == pytest.approx(0, abs=1e-4)


def test_an_epoch_is_the_same_for_the_same_seed(states: Path) -> None:
    own = recipe(crop=32, augment={"substitute": 0.3})
    data = tagging.open_data(states, own)

    def tokens(epoch: int, seed: int) -> list[list[list[int]]]:
        return [batch.x.tolist() for batch in data.train(epoch, seed)]

    assert tokens(0, 1) == tokens(0, 1)
    assert tokens(0, 1) != tokens(1, 1)
    assert len(tokens(0, 1)) == len(tokens(1, 2)) == data.steps()
    given = [batch.x for batch in tagging.open_data(states, recipe()).valid()]
    assert all(torch.equal(one.x, other) for one, other in zip(data.valid(), given, strict=True))


def test_metrics_of_a_worked_example() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [1, 1, 1]], [[0.5, 0.25, 0.25]] * 3]))
    batch = Batch(torch.ones(2, 3), torch.tensor([2, 3]), torch.tensor([[0, 2, -1], [0, 0, -1]]))
    found = tagging.score([tagging.collect(logits, batch.lengths, batch)])
    assert found["accuracy_residue"] == found["agreement"] == pytest.approx(3 / 4)
    assert found["accuracy_protein"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["cross_entropy"] == pytest.approx((3 * np.log(2) + np.log(4)) / 4, rel=1e-5)


def test_label_smoothing_raises_the_loss_of_what_is_certain() -> None:
    logits = torch.tensor([[[9.0, 0.0, 0.0]]])
    batch = Batch(torch.ones(1, 1), torch.tensor([1]), torch.tensor([[0]]))
    plain, smooth = (
        float(tagging.loss(None, logits, batch.lengths, batch, recipe(label_smoothing=share)))  # type: ignore[arg-type]
        for share in (0.0, 0.3)
    )
    assert smooth > plain + 1


def spoken_of(path: Path) -> Path:
    """Write a sequence with labels and one of which a model says each state's probability."""
    with tag_writer(path, RESIDUES, THREE, probabilities=True) as writer:
        for split in (0, 1):
            writer.add(f"known{split}", np.arange(1, 21, dtype=np.uint8), np.arange(20, dtype=np.uint8) % 3, split)
        said = np.tile(np.array([153, 51, 51], np.uint8), (10, 1))
        writer.add("said", np.arange(1, 11, dtype=np.uint8), np.full(10, 255, np.uint8), 0, said)
    return path


def test_what_a_model_says_of_a_residue_stands_for_its_label(tmp_path: Path) -> None:
    data = tagging.open_data(spoken_of(tmp_path / "said.h5"), recipe())
    model = TASK.make_model(recipe(), data).eval()
    batch = data.rows.collate([(0, 0, 20), (1, 0, 10)])
    outputs, lengths = model(batch.x, batch.lengths)
    logs = torch.log_softmax(outputs, -1)
    assert tagging.share(batch, recipe()) == pytest.approx(30)
    known = -logs[0, :20].gather(1, batch.targets[0, :20, None]).sum()  # type: ignore[index]
    said = -(logs[1, :10] * torch.tensor([0.6, 0.2, 0.2])).sum()
    found = tagging.loss(model, outputs, lengths, batch, recipe())
    assert found.item() == pytest.approx((known + said).item() / 30, rel=1e-5)
    assert next(data.valid()).probabilities is None


def test_a_chain_of_states_is_not_trained_on_what_a_model_says(tmp_path: Path) -> None:
    data = tagging.open_data(spoken_of(tmp_path / "said.h5"), recipe("crf"))
    with pytest.raises(ConfigError, match="probabilities by a model"):
        TASK.make_model(recipe("crf"), data)


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (recipe("mse"), "head 'values' with training.loss mse; the data holds states"),
        (recipe("crf", label_smoothing=0.1), "label_smoothing is for loss cross_entropy"),
    ],
)
def test_what_does_not_go_together(states: Path, own: Recipe, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        tagging.make_model(own, tagging.open_data(states, own))


def test_dna_has_no_features_of_residues(tmp_path: Path) -> None:
    path = write(tmp_path / "dna.h5", alphabet=DNA)
    fine = recipe()
    data = tagging.open_data(path, fine)
    assert tagging.make_model(fine, data).head is not None
    assert data.facts["alphabet"] == DNA
    with pytest.raises(ConfigError, match="features of residues"):
        tagging.make_model(recipe(frontend={"name": "blosum62"}), data)
    with pytest.raises(ConfigError, match="is for proteins"):
        tagging.open_data(path, recipe(augment={"substitute": 0.1}))


NETWORKS = [name for name in recipe_names() if load_recipe(name).task == "tagging" and load_recipe(name).model]


@pytest.mark.parametrize("name", NETWORKS)
def test_recipes_of_the_package_build(name: str, states: Path, values: Path) -> None:
    own = load_recipe(name)
    numbers = own.network.head.name == "values"
    data = tagging.open_data(values if numbers else states, own)
    model, batch = tagging.make_model(own, data), next(iter(data.train(0, 0)))
    outputs, lengths = model(batch.x, batch.lengths)
    assert outputs.shape == (*batch.x.shape, 1 if numbers else 3)
    assert tagging.loss(model, outputs, lengths, batch, own).isfinite()


def test_the_order_within_a_sequence_counts_each_sequence_once() -> None:
    own = recipe("huber+order", rank_weight=2.0)
    model: Any = Namespace(head=Namespace(scale=torch.tensor([2.0])))
    targets = torch.tensor([[[0.0], [1.0], [2.0], [torch.nan]], [[5.0], [4.0], [3.0], [9.0]]])
    outputs = torch.tensor([[[0.0], [1.0], [2.0], [7.0]], [[3.0], [4.0], [5.0], [-1.0]]])
    batch = Batch(torch.ones(2, 4), torch.tensor([4, 4]), targets)
    error = torch.tensor([-1.0, 0.0, 1.0, -5.0])  # of the second row, in units of the scale
    huber = torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5).mean()
    r = np.corrcoef(outputs[1, :, 0], targets[1, :, 0])[0, 1]
    found = tagging.loss(model, outputs, batch.lengths, batch, own)
    assert found.item() == pytest.approx((0.0 + float(huber) + 2 * (1 - r)) / 2, rel=1e-4)
    assert tagging.share(batch, own) == 2


def test_scores_within_and_between_sequences() -> None:
    own = recipe("huber+order")
    model: Any = Namespace(head=None)
    one, two = torch.arange(30.0), torch.arange(30.0).flip(0) + 100
    batch = Batch(torch.ones(2, 30), torch.tensor([30, 30]), torch.stack([one, two])[..., None])
    outputs = torch.stack([one, two.flip(0)])[..., None]
    found = tagging.score([tagging.collect_from(model, outputs, batch.lengths, batch, own)])
    assert found["agreement"] == pytest.approx(0)  # the mean of 1 and -1
    assert found["spearman"] > 0.5  # the second sequence is above the first


def here(work: list[dict[str, Any]], jobs: int) -> None:
    """Train members in this process: a new one takes seconds to import torch."""
    for job in work:
        train(parse_recipe(yaml.safe_load(job["recipe"])), job["data"], job["folder"], TASK, **job["options"])


def test_an_ensemble_averages_probabilities(states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "run_members", here)
    members = [
        {"recipe": recipe(loss).model_dump(mode="json"), "weight": weight}
        for loss, weight in (("crf", 1), ("cross_entropy", 3))
    ]
    own = parse_recipe({"name": "two", "task": "tagging", "members": members})
    stored = load_model(train(own, states, tmp_path / "run", TASK, threads=1))
    assert isinstance(stored.model, ProbabilityEnsemble)
    batch = next(iter(tagging.open_data(states, recipe()).valid()))
    with torch.no_grad():
        found = stored.model(batch.x, batch.lengths)[0].softmax(-1)
        crf, plain = (probabilities(member, *member(batch.x, batch.lengths)) for member in stored.model.members)
    inside = batch.x > 0
    torch.testing.assert_close(found[inside], (crf / 4 + 3 * plain / 4)[inside])
    known = batch.targets >= 0  # type: ignore[operator]
    right = float((found.argmax(-1) == batch.targets)[known].double().mean())
    best = json.loads((tmp_path / "run" / "provenance.json").read_text())["best"]
    assert best["value"] == pytest.approx(right, abs=1e-6)


def test_each_member_goes_on_from_that_of_another_ensemble(
    states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "run_members", here)
    members = [{"recipe": recipe().model_dump(mode="json"), "seed": seed} for seed in (0, 1)]
    own = parse_recipe({"name": "two", "task": "tagging", "members": members})
    first = load_model(train(own, states, tmp_path / "first", TASK, threads=1)).model
    still = [entry | {"recipe": recipe(lr=1e-12).model_dump(mode="json")} for entry in members]
    tuned = parse_recipe({"name": "tuned", "task": "tagging", "members": still})
    second = load_model(train(tuned, states, tmp_path / "second", TASK, threads=1, init=tmp_path / "first")).model
    for name, weight in second.state_dict().items():
        torch.testing.assert_close(weight, first.state_dict()[name], atol=1e-5, rtol=1e-5)
    third = parse_recipe({"name": "three", "task": "tagging", "members": [*members, members[0] | {"seed": 2}]})
    with pytest.raises(ConfigError, match="is an ensemble with the runs of 2 members; expected 3"):
        train(third, states, tmp_path / "third", TASK, threads=1, init=tmp_path / "first")


@pytest.mark.parametrize("more", [{"combine": "stack"}, {"calibrate": "monotone"}, {"neighbours": {}}])
def test_what_an_ensemble_of_taggers_cannot_have(more: dict[str, Any]) -> None:
    members = [{"recipe": recipe().model_dump(mode="json")}]
    with pytest.raises(ConfigError, match="an ensemble of task tagging is a mean"):
        parse_recipe({"name": "two", "task": "tagging", "members": members, **more})
