"""Scores of called reads: worked examples, nothing at all, and tables that add up."""

import math
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from biorrn.nanopore.alignment import Alignment, AlignmentMapper, Region, Score, columns, parse_cigar
from biorrn.nanopore.evaluate.identity import (
    RESAMPLED,
    Scores,
    counts_of,
    evaluate,
    length_table,
    median_of,
    read_quality_table,
    score_reads,
    summarise,
    write_reads,
)
from biorrn.nanopore.readers.calls import BaseCall, read_calls

COLUMNS = np.array([[90, 5, 3, 2], [60, 20, 10, 10], [400, 0, 0, 0]])  # matches, mismatches, insertions, deletions
WORKED = {
    "median_identity": 0.9,
    "identity": 550 / 600,
    "mismatch": 25 / 600,
    "insertion": 13 / 600,
    "deletion": 12 / 600,
}


def value_of(columns: np.ndarray, name: str) -> float:
    return evaluate(columns, resamples=2)[name]["value"]


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", RESAMPLED)
def test_worked_example(name: str) -> None:
    assert value_of(COLUMNS, name) == pytest.approx(WORKED[name])


@pytest.mark.parametrize("name", RESAMPLED)
def test_no_reads(name: str) -> None:
    found = evaluate(np.zeros((0, 4)))[name]
    assert found["n"] == 0
    assert math.isnan(found["value"])
    assert math.isnan(found["low"])


@pytest.mark.parametrize("name", RESAMPLED)
def test_equal_reads_have_an_interval_of_no_width(name: str) -> None:
    found = evaluate(np.repeat(COLUMNS[:1], 5, axis=0))[name]
    assert found["low"] == pytest.approx(found["value"])
    assert found["high"] == pytest.approx(found["value"])


@pytest.mark.parametrize("name", RESAMPLED)
def test_counts_are_repeated_reads(name: str) -> None:
    counts = np.array([[2, 0, 1], [1, 1, 2], [0, 3, 0]])
    found = RESAMPLED[name](COLUMNS.astype(float), counts.astype(float))
    for value, row in zip(found, counts, strict=True):
        assert value == pytest.approx(value_of(np.repeat(COLUMNS, row, axis=0), name))


def test_median_is_numpys_for_even_and_odd_sizes() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0])
    counts = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 3, 0, 2], [2, 2, 0, 0]], dtype=float)
    expected = [np.median(np.repeat(values, row.astype(int))) for row in counts]
    assert median_of(values, counts).tolist() == expected


def literal(cigar: str, read: str, reference: str, start: int = 0) -> Alignment:
    kind, on_reference, on_read = columns(parse_cigar(cigar), read, reference)
    return Alignment("g", "+", start, start + len(reference), len(read), 60, kind, start + on_reference, on_read)


def test_one_read_by_hand() -> None:
    found = BaseCall("r", "ACGTTT", np.array([10, 20, 10, 5, 10, 10], np.uint8))
    alignment = literal("2M1D1M1I1M", "ACGTT", "AGCGT")  # = X D = I =; the last T of the read is clipped
    scores = score_reads([found], lambda read: alignment)
    (read,) = scores.reads
    assert (read.matches, read.mismatches, read.insertions, read.deletions) == (3, 1, 1, 1)
    assert read.identity == 0.5
    assert read.aligned_fraction == pytest.approx(5 / 6)
    assert read.status == "scored"
    assert {q: int(n) for q, n in enumerate(scores.bases) if n} == {5: 1, 10: 3, 20: 1}
    # the mismatch at Q 20, the insertion at Q 5, and at Q 10 the base after the gap
    assert {q: int(n) for q, n in enumerate(scores.errors) if n} == {5: 1, 10: 1, 20: 1}
    assert {q: int(n) for q, n in enumerate(scores.gaps) if n} == {10: 1}


