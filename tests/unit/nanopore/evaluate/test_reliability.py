"""Which bases are wrong, and tables of qualities that are known to be right or wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.nanopore.alignment import Alignment, AlignmentMapper, Score, columns, parse_cigar, reverse_complement
from biorrn.nanopore.evaluate.identity import read_calibration_error
from biorrn.nanopore.evaluate.reliability import calibration_error, phred_of, q_gap, reliability_table, wrong_columns
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.stats.bootstrap import wilson

COUNTS = np.zeros(94, np.int64)


def counted(**q: int) -> np.ndarray:
    """Return counts by quality: q10=5 is five bases of Q 10."""
    found = COUNTS.copy()
    for name, n in q.items():
        found[int(name[1:])] = n
    return found


def literal(cigar: str, read: str, reference: str) -> Alignment:
    kind, on_reference, on_read = columns(parse_cigar(cigar), read, reference)
    return Alignment("g", "+", 0, len(reference), len(read), 60, kind, on_reference, on_read)


@pytest.mark.parametrize(
    ("cigar", "read", "reference", "wrong", "gaps"),
    [
        ("4M", "ACGT", "ACGT", "....", "...."),
        ("4M", "ACGT", "ACCT", "..x.", "...."),
        ("2M1I2M", "ACTGT", "ACGT", "..x..", "....."),
        ("2M1D2M", "ACGT", "ACAGT", "..-x.", "..-x."),
        ("2M3D2M", "ACGT", "ACAAAGT", "..---x.", "..---x."),
        ("2M1D2M", "ACGT", "ACACT", "..-x.", "..-.."),  # mismatched besides: the gap alone does not say so
        ("2M1D1I2M", "ACTGT", "ACAGT", "..-x..", "..-..."),
    ],
)
def test_wrong_bases_by_hand(cigar: str, read: str, reference: str, wrong: str, gaps: str) -> None:
    for found, expected in zip(wrong_columns(literal(cigar, read, reference)), (wrong, gaps), strict=True):
        assert found.tolist() == [letter == "x" for letter in expected]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_base_missing_from_a_run_is_charged_to_the_run(strand: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """minimap2 puts a gap at its leftmost place on either strand, and the base after it is one of the run."""
    rng = np.random.default_rng(5)
    before, after = ("".join(rng.choice(list("ACGT"), 300)) + end for end in ("G", ""))
    genome = before + "AAAAAA" + "C" + after
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text(f">g\n{genome}\n")
    read = before + "AAAA" + "C" + after
    call = read if strand == "+" else reverse_complement(read)
    alignment = AlignmentMapper(path).align(BaseCall("r", call, np.full(len(call), 10, np.uint8)))
    assert alignment is not None
    assert alignment.strand == strand
    (column,) = np.flatnonzero(wrong_columns(alignment)[0])
    assert alignment.ref_position[column] == len(before) + 2
    assert call[alignment.read_position[column]] == ("A" if strand == "+" else "T")


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_holds_the_rate_and_stays_inside(n: int, part: float) -> None:
    wrong = round(n * part)
    low, high = wilson(wrong, n)
    assert 0 <= low <= wrong / n <= high <= 1
    assert low < high


def test_wilson_covers_19_of_20() -> None:
    rng = np.random.default_rng(0)
    for n, rate in ((50, 0.1), (500, 0.01), (1000, 0.3)):
        inside = [low <= rate <= high for low, high in (wilson(int(k), n) for k in rng.binomial(n, rate, 2000))]
        assert 0.92 < np.mean(inside) < 0.98
    assert all(math.isnan(end) for end in wilson(0, 0))


def test_reliability_table_adds_up() -> None:
    bases, errors = counted(q10=100, q11=100, q30=50), counted(q10=20)
    low, high = reliability_table(bases, errors, counted(q10=5))
    assert (low["from"], low["to"], low["bases"], low["errors"], low["of_gaps"]) == (9, 11, 200, 20, 5)
    assert low["observed_error"] == pytest.approx(0.1)
    assert low["observed_q"] == pytest.approx(10)
    assert low["predicted_error"] == pytest.approx((0.1 + 10**-1.1) / 2)
    least, most = wilson(20, 200)
    assert (low["observed_q_low"], low["observed_q_high"]) == (phred_of(most), phred_of(least))
    assert low["observed_q_low"] < low["observed_q"] < low["observed_q_high"]
    assert (high["from"], high["bases"]) == (30, 50)
    assert math.isnan(high["observed_q"])
    assert math.isnan(high["observed_q_high"])
    assert 10 < high["observed_q_low"] < 12  # 50 bases without an error promise no more
    expected = (100 * abs(0.1 - 0.2) + 100 * 10**-1.1 + 50 * 0.001) / 250
    assert calibration_error(bases, errors) == pytest.approx(expected)


def test_qualities_that_keep_their_promise_are_calibrated() -> None:
    bases, errors = counted(q10=1000, q20=1000), counted(q10=100, q20=10)
    assert calibration_error(bases, errors) == pytest.approx(0)
    for row in reliability_table(bases, errors):
        assert row["observed_q"] == pytest.approx(row["predicted_q"])


@pytest.mark.parametrize(("off", "kept"), [(0, True), (4, False), (-4, False)])
def test_drawn_errors_show_whether_the_promise_is_kept(off: int, kept: bool) -> None:
    rng = np.random.default_rng(1)
    quals = rng.integers(5, 25, 100_000)
    wrong = rng.random(len(quals)) < 10 ** (-(quals - off) / 10)
    bases, errors = np.bincount(quals, minlength=94), np.bincount(quals[wrong], minlength=94)
    rows = reliability_table(bases, errors)
    inside = [row["observed_q_low"] <= row["predicted_q"] <= row["observed_q_high"] for row in rows]
    # with three qualities in a row the mean promise is exact only where they are right
    assert all(inside) if kept else not any(inside)
    assert (calibration_error(bases, errors) < 0.01) == kept


def test_no_bases_no_table() -> None:
    assert reliability_table(COUNTS, COUNTS) == []
    assert math.isnan(calibration_error(COUNTS, COUNTS))
    assert math.isnan(read_calibration_error([]))


def test_read_calibration_error_by_hand() -> None:
    reads = [Score("a", 9, "scored", 10.0, identity=0.9), Score("b", 9, "scored", 20.0, identity=0.89)]
    assert read_calibration_error(reads) == pytest.approx(0.05)


def test_gap_of_promised_and_observed_q() -> None:
    bases, errors = np.zeros(94, np.int64), np.zeros(94, np.int64)
    bases[[2, 10, 20, 24, 30]] = [9_000, 1_000, 1_000, 499, 9_000]
    errors[[2, 10, 20, 24, 30]] = [1, 100, 100, 1, 1]
    assert q_gap(bases, errors) == pytest.approx(5.0)  # of Q10 and Q20: Q24 has too few bases, the others are beyond
    assert math.isnan(q_gap(bases, errors, fewest=10_000))
