"""An evaluation of tags: joined by residue, beside baselines, drawn, and shown in the report."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.report.page import render
from biorrn.sequences.alphabets import DNA, RESIDUES, THREE
from biorrn.stats.figures import save_drawings
from biorrn.stats.results import read_result, summary_lines, write_result
from biorrn.tagging import figures as figures_structure
from biorrn.tagging.baselines import BASELINES, HALF, VALUE_BASELINES, TagProblem, choose, windows
from biorrn.tagging.data import Tagged, read_prepared_tags
from biorrn.tagging.evaluate import confidence_table, evaluate_tagging, join_tags, length_table
from biorrn.tagging.figures import chosen, shapes, structure_file, tagging_figures
from biorrn.tagging.metrics import METRICS, score
from biorrn.tagging.predict import Tagging
from biorrn.tagging.prepare import tag_writer

Table = Callable[[Callable[[list[list[str]]], list[list[str]]]], Path]


@pytest.fixture
def rows(tagged_proteins: Path) -> Tagged:
    data = read_prepared_tags(tagged_proteins)
    return data.rows.select(data.split == 2)


def lines_of(rows: Tagged) -> list[list[str]]:
    """Return a table that is right but for every fifth residue, with probabilities."""
    lines = [["id", "position", "residue", "state", "p_H", "p_E", "p_C"]]
    begin = 0
    for id, sequence in zip(rows.ids, rows.sequences(), strict=True):
        for place, letter in enumerate(sequence):
            label = int(rows.labels[begin + place])
            state = (label + (place % 5 == 0)) % 3 if label >= 0 else 0
            chances = ["0.7" if other == state else "0.15" for other in range(3)]
            lines.append([id, str(place + 1), letter, "HEC"[state], *chances])
        begin += len(sequence)
    return lines


@pytest.fixture
def table(rows: Tagged, tmp_path: Path) -> Table:
    def write(change: Callable[[list[list[str]]], list[list[str]]] = lambda lines: lines) -> Path:
        path = tmp_path / "p.tsv"
        path.write_text("".join("\t".join(line) + "\n" for line in change(lines_of(rows))))
        return path

    return write


def test_joined_whatever_the_order(table: Table, rows: Tagged, tagged_proteins: Path) -> None:
    plain = join_tags(table(), rows, [], tagged_proteins)
    mixed = join_tags(table(lambda lines: [lines[0], *lines[:0:-1]]), rows, [], tagged_proteins)
    assert np.array_equal(plain.states, mixed.states)
    assert np.array_equal(plain.scores, mixed.scores)
    known = rows.labels >= 0
    assert 0.75 < (plain.states == rows.labels)[known].mean() < 0.85
    bare = join_tags(table(lambda lines: [line[:4] for line in lines]), rows, [], tagged_proteins)
    assert np.array_equal(bare.states, plain.states)
    assert np.isnan(bare.scores).all()
    assert confidence_table(rows.labels, bare.states, bare.scores) == {}


def changed(number: int, column: int, value: str) -> Callable[[list[list[str]]], list[list[str]]]:
    def change(lines: list[list[str]]) -> list[list[str]]:
        lines[number][column] = value
        return lines

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(0, 3, "satte"), r"column 'state' is missing; did you mean 'satte'\?"),
        (changed(3, 3, "Z"), "record 'p40': position 3: found state 'Z'; allowed is one of HEC"),
        (changed(3, 2, "*"), "position 3: found residue '\\*'; the prepared row has"),
        (changed(3, 1, "0"), "found position '0'; the prepared row has"),
        (changed(3, 1, "x"), "found position 'x'"),
        (changed(3, 4, "nan"), "column 'p_H': found 'nan'; allowed is a finite number"),
        (lambda lines: lines[:-1], "record 'p49': no prediction for 1 of .* the first at position"),
        (lambda lines: [*lines, [*lines[1][:3], "HEC"["HEC".index(lines[1][3]) - 1], *lines[1][4:]]], "two different"),
    ],
)
def test_faults_of_a_table(
    change: Callable[[list[list[str]]], list[list[str]]], message: str, table: Table, tagged_proteins: Path
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_tagging(table(change), tagged_proteins, name="x", split="test", baselines="none")


def test_other_records_are_ignored(table: Table, rows: Tagged, tagged_proteins: Path) -> None:
    more = join_tags(table(lambda lines: [*lines, ["other", "1", "M", "Q", "", "", ""]]), rows, [], tagged_proteins)
    assert np.array_equal(more.states, join_tags(table(), rows, [], tagged_proteins).states)


def test_evaluation_report_and_figures(table: Table, tagged_proteins: Path, tmp_path: Path) -> None:
    content, judged = evaluate_tagging(table(), tagged_proteins, name="tiny", split="test", note="synthetic")
    metrics = content["metrics"]["secondary structure"]
    assert list(metrics) == list(METRICS)
    assert metrics["accuracy_residue"]["n"] == 10
    compared = content["baselines"]["secondary structure"]
    ranked = [entry["metrics"]["accuracy_residue"]["value"] for entry in compared.values()]
    assert set(compared) == set(BASELINES)
    assert ranked == sorted(ranked, reverse=True)
    assert compared["majority"]["sentence"].startswith("The model beats")
    counted = sum(sum(row.values()) for row in content["confusion"].values())
    assert counted == content["counts"]["labelled"] == sum(row["residues"] for row in content["lengths"])
    assert sum(row["residues"] for row in content["confidence"]["bins"]) == counted
    drawings = tagging_figures(content, judged)
    assert [drawing.name for drawing in drawings] == ["confusion", "confidence", "tracks", "baselines"]
    path = tmp_path / "tiny.json"
    content["figures"] = save_drawings(drawings, tmp_path / "figures", path)
    write_result(path, content)
    assert read_result(path)["kind"] == "tagging"
    page = render([path])
    for words in ("accuracy of residues", "segment overlap", "residues correct", "majority", "confusion", "synthetic"):
        assert words in page
    lines = summary_lines(json.loads(path.read_text()))
    assert any(line.startswith("window") for line in lines)
    assert "accuracy of residues" in lines[3]


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_is_deterministic_and_of_states(name: str, tagged_proteins: Path, rows: Tagged) -> None:
    data = read_prepared_tags(tagged_proteins)
    problem = TagProblem(data.rows.select(data.split == 0), rows, 3)
    fitted = BASELINES[name](problem)
    one, description = fitted.predicted, fitted.description
    assert np.array_equal(one, BASELINES[name](problem).predicted)
    assert one.shape == rows.tokens.shape
    assert set(np.unique(one)) <= {0, 1, 2}
    assert description
    accuracy = METRICS["accuracy_residue"](score(rows.labels, one, rows.lengths, 3))
    assert accuracy > (0.25 if name == "majority" else 0.4)


def test_windows_end_with_the_protein(rows: Tagged) -> None:
    found, begin = windows(rows), 0
    assert np.array_equal(found[:, HALF], rows.tokens)
    for length in rows.lengths:
        own = rows.tokens[begin : begin + length]
        alone = np.pad(own, HALF)
        assert np.array_equal(found[begin + 3], alone[3 : 3 + 2 * HALF + 1])
        assert (found[begin, :HALF] == 0).all()
        begin += length
    assert np.array_equal(windows(rows, np.array([5, 70])), found[[5, 70]])


def values_file(path: Path) -> Path:
    """Prepared values: the first is 1 where the base is A, the second its place; some are missing."""
    rng = np.random.default_rng(0)
    with tag_writer(path, DNA, targets=[{"name": "a", "unit": ""}, {"name": "place", "unit": "bases"}]) as writer:
        for number in range(20):
            tokens = rng.integers(1, 5, 30).astype(np.uint8)
            tags = np.stack([tokens == 1, np.arange(30)], axis=1).astype(np.float32)
            tags[rng.random(30) < 0.1] = np.nan
            writer.add(f"d{number}", tokens, tags, 0 if number < 12 else 2)
    return path


def test_values(tmp_path: Path) -> None:
    prepared = values_file(tmp_path / "v.h5")
    data = read_prepared_tags(prepared)
    part = data.rows.select(data.split == 2)
    lines = ["id\tposition\tresidue\ta\tplace\n"]
    for id, sequence in zip(part.ids, part.sequences(), strict=True):
        lines += [f"{id}\t{i + 1}\t{base}\t{int(base == 'A')}\t{i}\n" for i, base in enumerate(sequence)]
    (tmp_path / "p.tsv").write_text("".join(lines))
    content, judged = evaluate_tagging(tmp_path / "p.tsv", prepared, name="v", split="test", baselines="all")
    assert content["metrics"]["a"]["spearman"]["value"] == pytest.approx(1.0)
    assert content["metrics"]["place"]["rmse"]["value"] == pytest.approx(0.0)
    found = content["baselines"]["a"]
    assert set(found) == set(VALUE_BASELINES)
    assert found["residue"]["metrics"]["pearson"]["value"] > 0.99
    assert found["mean"]["beats"]
    assert content["confusion"] == {}
    names = [drawing.name for drawing in tagging_figures(content, judged)]
    assert names == ["scatter_a", "scatter_place", "baselines_a", "baselines_place"]
    write_result(tmp_path / "v.json", content)
    assert "Spearman" in render([tmp_path / "v.json"])


def test_confidence_and_lengths(rows: Tagged) -> None:
    scores = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65]])
    found = confidence_table(np.array([0, 1, 1]), np.array([0, 0, 1]), scores)
    assert [(row["residues"], row["accuracy"]) for row in found["bins"]] == [(1, 1.0), (2, 0.5)]
    assert found["calibration_error"] == pytest.approx((2 * 0.45 + 0.35) / 3)
    table = length_table(rows, np.maximum(rows.labels, 0))
    assert sum(row["proteins"] for row in table) == len(rows)
    assert {row["accuracy_residue"] for row in table} == {1.0}


def test_choices_that_are_unknown(table: Table, tagged_proteins: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'window'"):
        choose("windw", states=True)
    with pytest.raises(ConfigError, match="baseline 'gor' is unknown"):
        choose("gor", states=False)
    with pytest.raises(ConfigError, match="--split: found 'tset'"):
        evaluate_tagging(table(), tagged_proteins, name="x", split="tset")


def test_no_training_rows_no_baselines(tmp_path: Path) -> None:
    with tag_writer(tmp_path / "t.h5", RESIDUES, THREE) as writer:
        writer.add("p", np.array([1, 2, 3], np.uint8), np.array([0, 1, 255], np.uint8), 2)
        writer.add("q", np.array([1], np.uint8), np.array([255], np.uint8), 1)
    (tmp_path / "p.tsv").write_text("id\tposition\tstate\np\t1\tH\np\t2\tH\np\t3\tH\n")
    content, judged = evaluate_tagging(tmp_path / "p.tsv", tmp_path / "t.h5", name="x", split="test")
    assert "no training rows" in content["cautions"][0]
    assert content["baselines"] == {}
    assert content["metrics"]["secondary structure"]["accuracy_residue"]["value"] == 0.5
    assert chosen(judged) == [0]
    assert len(tagging_figures(content, judged)) == 2
    (tmp_path / "q.tsv").write_text("id\tposition\tstate\nq\t1\tH\n")
    with pytest.raises(BiorrnError, match="has no labelled residue in split 'valid'"):
        evaluate_tagging(tmp_path / "q.tsv", tmp_path / "t.h5", name="x", split="valid")


def test_structure_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_structure, "MOST", 2)
    one = Tagging("p$1", "MKVLA" * 5, "HHHHHEEEEECCCCCHHHHHHHHHE", np.full((25, 3), 1 / 3, np.float32))
    for states, names, path in (
        ("HEC", ["helix", "strand", "coil"], tmp_path / "a.svg"),
        ("", ["disorder"], tmp_path / "b.png"),
    ):
        with structure_file(path, states, names) as add:
            assert all(add(one) for _ in range(2))
        assert path.stat().st_size > 1000
    with structure_file(tmp_path / "c.png", "HEC", list("HEC")) as add:
        assert [add(Tagging("p", "M", "H", np.ones((1, 3), np.float32))) for _ in range(3)] == [True, True, False]
    with structure_file(None, "HEC", list("HEC")) as add:
        assert add(one)
    with (
        pytest.raises(ConfigError, match=r"allowed is a name with \.svg"),
        structure_file("x.pdf", "H", ["H"]),
    ):
        pass


def test_shapes_of_states() -> None:
    assert [shape for shape, _ in shapes("GHIBESTC").values()] == ["box"] * 3 + ["arrow"] * 2 + ["line"] * 3
    assert len({colour for _, colour in shapes("abcd").values()}) == 4
