"""`biorrn models translate`: from synthetic coding sequences to proteins, with all steps on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
TINY = """
name: tiny
task: translation
model:
  frontend: {name: embedding, width: 6, symbols: 65}
  core: {cell: gru, hidden: 6, layers: 1}
  head: {name: decoder, hidden: 8, embedding: 4, attention_width: 4}
training: {batch_size: 16, epochs: 1, loss: cross_entropy}
"""


@pytest.fixture
def made(tmp_path: Path, biorrn: Run) -> Path:
    """Return a folder with codons.h5, unseen.fa and a run that has learned next to nothing."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    code, out, err = biorrn(
        "prepare", "codons", "-o", tmp_path / "codons.h5", "--number", 40, "--shortest", 3, "--longest", 6,
        "--export-fasta", f"test={tmp_path / 'unseen.fa'}", "--report", tmp_path / "codons.json",
    )  # fmt: skip
    assert code == 0, err
    assert "test: 4 pairs" in out
    assert "synthetic" in json.loads((tmp_path / "codons.json").read_text())["note"]
    code, _, err = biorrn(
        "train", tmp_path / "tiny.yaml", tmp_path / "codons.h5", "-o", tmp_path / "run", "--threads", 1
    )  # fmt: skip
    assert code == 0, err
    return tmp_path


def test_from_codons_to_proteins(made: Path, biorrn: Run) -> None:
    ids = [line[1:] for line in (made / "unseen.fa").read_text().splitlines() if line[0] == ">"]
    code, out, err = biorrn("translate", made / "run", made / "unseen.fa", "--attention", made / "a.svg")
    assert code == 0, err
    headers = [line.split() for line in out.splitlines() if line[0] == ">"]
    assert [words[0][1:] for words in headers] == ids
    assert all(words[1].startswith("probability=0.") for words in headers)
    assert "translate: 4 sequences" in err
    assert (made / "a.svg").read_text().startswith("<?xml")
    code, out, err = biorrn(
        "evaluate", "translation", made / "codons.h5", made / "run", "-o", made / "e.json", "--table", made / "e.tsv"
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((made / "e.json").read_text())
    assert content["kind"] == "translation"
    assert content["rows"] == {"pairs": 4}
    metrics = content["metrics"][str(made / "run")]
    assert set(metrics) == {"symbol_error_rate", "exact"}
    assert "symbol_error_rate" in out
    assert len((made / "e.tsv").read_text().splitlines()) == 2
    code, _, err = biorrn("report", made / "e.json", "-o", made / "e.html")
    assert code == 0, err
    page = (made / "e.html").read_text()
    assert "of the sequences exact (95 % interval" in page
    assert "of 4 pairs (test)." in page


def test_faults_are_one_line(made: Path, biorrn: Run) -> None:
    (made / "odd.fa").write_text(">a\nATGA\n>b\nATGGCC\n")
    (made / "pairs.tsv").write_text("source\ttarget\nATG\tM\nATX\tM\n")
    translate = ("translate", made / "run")
    pairs = ("prepare", "pairs", made / "pairs.tsv", "-o", made / "p.h5", "--source-alphabet")
    for words, fault in (
        ((*translate, made / "odd.fa", "--strict"), "record 'a': 4 letters are no whole number of codons of 3"),
        ((*translate, made / "no.fa"), "no.fa: cannot be read"),
        ((*translate, made / "unseen.fa", "--record", "x"), "--record: is drawn; name the figure"),
        ((*translate, made / "unseen.fa", "--attention", made / "a.gif"), "found suffix '.gif'"),
        ((*translate, made / "unseen.fa", "--attention", made / "a.svg", "--record", "x"), "no such record to draw"),
        (("translate", "stability", made / "unseen.fa"), "is a model of task regression; allowed is translation"),
        ((*pairs, "dna", "--target-alphabet", "residues"), "record 'row2': letter 'X' at position 3"),
        ((*pairs, "dan", "--target-alphabet", "residues"), "did you mean 'dna'?"),
        ((*pairs, "dna", "--target-alphabet", "residues", "--split", "cluster:0.5"), "cannot split pairs data"),
        (("prepare", "codons", "-o", made / "c.h5", "--shortest", 9, "--longest", 3), "--shortest: found 9"),
        (
            ("evaluate", "translation", made / "codons.h5", "stability", "-o", made / "e.json"),
            "is a model of task regression; allowed is translation",
        ),
        (
            ("evaluate", "translation", made / "codons.h5", "dna_r9.4.1_fast", "-o", made / "e.json"),
            "holds pairs data; expected a file of `biorrn prepare signal`",
        ),
    ):
        code, _, err = biorrn(*words)
        assert code == 2, words
        lines = [line for line in err.splitlines() if line.startswith("biorrn: error: ")]
        assert len(lines) == 1, err
        assert fault in lines[0], err
    code, _, err = biorrn(*translate, made / "odd.fa", "-o", made / "out.fa")
    assert code == 0, err
    assert (made / "out.fa").read_text().startswith(">b probability=")
    assert "skipped 1 (unusable: 1)" in err
