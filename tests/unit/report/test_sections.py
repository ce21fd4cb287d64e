"""The parts of the report: costs, data sets, samples, runs side by side, and figures fit to be embedded."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.report.cost import costs_section, read_benchmarks, row, total
from biorrn.report.figures import (
    DEPTH,
    SHOWN,
    comparison_figure,
    composition_figure,
    cost_figure,
    embedded,
    figures_of,
    gradient_depth,
    histogram_figure,
    size,
    slim,
    training_figures,
)
from biorrn.report.page import render
from biorrn.report.sections import (
    data_set,
    histograms,
    predictions,
    sample_part,
    sample_tables,
    samples,
)
from biorrn.report.wording import KINDS, leakage_sentences
from biorrn.stats.figures import as_bytes

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
HISTOGRAM = {"edges": [0, 10, 20], "counts": [4, 6]}


def write_benchmark(folder: Path, name: str, *rows: str, head: str = HEAD) -> Path:
    path = folder / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join(f"{line}\n" for line in rows))
    return path


# --- costs ---


def test_costs_are_summed_by_rule_and_name_and_memory_is_the_highest(tmp_path: Path) -> None:
    write_benchmark(tmp_path, "basecall/a/0", "60.0\t0:01:00\t500.0\t1\t1\t1\t2.0\t0.5\t99\t90.0")
    write_benchmark(tmp_path, "basecall/a/1", "30.0\t0:00:30\t700.0\t1\t1\t1\t1.0\t0.5\t99\t30.0")
    write_benchmark(tmp_path, "train/a", "120\t0:02:00\t300\t1\t1\t1\t-\tNA\t9\t60")
    write_benchmark(tmp_path, "report", "1\t0:00:01\t100\t1\t1\t1\t1\t1\t9\t1")
    found = {(cost.rule, cost.name): cost for cost in read_benchmarks(tmp_path)}
    assert set(found) == {("basecall", "a"), ("train", "a")}  # the report's own is of another report
    cost = found["basecall", "a"]
    assert (cost.jobs, cost.seconds, cost.cpu, cost.memory, cost.read) == (2, 90.0, 120.0, 700.0, 3.0)
    assert math.isnan(found["train", "a"].read)
    assert [cell["text"] for cell in row(found["train", "a"])["cells"]] == [
        *("1", "2.0", "1.0", "0.50", "300 MB", "–", "–")
    ]
    assert total(found.values()) == {
        **{"jobs": "3", "minutes": "3.5", "cpu": "3.0", "memory": "700 MB", "raw_memory": 700.0}
    }


def test_a_job_too_short_to_be_measured_costs_nothing(tmp_path: Path) -> None:
    write_benchmark(tmp_path, "predict/a", "0.1\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA")
    (cost,) = read_benchmarks(tmp_path)
    assert row(cost)["cells"][4] == {"text": "–", "raw": None}
    section = costs_section([cost])
    assert section is not None
    assert len(section["figures"]) == 1
    assert costs_section([]) is None


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [
        ("s\n", "1.0", "column 'max_rss' is missing"),
        ("", "", "column 's' is missing"),
        ("s\tmax_rss\n", "1.0", "line 2 has 1 cells"),
        ("s\tmax_rss\n", "1.0\tmuch", "line 2: column 'max_rss'"),
    ],
)
def test_what_is_no_benchmark_file_is_one_line(tmp_path: Path, head: str, line: str, message: str) -> None:
    path = write_benchmark(tmp_path, "train/a", line, head=head)
    with pytest.raises(InputError, match=r"train/a\.tsv") as caught:
        read_benchmarks(tmp_path)
    assert message in str(caught.value)
    with pytest.raises(InputError, match="not a folder"):
        read_benchmarks(path)


# --- data sets ---


def test_histograms_are_taken_out_and_nothing_else() -> None:
    content = {"lengths": {"train": HISTOGRAM, "valid": HISTOGRAM}, "alone": HISTOGRAM, "n": 3, "deep": {"x": 1}}
    content["targets"] = {"tm": {"n": 2, "histograms": {"train": HISTOGRAM}}}
    found, rest = histograms(content)
    assert {name: list(family) for name, family in found.items()} == {
        **{"length": ["train", "valid"], "alone": [""], "value": ["train"]}
    }
    assert rest == {"n": 3, "deep": {"x": 1}, "targets": {"tm": {"n": 2}}}


@pytest.mark.parametrize(
    ("entry", "words", "bad"),
    [
        (
            {"proteins": 90, "identical_in_train": 0, "compared": 90, "within_0.9": 0.02},
            "2.0 % of at least 90 %",
            False,
        ),
        ({"proteins": 90, "identical_in_train": 3}, "3 of 90 proteins are also in train.", True),
        ({"segments": 9, "reads_in_train": 8, "reference_bases": 2500, "covered_by_train": 0.0}, "8 reads", False),
        ({"segments": 9, "reads_in_train": 0, "reference_bases": 2500, "covered_by_train": 0.25}, "25.0 %", True),
        ({"segments": 9, "reads_in_train": 0, "covered_by_train": None}, "0 reads have another segment", False),
    ],
)
def test_leakage_is_a_sentence_and_bad_where_rows_are_shared(entry: dict[str, Any], words: str, bad: bool) -> None:
    (found,) = leakage_sentences({"leakage": {"duplicates_in_train": 3, "valid": entry, "test": {"proteins": 0}}})
    assert words in found["text"]
    assert found["bad"] is bad


def test_a_data_set_of_unknown_keys_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "set.prepare.json"
    path.write_text(json.dumps({"kind": "new", "composition": {"train": {"A": 0.5, "C": 0.5}}, "odd": [{"a": 1}]}))
    found = data_set(path)
    assert found["name"] == "set"
    assert [entry["name"] for entry in found["figures"]] == ["set_composition"]
    assert {block["title"] for block in found["blocks"]} == {"", "odd", "composition"}


def test_what_repeated_measurements_tell_is_a_sentence_of_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "set.prepare.json"
    path.write_text(json.dumps({"kind": "protein", "repeats": ["tm: 1 of 8 proteins"]}))
    found = data_set(path)
    assert found["repeats"] == ["tm: 1 of 8 proteins"]
    assert not any("repeats" in block["title"] for block in found["blocks"])


# --- samples ---


def write_sample(folder: Path, kind: str, name: str, **more: Any) -> Path:
    path = folder / f"{name}.{kind}.json"
    path.write_text(json.dumps({"kind": kind, "name": name, "command": f"biorrn {kind}", "figures": []} | more))
    return path


def test_files_of_one_name_are_one_sample(tmp_path: Path) -> None:
    estimate = {"n": 5, "value": 0.95, "low": 0.9, "high": 1.0}
    paths = {
        "qc": [write_sample(tmp_path, "qc", name, counts={"called": n}) for n, name in enumerate("ab")],
        "mapping": [write_sample(tmp_path, "mapping", "b", metrics={"mapped_fraction": estimate}, facts={"x": "y"})],
        "assembly": [write_sample(tmp_path, "assembly", "b", skipped="no miniasm here", tables={"rows": [{"a": 1}]})],
        "generated": [write_sample(tmp_path, "generated", "b", generated={"n": 8, "copies": 0.25})],
    }
    for path in (paths["mapping"][0], paths["assembly"][0]):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "of a sheet"}))
    found = samples(paths)
    assert [sample["notes"] for sample in found] == [[], ["of a sheet"]]
    assert [(sample["name"], [part["kind"] for part in sample["parts"]]) for sample in found] == [
        *(("a", ["qc"]), ("b", list(KINDS)))
    ]
    mapping, assembly, generated = found[1]["parts"][1:]
    assert ("generated copies", "0.25") in generated["facts"]
    assert mapping["facts"] == [("mapped fraction", "95.00 %"), ("x", "y")]
    assert [block["title"] for block in assembly["blocks"]] == ["rows"]
    assert [table["title"] for table in sample_tables(found)] == list(KINDS.values())
    page = render(sampled=paths)
    assert page.count("of a sheet") == 1
    assert "no miniasm here" in page
    assert 'href="#sample-b"' in page


VALUES = "id\tlength\tstability\tstability_lower\tstability_upper\tflags\n"
STATES = "id\tposition\tresidue\tstate\tp_H\tp_E\tp_C\n"
SCAN = "id\tposition\twild_type\tmutant\tmutation\tscaled_effect\tscaled_effect_difference\tflags\n"


def test_predictions_of_finished_models_come_first(tmp_path: Path) -> None:
    """Values of the same proteins share a table; a doubt stands below its value; a scan lists what changes most."""
    (tmp_path / "a.tsv").write_text(VALUES + "p1\t43\t1.5\t1.0\t2.0\t.\np2\t90\t-0.25\t\t\tunlike_training\n")
    (tmp_path / "s.tsv").write_text(STATES + "p1\t1\tA\tH\t0.9\t0.1\t0\np1\t2\tG\tC\t0.2\t0.1\t0.7\n")
    lines = [(1, "M", "A", -0.5), (1, "M", "C", -0.7), (2, "S", "A", 0.1), (2, "S", "SA", -9.0)]
    rows = [f"t\t{n}\t{old}\t{new}\t{old}{n}{new}\t0\t{change}\t.\n" for n, old, new, change in lines]
    (tmp_path / "x.tsv").write_text(SCAN + "".join(rows))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "t.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    given = [("stability", "a"), ("stability", "a"), ("secondary_structure", "s"), ("beta_lactamase", "x")]
    paths = [(model, tmp_path / f"{name}.tsv") for model, name in given]
    found = predictions(paths)
    (table,) = found["tables"]
    assert table["columns"] == ["stability, log10 EC50"] * 2
    assert [row["cells"][0]["text"] for row in table["rows"]] == ["1.5", "-0.25"]
    assert [row["cells"][1]["interval"] for row in table["rows"]] == ["1 to 2", ""]
    assert [row["cells"][1]["flags"] for row in table["rows"]] == ["", "unlike training"]
    states, scan = found["parts"]
    assert [cell["text"] for cell in states["rows"][0]["cells"]] == ["2", "50 %", "0 %", "50 %", "0.80"]
    assert [row["name"] for row in scan["rows"]] == ["M1", "S2"]
    assert scan["rows"][0]["cells"][1]["text"] == "M1C -0.7"
    assert scan["sentence"].startswith("3 substitutions at 2 positions")
    assert len(scan["figures"]) == 1
    page = render(predicted=paths)
    assert 'id="results"' in page
    assert 'id="overview"' not in page  # of no run there is nothing to say
    assert "mini-proteins of 43 to 50 residues" in page


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("", "column 'id' is missing in the first line"),
        (VALUES + "p1\t43\n", "line 2 has 2 cells; the first line has 6"),
        (VALUES + "p1\t43\thigh\t\t\t.\n", "column 'stability': could not convert"),
        (VALUES.replace("stability", "tm") + "p1\t43\t1\t\t\t.\n", "column 'stability' is missing: the table is of"),
    ],
)
def test_a_table_that_is_no_prediction_is_one_line(tmp_path: Path, content: str, fragment: str) -> None:
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(InputError, match=fragment):
        predictions([("stability", tmp_path / "a.tsv")])


def test_a_sample_of_another_kind_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="key 'kind': found 'mapping'; expected 'qc'"):
        sample_part(write_sample(tmp_path, "mapping", "a"), "qc")


# --- figures ---


def history(epochs: int, parts: int) -> dict[str, np.ndarray]:
    columns = {name: np.arange(epochs, dtype=float) for name in ("epoch", "valid_rmse", "valid_mae", "valid_f1")}
    return columns | {f"{DEPTH}core.{k}": np.full(epochs, 0.5 + k) for k in range(parts)}


def test_columns_decide_what_is_drawn_of_a_training() -> None:
    assert [drawing.name for drawing in training_figures(history(3, 0))] == ["errors", "f1"]
    assert [drawing.name for drawing in training_figures(history(3, 4))] == ["errors", "f1", "gradient_depth"]
    assert training_figures(history(0, 4)) == []


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_parts_without_a_gradient_are_not_drawn(value: float) -> None:
    columns = history(2, 2)
    columns[f"{DEPTH}core.1"][:] = value
    assert gradient_depth(columns) is None
    assert gradient_depth(history(1, 2) | {f"{DEPTH}core.0": np.array([0.5])}) is not None


@pytest.mark.parametrize("n", [2, SHOWN + 5])
def test_figures_of_many_runs_show_the_best(n: int) -> None:
    rows = [{"name": f"a_$_long_name_of_run_{k}", "value": k / n, "low": None, "high": 1.0} for k in range(n)]
    drawing = comparison_figure("c", "Spearman", rows)
    assert (f"The best {SHOWN} of {n} runs." in drawing.caption) is (n > SHOWN)
    times = {f"run{k}": {f"rule{j}": 10.0 * j for j in range(9)} for k in range(n)}
    costs = cost_figure(times)
    assert costs is not None
    assert as_bytes(drawing.figure, "svg")
    assert as_bytes(costs.figure, "svg")
    assert cost_figure({"a": {"b": 0.0}}) is None


def test_nothing_counted_is_not_drawn() -> None:
    assert histogram_figure("x", "length", {"train": ([0.0], [0.0])}) is None
    assert histogram_figure("x", "length", {"": ([0.0], [3.0])}) is not None
    assert composition_figure({"train": {"A": 0.0}}) is None


def test_slim_pictures_look_the_same() -> None:
    drawing = comparison_figure("c", "x", [{"name": "a", "value": 0.5, "low": 0.4, "high": 0.6}] * 2)
    whole = as_bytes(drawing.figure, "svg")
    less = slim(whole)
    assert len(less) < 0.8 * len(whole)
    assert less.count(b"<path") == whole.count(b"<path")
    assert less.count(b"scale(0.015625)") == whole.count(b"scale(0.015625)") > 0
    assert size(less, "svg") == size(whole, "svg") == (317, 125)
    assert slim(b"<svg> <g/> </svg>") == b"<svg> <g/> </svg>"


def test_names_of_downloads_are_safe() -> None:
    found = embedded(b"<svg/>", "svg", "", "../../<b>/\u0000" + "x" * 500)
    assert found["name"].startswith("b_x")
    assert len(found["name"]) <= 80
    assert found["width"] is None


@pytest.mark.parametrize("name", ["../a.svg", "/etc/a.svg", ""])
def test_figures_lie_below_the_file_that_names_them(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="allowed is one below the folder"):
        figures_of({"figures": [{"path": name}]}, tmp_path / "in" / "x.json", "x")


def test_a_figure_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("root:x:0:0")
    with pytest.raises(InputError, match="is no PNG"):
        figures_of({"figures": [{"path": "a.png"}]}, tmp_path / "x.json", "x")
