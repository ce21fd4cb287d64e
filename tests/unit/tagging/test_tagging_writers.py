"""Formats of tags: what is written can be read back, and says the same in each."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.tagging.predict import FORMATS, Layout, Tagging, open_taggings

SCORES = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.0, 0.125, 0.875]], np.float32)
FOUND = [Tagging("p1", "MKV", "HEC", SCORES), Tagging("p/2", "AC", "CC", SCORES[1:], ["unknown_residues"])]
LAYOUT = Layout("HEC", ["H", "E", "C"], "tiny")
VALUES = Layout("", ["disorder"], "tiny")


def written(path: Path, layout: Layout = LAYOUT, format: str | None = None) -> str:
    with open_taggings(path, layout, format) as write:
        for one in FOUND:
            write(one if layout.states else Tagging(one.id, one.sequence, "", one.scores[:, :1]))
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def test_table(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in written(tmp_path / "x.tsv").splitlines()]
    assert lines[0] == ["id", "position", "residue", "state", "p_H", "p_E", "p_C"]
    assert lines[1] == ["p1", "1", "M", "H", "0.7", "0.2", "0.1"]
    assert [line[1] for line in lines[1:]] == ["1", "2", "3", "1", "2"]
    assert written(tmp_path / "x.csv").startswith("id,position,residue,state,p_H,p_E,p_C\np1,1,M,H,0.7,0.2,0.1\n")


def test_three_line_fasta(tmp_path: Path) -> None:
    assert written(tmp_path / "x.fasta.gz") == ">p1\nMKV\nHEC\n>p/2\nAC\nCC\n"


def test_json_lines(tmp_path: Path) -> None:
    first, second = map(json.loads, written(tmp_path / "x.jsonl").splitlines())
    assert (first["id"], first["length"], first["sequence"], first["states"]) == ("p1", 3, "MKV", "HEC")
    assert first["probabilities"] == {"H": [0.7, 0.25, 0.0], "E": [0.2, 0.5, 0.125], "C": [0.1, 0.25, 0.875]}
    assert second["flags"] == ["unknown_residues"]


def test_ss2_is_that_of_psipred(tmp_path: Path) -> None:
    """The line of coil, helix and strand in PSIPRED's own widths."""
    lines = written(tmp_path / "x.ss2").splitlines()
    assert lines[0].startswith("# PSIPRED VFORMAT")
    assert lines[1:4] == ["# p1", "", "   1 M H   0.100  0.700  0.200"]
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    assert [(row[0], row[1], row[2]) for row in rows[:3]] == [("1", "M", "H"), ("2", "K", "E"), ("3", "V", "C")]


def test_ss2_a_file_a_protein(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    with open_taggings(f"{folder}/", LAYOUT, "ss2") as write:
        for one in [*FOUND, Tagging("p_2", "AC", "CC", SCORES[1:])]:
            write(one)
    assert sorted(path.name for path in folder.iterdir()) == ["p1.ss2", "p_2.ss2", "p_2_2.ss2"]


def test_eight_states_become_three(tmp_path: Path) -> None:
    states = "GHIBESTC"
    scores = np.eye(8, dtype=np.float32)
    with open_taggings(tmp_path / "x.ss2", Layout(states, list(states))) as write:
        write(Tagging("p", "A" * 8, states, scores))
    rows = [line.split() for line in (tmp_path / "x.ss2").read_text().splitlines()[3:]]
    assert "".join(row[2] for row in rows) == "HHHEECCC"
    assert [row["CHE".index(row[2]) + 3] for row in rows] == ["1.000"] * 8


@pytest.mark.parametrize("format", FORMATS)
def test_values(tmp_path: Path, format: str) -> None:
    if format in ("fasta", "ss2"):
        with pytest.raises(ConfigError, match="needs a model of states"):
            written(tmp_path / "x", VALUES, format)
        return
    text = written(tmp_path / "x", VALUES, format)
    assert "disorder" in text
    assert "0.25" in text


@pytest.mark.parametrize(
    ("layout", "format", "message"),
    [
        (LAYOUT, "tvs", "--format 'tvs' is unknown; did you mean 'tsv'"),
        (Layout("io", ["i", "o"]), "ss2", "the model's states are io"),
        (Layout("", ["position"]), "tsv", "two columns would be named 'position'"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, layout: Layout, format: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message), open_taggings(tmp_path / "x", layout, format):
        pass
    assert not (tmp_path / "x").exists()
