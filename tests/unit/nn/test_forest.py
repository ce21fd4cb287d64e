"""A forest as a model: the trees that scikit-learn fitted, rows alone and padded, and a folder read back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import change_recipe, parse_recipe
from biorrn.nn.forest import COLUMNS, ForestModel, features, learn, learn_in_folds, substitutions
from biorrn.nn.store import load_model
from biorrn.nn.told import told
from biorrn.proteins import task as regression
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.training.batches import pad_tokens
from biorrn.training.train import train

WILD = tokens("MKVLAAGIVGLCAKRTEDFYWHNQSPMKTE")
RECIPE = parse_recipe(
    {"name": "small_forest", "task": "regression", "model": {"name": "forest", "trees": 12, "leaf": 1}}
)


def variants(number: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return variants with one or two substitutions, and values that add over sites."""
    rng = np.random.default_rng(seed)
    weight = np.random.default_rng(5).normal(size=(len(WILD), 22)) / 4 + np.random.default_rng(6).normal(size=(30, 1))
    rows, values = [], []
    for _ in range(number):
        row = WILD.copy()
        for site in rng.choice(len(WILD), rng.integers(1, 3), replace=False):
            row[site] = rng.integers(1, 21)
        rows.append(row)
        values.append(sum(weight[site, row[site]] for site in np.flatnonzero(row != WILD)))
    return rows, np.array(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forest")
    rows, values = variants(120)
    with protein_writer(path / "d.h5", [{"name": "y", "unit": ""}, {"name": "z", "unit": ""}]) as writer:
        for number, (row, value) in enumerate(zip(rows, values, strict=True)):
            other = np.nan if number % 5 == 0 else -value
            writer.add(f"v{number}", row, [value, other], 1.0, 0 if number < 100 else 1)
    train(RECIPE, path / "d.h5", path / "run", regression, seed=3, threads=1)  # type: ignore[arg-type]
    return path


def test_its_values_are_those_of_scikit_learn(folder: Path) -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    rows, values = variants(120)
    table = np.stack(rows)
    known, weights = substitutions(table[:100], WILD), np.ones(100)
    forest = ExtraTreesRegressor(12, min_samples_leaf=1, max_features=0.4, random_state=3)
    # the file keeps targets as float32
    kept = values[:100].astype(np.float32).astype(np.float64)
    base = kept.mean()
    own = [
        features(known, learn_in_folds(known, kept - base, weights, len(WILD), 3, sites), len(WILD))
        for sites in (False, True)
    ]
    assert own[0].shape[1] == COLUMNS
    forest.fit(np.concatenate(own), np.tile(kept - base, 2))
    asked = substitutions(table[100:], WILD)
    wanted = base + forest.predict(features(asked, learn(known, kept - base, weights, len(WILD)).of(asked), len(WILD)))
    model = load_model(folder / "run").model
    found = model(*pad_tokens(rows[100:]))[0][:, 0].numpy()
    assert found == pytest.approx(wanted, abs=1e-5)
    assert np.corrcoef(found, values[100:])[0, 1] > 0.5


def test_a_site_in_folds_of_sites_is_as_if_never_seen() -> None:
    rows, values = variants(60)
    known = substitutions(np.stack(rows), WILD)
    learned = learn_in_folds(known, values, np.ones(60), len(WILD), 0, sites=True)
    assert (learned[:, -1] == 0).all()  # rows with the site
    assert learned[:, 2].any()  # its neighbours are known
    assert (learn_in_folds(known, values, np.ones(60), len(WILD), 0)[:, -1] > 0).any()


def test_effects_of_another_model_are_features_that_the_folder_keeps(folder: Path, tmp_path: Path) -> None:
    recipe = change_recipe(RECIPE, ["model.effects=ddg"])
    train(recipe, folder / "d.h5", tmp_path / "run", regression, seed=3, threads=1)  # type: ignore[arg-type]
    stored = load_model(tmp_path / "run")
    known = told("ddg", WILD)
    assert stored.model.told.numpy() == pytest.approx(known, abs=1e-5)
    rows = variants(20, 9)[0]
    found = stored.model(*pad_tokens(rows))[0]
    assert not torch.equal(found, load_model(folder / "run").model(*pad_tokens(rows))[0])
    stored.model.told.zero_()
    assert not torch.equal(found, stored.model(*pad_tokens(rows))[0])


def test_a_row_alone_or_padded_or_in_company_is_the_same(folder: Path) -> None:
    model = load_model(folder / "run").model
    rows = [*variants(6, 1)[0], np.delete(WILD, 4), np.insert(WILD, 9, 7)]  # a deletion and an insertion are aligned
    together = model(*pad_tokens(rows))[0]
    assert together.shape == (8, 2)
    assert together.isfinite().all()
    for place, row in enumerate(rows):
        assert torch.equal(model(*pad_tokens([row]))[0][0], together[place])
        wide = torch.zeros(1, 64, dtype=torch.int64)
        wide[0, : len(row)] = torch.from_numpy(row.astype(np.int64))
        assert torch.equal(model(wide, torch.tensor([len(row)]))[0][0], together[place])


def test_the_same_seed_gives_the_same_model(folder: Path, tmp_path: Path) -> None:
    train(RECIPE, folder / "d.h5", tmp_path / "run", regression, seed=3, threads=1)  # type: ignore[arg-type]
    one, other = (load_model(path / "run").model.state_dict() for path in (folder, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_unlike_proteins_and_a_damaged_tree_are_refused(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with protein_writer(tmp_path / "d.h5", [{"name": "y", "unit": ""}]) as writer:
        for number in range(40):
            writer.add(f"p{number}", rng.integers(1, 21, 30).astype(np.uint8), [float(number)], 1.0, number % 2)
    with pytest.raises(BiorrnError, match="a forest is for variants of one protein"):
        train(RECIPE, tmp_path / "d.h5", tmp_path / "run", regression, threads=1)  # type: ignore[arg-type]
    circle = ForestModel(torch.from_numpy(WILD).long(), 1, [2])
    trees = circle.targets[0]
    trees.left.copy_(torch.tensor([1, 0]))  # type: ignore[union-attr, operator]
    trees.right.copy_(torch.tensor([1, 0]))  # type: ignore[union-attr, operator]
    assert circle(*pad_tokens([WILD]))[0].isfinite().all()  # ends all the same
