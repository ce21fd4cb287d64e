"""FAST5, and labels of Tombo in it."""

import h5py
import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.fast5 import read_fast5, read_labels

SIGNAL = np.arange(100, dtype=np.int16)


def add_read(raw, shared, read_id="r1", signal=SIGNAL):
    """Fill the group of a read and the groups that say how it was measured."""
    raw["Signal"] = signal
    raw.attrs["read_id"] = np.bytes_(read_id)
    raw.attrs["read_number"], raw.attrs["start_mux"], raw.attrs["start_time"] = np.int32(7), np.uint8(2), np.uint64(9)
    channel = shared.create_group("channel_id").attrs
    channel["channel_number"] = "485"
    for name, value in {"digitisation": 8192.0, "range": 1024.0, "offset": 20.0, "sampling_rate": 4000.0}.items():
        channel[name] = value
    shared.create_group("tracking_id").attrs.update({"run_id": "run1", "flow_cell_id": "FAB1", "version": "1.1"})
    shared.create_group("context_tags").attrs["experiment_kit"] = "genomic_dna"


def write_single(path, change=lambda file: None):
    """Write a FAST5 of one read, and change it."""
    with h5py.File(path, "w") as file:
        add_read(file.create_group("Raw/Reads/Read_7"), file.create_group("UniqueGlobalKey"))
        change(file)
    return path


def write_multi(path, ids=("r1", "r2", "r3"), change=lambda file: None):
    """Write a FAST5 of many reads, and change it."""
    with h5py.File(path, "w") as file:
        for name in ids:
            group = file.create_group(f"read_{name}")
            add_read(group.create_group("Raw"), group, name)
        change(file)
    return path


def test_single_and_multi_say_the_same(tmp_path):
    (single,) = read_fast5(write_single(tmp_path / "a.fast5"))
    (multi,) = read_fast5(write_multi(tmp_path / "b.fast5", ["r1"]))
    for read in (single, multi):
        assert np.array_equal(read.raw, SIGNAL)
        assert (read.read_id, read.offset, read.scale, read.sample_rate) == ("r1", 20.0, 0.125, 4000.0)
        assert (read.channel, read.mux, read.read_number, read.start_time) == (485, 2, 7, 9)
        assert (read.run_id, read.flow_cell, read.kit, read.end_reason) == ("run1", "FAB1", "genomic_dna", "")


def test_what_a_file_does_not_hold_is_none(tmp_path):
    def change(file):
        for name in ("read_number", "start_mux", "start_time", "read_id"):
            del file["read_r1/Raw"].attrs[name]
        del (
            file["read_r1/tracking_id"],
            file["read_r1/context_tags"],
            file["read_r1/channel_id"].attrs["channel_number"],
        )

    (read,) = read_fast5(write_multi(tmp_path / "a.fast5", ["r1"], change))
    assert (read.read_id, read.channel, read.mux, read.read_number, read.start_time) == ("r1", None, None, None, None)
    assert (read.run_id, read.device, read.run_start, read.faults) == ("", "", None, ())


def test_a_read_of_nothing_but_signal_is_not_calibrated(tmp_path):
    with h5py.File(tmp_path / "a.fast5", "w") as file:
        file["read_r1/Raw/Signal"] = SIGNAL
    (read,) = read_fast5(tmp_path / "a.fast5")
    assert read.read_id == "r1"
    assert not read.calibrated
    assert np.isnan(read.picoamperes()).all()


@pytest.mark.parametrize(
    ("value", "name"), [(np.uint8(5), "5"), ("api_request", "api_request"), (np.bytes_("paused"), "paused")]
)
def test_end_reasons_without_names_of_codes(value, name, tmp_path):
    path = write_single(tmp_path / "a.fast5", lambda file: file["Raw/Reads/Read_7"].attrs.update({"end_reason": value}))
    assert next(read_fast5(path)).end_reason == name


def attribute(group, name, value):
    """Return a change that sets an attribute."""
    return lambda file: file["read_r2"][group].attrs.__setitem__(name, value)


def without(group, name):
    """Return a change that deletes an attribute."""
    return lambda file: file["read_r2"][group].attrs.__delitem__(name)


def signal(data):
    """Return a change that replaces the signal; None removes it."""

    def change(file):
        del file["read_r2/Raw/Signal"]
        if data is not None:
            file["read_r2/Raw/Signal"] = data

    return change


