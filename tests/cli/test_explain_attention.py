"""`biorrn explain --attention`: table, arrays, figure, and the error for a model without attention."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.config.recipe import parse_recipe
from biorrn.nn.sequence import build_model
from biorrn.nn.store import save_model

Run = Callable[..., tuple[int, str, str]]
PROTEIN = "LSDEDFKAVFGMTRSAFANLPLWKQQNLKKEKGLF"


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "villin.fa"
    path.write_text(f">villin headpiece\n{PROTEIN}\n", encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    attention = {"name": "self_attention", "width": 8, "heads": 2}
    parts = {"frontend": {"name": "onehot"}, "core": attention, "pool": ["multihead"]}
    recipe = parse_recipe({"name": "tiny", "task": "regression", "model": parts})
    facts = {"task": "regression", "targets": [{"name": "a", "unit": ""}], "outputs": 1}
    save_model(tmp_path / "model", build_model(recipe.network, 1), recipe, facts)
    return tmp_path / "model"


def test_table_and_figure(biorrn: Run, model: Path, fasta: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    code, out, err = biorrn("explain", model, fasta, "--attention", "--top", 3, "--offset", 40, "--figure", picture)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [(row["layer"], row["head"]) for row in rows[::3]] == [
        ("core.0", "1"),
        ("core.0", "2"),
        *(("pool.multihead", str(head)) for head in range(1, 5)),
    ]
    assert all(PROTEIN[int(row["key"]) - 41] == row["key_residue"] for row in rows)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "explain: 1 protein, 35 residues in" in err


def test_arrays(biorrn: Run, model: Path, fasta: Path, tmp_path: Path) -> None:
    code, out, _ = biorrn("explain", model, fasta, "--attention", "-o", tmp_path / "a.npz")
    assert (code, out) == (0, "")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["0.core.0"].shape == (2, 35, 35)
        assert arrays["sequences"].tolist() == [PROTEIN]


@pytest.mark.parametrize(
    ("own", "options", "message"),
    [
        (False, ["--attention"], "has no attention; --attention is of a model with a core self_attention"),
        (False, ["--top", "3"], "--top: needs --attention"),
        (True, ["--attention", "--top", "-2"], "--top: found -2"),
        (True, ["--attention", "--top", "2", "-o", "a.npz"], "a file .npz holds all weights"),
        (True, ["--attention", "--figure", "a.pdf"], "--figure: found 'a.pdf'; allowed is"),
    ],
)
def test_bad_input_is_one_line(
    biorrn: Run, model: Path, fasta: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: bool,
    options: list[str], message: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    arguments = options if "-o" in options else ["-o", "out.tsv", *options]
    code, out, err = biorrn("explain", model if own else "stability", fasta, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("biorrn: error: ")
    assert message in err.splitlines()[-1]
    assert not list(Path().iterdir())
