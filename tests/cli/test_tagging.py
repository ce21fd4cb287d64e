"""`biorrn predict` with a tagging model, and `biorrn evaluate tagging`."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained tagging model."""
    import torch

    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model
    from biorrn.sequences.alphabets import RESIDUES

    folder = tmp_path_factory.mktemp("tagger")
    torch.manual_seed(0)
    parts = {
        "frontend": {"name": "embedding", "width": 4},
        "core": {"cell": "gru", "hidden": 6, "layers": 1},
        "head": {"name": "tags_crf"},
    }
    recipe = parse_recipe(
        {"name": "tiny", "task": "tagging", "model": parts, "training": {"loss": "crf"}},
    )
    facts = {
        "task": "tagging",
        "kind": "states",
        "outputs": 3,
        "name": "secondary structure",
        "states": "HEC",
        "state_names": ["helix", "strand", "coil"],
        "alphabet": RESIDUES,
        "targets": [],
        "min_length": 10,
        "max_length": 300,
    }
    save_model(folder, build_model(recipe.network, 3), recipe, facts)
    return folder


def records(fasta: Path) -> dict[str, str]:
    text = fasta.read_text().split(">")[1:]
    return {entry.split()[0]: "".join(entry.splitlines()[1:]) for entry in text}


def test_one_row_a_residue_in_order(biorrn: Run, model: Path, tagged_proteins: Path, tmp_path: Path) -> None:
    fasta = tagged_proteins.parent / "x.fasta"
    code, out, err = biorrn(
        "predict", model, fasta, "-o", tmp_path / "p.tsv", "--figure", tmp_path / "x.svg", "--summary",
        tmp_path / "s.tsv", "--threads", 1, "--device", "cpu",
    )  # fmt: skip
    assert (code, out) == (0, "")
    header, *rows = (line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines())
    assert header == ["id", "position", "residue", "state", "p_H", "p_E", "p_C"]
    wanted = [(id, str(i), letter) for id, chain in records(fasta).items() for i, letter in enumerate(chain, 1)]
    assert [tuple(row[:3]) for row in rows] == wanted
    assert all(row[3] in "HEC" for row in rows)
    assert sum(map(float, rows[0][4:])) == pytest.approx(1, abs=1e-4)
    assert "<svg" in (tmp_path / "x.svg").read_text()
    assert len((tmp_path / "s.tsv").read_text().splitlines()) == 1 + len(records(fasta))
    assert "biorrn predict: p40: " in err
    assert err.splitlines()[-1].startswith(f"predict: {len(records(fasta))} sequences")


def test_formats_agree_and_stream(
    biorrn: Run, model: Path, tagged_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fasta = tagged_proteins.parent / "x.fasta"
    for name in ("x.fasta.gz", "x.ss2", "x.jsonl", "x.tsv"):
        assert biorrn("predict", model, fasta, "-o", tmp_path / name, "--threads", 1)[0] == 0
    lines = gzip.decompress((tmp_path / "x.fasta.gz").read_bytes()).decode().splitlines()
    states = dict(zip((line[1:] for line in lines[::3]), lines[2::3], strict=True))
    told = {entry["id"]: entry["states"] for entry in map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())}
    column = "".join(line.split("\t")[3] for line in (tmp_path / "x.tsv").read_text().splitlines()[1:])
    vertical = [line.split() for line in (tmp_path / "x.ss2").read_text().splitlines() if line[:1] == " "]
    assert told == states
    assert column == "".join(states.values()) == "".join(row[2] for row in vertical)
    packed = io.TextIOWrapper(io.BytesIO(gzip.compress(fasta.read_bytes())))
    monkeypatch.setattr(sys, "stdin", packed)
    code, out, _ = biorrn("predict", model, "-", "--format", "fasta", "--batch-size", 1)
    assert code == 0
    assert out.splitlines() == lines


def test_model_and_its_table_are_evaluated_alike(
    biorrn: Run, model: Path, tagged_proteins: Path, tmp_path: Path
) -> None:
    fasta, table = tagged_proteins.parent / "x.fasta", tmp_path / "p.tsv"
    assert biorrn("predict", model, fasta, "-o", table)[0] == 0
    found = []
    for source, name in ((table, "a.json"), (model, "b.json")):
        code, out, err = biorrn(
            "evaluate", "tagging", source, tagged_proteins, "--split", "test", "--baselines", "residue",
            "-o", tmp_path / name, "--name", "tiny", "--device", "cpu",
        )  # fmt: skip
        assert code == 0, err
        assert "secondary structure\taccuracy_residue\t" in out
        found.append(json.loads((tmp_path / name).read_text()))
    for key in ("metrics", "by_state", "confusion", "baselines", "lengths", "counts"):
        assert found[0][key] == found[1][key]
    assert found[0]["inputs"]["predictions"]["sha256"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "MODEL", "FASTA", "--format", "horiz"), "--format 'horiz' is unknown"),
        (("predict", "MODEL", "FASTA", "--figure", "x.pdf"), "--figure: found 'x.pdf'"),
        (("predict", "stability", "FASTA", "--figure", "x.svg"), "--figure: needs a tagging model"),
        (
            ("calibrate", "MODEL", "FASTA"),
            "is a model for tagging; allowed are models for regression, classification or basecalling",
        ),
        (("scan", "MODEL", "FASTA"), "needed here is one for regression; a tagging model is for biorrn predict"),
        (("evaluate", "tagging", "stability", "TAGS", "-o", "x.json"), "needed here is one for tagging"),
        (("evaluate", "tagging", "FASTA", "TAGS", "-o", "x.json"), "column 'id' is missing"),
        (("evaluate", "tagging", "MODEL", "FASTA", "-o", "x.json"), "expected a file of `biorrn prepare tags`"),
        (("evaluate", "tagging", "MODEL", "TAGS", "--split", "tset", "-o", "x.json"), "--split: found 'tset'"),
        (("evaluate", "tagging", "MODEL", "TAGS", "--baselines", "gro", "-o", "x.json"), "did you mean 'gor'"),
    ],
)
def test_a_fault_is_one_line(
    words: tuple[str, ...], message: str, biorrn: Run, model: Path, tagged_proteins: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = {"MODEL": model, "FASTA": tagged_proteins.parent / "x.fasta", "TAGS": tagged_proteins}
    code, _, err = biorrn(*(given.get(word, word) for word in words))
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_shipped_model_by_its_id(
    biorrn: Run, model: Path, tagged_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from biorrn.nn import store

    monkeypatch.setattr(store, "shipped_models", lambda: [model.name])
    monkeypatch.setattr(store.resources, "files", lambda package: model.parent)
    fasta = tagged_proteins.parent / "x.fasta"
    code, out, err = biorrn("predict", model.name, fasta, "--format", "fasta", "--device", "cpu")
    assert code == 0, err
    assert len(out.splitlines()) == 3 * len(records(fasta))
    code, out, err = biorrn(
        "evaluate", "tagging", model.name, tagged_proteins, "--split", "test", "--baselines", "none", "--device", "cpu",
        "-o", tmp_path / "x.json",
    )  # fmt: skip
    assert code == 0, err
