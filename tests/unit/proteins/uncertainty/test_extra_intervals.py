"""Intervals at the edge of what a model knows: measured on left-out kinds, kept in the model's facts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from biorrn.config.recipe import parse_recipe
from biorrn.nn.sequence import build
from biorrn.nn.store import load_model, save_model
from biorrn.proteins.predict import predict
from biorrn.proteins.scan import Plan, scan
from biorrn.proteins.uncertainty.extra_intervals import differences, no_relative
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.records import ProteinRecord

SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 6, "layers": 1}, "pool": ["mean"]},
}
FACTS = {
    "task": "regression",
    "outputs": 1,
    "targets": [{"name": "y", "unit": ""}],
    "min_length": 10,
    "max_length": 120,
    "conformal": {"y": {"rows": 50, "floor": None, "quantiles": [0.1] * 50}},
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    recipe = parse_recipe(SMALL)
    save_model(tmp_path / "model", build(recipe, FACTS), recipe, FACTS)
    return tmp_path / "model"


def proteins(count: int, seed: int, length: int = 80) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for _ in range(count)]


def test_proteins_without_a_relative_are_flagged_and_have_their_own_interval(model: Path, tmp_path: Path) -> None:
    trained, others = proteins(30, 0), proteins(60, 1)
    with protein_writer(tmp_path / "trained.h5", [{"name": "y", "unit": ""}]) as writer:
        for number, text in enumerate(trained):
            writer.add(f"p{number}", tokens(text), [0.0], 1.0, number % 2)
    rng = np.random.default_rng(2)
    given = np.array([one.values[0] for one in predict(load_model(model), [ProteinRecord("a", t) for t in others])])
    frame = pd.DataFrame({"sequence": others + trained, "y": [*(given + rng.uniform(-5, 5, 60)), *([0.0] * 30)]})
    frame.to_csv(tmp_path / "others.csv", index=False)
    test = pd.DataFrame({"sequence": others[:10], "set": "test"})
    test.to_csv(tmp_path / "test.csv", index=False)
    files = [str(tmp_path / name) for name in ("trained.h5", "others.csv", "test.csv")]
    said = list(no_relative(str(model), files[0], files[1], "y", files[2]))
    assert said[0].startswith("80 proteins, of which 50 are unlike")  # the 30 trained on are known, 10 are of the test
    stored = load_model(model)
    known, alone = predict(stored, [ProteinRecord("k", trained[0]), ProteinRecord("a", others[3])])
    assert known.lower is not None
    assert alone.lower is not None
    assert known.flags == []
    assert alone.flags == ["no_relative_in_training"]
    np.testing.assert_allclose(known.values - known.lower, 0.1, rtol=1e-5)
    assert 3.5 < (alone.values - alone.lower)[0] < 5.1  # nine tenths of 5, of 50 rows


def test_differences_have_the_interval_of_measured_pairs(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for size, wide in ((80, 1.0), (150, 3.0)):  # the longer ones are not known
        for text in proteins(8, size, size):
            plan = list(scan(load_model(model), [ProteinRecord("w", text)], Plan(spans=((5, 9),))))
            for effect in plan[1:]:
                measured = 2.0 * (effect.difference[0] + rng.uniform(-wide, wide))
                rows.append((text, effect.mutant.mutation if effect.mutant else "", measured))
    frame = pd.DataFrame(rows, columns=["wt", "mutation", "ddg"])
    frame.loc[len(frame)] = ["ACDEF", "W1A", 0.0]  # another residue stands there
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    said = list(differences(str(model), str(tmp_path / "pairs.csv"), "wt", "mutation", "ddg", 2.0))
    assert said[0].startswith("known wild types: 8 with 480 mutants")
    assert said[1].startswith("unlike wild types: 8 with 480 mutants")
    for size, wide in ((80, 1.0), (150, 3.0)):
        record = ProteinRecord("w", proteins(1, 9, size)[0])
        effect = list(scan(load_model(model), [record], Plan(spans=((5, 5),))))[1]
        assert effect.difference_upper is not None
        assert 0.8 * wide < (effect.difference_upper - effect.difference)[0] < wide
