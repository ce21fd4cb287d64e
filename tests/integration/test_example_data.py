"""The examples in data/ are what their README says, and making them again gives the same."""

import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biorrn.nanopore.readers.files import find_signal_files, read_signal
from biorrn.nanopore.simulate.pore_model import kmer_index, load_pore_model
from biorrn.nn.store import load_facts
from biorrn.sequences.alphabets import encode_bases
from biorrn.sequences.fasta import read_fasta

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
TEXT = (
    "synthetic_families.csv",
    "synthetic_motif.csv",
    "synthetic_stability.csv",
    "simulated_reads/reference.fasta",
    "simulated_reads/truth.tsv",
)
FORMATS = ("fast5", "pod5", "blow5")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="," if path.suffix == ".csv" else "\t"))


def reference() -> str:
    return "".join((DATA / "simulated_reads/reference.fasta").read_text().split("\n")[1:])


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    subprocess.run([sys.executable, DATA / "make_examples.py", folder], check=True)
    return folder


@pytest.mark.parametrize("name", TEXT)
def test_text_is_the_same_when_made_again(name: str, again: Path) -> None:
    assert (again / name).read_bytes() == (DATA / name).read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_reads_are_the_same_when_made_again(suffix: str, again: Path) -> None:
    name = f"simulated_reads/simulated.{suffix}"
    first, second = list(read_signal(DATA / name)), list(read_signal(again / name))
    assert len(first) == len(second) == 8
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.raw, other.raw)
        np.testing.assert_array_equal(one.picoamperes(), other.picoamperes())
        assert (one.read_id, one.channel, one.start_time) == (other.read_id, other.channel, other.start_time)


