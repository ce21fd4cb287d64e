"""SLOW5 and BLOW5, and their codecs."""

import contextlib
import itertools
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import Fault, InputError
from biorrn.nanopore.readers.slow5 import RECORD_CODECS, SIGNAL_CODECS, read_slow5

TYPES = "#char*\tuint32_t\tdouble\tdouble\tdouble\tdouble\tuint64_t\tint16_t*"
NAMES = "#read_id\tread_group\tdigitisation\toffset\trange\tsampling_rate\tlen_raw_signal\traw_signal"
AUX = [
    ("channel_number", "char*", "485"),
    ("read_number", "int32_t", "7"),
    ("start_mux", "uint8_t", "2"),
    ("start_time", "uint64_t", "9"),
    ("end_reason", "enum{unknown,mux_change}", "1"),
]
ROW = ["r1", "0", "8192", "20", "1024", "4000", "3", "5,-6,32767"]


def text(*rows, version="0.2.0", attributes=("@run_id\trun1", "@flow_cell_id\t."), aux=AUX, groups=1):
    """Return a SLOW5 of rows of cells."""
    lines = [f"#slow5_version\t{version}", f"#num_read_groups\t{groups}", *attributes]
    lines.append("\t".join([TYPES, *(kind for _, kind, _ in aux)]))
    lines.append("\t".join([NAMES, *(name for name, _, _ in aux)]))
    rows = rows or ([*ROW, *(cell for _, _, cell in aux)],)
    return "\n".join([*lines, *("\t".join(row) for row in rows)]) + "\n"


def binary(*records, record_code=0, signal_code=0, aux=AUX, end=b"5WOLB", groups=1):
    """Return a BLOW5 of packed records."""
    header = text(aux=aux).splitlines()[2:-1]
    packed = ("\n".join(header) + "\n").encode()
    head = struct.pack("<6s3BBIB49sI", b"BLOW5\1", 0, 2, 0, record_code, groups, signal_code, b"", len(packed))
    return head + packed + b"".join(struct.pack("<Q", len(record)) + record for record in records) + end


def record(raw=(5, -6, 32767), count=None, aux=None, group=0, name=b"r1"):
    """Return a packed record."""
    if aux is None:
        aux = struct.pack("<Q3siBQB", 3, b"485", 7, 2, 9, 1)
    signal = raw if isinstance(raw, bytes) else struct.pack(f"<{len(raw)}h", *raw)
    count = len(raw) if count is None else count
    return (
        struct.pack("<H", len(name)) + name + struct.pack("<IddddQ", group, 8192, 20, 1024, 4000, count) + signal + aux
    )


def read(path, content, on_problem=None):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_slow5(path, on_problem) if on_problem else read_slow5(path))


@pytest.mark.parametrize("content", [text(), binary(record()), binary(zlib.compress(record()), record_code=1)])
def test_fields(content, tmp_path):
    (one,) = read(tmp_path / "a.blow5", content)
    assert one.raw.tolist() == [5, -6, 32767]
    assert one.raw.dtype == np.int16
    assert (one.read_id, one.offset, one.scale, one.sample_rate) == ("r1", 20.0, 0.125, 4000.0)
    assert (one.channel, one.mux, one.read_number, one.start_time, one.end_reason) == (485, 2, 7, 9, "mux_change")
    assert (one.run_id, one.flow_cell, one.kit) == ("run1", "", "")


def test_missing_values_and_no_auxiliary_fields(tmp_path):
    missing = struct.pack("<QiBQB", 0, 2**31 - 1, 255, 2**64 - 1, 255)
    for content in (text([*ROW, *"....."]), binary(record(aux=missing)), text(ROW, aux=[])):
        (one,) = read(tmp_path / "a.slow5", content)
        assert (one.channel, one.mux, one.read_number, one.start_time, one.end_reason) == (*[None] * 4, "")
        assert one.faults == ()


