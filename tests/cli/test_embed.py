"""`biorrn embed`: from proteins to a table, a figure and a model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import STANDARD
from biorrn.sequences.vectors import read_vectors


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("embed") / "p.fasta"
    path.write_text("".join(f">p{n}\n{''.join(rng.choice(list(STANDARD), 60))}\n" for n in range(40)))
    return path


SMALL = ("--k", "2", "--width", "8", "--window", "3", "--epochs", "2", "--min-count", "1")


def test_from_proteins_to_a_model(
    fasta: Path,
    tiny_proteins: Path,
    tmp_path: Path,
    run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "t.safetensors"
    assert run_cli("embed", "word2vec", fasta, "-o", table, *SMALL) == 0
    assert "2-mers, 8 dimensions, from 40 proteins" in capsys.readouterr().out
    found = read_vectors(table)
    assert found.k == 2
    assert 200 < len(found.words) <= 400
    facts = {key: found.facts[key] for key in ("method", "k", "width", "seed", "proteins", "alphabet")}
    assert facts == {
        "method": "word2vec", "k": 2, "width": 8, "seed": 0, "proteins": 40, "alphabet": STANDARD + "X",
    }  # fmt: skip
    for picture in ("a.svg", "a.png"):
        assert run_cli("embed", "show", table, "-o", tmp_path / picture) == 0
        assert "Spearman" in capsys.readouterr().out
        assert (tmp_path / picture).stat().st_size > 5000
    run = tmp_path / "run"
    recipe = f"model.frontend={{name: table, path: '{table}'}}"
    words = ("train", "demo_stability", tiny_proteins, "-o", run, "--set", recipe, "--set", "training.epochs=1")
    assert run_cli(*words, "--threads", "1") == 0
    table.unlink()
    assert load_model(run).recipe.network.frontend.name == "table"
    assert run_cli("embed", "show", run, "-o", tmp_path / "b.svg") == 0
    out = tmp_path / "p.tsv"
    assert run_cli("predict", run, fasta, "-o", out) == 0
    assert len(out.read_text().splitlines()) == 41


def test_same_seed_same_table(fasta: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    made = {}
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        path = tmp_path / f"{name}.npz"
        assert run_cli("embed", "word2vec", fasta, "-o", path, *SMALL, "--seed", seed) == 0
        made[name] = read_vectors(path).vectors
    assert np.array_equal(made["a"], made["b"])
    assert not np.array_equal(made["a"], made["c"])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("word2vec", "FASTA", "-o", "OUT/t.txt"), "is written to a file ending in .safetensors or .npz"),
        (("word2vec", "FASTA", "-o", "OUT/t.npz", "--k", "9"), "--k: found 9; allowed is 1 to 8"),
        (
            ("word2vec", "FASTA", "-o", "OUT/t.npz", "--min-count", "99999", "--epochs", "1"),
            "no word comes 99999 times",
        ),
        (("word2vec", "OUT/none.fa", "-o", "OUT/t.npz"), "none.fa: cannot be read"),
        (("show", "OUT/none", "-o", "OUT/a.svg"), "is not a folder nor a shipped model"),
        (("show", "FASTA", "-o", "OUT/a.svg"), "line 1: '>p0' has 0 numbers"),
        (("show", "OUT/two.csv", "-o", "OUT/a.svg"), "no word holds residue D"),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...],
    fault: str,
    fasta: Path,
    tmp_path: Path,
    run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "two.csv").write_text("A,1\nC,2\n")
    given = [word.replace("FASTA", str(fasta)).replace("OUT", str(tmp_path)) for word in words]
    assert run_cli("embed", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("biorrn: error: ")
    assert fault in error
