"""BAM files of calls read back by ONT's SAM specification (dorado's SAM.md), with a checker that knows nothing of ours.

The move table is checked as Remora reads it: blocks of `stride` samples from `ts` to `ns`, a base at each 1.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pysam
import pytest

from biorrn.nanopore.alignment import Mapper
from biorrn.nanopore.basecall.caller import basecall
from biorrn.nanopore.basecall.formats import Style, format_of
from biorrn.nanopore.basecall.output import open_output
from biorrn.nanopore.models.catalogue import default_model
from biorrn.nanopore.readers.files import read_all
from biorrn.nn.store import Stored, load_model

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = {"qs": "f", "ns": "i", "ts": "i", "du": "f", "fn": "Z", "sm": "f", "sd": "f", "sv": "Z", "RG": "Z", "mv": "Bc"}
WHERE_KNOWN = {"mx": "i", "ch": "i", "rn": "i", "st": "Z"}
R9_SETS = ("lambda_r941", "human_r941", "promethion_r941", "klebsiella_r941", "ecoli_r94", "ecoli_r94_nanoreviser")


def kind(record: pysam.AlignedSegment, tag: str) -> str:
    letter = record.get_tag(tag, with_value_type=True)[1]
    return "i" if letter in "cCsSiI" else letter


def discordant(record: pysam.AlignedSegment) -> list[str]:
    """Return in what a record departs from the specification."""
    found = [f"{tag} missing" for tag in ALWAYS if not record.has_tag(tag)]
    if found:
        return found
    tags = ALWAYS | {tag: letter for tag, letter in WHERE_KNOWN.items() if record.has_tag(tag)}
    found += [f"{tag} is {kind(record, tag)}" for tag, letter in tags.items() if kind(record, tag) != letter]
    stride, *table = record.get_tag("mv")
    ns, ts, table = record.get_tag("ns"), record.get_tag("ts"), np.array(table)
    if stride <= 0 or not 0 <= ts < ns:
        return [*found, f"stride {stride}, ts {ts}, ns {ns}"]
    if len(table) != (ns - ts) // stride:
        found.append(f"{len(table)} blocks of {stride} samples for samples {ts} to {ns}")
    if set(table.tolist()) - {0, 1} or table[0] != 1:
        found.append("moves do not begin with 1, or are not 0 and 1")
    if table.sum() != len(record.query_sequence):
        found.append(f"{table.sum()} moves, {len(record.query_sequence)} bases")
    edges = np.append(ts + stride * np.flatnonzero(table), ts + stride * len(table))
    if (np.diff(edges) <= 0).any() or edges[-1] > ns:
        found.append("a base has no samples, or samples that the read does not have")
    if record.get_tag("sd") <= 0 or record.get_tag("sv") not in ("quantile", "med_mad", "pa"):
        found.append(f"sd {record.get_tag('sd')}, sv {record.get_tag('sv')}")
    if not record.is_unmapped and not {"AS", "MD", "NM"} <= {tag for tag, _ in record.get_tags()}:
        found.append("an aligned record without AS, MD or NM")
    return found


def checked(stored: Stored, paths: Iterable[Path], output: Path, reference: Path | None = None) -> tuple[int, int]:
    """Call reads into a BAM file, check it; return how many records it has and how many of them are aligned."""
    mapper = Mapper(reference) if reference else None
    with open_output(str(output), format_of(output), Style("model", mapper=mapper), {}) as out:
        for call in basecall(stored, read_all(paths, lambda problem: None)):
            out.write(call, mapper.hits(call.bases) if mapper else None)
        out.finish()
    with pysam.AlignmentFile(str(output), check_sq=False) as file:
        groups = {group["ID"]: group for group in file.header.to_dict()["RG"]}
        records = [record for record in file.fetch(until_eof=True) if not record.is_supplementary]
    faults = {record.query_name: discordant(record) for record in records}
    assert not {name: found for name, found in faults.items() if found}
    for record in records:
        group = groups[record.get_tag("RG")]
        assert group["PL"] == "ONT"
        assert group["DS"].startswith("basecall_model=model")
        assert {"ID", "DS", "PL"} <= group.keys() <= {"ID", "PU", "PM", "DT", "PL", "DS", "LB", "SM"}
    return len(records), sum(not record.is_unmapped for record in records)


@pytest.fixture(scope="module")
def stored() -> Stored:
    return load_model(default_model())


def test_bam_of_simulated_reads(stored: Stored, tmp_path: Path) -> None:
    reads = [next((ROOT / "data" / "simulated_reads").glob("*.blow5"))]
    reference = next((ROOT / "data" / "simulated_reads").glob("*.fa*"))
    records, mapped = checked(stored, reads, tmp_path / "c.bam", reference)
    assert records > 5
    assert mapped > 0.9 * records


@pytest.mark.slow
def test_bam_of_350_real_reads(stored: Stored, tmp_path: Path, shared_data: Path) -> None:
    paths = [shared_data / "nanopore" / name for name in R9_SETS]
    records, _ = checked(stored, paths, tmp_path / "c.bam")
    assert records >= 350


@pytest.mark.slow
def test_bam_of_every_file_of_the_formats(stored: Stored, tmp_path: Path, shared_data: Path) -> None:
    records, _ = checked(stored, [shared_data / "nanopore" / "formats"], tmp_path / "c.bam")
    assert records > 60


def test_bam_of_aligned_real_reads(stored: Stored, tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "nanopore" / "lambda_r941"
    smallest = sorted((folder / "fast5").glob("*.fast5"), key=lambda path: path.stat().st_size)[:4]
    records, mapped = checked(stored, smallest, tmp_path / "c.bam", folder / "reference.fasta")
    assert records == 4
    assert mapped