def test_arrays_and_unknown_fields_are_passed_over(tmp_path):
    aux = [("new", "int16_t*", "1,2"), ("label", "char", "x"), ("mean", "float", "0.5"), *AUX]
    packed = struct.pack("<QhhcfQ3siBQB", 2, 1, 2, b"x", 0.5, 3, b"485", 7, 2, 9, 1)
    for content in (text(aux=aux), binary(record(aux=packed), aux=aux)):
        assert read(tmp_path / "a.slow5", content)[0].channel == 485


def test_an_empty_signal(tmp_path):
    for cell in ("", "."):
        row = [*ROW[:6], "0", cell, *(cell for _, _, cell in AUX)]
        assert len(read(tmp_path / "a.slow5", text(row))[0].raw) == 0
    assert len(read(tmp_path / "a.blow5", binary(record(raw=())))[0].raw) == 0


def test_read_groups_have_their_own_run(tmp_path):
    cells = [cell for _, _, cell in AUX]
    rows = [[name, group, *ROW[2:], *cells] for name, group in (("a", "1"), ("b", "0"))]
    found = read(tmp_path / "a.slow5", text(*rows, attributes=["@run_id\tx\ty"], groups=2))
    assert [(one.read_id, one.run_id) for one in found] == [("a", "y"), ("b", "x")]


HEADER_FAULTS = {
    "newer": (text(version="2.0.0"), "SLOW5 version 2.0.0; allowed is up to 1.x"),
    "version": (text(version="new"), "#slow5_version: found 'new'; allowed are three numbers"),
    "no groups": (text().replace("#num_read_groups\t1\n", ""), "line 2 is '@run_id"),
    "groups": (text(groups="x"), "'num_read_groups': found 'x'"),
    "zero groups": (text(groups=0), "'num_read_groups': found 0"),
    "attribute": (text(attributes=["@run_id"]), "attribute 'run_id' has 0 values"),
    "twice": (text(attributes=["@a\tb", "@a\tc"]), "attribute 'a' is duplicated"),
    "stray": (text(attributes=["run_id"]), "the header holds 'run_id'"),
    "field": (
        text().replace("\trange\t", "\trang\t"),
        "field 5 is 'rang' of type 'double'; allowed is 'range' of type",
    ),
    "type": (text().replace("uint64_t\tint16", "int64_t\tint16"), "field 7 is 'len_raw_signal' of type 'int64_t'"),
    "unknown type": (text(aux=[("a", "int128_t", "1")]), "field 'a' has the unknown type 'int128_t'"),
    "counts": (text().replace("\tend_reason\n", "\n"), "the header has 13 field types and 12 field names"),
    "no records": (text().rsplit("\n", 2)[0] + "\n", "holds no reads"),
    "empty": ("", "the file is empty"),
    "binary without records": (binary(), "holds no reads"),
    "record code": (binary(record(), record_code=9), "record compression 9 is unknown; allowed are 0, 1, 2"),
    "signal code": (binary(record(), signal_code=9), "signal compression 9 is unknown; allowed are 0, 1, 2"),
    "short header": (binary(record())[:66], "cut short: it ends within the header"),
    "header size": (binary(record())[:100], "cut short: the header claims"),
    "no end": (binary(record(), end=b""), "cut short: it does not end with the end-of-file marker"),
    "wrong end": (binary(record(), end=b"5WOLX"), "cut short: it does not end with"),
    "after the end": (binary(record()) + b"more", "cut short or damaged: a record claims"),
    "no line feed": (text()[:-1], "cut short: its last line does not end in a line feed"),
}


