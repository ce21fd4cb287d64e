"""`biorrn models generate`, `biorrn activations` and `biorrn embed states`, from a model folder to files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.config.recipe import parse_recipe
from biorrn.nn.sequence import build_model
from biorrn.nn.store import load_model, save_model
from biorrn.sequences.alphabets import DNA, RESIDUES, States, tokens
from biorrn.sequences.sequence_set import read_set
from biorrn.sequences.tokenisers import Tokeniser, kmer_tokeniser, residue_tokeniser
from biorrn.tagging.prepare import tag_writer
from biorrn.training.task import load_task
from biorrn.training.train import train


def save(folder: Path, tokeniser: Tokeniser, direction: str = "forward", cell: str = "lstm") -> Path:
    parts = {
        "frontend": {"name": "tokens", "width": 6, "size": tokeniser.size},
        "core": {"cell": cell, "hidden": 8, "layers": 2, "direction": direction},
        "head": {"name": "tokens"},
    }
    recipe = parse_recipe({"name": "lm", "task": "language", "model": parts, "training": {"loss": "cross_entropy"}})
    facts: dict[str, Any] = {"task": "language", "outputs": tokeniser.size, "alphabet": tokeniser.alphabet}
    facts |= {"tokeniser": tokeniser.to_dict(), "min_length": 12, "max_length": 40}
    torch.manual_seed(3)
    save_model(folder, build_model(recipe.network, tokeniser.size), recipe, facts)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generate")
    save(root / "lm", residue_tokeniser(RESIDUES))
    save(root / "backward", residue_tokeniser(RESIDUES), "backward", "gru")
    save(root / "dna", kmer_tokeniser(DNA, 2))
    return root


def test_same_seed_same_bytes_for_any_batch(folder: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    made = {}
    for name, options in {
        "one": ("--batch-size", "1"), "many": ("--batch-size", "64"), "odd": ("--batch-size", "7"),
        "other": ("--seed", "1"),
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.fasta"
        assert run_cli("generate", folder / "lm", "-n", "20", "-o", path, "--threads", "1", *options) == 0
        made[name] = path.read_bytes()
    assert made["one"] == made["many"] == made["odd"]
    assert made["one"] != made["other"]


def test_to_gzip_and_to_standard_output(
    folder: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", folder / "lm", "-n", "3", "--prompt", "mkv", "--top-k", "5", "--top-p", "0.9")
    assert run_cli(*words, "-o", tmp_path / "a.fasta.gz") == 0
    capsys.readouterr()
    assert run_cli(*words) == 0
    out, err = capsys.readouterr()
    assert out == gzip.decompress((tmp_path / "a.fasta.gz").read_bytes()).decode()
    headers = [line for line in out.splitlines() if line.startswith(">")]
    assert [line.split()[0] for line in headers] == [f">generated_{number}" for number in (1, 2, 3)]
    assert all("end=" in line and "log_likelihood=-" in line for line in headers)
    assert "3 sequences, median length" in err
    found = read_set(tmp_path / "a.fasta.gz", RESIDUES)
    assert (found.lengths <= 40).all()  # the longest of training
    assert all(found.tokens[start : start + 3].tolist() == tokens("MKV").tolist() for start in found.offsets[:-1])


def test_a_backward_model_ends_with_the_prompt(folder: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    path = tmp_path / "a.fasta"
    assert run_cli("generate", folder / "backward", "-n", "4", "--prompt", "MKV", "-o", path) == 0
    assert all(row.endswith("MKV") for row in path.read_text().splitlines()[1::2])


def test_against_what_it_was_trained_on(folder: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    first = tmp_path / "first.fasta"
    words = ("generate", folder / "lm", "-n", "6", "--min-length", "20")
    assert run_cli(*words, "-o", first) == 0
    files = ("-o", tmp_path / "b.fasta", "--table", tmp_path / "b.tsv", "--summary", tmp_path / "b.json")
    more = ("--figure", tmp_path / "b.svg", "--drop-copies", "0.9", "-n", "8")
    assert run_cli(*words, *files, *more, "--against", first) == 0
    # the first six are the same, and so copies; two are new
    assert (tmp_path / "b.fasta").read_text().count(">") == 2
    summary = json.loads((tmp_path / "b.json").read_text())
    assert (summary["dropped"], summary["generated"]["copies"]) == (6, 0.75)
    assert (tmp_path / "b.tsv").read_text().count("\n") == 3
    assert (tmp_path / "b.svg").stat().st_size > 4000
    assert run_cli("report", "--generated", tmp_path / "b.json", "-o", tmp_path / "b.html") == 0
    page = (tmp_path / "b.html").read_text()
    assert "Generated sequences" in page
    assert "generated copies" in page


def test_bases(folder: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    path = tmp_path / "a.fasta"
    words = ("generate", folder / "dna", "-n", "5", "--min-length", "36", "--max-length", "41")
    assert run_cli(*words, "-o", path) == 0
    found = read_set(path, DNA)
    assert found.lengths.min() >= 36
    assert found.lengths.max() <= 41
    assert run_cli(*words, "-o", tmp_path / "b.fasta", "--against", path) == 0
    assert (tmp_path / "b.fasta").read_text().count("copy=yes") == 5
    assert run_cli("activations", folder / "dna", path, "-o", tmp_path / "u.tsv", "--units", "0,7") == 0
    rows = (tmp_path / "u.tsv").read_text().splitlines()
    assert len(rows) == 1 + found.lengths.sum()


def test_states_of_models_of_every_task(
    folder: Path,
    tmp_path: Path,
    tiny_proteins: Path,
    run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A tagging model on the hidden states of a language model is trained, looked into and read out."""
    with tag_writer(tmp_path / "tags.h5", RESIDUES, States("structure", "HEC", ("helix", "strand", "coil"))) as writer:
        rng = np.random.default_rng(0)
        for number in range(24):
            text = "".join(rng.choice(list(RESIDUES[:-1]), 20))
            labels = np.array([(letter in "AELM") + 2 * (letter in "VIYF") for letter in text], np.uint8)
            writer.add(f"p{number}", tokens(text), labels, split=int(number >= 16))
    parts = {
        "frontend": {"name": "language_model", "path": str(folder / "lm"), "backward": str(folder / "backward")},
        "core": {"cell": "gru", "hidden": 6, "layers": 1},
        "head": {"name": "tags"},
    }
    training = {"epochs": 2, "loss": "cross_entropy", "lr": 0.02}
    recipe = parse_recipe({"name": "t", "task": "tagging", "model": parts, "training": training})
    run = train(recipe, tmp_path / "tags.h5", tmp_path / "run", load_task("tagging"), threads=1)
    assert load_model(run).model.frontend.width == 16
    words = ("activations", run, tmp_path / "tags.h5", "--split", "valid", "-o", tmp_path / "u.html", "--most", "2")
    assert run_cli(*words) == 0
    assert "of held-out sequences" in capsys.readouterr().err
    assert (tmp_path / "u.html").read_text().count("<section>") == 2
    for name in ("s.npz", "m.npz"):
        mean = ("--mean",) if name == "m.npz" else ()
        assert run_cli("embed", "states", run, tiny_proteins, "-o", tmp_path / name, *mean) == 0
    with np.load(tmp_path / "s.npz") as states, np.load(tmp_path / "m.npz") as means:
        assert len(means["ids"]) == 60
        assert means["means"].shape == (60, 12)
        first = states["states"][: states["offsets"][1]]
        assert np.allclose(first.mean(0), means["means"][0], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("generate", "stability"), "is a model for regression; expected one for language"),
        (("generate", "D/lm", "--temperature", "-1"), "--temperature: found -1; allowed is 0 or more"),
        (("generate", "D/lm", "--top-p", "0"), "--top-p: found 0"),
        (("generate", "D/lm", "--prompt", "MK1"), "--prompt: letter '1' at position 3"),
        (("generate", "D/lm", "--min-length", "50"), "--min-length: found 50; allowed is 0 to --max-length, 40"),
        (("generate", "D/lm", "--drop-copies", "0.9"), "--drop-copies: needs --against"),
        (("generate", "D/lm", "-n", "0"), "-n: found 0"),
        (("generate", "D/lm", "-n", "1", "--against", "D/none.fa"), "none.fa: cannot be read"),
        (("generate", "D/lm", "-n", "1", "--figure", "D/a.pdf"), "allowed is a name that ends in .svg or .png"),
        (("activations", "D/lm", "D/none.fa"), "none.fa: cannot be read"),
        (
            ("activations", "D/lm", "D/p.fa", "--units", "8"),
            "--units: found '8'; allowed is auto, or numbers of 0 to 7",
        ),
        (("activations", "D/lm", "D/p.fa", "--properties", "charg"), "did you mean 'charge'?"),
        (("activations", "D/lm", "D/p.fa", "-o", "D/u.pdf"), "--output: found"),
        (("activations", "D/lm", "D/p.fa", "--layer", "3"), "--layer: found 3; allowed is 1 to 2"),
        (("activations", "dna_r9.4.1_fast", "D/p.fa"), "found task basecalling"),
        (("embed", "states", "D/lm", "D/p.fa", "-o", "D/s.tsv"), "allowed is a name that ends in .npz"),
        (("embed", "states", "beta_lactamase", "D/p.fa", "-o", "D/s.npz"), "biorrn: error: "),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...],
    fault: str,
    folder: Path,
    run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "p.fa").write_text(">a\nMKVLA\n")
    assert run_cli(*(word.replace("D/", f"{folder}/") for word in words)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("biorrn: error: ")
    assert fault in error
