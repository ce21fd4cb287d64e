"""`biorrn consensus`: a file of reads becomes a reference, and bad input is one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.readers.nucleotides import read_bases

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ten reads of one sequence of 1,500 bases, with one base in 15 left out."""
    rng = np.random.default_rng(0)
    truth = rng.choice(list("ACGT"), 1500)
    path = tmp_path_factory.mktemp("reads") / "reads.fasta"
    reads = ["".join(truth[rng.random(1500) > 1 / 15]) for _ in range(10)]
    path.write_text("".join(f">r{row}\n{read}\n" for row, read in enumerate(reads)))
    (path.parent / "truth.fasta").write_text(f">truth\n{''.join(truth)}\n")
    return path


def test_reads_become_a_reference(biorrn: Run, fasta: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out.fasta", tmp_path / "out.json"
    code, said, err = biorrn("consensus", fasta, "-o", out, "--min-depth", 4, "--report", report)
    assert code == 0
    [(name, bases)] = read_bases(out)
    assert name == "consensus_1"
    truth = dict(read_bases(fasta.parent / "truth.fasta"))["truth"]
    assert bases[100:-100] in truth
    numbers = json.loads(report.read_text())
    assert numbers["contigs"][0]["bases"] == len(bases)
    assert f"{len(bases)} bases in 1 contigs; 10 of 10 reads on them" in said
    assert "round 1: 10 of 10 reads placed" in err


def test_a_draft_is_polished(biorrn: Run, fasta: Path, tmp_path: Path) -> None:
    draft, out = tmp_path / "draft.fasta", tmp_path / "out.fasta"
    truth = dict(read_bases(fasta.parent / "truth.fasta"))["truth"]
    draft.write_text(f">d\n{truth[:700]}{truth[703:]}\n")
    code, _, _ = biorrn("consensus", fasta, "-o", out, "--draft", draft)
    assert code == 0
    assert truth[600:800] in dict(read_bases(out))["consensus_1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{d}/no.fasta", "-o", "{d}/o.fasta"), "no.fasta: cannot be read"),
        (("{d}/truth.fasta", "-o", "{d}/o.fasta"), "no place has 5 of the 1 reads"),
        (("{d}/reads.fasta", "-o", "{d}/o.fasta", "--draft", "{d}/short.fasta"), "record 's': has 4 bases"),
        (("{d}/reads.fasta", "-o", "{d}/o.fasta", "--min-depth", "1"), "--min-depth"),
        (("{d}/protein.fasta", "-o", "{d}/o.fasta"), "record 'p': base 'M' at position 1"),
    ],
)
def test_bad_input_is_one_line(biorrn: Run, fasta: Path, words: tuple[str, ...], message: str) -> None:
    (fasta.parent / "short.fasta").write_text(">s\nACGT\n")
    (fasta.parent / "protein.fasta").write_text(">p\nMKV\n")
    code, _, err = biorrn("consensus", *(word.format(d=fasta.parent) for word in words))
    assert code == 2
    [line] = [line for line in err.splitlines() if line.startswith("biorrn: error: ")]
    assert message in line
    assert not (fasta.parent / "o.fasta").exists()
