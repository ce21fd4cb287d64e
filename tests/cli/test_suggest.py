"""`biorrn suggest` on a small campaign."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import biorrn

WILD = "MANKSGTCDEMLIVRW"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of 40 variants at four sites; aromatic residues are good."""
    rng = np.random.default_rng(0)
    rows = ["mutation,activity"]
    for _ in range(40):
        changes = [(place, "ACDEFGHIKLMNPQRSTVWY"[rng.integers(20)]) for place in rng.choice(range(2, 6), 2, False)]
        mutation = ":".join(f"{WILD[place]}{place + 1}{new}" for place, new in changes if new != WILD[place])
        score = sum(new in "FWY" for _, new in changes) + rng.normal(0, 0.1)
        rows.append(f"{mutation or 'WT'},{score:.3f}")
    path = tmp_path_factory.mktemp("campaign") / "measured.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_plate(table: Path, run_cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, figure = tmp_path / "next.csv", tmp_path / "next.svg"
    words = ("suggest", table, "--target", "activity", "--wild-type", WILD, "--positions", "3-6", "--avoid", "C")
    assert run_cli(*words, "--plate", 24, "--controls", 1, "-o", output, "--figure", figure) == 0
    said = capsys.readouterr().err
    assert "measured: " in said
    assert "--avoid C" in said
    frame = pd.read_csv(output)
    assert len(frame) == 24
    assert frame["role"].value_counts().to_dict() == {"new": 22, "wild_type": 1, "best": 1}
    assert frame["well"].tolist()[:7] == ["A1", "A2", "A3", "A4", "A5", "A6", "B1"]
    new = frame[frame["role"] == "new"]
    assert (new["mutations"] <= 3).all()
    assert not new["mutation"].str.contains("C$|C:").any()
    assert new["mutation"].str.contains("[FWY](?::|$)").mean() > 0.8
    assert figure.stat().st_size > 5000


def test_standard_output_and_the_api(
    table: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("suggest", table, "--target", "activity", "--wild-type", WILD, "-n", 5, "--max-mutations", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:4] == ["rank", "id", "mutation", "mutations"]
    assert len(lines) == 6
    frame = biorrn.suggest(table, target="activity", wild_type=WILD, number=5, max_mutations=1)
    assert frame["mutation"].tolist() == [line.split("\t")[2] for line in lines[1:]]
    same = biorrn.suggest(pd.read_csv(table), target="activity", wild_type=WILD, number=5, max_mutations=1)
    assert same["mutation"].tolist() == frame["mutation"].tolist()


def test_a_run_folder(
    table: Path, run_cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its predictions are the model's, its measured rows those that trained it."""
    run = tmp_path / "run"
    words = ("train-table", table, "--target", "activity", "--wild-type", WILD, "--model", "gaussian")
    assert run_cli(*words, "-o", run, "--threads", 1) == 0
    # the model knows the wild type of the mutations
    assert run_cli("suggest", run, "-n", 6, "--max-mutations", 2, "-o", tmp_path / "next.tsv") == 0
    assert "wild type: 16 residues, from the model" in capsys.readouterr().err
    frame = pd.read_csv(tmp_path / "next.tsv", sep="\t")
    predicted = biorrn.predict(str(run), dict(zip(frame["id"], frame["sequence"], strict=True)))
    assert frame["activity"].to_numpy() == pytest.approx(predicted["activity"].to_numpy(), abs=1e-3)
    again = biorrn.suggest(str(run), table, number=6, max_mutations=2)
    assert again["mutation"].tolist() == frame["mutation"].tolist()
    given = biorrn.suggest(str(run), table, wild_type=WILD, number=6, max_mutations=2)
    assert given["mutation"].tolist() == frame["mutation"].tolist()
    assert run_cli("predict", run, table, "-o", tmp_path / "all.csv") == 0
    assert "that of the model" in capsys.readouterr().err
    assert run_cli("predict", run, "--mutations", "K4W:S5F", "-o", tmp_path / "one.csv") == 0
    by_option = tmp_path / "option.csv"
    assert run_cli("predict", run, "--wild-type", WILD, "--mutations", "K4W:S5F", "-o", by_option) == 0
    assert (tmp_path / "one.csv").read_bytes() == by_option.read_bytes()
    assert len(biorrn.predict(str(run), table)) == 40


def test_a_run_that_predicts_nothing_warns_and_its_predictions_are_not_used(
    table: Path, run_cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(table)
    frame["activity"] = np.random.default_rng(3).permutation(frame["activity"])
    frame.to_csv(tmp_path / "noise.csv", index=False)
    run = tmp_path / "run"
    words = ("--target", "activity", "--wild-type", WILD, "--model", "gaussian", "--threads", 1)
    assert run_cli("train-table", tmp_path / "noise.csv", *words, "-o", run) == 0
    assert "nothing shows that it ranks new proteins" in capsys.readouterr().out
    assert "nothing shows that it ranks new proteins" in (run / "report.html").read_text()
    figure = tmp_path / "next.svg"
    asked = ("--max-mutations", 2, "-n", 6)
    assert run_cli("suggest", run, *asked, "-o", tmp_path / "next.csv", "--figure", figure) == 0
    said = capsys.readouterr().err
    assert "warning: model: Spearman " in said
    assert "Its predictions are not used; the Gaussian process fitted to the measured is" in said
    by_table = ("suggest", tmp_path / "noise.csv", "--target", "activity", "--wild-type", WILD, *asked)
    assert run_cli(*by_table, "-o", tmp_path / "table.csv") == 0
    without = pd.read_csv(tmp_path / "table.csv")
    assert pd.read_csv(tmp_path / "next.csv")["mutation"].tolist() == without["mutation"].tolist()


def test_a_table_that_is_not_there_is_told(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("suggest", "absent.csv", "--target", "y", "-n", "2") == 2
    assert capsys.readouterr().err.startswith("biorrn: error: absent.csv: ")


def test_whole_numbers_are_numbers(
    table: Path, run_cli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = pd.read_csv(table)
    measured["activity"] = 100 * measured["activity"].round().astype(int)
    measured.to_csv(tmp_path / "t.csv", index=False)
    words = ("suggest", tmp_path / "t.csv", "--wild-type", WILD, "-n", "4", "-o", tmp_path / "next.csv")
    assert run_cli(*words, "--target", "activity") == 0
    assert pd.read_csv(tmp_path / "next.csv")["activity"].max() > 50
    assert "--target-type" not in capsys.readouterr().err
    assert run_cli(*words) == 2
    assert "name a column of numbers of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--acquisition", "uct"), "did you mean 'ucb'"),
        (("-n", "999999"), "-n: found 999,999; allowed is 2,000 at most"),
        (("--plate", "95"), "--plate: found 95; allowed is 24, 48, 96, 384"),
        (("--keep", "99"), "--keep: found 99; the wild type has residues 1 to 16"),
        (("--avoid", "(["), "is no regular expression"),
        (("--target", "activty"), "did you mean 'activity'?"),
        (("--candidates", "A2W,K3W"), "expected 'K'"),
        (("--number", "0"), "--number: found 0"),
        (("--max-share", "0"), "--max-share: found 0"),
        (("--figure", "x.bmp"), "allowed is a name with .svg or .png"),
    ],
)
def test_wrong_input_is_one_line(
    words: tuple[str, ...],
    message: str,
    table: Path,
    run_cli: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = () if "--target" in words else ("--target", "activity")
    assert run_cli("suggest", table, *before, "--wild-type", WILD, "--strict", "-o", "next.csv", *words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("biorrn: error: ")
    assert message in error
    assert not (tmp_path / "next.csv").exists()
