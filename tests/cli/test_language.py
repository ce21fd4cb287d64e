"""A language model of bases on the command line: prepare, train, evaluate, report."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.sequences.alphabets import DNA
from biorrn.sequences.prepared.files import ProteinFile

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "reads.fasta"
    path.write_text("".join(f">r{n}\n{''.join(rng.choice(list('ACGT'), 30))}NAu\n" for n in range(20)))
    return path


def test_from_reads_to_a_report(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    prepared, folder, out = tmp_path / "reads.h5", tmp_path / "lm", tmp_path / "lm.json"
    split = ("--split", "random:0.6,0.2,0.2")
    exported = tmp_path / "test.fasta"
    dna = ("--no-target", "--alphabet", "dna", "--export-fasta", f"test={exported}")
    code, said, fault = biorrn("prepare", "protein", reads, *dna, *split, "-o", prepared)
    assert code == 0, fault
    assert "train: 12 sequences, 396 bases" in said
    with ProteinFile(prepared) as file:
        assert file.alphabet == DNA
        assert file.tokens(0)[-3:].tolist() == [5, 1, 4]
    assert exported.read_text().splitlines()[1].endswith("NAT")
    small = ("model.core.hidden=6", "training.epochs=1", "training.bptt=16", "training.precision='32'")
    code, _, fault = biorrn(
        "train", "base_lm", prepared, "-o", folder, "--threads", 1, *(word for one in small for word in ("--set", one))
    )
    assert code == 0, fault
    code, said, fault = biorrn(
        *("evaluate", "language", folder, prepared, "--split", "test", "-o", out),
        *("--figures", tmp_path / "figures", "--table", tmp_path / "each.tsv"),
    )
    assert code == 0, fault
    assert "bases\tperplexity\t" in said
    content = json.loads(out.read_text())
    assert (content["kind"], content["counts"]["bases"], content["counts"]["bases_unknown"]) == ("language", 128, 4)
    names = [Path(figure["path"]).stem for figure in content["figures"]]
    assert names == ["perplexity", "perplexity_by_position", "perplexity_by_sequence"]
    assert len((tmp_path / "each.tsv").read_text().splitlines()) == 5
    assert biorrn("report", out, "-o", tmp_path / "report.html")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "of the bases of 4 sequences (test)" in page
    assert "trigram" in page
    code, _, fault = biorrn("embed", "word2vec", prepared, "-o", tmp_path / "t.safetensors")
    assert code == 2
    assert "holds sequences of ACGTN; expected residues" in fault
