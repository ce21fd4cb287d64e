"""`biorrn prepare tags`: outputs, messages, and errors in one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from biorrn.tagging.readers import read_letters, read_segments

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., tuple[int, str, str]]

SEQUENCES = ">a\nMKVAMKVA\n>b\nACDXACDX\n"
LABELS = ">a SET=train\nHHECHHEC\n>b SET=train VALIDATION=True\nEEEECCCC\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.fasta").write_text(SEQUENCES)
    (tmp_path / "l.fasta").write_text(LABELS)
    (tmp_path / "short.fasta").write_text(LABELS.replace("EEEECCCC", "EEEE"))
    (tmp_path / "t.csv").write_text('id,sequence,b,set\na,MKV,"1,2,3",train\nb,ACD,"3,,1",valid\n')
    (tmp_path / "g.fa").write_text(f">chr1\n{'ACGT' * 20}\n")
    (tmp_path / "g.bed").write_text("chr1\t4\t40\tgene\n")
    (tmp_path / "text.zip").write_text("no archive")
    return tmp_path


def test_it_says_what_it_wrote(biorrn: Run, folder: Path) -> None:
    done = biorrn(
        "prepare", "tags", folder / "s.fasta", "--labels", folder / "l.fasta", "-o", folder / "o.h5",
        "--report", folder / "r.json", "--note", "made up",
    )  # fmt: skip
    assert done[0] == 0
    assert "valid: 1 sequence, 8 residues" in done[1]
    report = json.loads((folder / "r.json").read_text())
    assert report["kind"] == "tags"
    assert report["note"] == "made up"
    assert report["tags"]["states"] == "HEC"
    assert report["split"] == "header:SET"
    assert [entry["path"] for entry in report["inputs"]] == [str(folder / name) for name in ("s.fasta", "l.fasta")]


@pytest.mark.parametrize(
    "words",
    [
        ("t.csv", "--value", "b", "--split", "column:set"),
        ("g.fa", "--bed", "g.bed", "--alphabet", "dna", "--split", "reference:chr1:40-80=valid", "--window", "32"),
        ("s.fasta", "--labels", "l.fasta", "--states", "8", "--split", "random:0.5,0.5,0"),
    ],
)
def test_every_kind_of_input(words: tuple[str, ...], biorrn: Run, folder: Path) -> None:
    given = [folder / word if (folder / word).exists() else word for word in words]
    code, out, err = biorrn("prepare", "tags", *given, "-o", folder / "o.h5")
    assert code == 0, err
    assert "train:" in out
    assert "valid:" in out


def test_synthetic_genes_are_what_their_bed_says(biorrn: Run, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "data" / "make_genes.py", tmp_path], check=True)
    bases = {one.id: one.letters for one in read_letters(tmp_path / "genes.fasta")}
    for name, segments in read_segments(tmp_path / "genes.bed").items():
        for one in segments:
            gene = bases[name][one.start : one.end]
            gene = gene if one.name == "forward" else gene[::-1].translate(str.maketrans("ACGT", "TGCA"))
            assert gene.startswith("ATG")
            stops = [place for place in range(0, len(gene), 3) if gene[place : place + 3] in ("TAA", "TAG", "TGA")]
            assert stops == [len(gene) - 3]
    code, out, _ = biorrn(
        "prepare", "tags", tmp_path / "genes.fasta", "--bed", tmp_path / "genes.bed", "--alphabet", "dna",
        "--split", "random:0.8,0.1,0.1", "-o", tmp_path / "genes.h5",
    )  # fmt: skip
    assert code == 0
    assert "kept: 240" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("s.fasta", "--labels", "short.fasta"), "record 'b': found 4 labels; the sequence in"),
        (("s.fasta", "--labels", "none.fasta"), "none.fasta: cannot be read"),
        (("s.fasta",), "name them with --labels or --bed"),
        (("s.fasta", "--labels", "l.fasta", "--states", "9"), "--states: found '9'"),
        (("s.fasta", "--labels", "l.fasta", "--split", "heder:SET"), "--split 'heder' is unknown"),
        (("s.fasta", "--labels", "l.fasta", "--split", "header:KIND"), "record 'a': KIND: found 'SET=train'"),
        (("t.csv", "--value", "c"), "column 'c' is missing"),
        (("text.zip",), "text.zip: damaged"),
        (("g.fa", "--bed", "g.bed", "--split", "random"), "looks like DNA"),
    ],
)
def test_faults_are_one_line(words: tuple[str, ...], problem: str, biorrn: Run, folder: Path) -> None:
    given = [folder / word if "." in word else word for word in words]
    code, _, err = biorrn("prepare", "tags", *given, "-o", folder / "o.h5")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("biorrn: error: ")
    assert problem in err
    assert "Traceback" not in err
    assert not (folder / "o.h5").exists()


def test_pseudo_labels_by_a_model_that_ships(biorrn: Run, folder: Path) -> None:
    chain, other = "MKVLATGGSWQERTYIPLKD" * 3, "GSSWTTYIPLNDARKVVLEE" * 3
    (folder / "s.fasta").write_text(f">a\n{chain}\n>b\n{other}\n")
    (folder / "l.fasta").write_text(f">a SET=train\n{'H' * 60}\n>b SET=train VALIDATION=True\n{'E' * 60}\n")
    assert biorrn("prepare", "tags", folder / "s.fasta", "--labels", folder / "l.fasta", "-o", folder / "l.h5")[0] == 0
    (folder / "u.fasta").write_text(f">new\n{'DEWKKLAYRRAFGHINQVLT' * 2}\n>near_valid\n{other[:50]}\n")
    words = ["prepare", "pseudo-labels", folder / "l.h5", folder / "u.fasta", "-o", folder / "taught.h5"]
    code, out, err = biorrn(*words, "--teacher", "secondary_structure", "--report", folder / "r.json")
    assert code == 0, err
    assert "kept: labelled by the model: 1" in out
    assert "left out: homologous to a held-out chain: 1" in out
    report = json.loads((folder / "r.json").read_text())
    assert report["teacher"] == "secondary_structure"
    assert [Path(entry["path"]).name for entry in report["inputs"]] == ["l.h5", "u.fasta", "weights.safetensors"]
    code, _, err = biorrn(*words, "--teacher", "stability")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "needed here is one for tagging" in err


def test_from_mutants_to_a_model_of_their_effects(biorrn: Run, tmp_path: Path) -> None:
    """Prepare, train on what a shipped model tells, move the folder, predict: it needs no other model any more."""
    lines = ["wt,mutation,ddg,split"]
    for number, wild in enumerate(("MKVLAWTGHEYRMKVLAWTGHEYR", "GHEYRAAMKVLAWTGHEYRQQMKV", "TGHEYRMKVLAWWPMKVLAWTGHE")):
        split = "valid" if number == 2 else "train"
        for place in range(20):
            for new in "AGL":
                if new != wild[place]:
                    lines.append(f"{wild},{wild[place]}{place + 1}{new},{(place * 7 + ord(new)) % 5 - 3},{split}")
    lines.append(f"{wild},T1del,1,valid")
    lines.append(f"{wild},Q1A,1,valid")
    table = tmp_path / "mutants.csv"
    table.write_text("\n".join(lines) + "\n")
    code, out, err = biorrn(
        "prepare",
        "tags",
        table,
        "--wild-type",
        "wt",
        "--value",
        "ddg",
        "--split",
        "column:split",
        "-o",
        tmp_path / "m.h5",
    )
    assert code == 0, err
    assert "train: 2 sequences" in out
    assert "no single substitution" in out
    assert "Q1A" in err
    words = ["train", "ddg", tmp_path / "m.h5", "-o", tmp_path / "run", "--set", "training.epochs=1"]
    code, _, err = biorrn(*words, "--set", "model.frontend.layers=[{width: 8, kernel: 3}]")
    assert code == 0, err
    (tmp_path / "run").rename(tmp_path / "moved")
    code, out, err = biorrn("predict", tmp_path / "moved", table, "--wild-type", "wt", "-o", "-")
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:3] == ["id", "length", "ddg"]
    assert len({row[2] for row in rows[1:50]}) > 20


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["s.fasta", "--wild-type", "wt", "--value", "b"], "is for a table of mutants of proteins with one --value"),
        (["t.csv", "--wild-type", "wt"], "is for a table of mutants of proteins with one --value"),
    ],
)
def test_a_wild_type_needs_a_table_of_mutants(biorrn: Run, folder: Path, words: list[str], problem: str) -> None:
    code, _, err = biorrn("prepare", "tags", folder / words[0], *words[1:], "-o", folder / "o.h5")
    assert code == 2
    assert problem in err


def test_proteins_of_mutants_have_no_ids_for_a_file_of_splits(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("wt,mutation,b\nMKVLAW,K2A,1\n")
    (tmp_path / "split.tsv").write_text("id\tsplit\nprotein1\ttrain\n")
    words = ("--wild-type", "wt", "--value", "b", "--split", f"file:{tmp_path / 'split.tsv'}")
    code, _, err = biorrn("prepare", "tags", tmp_path / "t.csv", *words, "-o", tmp_path / "o.h5")
    assert code == 2
    assert "--split file: needs ids, and the proteins of a table of mutants have none; name a column" in err
