"""Limits, counts and the table of reads."""

import io
import math

import pytest

from biorrn.nanopore.labels.sources import COLUMNS, Facts, Limits, ReadReport, below, open_report

STRICT = Limits(identity=0.9, coverage=0.8, mean_q=10, dwell=(3, 60))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(0.95, 0.9, 12, 10), None),
        (Facts(), None),  # what is not known is not held against a read
        (Facts(identity=0.89), "identity below 0.9"),
        (Facts(coverage=0.79), "coverage below 0.8"),
        (Facts(mean_q=9.9), "mean quality below 10"),
        (Facts(dwell=2.9), "dwell beyond 3 to 60 samples a base"),
        (Facts(dwell=61), "dwell beyond 3 to 60 samples a base"),
    ],
)
def test_limits(facts, reason):
    assert below(facts, STRICT) == reason


def test_each_read_is_a_row_and_a_count():
    stream = io.StringIO()
    report = ReadReport(stream=stream)
    report.drop("r1", "identity below 0.9", Facts(identity=0.5, coverage=1.0))
    report.keep("r2", Facts(0.95, 0.9, 12.5, 10, "chr1"))
    report.done("r2", None, 321)
    report.keep("r3", Facts(identity=0.91))
    report.done("r3", "reads dropped: no usable segment", 0)
    report.done("r4", None, 50)  # labels that came with the read: nothing is known of an alignment
    rows = [line.split("\t") for line in stream.getvalue().splitlines()]
    assert rows[0] == list(COLUMNS)
    assert rows[1:] == [
        ["r1", "dropped", "identity below 0.9", "0.5000", "1.0000", ".", "0", "."],
        ["r2", "kept", ".", "0.9500", "0.9000", "12.5000", "321", "chr1"],
        ["r3", "dropped", "no usable segment", "0.9100", ".", ".", "0", "."],
        ["r4", "kept", ".", ".", ".", ".", "50", "."],
    ]
    assert report.counts == {"reads dropped: identity below 0.9": 1}
    summary = report.summary()
    assert summary["kept"]["reads"] == 1
    assert summary["kept"]["median"] == pytest.approx(0.95)
    assert summary["dropped"]["reads"] == 2
    assert ReadReport().summary() == {}


def test_a_table_appears_whole_or_not_at_all(tmp_path):
    with open_report(tmp_path / "r.tsv") as report:
        report.done("r1", None, 1)
        assert not (tmp_path / "r.tsv").exists()
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 2
    with pytest.raises(ValueError, match="stop"), open_report(tmp_path / "s.tsv"):
        raise ValueError("stop")
    assert not (tmp_path / "s.tsv").exists()
    with open_report(None) as report:
        report.drop("r1", "no reason", Facts(identity=math.nan))
    assert report.counts.total() == 1
