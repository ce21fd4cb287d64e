"""Tombo's labels in FAST5: what they say, and the reasons to leave a read out."""

import h5py
import numpy as np
import pytest

from biorrn.nanopore.readers.fast5 import read_fast5, read_labels


def write(path, change, many=False):
    """Write a FAST5 of one read, r1, of 100 samples, and change it."""
    with h5py.File(path, "w") as file:
        raw = file.create_group("read_r1/Raw" if many else "Raw/Reads/Read_7")
        raw["Signal"] = np.arange(100, dtype=np.int16)
        raw.attrs["read_id"] = "r1"
        channel = file.create_group("read_r1/channel_id" if many else "UniqueGlobalKey/channel_id").attrs
        for name, value in {"digitisation": 8192.0, "range": 1024.0, "offset": 20.0, "sampling_rate": 4000.0}.items():
            channel[name] = value
        change(file)
    return path


def add_labels(file, bases=b"ACGT", start=5, strand="+", status="success", **attributes):
    """Add Tombo's labels of a read of 100 samples: ten samples a base."""
    holder = file.get("read_r1", file)
    template = holder.create_group("Analyses/RawGenomeCorrected_000/BaseCalled_template")
    template.attrs.update({"status": status, **attributes})
    kind = [("norm_mean", "f8"), ("norm_stdev", "f8"), ("start", "u4"), ("length", "u4"), ("base", "S1")]
    rows = [(0.0, 0.0, 10 * index, 10, bytes([base])) for index, base in enumerate(bases)]
    template.create_dataset("Events", data=np.array(rows, kind)).attrs["read_start_rel_to_raw"] = np.int64(start)
    alignment = template.create_group("Alignment").attrs
    alignment.update({"mapped_chrom": "lambda", "mapped_strand": strand})
    alignment["mapped_start"], alignment["mapped_end"] = np.int64(30), np.int64(30 + len(bases))
    return template


@pytest.mark.parametrize("many", [False, True])
def test_labels(many, tmp_path):
    path = write(tmp_path / "a.fast5", lambda file: add_labels(file, strand="-"), many)
    ((read, labels),) = read_labels(path)
    assert read.read_id == "r1"
    assert labels.bases.tolist() == [1, 2, 3, 4]
    assert labels.bases.dtype == np.uint8
    assert labels.starts.tolist() == [5, 15, 25, 35]
    assert (labels.end, labels.reference, labels.ref_start, labels.ref_end) == (45, "lambda", 30, 34)
    assert labels.strand == "-"


def test_the_newest_labels_count(tmp_path):
    def change(file):
        add_labels(file)
        file.move("Analyses/RawGenomeCorrected_000", "Analyses/RawGenomeCorrected_001")
        add_labels(file, bases=b"GG")

    assert next(read_labels(write(tmp_path / "a.fast5", change)))[1].bases.tolist() == [1, 2, 3, 4]


LABEL_FAULTS = {
    "none": (lambda file: None, "holds no labels: there is no Analyses"),
    "failed": (lambda file: add_labels(file, status="Alignment not\nproduced"), "status is 'Alignment not produced'"),
    "rna": (lambda file: add_labels(file, rna=True), "holds labels of RNA"),
    "no events": (lambda file: add_labels(file).__delitem__("Events"), "has no Events and Alignment"),
    "letter": (lambda file: add_labels(file, bases=b"ACN"), "Events hold the base b'N'"),
    "empty": (lambda file: add_labels(file, bases=b""), "Events hold no bases"),
    "past the end": (lambda file: add_labels(file, start=61), "Events run from sample 61 to 101"),
    "before the start": (lambda file: add_labels(file, start=-1), "Events run from sample -1"),
    "strand": (lambda file: add_labels(file, strand="x"), "but Alignment says lambda:30-34 (x)"),
    "span": (
        lambda file: add_labels(file)["Alignment"].attrs.__setitem__("mapped_end", 40),
        "Events hold 4 bases, but Alignment says lambda:30-40",
    ),
    "place": (lambda file: add_labels(file)["Alignment"].attrs.__delitem__("mapped_chrom"), "Alignment lacks one of"),
    "offset": (
        lambda file: add_labels(file)["Events"].attrs.__delitem__("read_start_rel_to_raw"),
        "Events lack the attribute read_start_rel_to_raw",
    ),
}


@pytest.mark.parametrize("fault", LABEL_FAULTS)
def test_reads_without_usable_labels_are_left_out_with_a_reason(fault, tmp_path):
    change, message = LABEL_FAULTS[fault]
    path = write(tmp_path / "a.fast5", change)
    problems = []
    assert list(read_labels(path, problems.append)) == []
    assert message in str(problems[0])
    assert "\n" not in str(problems[0])
    assert len(list(read_fast5(path))) == 1
