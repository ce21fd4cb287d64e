"""Several evaluations as one table, on made-up JSON files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.proteins.benchmark import (
    COLUMNS,
    Published,
    benchmark_figure,
    collect,
    markdown,
    parse_metrics,
    read_published,
    seed_interval,
    write_tsv,
)
from biorrn.stats.figures import as_bytes

Make = Callable[..., Path]


def metrics_of(spearman: float | None, r2: float | None = 0.3, n: int = 40) -> dict[str, Any]:
    return {
        name: {"n": n, "value": value, "low": None if value is None else value - 0.1, "high": 0.9}
        for name, value in (("spearman", spearman), ("r2", r2))
    }


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes an evaluation, and its run folder beside it."""

    def write(name: str, seed: int, spearman: float, split: str = "test", baselines: bool = False, **more: Any) -> Path:
        content = {"kind": "regression", "name": name, "split": split, "note": "", "figures": [], "inputs": {}}
        content |= {"targets": [{"name": "y", "unit": ""}], "metrics": {"y": metrics_of(spearman)}, "baselines": {}}
        if baselines:
            content["baselines"] = {
                "y": {
                    "mean": {"metrics": metrics_of(None, -0.01), "beats": True},
                    "ridge": {"metrics": metrics_of(0.4, 0.5), "beats": True},
                    "cnn": {"metrics": metrics_of(0.6, 0.2), "beats": False},
                }
            }
        path = tmp_path / f"{name}.{seed}.json"
        path.write_text(json.dumps(content | more))
        folder = tmp_path / f"{name}.{seed}"
        folder.mkdir(exist_ok=True)
        (folder / "provenance.json").write_text(json.dumps({"recipe": "small", "seconds": 60 * (seed + 1)}))
        return path

    return write


FIGURES = [
    Published("gb1", False, "spearman", 0.7, "test", "one network", "A 2020"),
    Published("gb1", True, "spearman", 0.8, "test", "", "B 2021"),
    Published("gb1", True, "r2", 0.1, "test", "", "of another metric"),
    Published("tm", False, "spearman", 0.5, "test", "", "C 2022"),
]


def test_seeds_of_one_name_are_one_row(make: Make) -> None:
    paths = [make("gb1", 0, 0.5, baselines=True), make("gb1", 1, 0.6), make("tm", 0, 0.2, "valid")]
    rows = collect(paths, [path.with_suffix("") for path in paths], published=FIGURES)
    assert [row.set for row in rows] == ["gb1", "tm"]
    gb1, tm = rows
    assert gb1.scores.tolist() == [0.5, 0.6]
    assert gb1.score == pytest.approx(0.55)
    assert gb1.over_rows == pytest.approx((0.45, 0.9))
    assert (gb1.recipe, gb1.minutes, gb1.n) == ("small", 1.5, 40)
    assert list(gb1.baselines) == ["cnn", "ridge", "mean"]  # the best first, those without a score last
    assert gb1.unbeaten == ["cnn"]
    assert [figure.score for figure in gb1.published] == [0.7, 0.8]
    assert gb1.remark == ""
    assert tm.remark == "our score is of validation rows, the published ones are of test rows"
    assert np.isnan(tm.over_seeds).all()


def test_another_metric_orders_the_baselines_anew(make: Make) -> None:
    (row,) = collect([make("gb1", 0, 0.5, baselines=True)], metrics={"gb1": "r2"}, published=FIGURES)
    assert row.score == 0.3
    assert list(row.baselines) == ["ridge", "cnn", "mean"]
    assert [figure.score for figure in row.published] == [0.1]
    assert np.isnan(row.minutes)


def test_order_of_the_seeds_does_not_matter(make: Make) -> None:
    paths = [make("gb1", seed, 0.5 + seed / 10, baselines=seed == 0) for seed in range(3)]
    one, other = collect(paths)[0], collect(paths[::-1])[0]
    assert one.score == pytest.approx(other.score)
    assert one.over_seeds == pytest.approx(other.over_seeds)
    assert one.baselines == pytest.approx(other.baselines, nan_ok=True)
    assert one.unbeaten == other.unbeaten


