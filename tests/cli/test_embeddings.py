"""Embeddings on the command line: tables, recipes that read them, predictions, and wrong inputs."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import biorrn
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import RESIDUES, tokens
from biorrn.sequences.embeddings import sequence_hash

Run = Callable[..., int]
WIDTH, ROWS, LACKING = 12, 90, (3, 40)
QUICK = ("--device", "cpu", "--threads", "1")
RECIPE = """
name: embedded
task: {task}
model:
  frontend: {{name: embeddings, path: {path}}}
  core: {{cell: gru, hidden: 8, layers: 1}}
  pool: [{pool}]
  head: {{name: {head}}}
training: {{epochs: {epochs}, batch_size: 16, lr: 0.01, loss: {loss}}}
"""


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    """Let each test open its files as a process of its own would."""
    embeddings.release()
    yield
    embeddings.release()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with t.csv, x.fasta, and made-up embeddings whose mean over a protein gives its value."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("embedded")
    table, weights = rng.normal(size=(22, WIDTH)), rng.normal(size=WIDTH)
    with (
        h5py.File(path / "e.h5", "w") as file,
        open(path / "t.csv", "w") as stream,
        open(path / "x.fasta", "w") as fasta,
    ):
        stream.write("id,sequence,y\n")
        for row in range(ROWS):
            text = "".join(rng.choice(list(RESIDUES[:20]), rng.integers(20, 40)))
            values = table[tokens(text)]
            if row not in LACKING:
                file.create_dataset(sequence_hash(text), data=values.astype(np.float16))
            stream.write(f"p{row},{text},{values.mean(0) @ weights:.4f}\n")
            if row < 6:
                fasta.write(f">p{row}\n{text}\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path) as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_train_table_weighs_embeddings_beside_sequences(
    folder: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train-table", folder / "t.csv", "--target", "y", "--embeddings", folder / "e.h5", "-o", tmp_path / "run")
    assert run_cli(*words, "--max-minutes", "0.05", *QUICK) == 0
    out = capsys.readouterr().out
    assert f"no embedding of {len(LACKING)} of {ROWS} proteins: p3, p40; their rows are left out" in out
    assert "own_plm_gaussian: a Gaussian process on the embeddings" in out
    assert "members on embeddings" in out
    assert run_cli("suggest", tmp_path / "run", "-o", tmp_path / "next.csv") == 2
    assert "reads embeddings, which suggest does not; give the table of measurements instead" in capsys.readouterr().err
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    assert str(folder) not in recipe, "a model folder names no file"
    true = {row["id"]: float(row["y"]) for row in csv.DictReader((folder / "t.csv").read_text().splitlines())}
    embeddings.release()
    predict = ("predict", tmp_path / "run", folder / "x.fasta", "--device", "cpu", "-o", tmp_path / "p.tsv")
    assert run_cli(*predict, "--embeddings", folder / "e.h5") == 0
    err = capsys.readouterr().err
    assert "e.h5: no embedding of 1 of 6 proteins: p3" in err
    found = rows_of(tmp_path / "p.tsv")
    assert [row["id"] for row in found if row["flags"] == "left_out,no_embedding"] == ["p3"]
    pairs = np.array([[float(row["y"]), true[row["id"]]] for row in found if row["y"]])
    assert np.corrcoef(pairs.T)[0, 1] > 0.9
    embeddings.release()
    options = {"target": "y", "embeddings": folder / "e.h5", "baselines": "none", "device": "cpu"}
    measured = pd.read_csv(folder / "t.csv").query("id not in ['p3', 'p40']")
    scores = biorrn.evaluate(tmp_path / "run", measured, **options).metrics
    assert scores.set_index("metric").loc["pearson", "value"] > 0.9
    embeddings.release()
    assert run_cli(*predict) == 2
    err = capsys.readouterr().err
    assert "run: the model reads embeddings of a language model (12 numbers); give their file with --embeddings" in err
    assert err.count("\n") == 1
    np.savez(tmp_path / "narrow.npz", p0=np.ones(5))
    assert run_cli(*predict, "--embeddings", tmp_path / "narrow.npz") == 2
    assert "holds 1 embeddings, 5 numbers a protein; the model reads embeddings" in capsys.readouterr().err
    assert run_cli("predict", "stability", folder / "x.fasta", "--embeddings", folder / "e.h5") == 2
    assert "reads sequences alone" in capsys.readouterr().err


def test_a_recurrent_network_reads_a_vector_a_residue(
    folder: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare = ("prepare", "protein", folder / "t.csv", "--target", "y", "--split", "random:0.7,0.3,0")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        RECIPE.format(task="regression", path=folder / "e.h5", pool="mean", head="regression", epochs=12, loss="mse")
    )
    assert run_cli(*prepare, "-o", tmp_path / "all.h5") == 0
    assert run_cli("train", recipe, tmp_path / "all.h5", "-o", tmp_path / "lacking", *QUICK) == 2
    assert "no embedding of 2 of 90 proteins: p3, p40" in capsys.readouterr().err.splitlines()[-1]
    assert run_cli(*prepare, "-o", tmp_path / "t.h5", "--embeddings", folder / "e.h5") == 0
    assert "dropped: no embedding: 2" in capsys.readouterr().out
    assert run_cli("train", recipe, tmp_path / "t.h5", "-o", tmp_path / "run", *QUICK) == 0
    capsys.readouterr()
    embeddings.release()
    done = ("predict", tmp_path / "run", folder / "x.fasta", "--embeddings", folder / "e.h5", "--device", "cpu")
    assert run_cli(*done, "-o", tmp_path / "one.tsv") == 0
    assert run_cli(*done, "-o", tmp_path / "other.tsv", "--batch-size", "1", "--threads", "2") == 0
    assert (tmp_path / "one.tsv").read_text() == (tmp_path / "other.tsv").read_text()
    assert run_cli("models", "show", tmp_path / "run") == 0
    assert "reads: embeddings of a language model, 12 numbers" in capsys.readouterr().out


def test_a_tagger_reads_a_vector_a_residue(
    tagged_proteins: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    table = np.random.default_rng(1).normal(size=(22, WIDTH)).astype(np.float16)
    with h5py.File(tagged_proteins) as prepared:
        ids, ends, flat = prepared["id"].asstr()[:], prepared["offsets"][:], prepared["tokens"][:]
    parts = {id: table[flat[ends[row] : ends[row + 1]]] for row, id in enumerate(ids)}
    np.savez(tmp_path / "e.npz", **parts)
    recipe = tmp_path / "recipe.yaml"
    text = RECIPE.format(task="tagging", path=tmp_path / "e.npz", pool="", head="tags", epochs=4, loss="cross_entropy")
    recipe.write_text(text)
    assert run_cli("train", recipe, tagged_proteins, "-o", tmp_path / "run", *QUICK) == 0
    embeddings.release()
    capsys.readouterr()
    fasta = tagged_proteins.parent / "x.fasta"
    words = ("predict", tmp_path / "run", fasta, "-o", tmp_path / "p.tsv", "--device", "cpu")
    assert run_cli(*words, "--embeddings", tmp_path / "e.npz") == 0
    assert len(rows_of(tmp_path / "p.tsv")) == sum(
        len(line) for line in fasta.read_text().splitlines() if line[0] != ">"
    )
    embeddings.release()
    assert run_cli(*words) == 2
    assert "give their file with --embeddings" in capsys.readouterr().err