FAULTS = {
    "range is a list": (attribute("channel_id", "range", np.array([1440.0])), "found float64 array"),
    "range is missing": (without("channel_id", "range"), "attribute 'channel_id/range' is missing"),
    "offset is missing": (without("channel_id", "offset"), "attribute 'channel_id/offset' is missing"),
    "offset is infinite": (attribute("channel_id", "offset", np.inf), "'offset': found inf"),
    "digitisation is 0": (attribute("channel_id", "digitisation", 0.0), "'digitisation': found 0"),
    "range is negative": (attribute("channel_id", "range", -1.0), "'range / digitisation': found -0.00012207"),
    "rate is not a number": (attribute("channel_id", "sampling_rate", np.nan), "'sampling_rate': found nan"),
    "range is a word": (attribute("channel_id", "range", "wide"), "channel_id/range': found str wide; allowed is"),
    "signal is real": (signal(np.array([1.0, 2.5])), "'Raw/Signal' is float64 and holds 2.5; allowed is int16"),
    "signal is NaN": (signal(np.array([1.0, np.nan])), "'Raw/Signal' is float64 and holds nan; allowed is int16"),
    "signal is large": (signal(np.array([1, 40000])), "'Raw/Signal' is int64 and holds 40000; allowed is int16"),
    "signal is text": (signal(np.array([b"a"])), "'Raw/Signal' is |S1 of 1 dimensions; allowed is int16"),
    "signal is square": (signal(np.zeros((2, 2), np.int16)), "is int16 of 2 dimensions"),
    "signal is missing": (signal(None), "'Raw/Signal' is missing"),
    "group is missing": (lambda file: file["read_r2"].__delitem__("Raw"), "group 'Raw' is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_read_is_named_and_the_others_go_on(fault, tmp_path):
    change, message = FAULTS[fault]
    path = write_multi(tmp_path / "a.fast5", change=change)
    problems = []
    assert [read.read_id for read in read_fast5(path, problems.append)] == ["r1", "r3"]
    assert str(problems[0]).startswith(f"{path}: record 'r2': ")
    assert message in str(problems[0])
    assert "\n" not in str(problems[0])
    with pytest.raises(InputError, match="record 'r2'"):
        list(read_fast5(path))


# Faults of what calling does not need: the change, the words, and the field as it is then
NOTED = {
    "channel is a number": (attribute("channel_id", "channel_number", np.int32(4)), "taken as 4", ("channel", 4)),
    "channel in a list": (attribute("channel_id", "channel_number", np.array([4])), "int64 array [4]", ("channel", 4)),
    "channel is a word": (
        attribute("channel_id", "channel_number", "ch12"),
        "found str ch12; allowed is a whole number",
        ("channel", None),
    ),
    "number is real": (attribute("Raw", "read_number", 7.5), "found float64 7.5; allowed is", ("read_number", None)),
    "number is NaN": (attribute("Raw", "read_number", np.nan), "found float64 nan", ("read_number", None)),
    "number is true": (attribute("Raw", "read_number", True), "found bool True", ("read_number", None)),
    "time is real": (attribute("Raw", "start_time", 12.0), "taken as 12", ("start_time", 12)),
    "time is a text": (attribute("Raw", "start_time", "12345"), "found str 12345", ("start_time", 12345)),
    "time is bytes": (attribute("Raw", "start_time", np.bytes_("1x")), "allowed is a whole", ("start_time", None)),
    "time is huge": (attribute("Raw", "start_time", np.uint64(2**64 - 1)), "allowed is 0 to", ("start_time", None)),
    "times": (attribute("Raw", "start_time", np.array([1, 2])), "found int64 array [1 2]", ("start_time", None)),
    "mux is negative": (attribute("Raw", "start_mux", np.int32(-1)), "found -1; allowed is 0 to", ("mux", None)),
    "end reason": (attribute("Raw", "end_reason", np.array([1, 2])), "damaged: ", ("end_reason", "")),
    "id starts with @": (attribute("Raw", "read_id", "@r2"), "found '@r2'; the read is named 'r2'", ("mux", 2)),
    "id has a space": (attribute("Raw", "read_id", "r 2"), "found 'r 2'; the read is named 'r2'", ("mux", 2)),
    "id is a number": (attribute("Raw", "read_id", 2), "found int64 2; the read is named", ("mux", 2)),
    "id has a tab": (attribute("Raw", "read_id", "r\t2"), "found str r\t2; the read is named 'r2'", ("mux", 2)),
    "tab in a value": (
        attribute("tracking_id", "sample_id", "a\tb"),
        r"'tracking_id/sample_id': found the control character '\t'",
        ("sample_id", ""),
    ),
    "tab in a list": (attribute("tracking_id", "x", np.array([b"a\tb"])), "_id/x': found the control", ("mux", 2)),
    "text in a list": (attribute("tracking_id", "flow_cell_id", np.array([b"F"])), "array", ("flow_cell", "F")),
    "kit is a number": (attribute("context_tags", "experiment_kit", 7), "found int64 7; allowed", ("kit", "")),
    "line feed in a name": (attribute("context_tags", "a\nb", "x"), r"control character '\n' in 'a\nb'", ("mux", 2)),
    "not UTF-8": (
        attribute("tracking_id", "device_id", np.bytes_(b"\xff")),
        "'tracking_id/device_id': found b'\\xff', which is not UTF-8",
        ("device", ""),
    ),
    "given twice": (
        attribute("context_tags", "version", "2.0"),
        "attribute 'version' is duplicated: str 2.0 in context",
        ("mux", 2),
    ),
    "range is whole": (attribute("channel_id", "range", np.int64(1024)), "int64 1024; taken as 1024", ("scale", 0.125)),
    "rate is a text": (attribute("channel_id", "sampling_rate", "4e3"), "taken as 4000", ("sample_rate", 4000.0)),
    "signal is int32": (signal(SIGNAL.astype(np.int32)), "found int32; allowed is int16", ("mux", 2)),
    "signal is real but whole": (signal(SIGNAL.astype(np.float32)), "found float32; allowed is int16", ("mux", 2)),
    "signal is uint16": (signal(SIGNAL.astype(np.uint16)), "found uint16; allowed is int16", ("mux", 2)),
}


@pytest.mark.parametrize("fault", NOTED)
def test_a_fault_in_metadata_costs_the_field_and_not_the_read(fault, tmp_path):
    change, message, (name, value) = NOTED[fault]
    first, second, third = read_fast5(write_multi(tmp_path / "a.fast5", change=change))
    assert (first.faults, second.read_id, third.faults) == ((), "r2", ())
    assert any(message in words for words in second.faults), second.faults
    assert getattr(second, name) == value
    assert np.array_equal(second.raw, SIGNAL)
    assert second.raw.dtype == np.int16
    for other in {"channel", "mux", "read_number", "start_time", "run_id", "flow_cell", "scale"} - {name}:
        assert getattr(second, other) == getattr(first, other)


def test_a_single_read_without_an_id_is_named_after_its_file(tmp_path):
    path = write_single(tmp_path / "my read.fast5", lambda file: file["Raw/Reads/Read_7"].attrs.__delitem__("read_id"))
    (read,) = read_fast5(path)
    assert read.read_id == "my_read"
    assert read.faults == ("field 'Raw/read_id': found none; the read is named 'my_read', after its group or file",)

    def second(file):
        file.copy("Raw/Reads/Read_7", "Raw/Reads/Read_8")
        for name in ("Read_7", "Read_8"):
            del file[f"Raw/Reads/{name}"].attrs["read_id"]

    assert [read.read_id for read in read_fast5(write_single(tmp_path / "b.fast5", second))] == ["b_Read_7", "b_Read_8"]


def test_groups_that_reads_share_are_read_once(tmp_path, monkeypatch):
    def change(file):
        for name in ("r2", "r3"):
            del file[f"read_{name}/tracking_id"]
            file[f"read_{name}/tracking_id"] = file["read_r1/tracking_id"]

    path = write_multi(tmp_path / "a.fast5", change=change)
    opened = []
    plain = h5py.AttributeManager.__getitem__
    monkeypatch.setattr(
        h5py.AttributeManager, "__getitem__", lambda self, name: (opened.append(name), plain(self, name))[1]
    )
    assert [read.run_id for read in read_fast5(path)] == ["run1"] * 3
    assert opened.count("flow_cell_id") == 1
    assert opened.count("read_id") == 3


@pytest.mark.parametrize("content", ["nothing", "other", "no reads"])
def test_hdf5_without_reads(content, tmp_path):
    with h5py.File(tmp_path / "a.fast5", "w") as file:
        if content != "nothing":
            file.create_group("UniqueGlobalKey" if content == "other" else "Raw/Reads")
    with pytest.raises(InputError, match="holds no reads: found "):
        list(read_fast5(tmp_path / "a.fast5"))


def test_the_file_is_closed_when_the_reader_is_dropped(tmp_path):
    path = write_multi(tmp_path / "a.fast5")
    reads = read_fast5(path)
    next(reads)
    reads.close()
    with h5py.File(path, "r+") as file:  # HDF5 refuses to open for writing what is open for reading
        assert len(file) == 3


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
    "strand": (lambda file: add_labels(file, strand="x"), "but Alignment has lambda:30-34 (x)"),
    "span": (
        lambda file: add_labels(file)["Alignment"].attrs.__setitem__("mapped_end", 40),
        "Events hold 4 bases, but Alignment has lambda:30-40",
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