def test_truth_is_the_reference_in_the_order_of_the_signal() -> None:
    genome, lengths = reference(), {}
    for path in find_signal_files([DATA / "simulated_reads"]):
        lengths |= {record.read_id: len(record.raw) for record in read_signal(path)}
    rows = table(DATA / "simulated_reads/truth.tsv")
    assert {row["read_id"] for row in rows} == set(lengths)
    assert {row["strand"] for row in rows} == {"+", "-"}
    for row in rows:
        span = genome[int(row["ref_start"]) : int(row["ref_end"])]
        if row["strand"] == "-":
            span = span[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert row["bases"] == span
        starts = np.array(row["starts"].split(","), int)
        assert len(starts) == len(row["bases"])
        assert (np.diff(starts) >= 1).all()
        assert starts[0] >= 200  # after the stall
        assert starts[-1] < int(row["end"]) < lengths[row["read_id"]]


def test_held_out_reads_share_no_base_with_the_others() -> None:
    held_out = [int(row["ref_start"]) < 3000 for row in table(DATA / "simulated_reads/truth.tsv")]
    for row, inside in zip(table(DATA / "simulated_reads/truth.tsv"), held_out, strict=True):
        assert int(row["ref_end"]) <= 3000 if inside else int(row["ref_start"]) >= 3000
    assert sum(held_out) == 6


def test_signal_follows_the_pore_model() -> None:
    """A k-mer's mean current, in units of the read, is its level: truth, strands and calibration agree."""
    model = load_pore_model("dna_r9.4.1_6mer")
    truth = {row["read_id"]: row for row in table(DATA / "simulated_reads/truth.tsv")}
    for suffix in FORMATS:
        record = next(iter(read_signal(DATA / f"simulated_reads/simulated.{suffix}")))
        row = truth[record.read_id]
        edges = np.array([*row["starts"].split(","), row["end"]], int)
        current, index = record.picoamperes(), kmer_index(encode_bases(row["bases"]), model.k)
        seen = [current[edges[i] : edges[i + 1]].mean() for i in range(len(edges) - 1)]
        assert np.corrcoef(seen[model.centre :][: len(index)], model.level[index])[0, 1] > 0.98


def test_synthetic_table_is_as_described() -> None:
    rows = table(DATA / "synthetic_stability.csv")
    assert all(row["id"].startswith("SYNTHETIC_") for row in rows)
    assert all(30 <= len(row["sequence"]) <= 50 for row in rows)
    assert len({row["sequence"] for row in rows}) == len(rows) == 600
    sets = [row["set"] for row in rows]
    assert [sets.count(name) for name in ("train", "valid", "test")] == [450, 90, 60]


def test_synthetic_motif_is_as_described() -> None:
    rows = table(DATA / "synthetic_motif.csv")
    assert all(row["id"].startswith("SYNTHETIC_") for row in rows)
    assert len({row["sequence"] for row in rows}) == len(rows) == 1200
    assert [sum(row["set"] == name for row in rows) for name in ("train", "valid", "test")] == [900, 120, 180]
    wrong = []
    for row in rows:
        sequence = row["sequence"]
        assert 24 <= len(sequence) <= 40
        assert sequence.count("WKD") == 1
        wrong.append(float(row["signal"]) - 2 * (1 - sequence.index("WKD") / (len(sequence) - 3)))
    assert abs(np.mean(wrong)) < 0.02
    assert 0.09 < np.std(wrong) < 0.11
    signal = np.array([float(row["signal"]) for row in rows])
    for residue in "ACDEFGHIKLMNPQRSTVWY":  # composition says nothing: |r| of 0.12 would be four standard errors
        count = [row["sequence"].count(residue) for row in rows]
        assert abs(np.corrcoef(count, signal)[0, 1]) < 0.12


def test_synthetic_families_are_as_described() -> None:
    rows = table(DATA / "synthetic_families.csv")
    assert all(row["id"].startswith("SYNTHETIC_") for row in rows)
    assert len({row["sequence"] for row in rows}) == len(rows) == 240
    assert {name: sum(row["family"] == name for row in rows) for name in "ABCD"} == dict.fromkeys("ABCD", 60)
    assert all(40 <= len(row["sequence"]) <= 52 for row in rows)


# average mass in daltons of the chain, disulphides reduced, as UniProt and the literature give it
MASSES = {"UBIQ_HUMAN": 8565, "LYSC_CHICK": 14313, "BPTI": 6518, "BARNASE": 12383, "GFP_AEQVI": 26886}
DEMO_MASSES = {"THIO_HUMAN": 11737, "FKB1A_HUMAN": 11951, "SODC_HUMAN": 15936, "CSPA_ECOLI": 7403, "DYR_ECOLI": 17999}


def test_known_proteins_have_their_mass() -> None:
    from Bio.SeqUtils import molecular_weight

    records = {record.id: record for record in read_fasta(DATA / "proteins.fasta")}
    assert len(records) == 11
    for name, mass in MASSES.items():
        assert molecular_weight(records[name].sequence, "protein") == pytest.approx(mass, abs=1)
    demo = {record.id: record.sequence for record in read_fasta(DATA / "demo_proteins.fasta")}
    assert len(demo) == 9
    for name, mass in DEMO_MASSES.items():
        assert molecular_weight(demo[name], "protein") == pytest.approx(mass, abs=1)


def test_scanned_protein_is_that_of_its_model() -> None:
    (record,) = read_fasta(DATA / "tem1.fasta")
    assert record.sequence == load_facts("beta_lactamase")["reference"]


def test_readme_names_every_file_with_its_checksum() -> None:
    readme = (DATA / "README.md").read_text()
    found = {path: digest for digest, path in re.findall(r"^([0-9a-f]{64})  (\S+)$", readme, re.MULTILINE)}
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file() and path.suffix not in (".py", ".md", ".pyc")]
    assert set(found) == {str(path.relative_to(DATA)) for path in files}
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == found[str(path.relative_to(DATA))], path
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_everything_made_says_so() -> None:
    assert "simulated" in (DATA / "simulated_reads/reference.fasta").read_text().split("\n")[0]
    for record in (next(iter(read_signal(path))) for path in find_signal_files([DATA / "simulated_reads"])):
        assert record.flow_cell == record.kit == "simulated"