def test_interval_over_seeds() -> None:
    low, high = seed_interval(np.array([0.5, 0.6, 0.7]))
    assert (low, high) == pytest.approx((0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 4.302653 * 0.1 / 3**0.5))
    assert np.isnan(seed_interval(np.array([0.5]))).all()


def test_tsv_has_a_line_a_set_and_a_column_a_baseline(make: Make, tmp_path: Path) -> None:
    paths = [make("gb1", 0, 0.5, baselines=True, note="two\tlines\nof note"), make("tm", 0, 0.2, "valid")]
    write_tsv(tmp_path / "t.tsv", collect(paths, published=FIGURES))
    with open(tmp_path / "t.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["set"] for row in rows] == ["gb1", "tm"]
    assert rows[0]["baseline_ridge"] == "0.4000"
    assert rows[0]["published"] == "0.7 (one network)"
    assert rows[0]["published_source"] == "A 2020; B 2021"
    assert rows[0]["note"] == "two lines of note"
    assert (rows[1]["baseline_ridge"], rows[1]["minutes"], rows[1]["seeds_low"]) == ("", "", "")
    assert "published ones are of test rows" in rows[1]["remark"]


def test_markdown_says_where_rows_differ(make: Make) -> None:
    text = markdown(collect([make("gb1", 0, 0.5, baselines=True), make("tm", 0, 0.2, "valid")], published=FIGURES))
    assert "| tm |  | valid * |" in text
    assert "- tm (*): our score is of validation rows" in text
    assert "gb1 (*)" not in text
    assert "- gb1: A 2020; B 2021." in text
    widths = {line.count("|") for line in text.split("##")[0].splitlines() if line.startswith("|")}
    assert len(widths) == 1
    assert "nan" not in text


def test_markdown_without_baselines_and_figures(make: Make) -> None:
    text = markdown(collect([make("gb1", 0, 0.5)]))
    assert "##" not in text


@pytest.mark.parametrize("format", ["svg", "png"])
def test_figure_of_many_and_of_few(make: Make, format: str) -> None:
    paths = [make("gb1", 0, 0.5, baselines=True), make("gb1", 1, 0.6), make("tm", 0, -3.0, "valid")]
    assert as_bytes(benchmark_figure(collect(paths, published=FIGURES)).figure, format)
    assert as_bytes(benchmark_figure(collect(paths[:1])).figure, format)


def test_published_figures_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("\t".join(COLUMNS) + "\ngb1\tyes\tspearman\t0.8\ttest\t\tB 2021\n")
    assert read_published(path) == [FIGURES[1]]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("set\tscore\ngb1\t1\n", "column 'language_model' is missing"),
        ("\t".join(COLUMNS) + "\ngb1\tmaybe\tspearman\t0.8\ttest\t\tB\n", "row 1: language_model: found 'maybe'"),
        ("\t".join(COLUMNS) + "\ngb1\tno\tspearman\thigh\ttest\t\tB\n", "row 1: score: found 'high'"),
    ],
)
def test_fault_in_published_figures(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "p.tsv").write_text(text)
    with pytest.raises(InputError, match=fragment):
        read_published(tmp_path / "p.tsv")


def test_faults_are_named(make: Make) -> None:
    one, other = make("gb1", 0, 0.5), make("gb1", 1, 0.5, "valid")
    cases: list[tuple[Callable[[], object], type[BiorrnError], str]] = [
        (lambda: collect([one, other]), InputError, "key 'split' is not what the first evaluation"),
        (lambda: collect([one], [one.with_suffix("")] * 2), ConfigError, "found 2 for 1 evaluations"),
        (lambda: collect([one], metrics={"gb": "r2"}), ConfigError, "did you mean 'gb1'"),
        (lambda: parse_metrics(["gb1"]), ConfigError, "allowed is SET=METRIC"),
        (lambda: parse_metrics(["gb1=rmse"]), ConfigError, "metric 'rmse' is unknown"),
        (lambda: collect([make("calls", 0, 0.5, kind="basecalls")]), InputError, "expected regression"),
    ]
    for call, error, fragment in cases:
        with pytest.raises(error) as raised:
            call()
        assert fragment in str(raised.value)
