"""The table that a terminal shows is aligned, and says what is not beaten."""

from typing import Any

import numpy as np
import pytest

from biorrn.stats.baselines import headline
from biorrn.stats.results import comparison_lines, summary_lines


def estimate(value: float | None, half: float | None = 0.05) -> dict[str, Any]:
    ends = (None, None) if value is None or half is None else (value - half, value + half)
    return {"n": 40, "value": value, "low": ends[0], "high": ends[1]}


def entry(spearman: float | None, gap: float, half: float | None = 0.05) -> dict[str, Any]:
    difference = estimate(gap, half)
    return {
        "metrics": {"spearman": estimate(spearman), "rmse": estimate(0.4)},
        "difference": {"spearman": difference},
        "beats": half is not None and gap > half,
        "sentence": "",
    }


MODEL = {"spearman": estimate(0.7), "rmse": estimate(0.3)}
COMPARED = {"cnn": entry(0.9, -0.2), "svm": entry(0.68, 0.02), "ridge": entry(0.5, 0.2), "mean": entry(None, 0.7)}


def test_columns_are_aligned() -> None:
    lines = comparison_lines(MODEL, COMPARED)
    header, *rows, sentence = lines
    assert [row.split()[0] for row in rows] == ["model", *COMPARED]
    for column in ("Spearman", "RMSE"):
        end = header.index(column) + len(column)
        assert all(row[end - 1] != " " and row[end : end + 1] in (" ", "") for row in rows)
    at = header.index("beaten")
    assert [row[at:] for row in rows] == ["", "NO", "not shown", "yes", "yes"]
    assert "0.650 to 0.750" in rows[0]
    assert "-0.250 to -0.150" in rows[1]
    assert sentence == headline(COMPARED)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ridge", "mean"], "The model beats all 2 baselines."),
        (["ridge"], "The model beats 1 baseline."),
        (["cnn", "ridge"], "The model does not beat 1 of 2 baselines: it is worse than cnn."),
        (["svm", "ridge"], "The model does not beat 1 of 2 baselines: it may equal svm."),
        (["cnn", "svm"], "The model does not beat 2 of 2 baselines: it is worse than cnn; it may equal svm."),
        ([], ""),
    ],
)
def test_headline(names: list[str], words: str) -> None:
    assert headline({name: COMPARED[name] for name in names}) == words


def test_too_few_values_are_said() -> None:
    compared = {"mean": entry(None, float("nan"), None)}
    assert "could not be compared with mean" in headline(compared)
    assert comparison_lines(MODEL, compared)[2].endswith("too few values")


@pytest.mark.parametrize(("rows", "why"), [(1, "fewer than two rows have a value"), (4, "all measured or all")])
def test_why_a_metric_is_undefined(rows: int, why: str) -> None:
    metrics = {"tm": {"spearman": {"value": np.nan, "low": np.nan, "high": np.nan, "n": rows}}}
    content = {"kind": "regression", "split": "test", "metrics": metrics, "baselines": {}, "cautions": []}
    (line,) = summary_lines(content)
    assert line.startswith(f"tm\tspearman\tundefined, as {why}")
    assert "nan" not in line


def test_a_value_of_few_rows_has_no_interval() -> None:
    metrics = {"tm": {"spearman": {"value": 1.0, "low": np.nan, "high": np.nan, "n": 2}}}
    content = {"kind": "regression", "split": "test", "metrics": metrics, "baselines": {}, "cautions": []}
    assert summary_lines(content) == ["tm\tspearman\t1.0000 (too few for an interval, n 2)"]


def test_no_baselines_no_table() -> None:
    content = {
        "kind": "regression",
        "metrics": {"tm": {"rmse": estimate(0.3)}},
        "baselines": {},
        "cautions": ["Beware."],
    }
    assert summary_lines(content) == ["tm\trmse\t0.3000 (0.2500 to 0.3500, n 40)", "Beware."]
