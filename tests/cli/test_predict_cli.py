"""`biorrn predict`: table, order, streams, summary line, exit codes."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained regression model of the shape of the demo recipe."""
    import torch

    from biorrn.config import load_recipe
    from biorrn.models.sequence import build_model
    from biorrn.models.store import save_model

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    recipe = load_recipe("demo_stability")
    facts = {
        "task": "regression",
        "outputs": 1,
        "targets": [{"name": "stability", "unit": ""}],
        "min_length": 50,
        "max_length": 300,
    }
    save_model(folder, build_model(recipe.model, 1), recipe, facts)
    return folder


def ids(fasta: Path) -> list[str]:
    return [line[1:].split()[0] for line in fasta.read_text().splitlines() if line.startswith(">")]


def test_one_row_a_protein_in_order(biorrn: Run, model: Path, root: Path, tmp_path: Path) -> None:
    fasta = root / "data" / "proteins.fasta"
    code, out, err = biorrn("predict", model, fasta, "-o", tmp_path / "p.tsv", "--device", "cpu", "--threads", 1)
    assert (code, out) == (0, "")
    header, *rows = (line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines())
    assert header == ["id", "length", "stability", "flags"]
    assert [row[0] for row in rows] == ids(fasta)
    for row in rows:
        float(row[2])
        assert ("longer_than_training" in row[3]) == (int(row[1]) > 300)
        assert ("shorter_than_training" in row[3]) == (int(row[1]) < 50)
    assert f"predict: {len(rows)} sequences" in err.splitlines()[-1]
    assert "sequences/s" in err


def test_any_batch_size_and_stream_give_the_same_bytes(
    biorrn: Run, model: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fasta = root / "data" / "proteins.fasta"
    _, one, _ = biorrn("predict", model, fasta, "--batch-size", 1)
    _, many, _ = biorrn("predict", model, fasta, "--batch-size", 64)
    assert one.count("\n") == len(ids(fasta)) + 1
    assert many == one
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(fasta.read_bytes()))))
    _, streamed, _ = biorrn("predict", model, "-")
    assert streamed == one
    biorrn("predict", model, fasta, "-o", tmp_path / "p.tsv.gz")
    assert gzip.decompress((tmp_path / "p.tsv.gz").read_bytes()).decode() == one


def test_flags_are_counted_in_the_last_line(biorrn: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKVXLA\n>b\n" + "MKVLA" * 20 + "\n")
    code, out, err = biorrn("predict", model, tmp_path / "a.fa")
    assert code == 0
    assert out.splitlines()[1].endswith("\tunknown_residues,shorter_than_training")
    assert out.splitlines()[2].endswith("\t.")
    assert "flagged 2 (unknown_residues: 1, shorter_than_training: 1)" in err


def test_a_bad_record_is_one_line_and_leaves_no_file(biorrn: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKVLAMKVLA\n>b\nMKV7LA\n")
    code, out, err = biorrn("predict", model, tmp_path / "a.fa", "-o", tmp_path / "p.tsv")
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert err.count("\n") == 1
    assert "record 'b'" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fa"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "--batch-size: found 0; allowed is 1 or more"),
        (["--threads", "0"], "--threads: found 0; allowed is 1 or more"),
        (["--device", "tpu"], "--device: found 'tpu'; allowed is one of auto, cpu"),
    ],
)
def test_options_out_of_range(biorrn: Run, model: Path, root: Path, arguments: list[str], message: str) -> None:
    code, out, err = biorrn("predict", model, root / "data" / "proteins.fasta", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"biorrn: error: {message}")
    assert err.count("\n") == 1