@pytest.mark.parametrize(
    ("region", "minimum", "status", "matches"),
    [
        (Region("g", 100, 200), 50, "scored", 100),
        (Region("g", 0, 150), 50, "scored", 50),
        (Region("g", 0, 149), 50, "short", 0),
        (Region("g", 0, 100), 50, "outside", 0),
        (Region("h", 100, 200), 50, "outside", 0),
        (None, 500, "scored", 100),
    ],
)
def test_region_decides_what_is_scored(region: Region | None, minimum: int, status: str, matches: int) -> None:
    read = "ACGT" * 25
    found = BaseCall("r", read, np.full(100, 30, np.uint8))
    (score,) = score_reads([found], lambda _: literal("100M", read, read, start=100), region, minimum).reads
    assert (score.status, score.matches) == (status, matches)
    assert score.within == (matches == 100)
    assert math.isnan(score.identity) == (status != "scored")


def test_unmapped_and_empty_reads_are_counted_and_nothing_more() -> None:
    calls = [BaseCall("a", "ACGT", np.full(4, 9, np.uint8)), BaseCall("b", "", np.zeros(0, np.uint8))]
    scores = score_reads(calls, lambda _: None)
    found = summarise(scores)
    assert found["counts"]["unmapped"] == found["counts"]["reads"] == 2
    assert found["counts"]["mapped"] == 0
    assert found["metrics"]["median_identity"]["n"] == 0
    assert math.isnan(found["quality"]["calibration_error"])
    assert found["quality"]["bases"] == found["quality"]["reads"] == []


def test_length_and_read_quality_tables_hold_every_read() -> None:
    reads = [Score(f"r{i}", length, "scored", 10.5, identity=0.9) for i, length in enumerate([0, 199, 200, 70_000])]
    reads.append(Score("u", 300, "unmapped", 7.0))
    rows = length_table(reads)
    assert sum(row["reads"] for row in rows) == 5
    assert [(row["from"], row["reads"], row["unmapped"]) for row in rows] == [(0, 2, 0), (200, 2, 1), (50_000, 1, 0)]
    assert rows[-1]["to"] is None
    (row,) = read_quality_table(reads[:4])
    assert (row["from"], row["reads"], row["median_identity"]) == (10, 4, 0.9)


def test_table_of_reads(tmp_path: Path) -> None:
    reads = [Score("r", 100, "scored", 10.0, matches=90, mismatches=10, identity=0.9, within=True)]
    write_reads(tmp_path / "reads.tsv", Scores(reads=reads))
    head, row = (tmp_path / "reads.tsv").read_text().splitlines()
    cells = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert (cells["read_id"], cells["matches"], cells["identity"], cells["within"]) == ("r", "90", "0.90000", "1")
    assert counts_of(reads).tolist() == [[90, 10, 0, 0]]
    assert counts_of([]).shape == (0, 4)


def test_guppys_calls_of_real_reads(shared_data: Path, tmp_path: Path) -> None:
    """An established caller on the lambda reads: all of them map, most bases are right, and the qualities say which."""
    folder = shared_data / "nanopore" / "lambda_r941"
    records = []
    for path in sorted(folder.glob("fast5/**/*.fast5")):
        with h5py.File(path) as file:
            found = file["Analyses/Basecall_1D_000/BaseCalled_template/Fastq"][()]
            records.append((found.decode() if isinstance(found, bytes) else str(found)).strip())
    calls = tmp_path / "guppy.fastq"
    calls.write_text("\n".join(records) + "\n")
    mapper = AlignmentMapper(folder / "reference.fasta")
    (name,) = mapper.lengths
    everywhere = summarise(score_reads(read_calls(calls), mapper.align))
    assert everywhere["counts"]["mapped"] == len(records) == 50
    assert everywhere["metrics"]["median_identity"]["low"] > 0.9
    assert everywhere["quality"]["calibration_error"] < 0.05
    assert everywhere["quality"]["spearman"] > 0.7
    region = summarise(score_reads(read_calls(calls), mapper.align, Region(name, 0, 12_000)))
    rest = summarise(score_reads(read_calls(calls), mapper.align, Region(name, 12_000, mapper.lengths[name])))
    # every column is in one part or the other, but for insertions at the border and reads with few bases in a part
    total = region["counts"]["scored_columns"] + rest["counts"]["scored_columns"]
    assert 0 <= everywhere["counts"]["scored_columns"] - total < 300
    assert 0 < region["counts"]["reverse_strand"] < region["counts"]["scored"]
