"""Predictions do not depend on company, order or batch size, and come one a record in input order."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.nn import windows as module
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.nn.windows import TOKENS, padded_length, windows
from biorrn.proteins.predict import open_predictions, predict, predict_windows
from biorrn.proteins.predicted import Predicted, Prediction
from biorrn.sequences.alphabets import RESIDUES, tokens
from biorrn.sequences.flags import flags
from biorrn.sequences.records import ProteinRecord

CORES = [("gru", "bidirectional", ["attention", "max", "mean"]), ("lstm", "alternating", ["last"])]


def stored_model(cell: str = "gru", direction: str = "bidirectional", pool: list[str] | None = None) -> Stored:
    torch.manual_seed(1)
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "regression",
            "model": {
                "frontend": {"name": "embedding", "width": 8, "table": "blosum62"},
                "core": {"cell": cell, "hidden": 24, "layers": 2, "direction": direction},
                "pool": pool or ["attention", "mean"],
                "head": {"name": "regression", "hidden": 8},
            },
        }
    )
    facts = {"task": "regression", "targets": [{"name": "a", "unit": ""}, {"name": "b", "unit": "K"}]}
    return Stored.of(
        build_model(recipe.model, 2).eval(), recipe, facts | {"min_length": 5, "max_length": 90}, Path("tiny")
    )


def proteins(count: int, longest: int = 120, seed: int = 0) -> list[ProteinRecord]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, count)
    return [ProteinRecord(f"p{i}", "".join(rng.choice(list(RESIDUES), n))) for i, n in enumerate(lengths)]


def table(stored: Stored, records: list[ProteinRecord], path: Path, batch_size: int) -> dict[str, str]:
    with open_predictions(path, ["a", "b"]) as write:
        for found in predict_windows(stored, records, batch_size=batch_size, threads=1 + batch_size % 3):
            write(found)
    return {line.split("\t")[0]: line for line in path.read_text().splitlines()[1:]}


@pytest.mark.parametrize(("cell", "direction", "pool"), CORES)
def test_the_same_text_for_any_batch_size_order_and_number_of_threads(
    cell: str, direction: str, pool: list[str], tmp_path: Path
) -> None:
    stored = stored_model(cell, direction, pool)
    records = proteins(150)
    one = table(stored, records, tmp_path / "1.tsv", 1)
    assert list(one) == [record.id for record in records]
    for batch_size in (7, 64, 256):
        assert table(stored, records, tmp_path / "n.tsv", batch_size) == one
    shuffled = [records[i] for i in np.random.default_rng(1).permutation(len(records))]
    turned = table(stored, shuffled, tmp_path / "s.tsv", 64)
    assert list(turned) == [record.id for record in shuffled]
    assert turned == one


def test_the_same_bits_for_any_batch_size() -> None:
    stored = stored_model()
    records = proteins(100)
    one, many = ([p.values for p in predict(stored, records, batch_size=size)] for size in (1, 64))
    np.testing.assert_array_equal(np.array(one), np.array(many))


def test_values_are_those_of_the_bare_model() -> None:
    stored = stored_model()
    for record, prediction in zip(proteins(20), predict(stored, proteins(20)), strict=True):
        x = torch.from_numpy(tokens(record.sequence).astype(np.int64))[None]
        with torch.no_grad():
            alone = stored.model(x, torch.tensor([x.shape[1]]))[0][0]
        np.testing.assert_allclose(prediction.values, alone.numpy(), rtol=0, atol=1e-5)
        assert prediction.id == record.id
        assert prediction.length == len(record.sequence)


def test_a_sequence_of_35000_residues_goes_alone() -> None:
    stored = stored_model()
    records = [*proteins(3), ProteinRecord("titin", "MKVL" * 8750), *proteins(3, seed=5)]
    shapes = []
    stored.model.register_forward_hook(lambda model, inputs, output: shapes.append(tuple(inputs[0].shape)))
    predictions = list(predict(stored, records, batch_size=64))
    assert [p.id for p in predictions] == [r.id for r in records]
    assert (1, padded_length(35_000)) in shapes
    assert all(height * width <= max(TOKENS, padded_length(35_000)) for height, width in shapes)
    assert np.isfinite([p.values for p in predictions]).all()
    assert predictions[3].flags == ["longer_than_training"]


@pytest.mark.parametrize(
    ("sequence", "unknown", "flags"),
    [
        ("MKVLA", 0, []),
        ("MKVL", 0, ["shorter_than_training"]),
        ("M" * 91, 0, ["longer_than_training"]),
        ("M" * 90, 0, []),
        ("MKVXA", 1, ["unknown_residues"]),
        ("MKX", 1, ["unknown_residues", "shorter_than_training"]),
        ("", 0, ["empty"]),
    ],
)
def test_flags(sequence: str, unknown: int, flags: list[str]) -> None:
    [prediction] = predict(stored_model(), [ProteinRecord("p", sequence, unknown=unknown)])
    assert prediction.flags == flags
    assert np.isnan(prediction.values).all() == (sequence == "")


def test_no_records() -> None:
    assert list(predict(stored_model(), [])) == []


def test_reads_ahead_by_two_windows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_BATCHES", 2)
    taken = 0

    def count() -> Iterator[ProteinRecord]:
        nonlocal taken
        for record in proteins(300, longest=20):
            taken += 1
            yield record

    ahead = [taken - done for done, _ in enumerate(predict(stored_model(), count(), batch_size=16))]
    assert len(ahead) == 300
    assert max(ahead) <= 2 * 2 * 16  # one is written while the next is predicted


def test_the_window_ends_at_many_residues() -> None:
    records = proteins(60)
    parts = list(windows(records, 10_000, residues=1000))
    assert [r.id for part in parts for r in part] == [r.id for r in records]
    assert max(sum(len(r.sequence) for r in part) for part in parts) < 1000 + 120


@pytest.mark.parametrize("length", [1, 7, 8, 9, 43, 64, 65, 1000, 34_350])
def test_padding_is_small_and_of_few_lengths(length: int) -> None:
    assert length <= padded_length(length) <= length + (length // 8 if length > 64 else 0)
    assert padded_length(padded_length(length)) == padded_length(length)


def test_the_given_model_is_left_as_it_is() -> None:
    stored = stored_model()
    before = {name: tensor.clone() for name, tensor in stored.model.state_dict().items()}
    stored.model.train()
    list(predict(stored, proteins(3)))
    assert stored.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in stored.model.state_dict().items())


def test_a_basecalling_model_is_refused() -> None:
    stored = stored_model()
    wrong = Stored.of(stored.model, stored.recipe, {"task": "basecalling"}, Path("runs/lambda"))
    with pytest.raises(ConfigError, match=r"runs/lambda: is a model for basecalling; .*biorrn basecall"):
        predict(wrong, [])


def test_a_batch_size_of_nothing_is_refused() -> None:
    with pytest.raises(BiorrnError, match=r"--batch-size: found 0; allowed is 1 or more"):
        predict(stored_model(), [], batch_size=0)


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    with open_predictions("-", ["tm", "stability"]) as write:
        one = Prediction("p1", np.array([61.23456789, -0.000123456]), 43, [])
        other = Prediction("p2", np.array([1e6, 0.0]), 9, ["unknown_residues", "shorter_than_training"])
        write(Predicted.of([one, other]))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "id\tlength\ttm\tstability\tflags",
        "p1\t43\t61.235\t-0.00012346\t.",
        "p2\t9\t1e+06\t0\tunknown_residues,shorter_than_training",
    ]


def test_intervals_stay_within_the_bounds_and_are_none_for_what_is_not_known() -> None:
    from biorrn.proteins.uncertainty.conformal import Intervals

    entry = {"rows": 50, "floor": None, "quantiles": [0.4] * 50}
    facts = {"targets": [{"name": "y", "unit": "", "bounds": [0, 1]}], "conformal": {"y": entry}}
    values, unknown = np.array([[0.1], [0.5], [0.9], [0.5]]), np.array([False, False, False, True])
    intervals = Intervals.of(facts, ["y"])
    assert intervals is not None
    lower, upper = intervals(values, None, unknown)
    np.testing.assert_allclose(lower[:, 0], [0.0, 0.1, 0.5, np.nan])
    np.testing.assert_allclose(upper[:, 0], [0.5, 0.9, 1.0, np.nan])
    wider = facts | {"conformal": {"y": entry | {"unlike": entry | {"quantiles": [0.45] * 50}}}}
    intervals = Intervals.of(wider, ["y"])
    assert intervals is not None
    np.testing.assert_allclose(intervals(values, None, unknown)[0][3], 0.05)


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("MAKGWLEMAKGWLEMAKGWLE", []),
        ("MAKGWLEMAKGWLEMAKGWLA", []),
        ("MAKGWLEMAKGWLEMAKGWAA", ["more_mutations_than_training"]),
        ("MAKGWLEMAKGWLEMAKGWL", ["more_mutations_than_training"]),
        ("WWWWWWWWWWWWWWWWWWWWW", ["not_a_variant"]),
        ("MAKG", ["not_a_variant"]),
    ],
)
def test_flags_of_a_model_of_variants(sequence: str, expected: list[str]) -> None:
    facts = {"reference": "MAKGWLEMAKGWLEMAKGWLE", "most_mutations": 1}
    assert flags(ProteinRecord("p", sequence), facts) == expected
    assert flags(ProteinRecord("p", sequence), {"reference": facts["reference"]}) == []


def test_predictions_are_restored_to_the_last_bit_and_those_of_single_records_are_the_same() -> None:
    records = [*proteins(20), ProteinRecord("bad", "", problem="empty", cells=("c",)), ProteinRecord("none", "")]
    [found] = predict_windows(stored_model(), records)
    assert not found.left_out
    for same in (Predicted.restored(json.loads(json.dumps(found.plain()))), Predicted.of(list(found))):
        assert (same.ids, same.lengths, same.flags, same.cells) == (found.ids, found.lengths, found.flags, found.cells)
        assert same.values.tobytes() == found.values.tobytes()
        assert same.spread is same.lower is same.upper is None
    rows = list(found)
    assert [row.left_out for row in rows] == [False] * 20 + [True, False]
    assert rows[20].flags == ["left_out", "empty"]
    assert rows[20].cells == ("c",)
    assert Predicted.of(rows[20:21]).left_out
