"""`biorrn map`: records and statistics of reads with known positions."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.alignment import Mapper, reverse_complement
from biorrn.nanopore.reads.map import map_reads

Run = Callable[..., tuple[int, str, str]]
LENGTHS = {"one": 6000, "two": 3000}


@pytest.fixture
def biorrn_map(biorrn: Run) -> Run:
    return partial(biorrn, "map")


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{''.join(rng.choice(list('ACGT'), size))}\n" for name, size in LENGTHS.items()))
    return path


def sequences(genome: Path) -> dict[str, str]:
    lines = genome.read_text().split()
    return {lines[place][1:]: lines[place + 1] for place in range(0, len(lines), 2)}


def cut(genome: Path) -> list[tuple[str, str, str]]:
    """Return name, bases and tags of reads: two forward, one of the reverse strand, a chimera, one from nowhere."""
    one, two = sequences(genome).values()
    odd = "".join(np.random.default_rng(9).choice(list("ACGT"), 900))
    return [
        ("forward", one[500:2500], "qs:f:12.5\tRG:Z:run_a\tmv:B:c,5,1,0"),
        ("short", one[4000:4600], "RG:Z:run_b"),
        ("reverse", reverse_complement(two[100:1600]), "ts:i:10"),
        ("chimera", one[1000:3000] + two[1000:2500], "mv:B:c,5,1,1"),
        ("nowhere", odd, "RG:Z:run_a"),
    ]


def fastq(path: Path, reads: list[tuple[str, str, str]]) -> Path:
    text = "".join(f"@{name}\t{tags}\n{bases}\n+\n{'5' * len(bases)}\n" for name, bases, tags in reads)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def records(path: Path) -> list[pysam.AlignedSegment]:
    with pysam.AlignmentFile(str(path)) as file:
        return list(file.fetch(until_eof=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_reads_lie_where_they_come_from(biorrn_map: Run, genome: Path, tmp_path: Path, threads: int) -> None:
    reads = fastq(tmp_path / "r.fastq.gz", cut(genome))
    words = ["--stats", tmp_path / "map.json", "--figures", tmp_path / "figures", "--threads", threads]
    code, out, err = biorrn_map(reads, genome, "-o", tmp_path / "m.bam", *words)
    assert code == 0, err
    found = {(record.query_name, record.is_supplementary): record for record in records(tmp_path / "m.bam")}
    places = {key: (r.reference_name, r.reference_start, r.reference_end, r.is_reverse)
              for key, r in found.items() if not r.is_unmapped}  # fmt: skip
    assert places[("forward", False)] == ("one", 500, 2500, False)
    assert places[("short", False)] == ("one", 4000, 4600, False)
    assert places[("reverse", False)] == ("two", 100, 1600, True)
    assert places[("chimera", False)][:2] == ("one", 1000)
    assert places[("chimera", True)][0] == "two"
    assert found[("nowhere", False)].is_unmapped
    for name, bases, _ in cut(genome):
        assert found[(name, False)].get_forward_sequence() == bases
    assert found[("forward", False)].get_tag("qs") == 12.5
    assert found[("reverse", False)].get_tag("ts") == 10
    assert found[("chimera", False)].has_tag("mv")
    assert not found[("chimera", True)].has_tag("mv")
    assert found[("chimera", True)].get_tag("SA").startswith("one,")
    with pysam.AlignmentFile(str(tmp_path / "m.bam")) as file:  # the index works
        assert file.count("two", 0, 50) == 0
        assert file.count("two", 90, 110) == 1
        header = file.header.to_dict()
    assert header["HD"]["SO"] == "coordinate"
    assert [group["ID"] for group in header["RG"]] == ["run_a", "run_b"]
    assert header["PG"][0]["CL"].startswith("biorrn map ")
    content = json.loads((tmp_path / "map.json").read_text())
    check(content)
    assert len(list((tmp_path / "figures").glob("*.svg"))) == len(content["figures"]) == 4
    assert "depth, mean" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures",
        "m.bam",
        "m.bam.bai",
        "map.json",
        "r.fastq.gz",
    ]


def check(content: dict[str, Any]) -> None:
    """The numbers of `cut`, whose reads have no errors."""
    assert content["kind"] == "mapping"
    assert content["counts"] == {"reads": 5, "bases": 8500, "mapped": 4, "unmapped": 1, "supplementary": 1,
                                 "mapping_quality_below_10": 0, "reverse_strand": 1}  # fmt: skip
    metrics = content["metrics"]
    assert metrics["mapped_fraction"]["value"] == 0.8
    assert metrics["median_identity"] == {"n": 4, "value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics["deletion"]["value"] == 0
    assert metrics["reverse_fraction"]["value"] == 0.25
    depth = content["depth"]
    assert depth["window"] == 1
    # exact but for some bases at the break of the chimera
    assert depth["mean"] == pytest.approx(7600 / 9000, abs=0.01)
    assert [row["name"] for row in depth["references"]] == ["one", "two"]
    assert depth["references"][0]["covered"] == pytest.approx(3100 / 6000, abs=0.01)


@pytest.mark.parametrize("suffix", ["paf", "paf.gz"])
def test_paf(biorrn_map: Run, genome: Path, tmp_path: Path, suffix: str) -> None:
    reads = fastq(tmp_path / "r.fastq", cut(genome))
    assert biorrn_map(reads, genome, "-o", tmp_path / f"m.{suffix}", "--stats", tmp_path / "map.json")[0] == 0
    raw = (tmp_path / f"m.{suffix}").read_bytes()
    rows = [line.split("\t") for line in (gzip.decompress(raw) if suffix == "paf.gz" else raw).decode().splitlines()]
    assert [row[0] for row in rows] == ["forward", "short", "reverse", "chimera", "chimera"]
    assert rows[2][1:9] == ["1500", "0", "1500", "-", "two", "3000", "100", "1600"]
    check(json.loads((tmp_path / "map.json").read_text()))


def test_bam_in_is_bam_out(biorrn_map: Run, genome: Path, tmp_path: Path) -> None:
    """Mapping what was mapped gives the same, with tags and read groups; header lines are kept."""
    reads = fastq(tmp_path / "r.fastq", cut(genome))
    assert biorrn_map(reads, genome, "-o", tmp_path / "1.bam", "--stats", tmp_path / "1.json")[0] == 0
    assert biorrn_map(tmp_path / "1.bam", genome, "-o", tmp_path / "2.bam", "--stats", tmp_path / "2.json")[0] == 0
    one, two = (sorted(r.to_string() for r in records(tmp_path / f"{number}.bam")) for number in (1, 2))
    assert [sorted(line.split("\t")) for line in one] == [sorted(line.split("\t")) for line in two]
    with pysam.AlignmentFile(str(tmp_path / "2.bam")) as file:
        header = file.header.to_dict()
    assert [program["ID"] for program in header["PG"]] == ["map", "map.1"]
    assert [group["ID"] for group in header["RG"]] == ["run_a", "run_b"]
    check(json.loads((tmp_path / "2.json").read_text()))


def test_programs_are_a_chain_however_often_a_file_is_mapped(genome: Path, tmp_path: Path) -> None:
    mapper = Mapper(genome)
    reads = fastq(tmp_path / "0.fastq", cut(genome)[:1])
    for number in range(1, 5):
        map_reads(reads, mapper, str(tmp_path / f"{number}.bam"), command=f"biorrn map {number}")
        reads = tmp_path / f"{number}.bam"
    with pysam.AlignmentFile(str(reads)) as file:
        programs = file.header.to_dict()["PG"]
    assert [program["ID"] for program in programs] == ["map", "map.1", "map.2", "map.3"]
    assert [program.get("PP") for program in programs] == [None, "map", "map.1", "map.2"]
    assert [program["CL"] for program in programs] == [f"biorrn map {number}" for number in range(1, 5)]
    assert [record.query_name for record in records(reads)] == ["forward"]


WHOLE = {"mv": "B:c,5,1,1", "ts": "i:10", "ns": "i:9000", "MN": "i:3500", "MM": "Z:C+m,5,700;", "ML": "B:C,200,30"}


def test_tags_of_the_whole_read_stay_with_the_whole_read(genome: Path, tmp_path: Path) -> None:
    one, two = sequences(genome).values()
    bases = reverse_complement(one[1000:3000]) + two[1000:2500]
    tags = "\t".join(f"{name}:{value}" for name, value in WHOLE.items())
    reads = fastq(tmp_path / "r.fastq", [("chimera", bases, f"{tags}\tRG:Z:a\tOQ:Z:{'A' * 2000 + 'B' * 1500}")])
    for source, target in ((reads, "1.bam"), (tmp_path / "1.bam", "2.bam")):
        map_reads(source, Mapper(genome), str(tmp_path / target))
        primary, other = sorted(records(tmp_path / target), key=lambda record: record.is_supplementary)
        assert other.is_supplementary
        assert "H" in other.cigarstring
        assert primary.is_reverse
        assert set(WHOLE) | {"OQ", "RG"} <= dict(primary.get_tags()).keys()
        assert not (set(WHOLE) | {"OQ"}) & dict(other.get_tags()).keys()
        assert other.get_tag("RG") == "a"
        assert primary.get_tag("OQ") == "B" * 1500 + "A" * 2000  # as the qualities of a reversed record
        # what is said to be modified is the C of the read that was said to be
        places = [place for place, letter in enumerate(bases) if letter == "C"]
        marked = {place for (_, _, code), found in primary.modified_bases.items() for place, _ in found if code == "m"}
        assert marked == {len(bases) - 1 - places[5], len(bases) - 1 - places[706]}
        assert not other.modified_bases


def test_modified_bases_of_a_clipped_record_are_left_out(genome: Path, tmp_path: Path) -> None:
    header = pysam.AlignmentHeader.from_text("@HD\tVN:1.6\n")
    with pysam.AlignmentFile(str(tmp_path / "r.bam"), "wb", header=header) as file:
        bases = sequences(genome)["one"][:600]
        cells = ["r", "4", "*", "0", "0", "*", "*", "0", "0", bases, "I" * 600, "MN:i:900", "MM:Z:C+m,1;", "ML:B:C,9"]
        file.write(pysam.AlignedSegment.fromstring("\t".join([*cells, "ch:i:7"]), header))
    map_reads(tmp_path / "r.bam", Mapper(genome), str(tmp_path / "m.bam"))
    [record] = records(tmp_path / "m.bam")
    assert {"MM", "ML", "MN"}.isdisjoint(dict(record.get_tags()))
    assert record.get_tag("ch") == 7


ODD = ["co:Z:a\x0bb",
       "co:Z:a\x1cb", "co:Z:a\x85b", "co:Z:a\u2028b", "co:Z:caf\xe9", "ch:i:x", "ch:i:99999999999", "qs:f:",
       "ML:B:C,256", "ML:B:C,", "ch:q:1", "a1:A:"]  # fmt: skip


def test_what_sam_cannot_hold_splits_no_record_and_is_said(genome: Path, tmp_path: Path) -> None:
    bases = sequences(genome)["one"][:600]
    reads = [(f"r{place}", bases, f"{tag}\tch:i:{place}") for place, tag in enumerate(ODD)]
    reads += [(name, bases, "ch:i:1") for name in ("x" * 255, "@x", "r\x01", "\xe9")]
    reads += [("y" * 254, bases, "ch:i:1")]
    said: list[str] = []
    problems: list[InputError] = []
    given = fastq(tmp_path / "r.fastq", reads)
    map_reads(given, Mapper(genome), str(tmp_path / "m.bam"), say=said.append, on_problem=problems.append)
    found = records(tmp_path / "m.bam")
    assert {record.query_name for record in found} == {f"r{place}" for place in range(len(ODD))} | {"y" * 254}
    assert all(record.get_tag("ch") == int(record.query_name[1:]) for record in found if record.query_name[0] == "r")
    assert said[0].endswith("r.fastq: 12 tags left out, which SAM cannot hold, such as 'co:Z:a\\x0bb'")
    assert [problem.record for problem in problems] == ["x" * 255, "@x", "r\x01", "\xe9"]
    assert {problem.flag for problem in problems} == {"not_an_id"}


@pytest.mark.parametrize("suffix", ["bam", "paf"])
def test_a_bad_record_among_many_is_left_out_and_counted(biorrn_map: Run, genome: Path, tmp_path: Path, suffix: str
                                                         ) -> None:  # fmt: skip
    bases = sequences(genome)["one"][:600]
    path = fastq(tmp_path / "r.fastq", [("good", bases, "ch:i:1")])
    good = path.read_text()
    path.write_text(f"@short\nACGT\n+\nIII\n{good}@odd\nAC=T\n+\nIIII\n")
    words = (genome, "-o", tmp_path / f"m.{suffix}", "--stats", tmp_path / "map.json")
    code, out, err = biorrn_map(path, *words)
    assert code == 0, err
    content = json.loads((tmp_path / "map.json").read_text())
    assert content["counts"]["reads"] == content["counts"]["mapped"] == 1
    assert "2 reads left out, unusable: other_qualities: 1, not_a_base: 1." in content["cautions"]
    assert "record 'short': has 4 bases and 3 qualities" in err
    assert "2 reads left out" in out
    path.write_text(path.read_text().replace(good, ""))
    code, _, err = biorrn_map(path, genome, "-o", tmp_path / f"n.{suffix}")
    assert (code, "holds no reads that can be used; skipped 2" in err) == (2, True)
    assert not list(tmp_path.glob("n.*"))


def test_introns_are_no_errors(biorrn_map: Run, genome: Path, tmp_path: Path) -> None:
    one = sequences(genome)["one"]
    # an intron of GT ... AG
    exons = [(100, 700), (1500, 2100)]
    spliced = list(one)
    spliced[700:702], spliced[1498:1500] = "GT", "AG"
    changed = tmp_path / "g.fa"
    changed.write_text(f">one\n{''.join(spliced)}\n")
    read = "".join("".join(spliced)[start:end] for start, end in exons)
    reads = fastq(tmp_path / "r.fastq", [("cdna", read, "ts:i:4")])
    words = ["--preset", "splice", "--stats", tmp_path / "map.json"]
    code, _, err = biorrn_map(reads, changed, "-o", tmp_path / "m.bam", *words)
    assert code == 0, err
    [record] = records(tmp_path / "m.bam")
    assert [(size, kind) for kind, size in record.cigartuples] == [(600, 0), (800, 3), (600, 0)]
    assert record.get_tag("ts") == "+"
    content = json.loads((tmp_path / "map.json").read_text())
    assert content["metrics"]["identity"]["value"] == 1.0
    assert content["depth"]["mean"] == pytest.approx(1200 / 6000)


@pytest.mark.parametrize("reads", [[], [("nowhere", "ACGTGGTACC" * 5, "x")]], ids=["no read", "nothing maps"])
def test_nothing_to_map_is_said(
    biorrn_map: Run, genome: Path, tmp_path: Path, reads: list[tuple[str, str, str]]
) -> None:
    table = fastq(tmp_path / "r.fastq", reads)
    words = ["--stats", tmp_path / "map.json", "--figures", tmp_path / "figures"]
    code, out, err = biorrn_map(table, genome, "-o", tmp_path / "m.bam", *words)
    assert code == 0, err
    assert len(records(tmp_path / "m.bam")) == len(reads)
    assert (tmp_path / "m.bam.bai").exists()
    content = json.loads((tmp_path / "map.json").read_text())
    assert content["cautions"] == [out.splitlines()[-1]]
    assert content["metrics"]["identity"]["value"] is None


BAD = {
    "no reads": ("no.fastq {g} -o m.bam", "no.fastq: cannot be read"),
    "no reference": ("r.fastq no.fa -o m.bam", "no.fa: cannot be read"),
    "a suffix": ("r.fastq {g} -o m.txt", "m.txt: found the suffix '.txt'; allowed is .bam, .paf, .paf.gz"),
    "a preset": ("r.fastq {g} -o m.bam --preset map-ot", "--preset: 'map-ot' is unknown; did you mean 'map-ont'?"),
    "reads cut off": ("cut.fastq {g} -o m.bam", "cut.fastq: record 'r'"),
    "FASTA": ("{g} {g} -o m.bam", "(that is FASTA); a FASTQ record starts with '@'"),
    "no BAM": ("text.bam {g} -o m.bam", "text.bam: cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_mapped_is_one_line(
    biorrn_map: Run, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.fastq").write_text("@r\nACGT\n+\nIIII\n")
    (tmp_path / "cut.fastq").write_text("@r\nACGT\n+\nII")
    (tmp_path / "text.bam").write_text("no\n")
    before = sorted(tmp_path.iterdir())
    command, message = BAD[name]
    code, out, err = biorrn_map(*command.format(g=genome).split())
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_intervals_of_many_reads_lie_around_the_value_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.nanopore.reads import map as mapping_stats

    rng = np.random.default_rng(1)
    columns = rng.integers([900, 0, 0, 0], [1000, 40, 40, 40], (2000, 4)).astype(np.int32)
    whole = mapping_stats._estimates(columns, 0)
    monkeypatch.setattr(mapping_stats, "RESAMPLED_READS", 300)
    part = mapping_stats._estimates(columns, 0)
    for name, entry in part.items():
        assert entry["value"] == whole[name]["value"]
        assert entry["n"] == 2000
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["high"] - entry["low"] > whole[name]["high"] - whole[name]["low"]
