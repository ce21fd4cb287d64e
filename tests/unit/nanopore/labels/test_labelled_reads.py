"""Reads with labels, from events and from a truth table."""

import uuid
from collections import Counter

import h5py
import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.nanopore.labels.sources import LABELS, TRUTH_COLUMNS, labelled_reads, read_truth

IDS = [str(uuid.UUID(int=i)) for i in range(1, 5)]
HEADER = "\t".join(TRUTH_COLUMNS)


def write_fast5(path, read_ids, samples=60):
    """Write a minimal multi-read FAST5."""
    with h5py.File(path, "w") as file:
        file.attrs["file_version"] = "2.0"
        for number, read_id in enumerate(read_ids):
            group = file.create_group(f"read_{read_id}")
            channel = group.create_group("channel_id")
            for name, value in {
                "offset": 10.0,
                "range": 1400.0,
                "digitisation": 8192.0,
                "sampling_rate": 4000.0,
            }.items():
                channel.attrs[name] = value
            channel.attrs["channel_number"] = "1"
            group.create_group("tracking_id").attrs["run_id"] = "run"
            raw = group.create_group("Raw")
            raw.attrs["read_id"] = read_id
            raw.attrs["read_number"] = number
            raw.attrs["start_time"] = np.uint64(0)
            raw["Signal"] = np.arange(samples, dtype=np.int16) + number
    return path


def line(read_id, bases="ACGT", starts="5,15,25,35", end="45", place=("chr1", "7", "11", "+")):
    name, start, stop, strand = place
    return "\t".join([read_id, name, start, stop, strand, bases, starts, end])


def table(folder, *rows, header=HEADER):
    path = folder / "truth.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def reads(tmp_path):
    return write_fast5(tmp_path / "reads.fast5", IDS[:3])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_rows_are_joined_with_reads_in_any_order(tmp_path, reads, order):
    truth, counts = table(tmp_path, *[line(IDS[i], end=str(41 + i)) for i in order]), Counter()
    pairs = list(labelled_reads([reads], "truth", truth, counts))
    assert [record.read_id for record, _ in pairs] == IDS[:3]
    assert [labels.end for _, labels in pairs] == [41, 42, 43]
    assert not +counts


def test_a_row_is_read_as_it_is_written(tmp_path):
    [(read_id, labels)] = read_truth(table(tmp_path, line(IDS[0], place=("chr1", "7", "11", "-"))))
    assert read_id == IDS[0]
    assert labels.bases.tolist() == [1, 2, 3, 4]
    assert labels.starts.tolist() == [5, 15, 25, 35]
    assert (labels.end, labels.reference, labels.ref_start, labels.ref_end, labels.strand) == (45, "chr1", 7, 11, "-")


def test_a_row_of_any_length_can_be_read(tmp_path):
    """Longer than the 131,072 characters that Python's csv module allows a cell."""
    bases = "ACGT" * 50_000
    starts = ",".join(str(5 * i) for i in range(len(bases)))
    [(_, labels)] = read_truth(table(tmp_path, line(IDS[0], bases, starts)))
    assert len(labels.starts) == 200_000


def test_reads_and_rows_without_a_partner_are_counted(tmp_path, reads):
    counts = Counter()
    pairs = list(labelled_reads([reads], "truth", table(tmp_path, line(IDS[3]), line(IDS[1])), counts))
    assert [record.read_id for record, _ in pairs] == [IDS[1]]
    assert counts == {"reads dropped: no row in the truth table": 2, "truth rows without a read": 1}


def test_a_read_that_comes_twice_is_used_once(tmp_path, reads):
    write_fast5(tmp_path / "again.fast5", IDS[:1])
    counts = Counter()
    truth = table(tmp_path, *[line(read_id) for read_id in IDS[:3]])
    assert len(list(labelled_reads([tmp_path], "truth", truth, counts))) == 3
    assert counts["reads dropped: read id came before"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(IDS[0], bases="ACG")], "found 3 bases and 4 starts"),
        ([line(IDS[0], bases="ACGZ")], "base 'Z' at position 4"),
        ([line(IDS[0], starts="5,15,x,35")], "invalid literal"),
        ([line(IDS[0], end="")], "invalid literal"),
        ([line(IDS[0], place=("chr1", "7", "11", "?"))], r"column 'strand': found '\?'; allowed is \+ or -"),
        (["a\tb"], "row 1 has 2 cells; the header names 8 columns"),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as error:
        list(read_truth(table(tmp_path, *rows)))
    assert "truth.tsv: " in str(error.value)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(InputError, match="column 'bases' is missing; found read_id"):
        list(read_truth(table(tmp_path, header=HEADER.replace("bases", "base"))))


def test_a_read_given_twice_in_the_table(tmp_path, reads):
    truth = table(tmp_path, line(IDS[1]), line(IDS[1]), line(IDS[0]))
    with pytest.raises(InputError, match=f"record '{IDS[1]}': the read is given twice"):
        list(labelled_reads([reads], "truth", truth, Counter()))


def test_choices_that_do_not_fit(tmp_path, reads):
    with pytest.raises(ConfigError, match="--labels 'event' is unknown; did you mean 'events'"):
        labelled_reads([reads], "event", None, Counter())
    with pytest.raises(ConfigError, match="needs the table of labels; name it with --truth"):
        labelled_reads([reads], "truth", None, Counter())
    with pytest.raises(ConfigError, match="is for --labels truth"):
        labelled_reads([reads], "events", tmp_path / "t.tsv", Counter())


@pytest.mark.parametrize("labels", LABELS)
def test_a_damaged_file_among_good_ones_is_reported(tmp_path, shared_data, labels):
    good = sorted((shared_data / "nanopore" / "lambda_r941" / "fast5").iterdir())[:2]
    bad = tmp_path / "bad.fast5"
    bad.write_bytes(b"no")
    truth, problems = None, []
    if labels == "truth":
        ids = [record.read_id for record, _ in labelled_reads(good, "events", None, Counter())]
        truth = table(tmp_path, *[line(read_id) for read_id in ids])
    pairs = list(labelled_reads([good[0], bad, good[1]], labels, truth, Counter(), problems.append))
    assert len(pairs) == 2
    assert [problem.source for problem in problems] == [str(bad)]


def test_events_agree_with_their_reference(shared_data):
    """Tombo's bases are those of the reference, on both strands, at the places that the labels name."""
    from Bio import SeqIO

    from biorrn.nanopore.labels.prepare import positions
    from biorrn.sequences.alphabets import encode_bases, reverse_complement

    folder = shared_data / "nanopore" / "lambda_r941"
    reference = encode_bases(str(next(SeqIO.parse(next(folder.glob("*.fasta")), "fasta")).seq))
    strands = set()
    for _, labels in labelled_reads(sorted((folder / "fast5").iterdir())[:6], "events", None, Counter()):
        there = reference[positions(labels)]
        wanted = there if labels.strand == "+" else reverse_complement(there)[::-1]
        assert np.array_equal(labels.bases, wanted)
        strands.add(labels.strand)
    assert strands == {"+", "-"}


def test_nothing_usable_is_an_error(tmp_path, reads):
    with pytest.raises(BiorrnError):
        list(labelled_reads([reads], "events", None, Counter()))
