"""`biorrn evaluate calibrate` of a protein model: predictions and evaluations use the stored intervals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import yaml

Run = Callable[..., tuple[int, str, str]]
SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 8, "layers": 1}, "pool": ["mean"]},
    "training": {"epochs": 1, "lr": 0.01},
}


@pytest.fixture
def trained(biorrn: Run, tiny_proteins: Path, tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    code, _, err = biorrn("train", tmp_path / "small.yaml", tiny_proteins, "-o", tmp_path / "run", "--threads", 1)
    assert code == 0, err
    return tmp_path / "run"


def facts(folder: Path) -> dict:
    from biorrn.nn.store import load_facts

    return load_facts(folder)


def test_training_ends_with_intervals(biorrn: Run, trained: Path, tiny_proteins: Path, tmp_path: Path) -> None:
    from biorrn.proteins.predictions import read_prepared
    from biorrn.sequences.alphabets import sequence

    kept = facts(trained)
    assert kept["conformal"]["leucine"]["rows"] == 15
    assert "threshold" in kept["novelty"]
    data = read_prepared(tiny_proteins).rows
    ends = data.lengths.cumsum()
    text = "".join(
        f">{name}\n{sequence(data.tokens[end - size : end])}\n"
        for name, end, size in zip(data.ids, ends, data.lengths, strict=True)
    )
    (tmp_path / "p.fasta").write_text(text)
    for suffix in ("tsv", "parquet"):
        table, result = tmp_path / f"p.{suffix}", tmp_path / f"{suffix}.json"
        assert biorrn("predict", trained, tmp_path / "p.fasta", "-o", table, "--level", 0.8)[0] == 0
        words = ("evaluate", "regression", table, tiny_proteins, "-o", result, "--baselines", "none", "--level", 0.8)
        code, out, err = biorrn(*words, "--model", trained, "--figures", tmp_path / "figures")
        assert code == 0, err
        content = json.loads(result.read_text())
        found = content["coverage"]["leucine"]
        assert found["overall"]["n"] == 15 - content["flags"].get("unlike_training", 0)  # which have no interval
        # these rows are those of the calibration: the interpolated quantile leaves out one more at most
        assert found["overall"]["value"] >= 0.8 - 1 / found["overall"]["n"]
        assert found["levels"][0]["level"] == 0.5
        assert "leucine: intervals for 80 % hold" in out
        assert any("biorrn evaluate calibrate" in caution for caution in content["cautions"])
        assert any(figure["path"].endswith("coverage.svg") for figure in content["figures"])
        assert biorrn("report", result, "-o", tmp_path / "r.html")[0] == 0
        assert "nearest below" in (tmp_path / "r.html").read_text()


def test_calibrated_anew_on_other_rows(biorrn: Run, trained: Path, tiny_proteins: Path, tmp_path: Path) -> None:
    before = facts(trained)
    code, _, err = biorrn("calibrate", trained, tiny_proteins, "--split", "train", "--threads", 1)
    assert code == 2
    assert "these rows of" in err
    other = tmp_path / "other.h5"
    shutil.copy(tiny_proteins, other)
    with h5py.File(other, "r+") as file:
        file.attrs["note"] = "not the file that the model was trained on"
    words = ("calibrate", trained, other, "--split", "train", "--threads", 1)
    code, out, err = biorrn(*words, "--dry-run", "--folds", 3)
    assert code == 0, err
    header, *rows = (line.split("\t") for line in out.splitlines())
    assert header == ["target", "level", "coverage", "width", "lowest_fold", "highest_fold", "rows", "folds"]
    assert [row[:2] for row in rows] == [["leucine", level] for level in ("0.5", "0.8", "0.9", "0.95")]
    assert {tuple(row[-2:]) for row in rows} == {("45", "3")}
    assert facts(trained) == before
    assert biorrn(*words)[0] == 0
    assert facts(trained)["conformal"]["leucine"]["rows"] == 45
    assert facts(trained) | {"conformal": None} == before | {"conformal": None}
    assert biorrn(*words, "--novelty")[0] == 0
    assert facts(trained)["novelty"]["mean"] == before["novelty"]["mean"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference", "genome.fa"], "--reference genome.fa: needs a basecaller"),
        (["--folds", "1"], "--folds: found 1 for 15 rows"),
        (["--split", "test"], "split 'test' is empty"),
    ],
)
def test_what_is_refused(biorrn: Run, trained: Path, tiny_proteins: Path, options: list[str], message: str) -> None:
    before = facts(trained)
    code, _, err = biorrn("calibrate", trained, tiny_proteins, *options)
    assert code == 2
    assert message in err
    assert facts(trained) == before
    code, _, err = biorrn("calibrate", trained, tiny_proteins, tiny_proteins)
    assert code == 2
    assert "needs one prepared file; found 2 paths" in err