@pytest.mark.parametrize("fault", HEADER_FAULTS)
def test_faults_of_the_file(fault, tmp_path):
    content, message = HEADER_FAULTS[fault]
    with pytest.raises(InputError) as error:
        read(tmp_path / "a.slow5", content)
    assert str(error.value).startswith(f"{tmp_path / 'a.slow5'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


CELLS = [cell for _, _, cell in AUX]
RECORD_FAULTS = {
    "fewer cells": (text([*ROW, *CELLS[1:]]), "the record has 12 fields; the header names 13"),
    "length": (text([*ROW[:6], "4", ROW[7], *CELLS]), "'raw_signal' has 3 samples; len_raw_signal is 4"),
    "samples": (text([*ROW[:7], "5,x,6", *CELLS]), "'raw_signal' is not a list of int16"),
    "range": (text([*ROW[:7], "5,6,40000", *CELLS]), "'raw_signal' is not a list of int16"),
    "number": (text([*ROW[:2], "many", *ROW[3:], *CELLS]), "'digitisation': found 'many'; allowed is a number"),
    "digitisation": (text([*ROW[:2], "0", *ROW[3:], *CELLS]), "'digitisation': found 0"),
    "id": (text(["@r1", *ROW[1:], *CELLS]), "'read_id': found '@r1'"),
    "binary length": (binary(record(count=2**60)), "the record is cut short: 2305843009213693952 bytes are needed"),
    "binary tail": (binary(record() + b"x"), "the record has 1 bytes too many"),
    "binary aux": (binary(record(aux=b"")), "the record is cut short: 8 bytes are needed, 0 are left"),
    "zlib": (binary(b"nothing", record_code=1), "the record cannot be decompressed: Error -3"),
    "zstd": (binary(b"nothing", record_code=2), "the record cannot be decompressed"),
}


REAL = [("start_time", "double", "7.0"), ("start_mux", "char*", "2")]
NOTED = {
    "whole": (text([*ROW, CELLS[0], "7.5", *CELLS[2:]]), "'read_number': found '7.5'; allowed is a whole number"),
    "group": (text([ROW[0], "3", *ROW[2:], *CELLS]), "'read_group': found 3; the header has 1 groups"),
    "negative group": (text([ROW[0], "-1", *ROW[2:], *CELLS]), "'read_group': found -1"),
    "channel": (text([*ROW, "x1", *CELLS[1:]]), "'channel_number': found str x1; allowed is a whole number"),
    "negative": (text([*ROW, CELLS[0], "-7", *CELLS[2:]]), "'read_number': found -7; allowed is 0 to"),
    "control": (text([*ROW, "4\x01", *CELLS[1:]]), r"'channel_number': found the control character '\x01'"),
    "binary control": (
        binary(record(aux=struct.pack("<Q3siBQB", 3, b"4\n5", 7, 2, 9, 1))),
        r"'channel_number': found the control character '\n'",
    ),
    "run": (text(attributes=["@run_id\ta\x01"]), r"'run_id': found the control character '\x01'"),
    "real": (
        text([*ROW, "7.0", "2"], aux=REAL),
        "'start_time': found float 7.0; allowed is a whole number; taken",
    ),
    "text": (text([*ROW, "7.0", "two"], aux=REAL), "'start_mux': found str two; allowed is a whole number"),
}


@pytest.mark.parametrize("fault", NOTED)
def test_a_fault_in_metadata_costs_the_field_and_not_the_read(fault, tmp_path):
    content, message = NOTED[fault]
    (one,) = read(tmp_path / "a.slow5", content)
    assert (one.read_id, one.raw.tolist(), one.scale) == ("r1", [5, -6, 32767], 0.125)
    assert any(message in words for words in one.faults), one.faults


@pytest.mark.parametrize("fault", RECORD_FAULTS)
def test_faults_of_a_record_leave_it_out(fault, tmp_path):
    content, message = RECORD_FAULTS[fault]
    if isinstance(content, str):
        content += "\t".join([*ROW, *CELLS]) + "\n"  # a good one after it
    problems = []
    found = read(tmp_path / "a.slow5", content, problems.append)
    assert [one.read_id for one in found] == (["r1"] if isinstance(content, str) else [])
    assert [message in str(problem) for problem in problems] == [True]
    assert problems[0].record is not None


@pytest.mark.parametrize("signal", ["none", "svb-zd", "ex-zd"])
@pytest.mark.parametrize("whole", ["none", "zlib", "zstd"])
def test_what_the_c_library_packs_comes_back(signal, whole, tmp_path):
    import pyslow5

    random = np.random.default_rng(0)
    signals = [np.cumsum(random.integers(-90, 90, length)).astype(np.int16) for length in (2, 3, 1000, 3001)]
    signals[2][[0, 500, 999]] = (-3000, 4000, 2000)  # large differences, which ex-zd keeps apart
    signals.append(signals[3] * 4)  # of which ex-zd takes the factor out
    file = pyslow5.Open(str(tmp_path / "a.blow5"), "w", rec_press=whole, sig_press=signal)
    logging.getLogger("pyslow5").handlers.clear()  # each Open adds one
    assert file.write_header({"run_id": "run1"}) == 0
    for number, raw in enumerate(signals):
        main = {"read_id": f"r{number}", "read_group": 0, "len_raw_signal": len(raw), "signal": raw}
        main |= {"digitisation": 1.0, "offset": 0.0, "range": 1.0, "sampling_rate": 1.0}
        assert file.write_record(main) == 0
    file.close()
    for one, raw in zip(read_slow5(tmp_path / "a.blow5"), signals, strict=True):
        assert np.array_equal(one.raw, raw)


def stream_vbyte(numbers):
    """Pack numbers one by one, as the definition of the code says."""
    control, data = bytearray((len(numbers) + 3) // 4), b""
    for index, number in enumerate(numbers):
        size = max(1, (number.bit_length() + 7) // 8)
        control[index // 4] |= (size - 1) << (2 * (index % 4))
        data += number.to_bytes(size, "little")
    return bytes(control) + data


def steps(raw, bits):
    """Return the zigzag-coded differences of a signal."""
    differences = [number - before for before, number in zip([0, *raw], raw, strict=False)]
    if bits == 16:  # the sum of the 16-bit code may wrap
        differences = [(number + 2**15) % 2**16 - 2**15 for number in differences]
    return [2 * number if number >= 0 else -2 * number - 1 for number in differences]


def pack_svb_zd(raw):
    return struct.pack("<I", len(raw)) + stream_vbyte(steps(raw, 32))


def pack_ex_zd(raw):
    first, *rest = steps(raw, 16)
    large = [index for index, number in enumerate(rest) if number > 255]
    packed = struct.pack("<BQBHI", 0, len(raw), 0, first, len(large))
    if len(large) == 1:
        packed += struct.pack("<II", large[0], rest[large[0]] - 256)
    elif large:
        gaps = [large[0], *(here - before - 1 for before, here in itertools.pairwise(large))]
        for block in (stream_vbyte(gaps), stream_vbyte([rest[index] - 256 for index in large])):
            packed += struct.pack("<I", len(block)) + block
    return packed + bytes(number for number in rest if number <= 255)


@pytest.mark.parametrize(("code", "pack"), [(1, pack_svb_zd), (2, pack_ex_zd)])
@settings(max_examples=150, deadline=None)
@given(raw=st.lists(st.integers(-150, 150) | st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40))
def test_any_signal_comes_back(code, pack, raw):
    packed = pack(raw)
    assert SIGNAL_CODECS[code](packed).tolist() == raw
    for cut in {0, len(packed) // 2, len(packed) - 1}:
        with pytest.raises(Fault):
            SIGNAL_CODECS[code](packed[:cut])


@pytest.mark.parametrize("code", SIGNAL_CODECS)
@settings(max_examples=200, deadline=None)
@given(packed=st.binary(max_size=60))
def test_signal_of_any_bytes_is_samples_or_a_fault(code, packed):
    if code == 0 and len(packed) % 2:
        packed = packed[1:]
    with contextlib.suppress(Fault):  # and no other exception
        assert SIGNAL_CODECS[code](packed).dtype == np.int16


@pytest.mark.parametrize("code", [1, 2])
def test_records_of_any_bytes_are_a_fault(code):
    with pytest.raises(Fault, match="cannot be decompressed"):
        RECORD_CODECS[code](b"\x01\x02\x03")
