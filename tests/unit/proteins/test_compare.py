"""Comparing two models: symmetric, paired, and silent where chance could do it."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError
from biorrn.proteins.compare import compare_models, compare_values, comparison_figure, lines
from biorrn.proteins.evaluate import evaluate_regression
from biorrn.stats.figures import write_figure
from biorrn.stats.metrics import METRICS


def sides(noise_a: float, noise_b: float, runs: int = 1, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = rng.normal(size=n)
    return true, true + noise_a * rng.normal(size=(runs, n)), true + noise_b * rng.normal(size=(runs, n))


@pytest.mark.parametrize("runs", [1, 3])
def test_the_better_side_is_named_whichever_it_is(runs: int) -> None:
    true, good, bad = sides(0.3, 1.5, runs)
    there, back = compare_values(true, good, bad), compare_values(true, bad, good)
    assert (there["better"], back["better"]) == ("a", "b")
    assert there["won"]["a"] == back["won"]["b"] > 150
    assert there["wilcoxon_p"] == pytest.approx(back["wilcoxon_p"])
    assert there["sign_p"] < 1e-6
    for metric, entry in there["metrics"].items():
        gap = entry["difference"]
        assert gap["value"] == pytest.approx(-back["metrics"][metric]["difference"]["value"])
        assert gap["low"] <= gap["value"] <= gap["high"]
        assert entry["a"] == pytest.approx(np.mean([METRICS[metric](true, run) for run in good]))


def test_a_model_against_itself_is_chance() -> None:
    true, same, _ = sides(0.5, 0.5)
    found = compare_values(true, same, same)
    assert found["better"] is None
    assert found["won"] == {"a": 0, "b": 0, "equal": 200}
    assert found["sign_p"] == found["wilcoxon_p"] == 1.0
    assert found["metrics"]["spearman"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["sentence"].startswith("No significant difference")


def test_seeds_that_differ_widen_the_interval() -> None:
    true, a, b = sides(0.5, 0.5)
    rng = np.random.default_rng(5)
    several = np.concatenate([a, true + 2.5 * rng.normal(size=(1, 200))])

    def width(side: np.ndarray) -> float:
        gap = compare_values(true, side, b)["metrics"]["spearman"]["difference"]
        return float(gap["high"] - gap["low"])

    assert width(several) > 2 * width(a)


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_too_few_rows_say_so(n: int) -> None:
    true = np.full(5, np.nan)
    true[:n] = np.arange(n)
    found = compare_values(true, np.ones((1, 5)), np.zeros((1, 5)))
    assert found["n"] == n
    assert found["better"] is None
    assert "cannot be compared" in found["sentence"]
    content = {"a": "a", "b": "b", "rows": n, "split": "all", "targets": {"y": found}, "cautions": []}
    assert not any("nan" in line for line in lines(content))


def predictions(path: Path, noise: float, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    rows = [f"p{i}\t{rng.normal() * noise + i:.4f}\t." for i in range(45, 60)]
    path.write_text("\n".join(["id\tleucine\tflags", *rows]) + "\n")
    return path


def test_tables_of_predictions_are_compared(tmp_path: Path, tiny_proteins: Path) -> None:
    a, b = (predictions(tmp_path / f"{name}.tsv", 2.0, seed) for seed, name in enumerate("ab"))
    content, true, both = compare_models(str(a), f"{a},{b}", data=tiny_proteins)
    assert content["rows"] == true.shape[0] == 15
    assert [side.values.shape for side in both] == [(1, 15, 1), (2, 15, 1)]
    assert any("leucine" in line for line in lines(content))
    write_figure(tmp_path / "c.svg", comparison_figure(content, true, both))
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


def test_tables_are_compared_on_a_table_of_mutations(tmp_path: Path) -> None:
    """The rows are those of the table; a mutation that cannot be used is in neither."""
    wild = "MTYKLILNGKTLKGETTTEAVDAATAEKVF"
    changes = [f"{letter}{place}{'W' if letter != 'W' else 'A'}" for place, letter in enumerate(wild, 1)]
    scan = tmp_path / "scan.csv"
    scan.write_text("mutant,DMS_score\n" + "".join(f"{name},{k}\n" for k, name in enumerate(changes)) + "K4*,3\n")
    text = "id\tlength\tleucine\tflags\n" + "".join(f"{name}\t30\t{k}\t.\n" for k, name in enumerate(changes))
    (tmp_path / "a.tsv").write_text(text + "K4*\t\t\tleft_out,stop_codon\n")
    (tmp_path / "b.tsv").write_text(text.replace("\t7\t.", "\t70\t."))
    sides = str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv")
    content, true, _ = compare_models(*sides, data=scan, target=["leucine=DMS_score"], wild_type=wild)
    assert (content["rows"], content["split"]) == (30, "all")
    assert true[:, 0].tolist() == list(range(30))
    assert content["targets"]["leucine"]["metrics"]["mae"]["a"] == 0.0
    assert content["targets"]["leucine"]["won"] == {"a": 1, "b": 0, "equal": 29}
    found, _, _ = evaluate_regression(
        tmp_path / "a.tsv", scan, name="x", target=["leucine=DMS_score"], wild_type=wild, baselines="none"
    )
    assert found["metrics"]["leucine"]["rmse"]["value"] == 0.0
    for options, message in (
        ({"wild_type": wild}, "has no column named leucine, which is predicted; name the measured values"),
        ({"target": ["tm=DMS_score"], "wild_type": wild}, "--target: 'tm' is not predicted; allowed is one of leucine"),
        ({"target": ["leucine=DMS_score"]}, "column 'mutant' holds mutations"),
    ):
        with pytest.raises(BiorrnError, match=message):
            compare_models(*sides, data=scan, **options)


def test_options_of_a_table_are_refused_for_a_prepared_file(tmp_path: Path, tiny_proteins: Path) -> None:
    table = str(predictions(tmp_path / "a.tsv", 1.0, 0))
    for options in ({"wild_type": "MKV"}, {"target": ["leucine=y"]}, {"offset": 1}):
        with pytest.raises(BiorrnError, match=r"needs a table; .*tiny\.h5 is read as a prepared file"):
            compare_models(table, table, data=tiny_proteins, **options)


@pytest.mark.parametrize(
    ("a", "options", "message"),
    [
        ("a.tsv", {}, "need the prepared file"),
        ("no.tsv", {}, "not found; allowed is a run folder or a table"),
        (".", {}, "provenance.json is missing"),
        ("a.tsv", {"split": "vaild", "data": True}, "--split: found 'vaild'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, tiny_proteins: Path, a: str, options: dict, message: str
) -> None:
    table = predictions(tmp_path / "a.tsv", 1.0, 0)
    options = {**options, "data": tiny_proteins} if "data" in options else options
    with pytest.raises(BiorrnError, match=message):
        compare_models(str(tmp_path / a), str(table), **options)
