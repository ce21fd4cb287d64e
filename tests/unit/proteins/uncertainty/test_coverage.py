"""Coverage is counted as it should be, in all and in every bin."""

import numpy as np
import pytest

from biorrn.proteins.figures import coverage_figure
from biorrn.proteins.predictions import Predictions, Proteins
from biorrn.proteins.uncertainty.conformal import LEVELS, fit
from biorrn.proteins.uncertainty.coverage import coverage_of, nearest_identity
from biorrn.sequences.alphabets import tokens
from biorrn.stats.bootstrap import proportion
from biorrn.stats.figures import as_bytes
from biorrn.stats.results import coverage_lines

KINDS = ("length", "identity", "flag")  # of bins; "width" where intervals differ in it


def proteins(sequences: list[str], targets: np.ndarray) -> Proteins:
    ids = np.array([f"p{number}" for number in range(len(sequences))], object)
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    return Proteins(ids, tokens("".join(sequences)), lengths, targets[:, None], np.ones(len(sequences)))


def given(values: np.ndarray, half: np.ndarray, marks: list[list[str]] | None = None) -> Predictions:
    lower, upper = (values - half)[:, None], (values + half)[:, None]
    return Predictions(values[:, None], {}, marks or [[] for _ in values], lower, upper)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (90, 100), (1, 1), (0, 58)])
def test_proportion_lies_in_its_interval(hits: int, n: int) -> None:
    found = proportion(hits, n)
    assert found["n"] == n
    assert found["value"] == hits / n
    assert 0 <= found["low"] <= found["value"] + 1e-12
    assert found["value"] - 1e-12 <= found["high"] <= 1
    assert found["high"] - found["low"] > 0.05


def test_no_rows() -> None:
    found = proportion(0, 0)
    assert found["n"] == 0
    assert np.isnan(found["value"])


def test_bins_are_parts_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=200)
    true[:10] = np.nan
    rows = proteins(["A" * int(n) for n in rng.integers(10, 60, 200)], true)
    marks = [["unlike_training"] if number % 50 == 0 else ["empty"] for number in range(200)]
    predictions = given(np.zeros(200), np.full(200, 1.0), marks)
    likeness = rng.uniform(size=200) * rng.integers(0, 2, 200)
    found = coverage_of(rows, predictions, 0, likeness=likeness)
    held = np.abs(true[10:]) <= 1
    assert found["overall"]["n"] == 190
    assert found["overall"]["value"] == pytest.approx(held.mean())
    assert found["overall"]["width"] == 2.0
    for kind in KINDS:
        assert len(found[kind]) > 1
        assert sum(row["n"] for row in found[kind]) == 190
        assert sum(row["n"] * row["value"] for row in found[kind]) == pytest.approx(held.sum())
    assert found["width"] == []  # all are as wide
    assert [row["level"] for row in found["levels"]] == [0.9]
    assert found["levels"][0]["value"] == found["overall"]["value"]


def test_other_levels_follow_from_what_the_model_carries() -> None:
    rng = np.random.default_rng(1)
    true, spread = rng.normal(size=400), rng.gamma(2.0, size=400)
    entry = fit(true, np.zeros(400), spread)
    assert entry is not None
    half = entry["quantiles"][LEVELS.index(0.9)] * np.hypot(spread, entry["floor"])
    rows = proteins(["ACD"] * 400, true)
    found = coverage_of(rows, given(np.zeros(400), half), 0, level=0.9, entry=entry)
    assert [row["level"] for row in found["levels"]] == list(LEVELS)
    for row in found["levels"]:
        assert row["value"] == pytest.approx(row["level"], abs=0.01)
    assert [row["width"] for row in found["levels"]] == sorted(row["width"] for row in found["levels"])
    assert [row["name"] for row in found["length"]] == ["3 residues"]
    assert [row["n"] for row in found["width"]] == pytest.approx([80] * 5, abs=1)
    assert sum(row["n"] for row in found["width"]) == 400
    assert [row["width"] for row in found["width"]] == sorted(row["width"] for row in found["width"])
    held = sum(row["n"] * row["value"] for row in found["width"])
    assert held == pytest.approx(400 * found["overall"]["value"])
    assert found["identity"] == found["flag"] == []


def test_nearest_identity() -> None:
    rng = np.random.default_rng(2)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    train = ["".join(rng.choice(letters, 50)) for _ in range(30)]
    queries = [train[3], train[4][:20] + "W" + train[4][21:], "".join(rng.choice(letters, 50))]
    found = nearest_identity(proteins(queries, np.zeros(3)), proteins(train, np.zeros(30)))
    assert found is not None
    assert found[0] == 1.0
    assert found[1] in (0.98, 1.0)
    assert found[2] < 0.4
    assert (
        nearest_identity(proteins(queries, np.zeros(3)), proteins(train, np.zeros(30)).select(np.zeros(30, bool)))
        is None
    )


@pytest.mark.filterwarnings("error")
def test_no_row_has_an_interval() -> None:
    found = coverage_of(proteins(["ACDE"] * 3, np.ones(3)), given(np.ones(3), np.full(3, np.nan)), 0)
    assert found["overall"]["n"] == 0
    content = {"coverage": {"tm": found}, "metrics": {"tm": {"spearman": {"n": 3}}}}
    assert coverage_lines(content) == [
        "tm: coverage of the intervals is unknown: 3 rows outside the training data have no interval"
    ]


def test_line_and_figure() -> None:
    rows = proteins(["A" * n for n in range(5, 45)], np.arange(40.0))
    entry = coverage_of(rows, given(np.arange(40.0), np.ones(40)), 0, likeness=np.linspace(0, 1, 40))
    content = {"coverage": {"tm": entry}, "metrics": {"tm": {"spearman": {"n": 43}}}}
    [line] = coverage_lines(content)
    assert line.endswith("; 3 rows outside the training data have no interval")
    assert line.startswith("tm: intervals for 90 % hold 100.0 % (91.2 to 100.0) of 40 measured values; mean width 2")
    assert coverage_lines({}) == []
    drawing = coverage_figure("coverage", "tm", entry, "valid split")
    assert drawing.name == "coverage"
    assert as_bytes(drawing.figure, "svg").startswith(b"<?xml")
