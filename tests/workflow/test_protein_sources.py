"""The tables that the model ddg is trained on, from small files in the formats of the public ones."""

import csv
import gzip
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "workflow/scripts/protein_sources.py"
FOUND = importlib.util.spec_from_file_location("protein_sources", SCRIPT)
sys.path.insert(0, str(SCRIPT.parent))  # as for a script that is run
assert FOUND is not None
assert FOUND.loader is not None
SOURCES: Any = importlib.util.module_from_spec(FOUND)
FOUND.loader.exec_module(SOURCES)
sys.path.pop(0)


def rows(found: Any) -> list[dict[str, str]]:
    header, *body = found
    return [dict(zip(header, map(str, row), strict=True)) for row in body]


def packed(path: Path, text: str) -> str:
    with gzip.open(path, "wt") as stream:
        stream.write(text)
    return str(path)


@pytest.fixture
def domains(tmp_path: Path) -> str:
    lines = ["wt_id,wt_sequence,mutation,ddg,source,cluster,split"]
    for cluster in range(10):
        split = "valid" if cluster == 9 else "train"
        wild = "MKV" + "ACDEFGHIKL"[cluster]
        lines += [
            f"p{cluster},{wild},{old}{new},{-cluster},x,c{cluster},{split}" for old, new in (("K2", "A"), ("V3", "L"))
        ]
    return packed(tmp_path / "domains.csv.gz", "\n".join(lines) + "\n")


def test_each_cluster_is_held_out_in_one_fold(domains: str) -> None:
    held_out: list[str] = []
    for fold in "01234":
        found = rows(SOURCES.mutants(domains, fold))
        by_split = {
            split: {row["wt_sequence"] for row in found if row["split"] == split} for split in ("train", "valid")
        }
        assert not by_split["train"] & by_split["valid"]
        held_out += by_split["valid"]
    assert len(held_out) == len(set(held_out)) == 10


def test_chains_have_what_either_archive_tells_of_them(tmp_path: Path) -> None:
    structure, conservation = tmp_path / "structure.zip", tmp_path / "conservation.zip"
    with zipfile.ZipFile(structure, "w") as archive:
        archive.writestr("splits/sequences.fasta", ">a\nMKV\n>b\nACDE\n")
        archive.writestr(
            "splits/sampled.fasta", ">a SET=train VALIDATION=False\nHEC\n>b SET=test VALIDATION=False\nCCCC\n"
        )
        archive.writestr("splits/mask.fasta", ">a\n110\n>b\n1111\n")
    with zipfile.ZipFile(conservation, "w") as archive:
        archive.writestr("splits/sequences.fasta", ">a\nMKV\n>c\nWW\n>d\nYY\n")
        archive.writestr(
            "splits/sampled.fasta", ">a SET=train VALIDATION=False\n193\n>c SET=train VALIDATION=True\n55\n"
        )
    found = {row["id"]: row for row in rows(SOURCES.chains(str(structure), str(conservation)))}
    assert set(found) == {"a", "b", "c"}  # of the last nothing is known
    assert found["a"] == {
        "id": "a",
        "sequence": "MKV",
        "helix": "1,0,nan",
        "strand": "0,1,nan",
        "coil": "0,0,nan",
        "conservation": "1,9,3",
        "split": "train",
    }
    assert found["b"]["conservation"] == "nan,nan,nan,nan"
    assert [found[name]["split"] for name in "bc"] == ["test", "valid"]
    assert found["c"]["helix"] == "nan,nan"


def test_sequences_come_once_and_few_of_a_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES, "PER_DOMAIN", 3)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    homologs = packed(tmp_path / "h.csv.gz", "domain,sequence\n" + "".join(f"d,{letters}{one}\n" for one in letters))
    fasta = tmp_path / "s.fasta"
    fasta.write_text(f">x\n{letters}{letters}\n>y\n{letters}{letters}\n>short\nMKV\n")
    found = rows(SOURCES.unlabelled([homologs, str(fasta)]))
    assert len(found) == 4
    assert len({row["sequence"] for row in found}) == 4
    assert {row["split"] for row in found} == {"train"}


def test_pairs_are_single_substitutions_with_the_mean_of_repeats(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "n.csv.gz",
        "name,wt_seq,mut_seq,pH,temp,ddG\na,MKV,MAV,7,25,-1\na,MKV,MAV,8,25,-2\na,MKV,AAV,7,25,1\na,MKV,MKVA,7,25,1\n",
    )
    assert rows(SOURCES.pairs(path)) == [{"wt_sequence": "MKV", "mutation": "K2A", "ddg": "-1.5000"}]


def test_it_writes_csv(domains: str) -> None:
    words = [sys.executable, str(SCRIPT), "mutants", domains]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert len(list(csv.DictReader(text.splitlines()))) == 20


def test_mutants_of_several_substitutions_count_from_one(tmp_path: Path) -> None:
    scan = packed(tmp_path / "scan.tsv.gz", "variant\tnum_mutations\tscore\nM0A,V2C\t2\t0.5\nK1*\t1\t-3\n")
    (tmp_path / "wild.yml").write_text("own:\n  wt_aa: MKV\nother:\n  wt_aa: AAA\n")
    found = rows(SOURCES.several(scan, str(tmp_path / "wild.yml"), "own"))
    assert found == [{"wt_sequence": "MKV", "mutation": "M1A:V3C", "score": "0.5"}]
