"""Rows of proteins -> a prepared file."""

import h5py
import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.proteins.prepare import prepare_protein
from biorrn.sequences.alphabets import sequence
from biorrn.sequences.prepared import files as prepare
from biorrn.sequences.prepared.files import ProteinFile
from biorrn.sequences.rows import ProteinRow
from biorrn.sequences.splits import parse_split
from biorrn.training.batches import ProteinDataset

TARGETS = [{"name": "tm", "unit": "degrees C"}]
BY_COLUMN = parse_split("column:set", "protein")


def row(name="a", text="MKVAL", target=1.0, weight=1.0, split="train"):
    return ProteinRow(name, text, (target,), weight, split)


def run(tmp_path, rows, splitter=BY_COLUMN, **options):
    path = tmp_path / "p.h5"
    return path, prepare_protein(rows, path, splitter, TARGETS, source="t.csv", **options)


def test_rows_keep_order_split_weight_and_target(tmp_path):
    rows = [row("a"), row("b", "W", 2.0, 0.5, "valid"), row("c", "ACX", 3.0, 0.0, "test")]
    path, counts = run(tmp_path, rows, sources={"t.csv": "123"}, note="made up")
    assert counts == {"kept": 3}
    with ProteinFile(path) as file:
        assert file.strings("id") == ["a", "b", "c"]
        assert [sequence(file.tokens(i)) for i in range(3)] == ["MKVAL", "W", "ACX"]
        assert file.file["split"][:].tolist() == [0, 1, 2]
        assert file.file["targets"][:, 0].tolist() == [1, 2, 3]
        assert file.file["weights"][:].tolist() == [1, 0.5, 0]
        assert file.sources == {"t.csv": "123"}
        assert file.file.attrs["note"] == "made up"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(text=""), "dropped: empty sequence"),
        (row(text="XXX"), "dropped: no known residue"),
        (row(target=np.nan), "dropped: no target value"),
    ],
)
def test_a_protein_that_teaches_nothing_is_counted(tmp_path, bad, reason):
    path, counts = run(tmp_path, [bad, row("b")])
    assert counts == {reason: 1, "kept": 1}
    with ProteinFile(path) as file:
        assert file.strings("id") == ["b"]


def test_a_protein_with_some_targets_is_kept(tmp_path):
    rows = [ProteinRow("a", "ACD", (np.nan, 2.0), 1.0, "train")]
    prepare_protein(rows, tmp_path / "p.h5", BY_COLUMN, [*TARGETS, {"name": "x", "unit": ""}])
    with ProteinFile(tmp_path / "p.h5") as file:
        assert np.array_equal(file.file["targets"][:], [[np.nan, 2]], equal_nan=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row("q", split="holdout")],
            "t.csv: record 'q': column 'set': found 'holdout'; allowed is train, valid",
        ),
        ([row("q", weight=-1.0)], "record 'q': found weight -1; allowed is 0 or more"),
        ([row("q", weight=np.nan)], "found weight nan"),
        ([row(target=np.nan)], r"no protein could be used \(dropped: no target value 1\)"),
        ([], r"no protein could be used \(it holds none\)"),
    ],
)
def test_bad_rows_are_errors_and_leave_no_file(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("split", ["random:0.5,0.25,0.25", "cluster:0.8:0.5,0.25,0.25"])
def test_a_split_made_here_is_of_the_whole_file(tmp_path, split):
    rng = np.random.default_rng(0)
    rows = [row(f"p{i}", "".join(rng.choice(list("ACDEFGHIKLMN"), 30))) for i in range(40)]
    path, _ = run(tmp_path, rows, parse_split(split, "protein", 3))
    with ProteinFile(path) as file:
        assert [len(file.rows(name)) for name in ("train", "valid", "test")] == [20, 10, 10]


def test_rows_are_streamed(tmp_path, monkeypatch):
    """By the time the last rows are made most of the first are in the file, not in memory."""
    monkeypatch.setattr(prepare, "BUFFER", 1000)
    writers = []
    monkeypatch.setattr(prepare.ProteinWriter, "__init__", spy(prepare.ProteinWriter.__init__, writers))
    most = 0

    def rows():
        nonlocal most
        for i in range(2000):
            yield row(f"p{i}")
            most = max(most, len(writers[0]._buffers["tokens"]))

    path, counts = run(tmp_path, rows())
    assert counts["kept"] == 2000
    assert most < 300
    with ProteinFile(path) as file:
        assert file.strings("id") == [f"p{i}" for i in range(2000)]


def spy(init, made):
    def wrapped(self, *values, **options):
        made.append(self)
        init(self, *values, **options)

    return wrapped


def test_bounds_of_censored_values_are_kept_beside_missing_targets(tmp_path):
    nan, inf = float("nan"), float("inf")
    rows = [
        ProteinRow("a", "MKV", (nan,), split="train", bounds=((90.0, inf),)),
        ProteinRow("b", "MKL", (50.0,), split="train"),
        ProteinRow("c", "MKI", (nan,), split="valid", bounds=((-inf, 20.0),)),
    ]
    path, _ = run(tmp_path, rows)
    with ProteinFile(path) as file:
        assert len(file) == 3
        assert np.isnan(file.file["targets"][:, 0]).tolist() == [True, False, True]
        assert file.bounds[0, 0].tolist() == [90.0, inf]
        assert np.isnan(file.bounds[1]).all()
    batch = ProteinDataset(path, "train").collate([1, 0])
    assert batch.bounds[1, 0].tolist() == [90.0, inf]
    with h5py.File(path, "a") as file:
        del file["upper"]
    with pytest.raises(InputError, match="lower and upper do not go together"):
        ProteinFile(path)
