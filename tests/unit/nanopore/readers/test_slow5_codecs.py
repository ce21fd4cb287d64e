"""The codecs of BLOW5 against the C library, against their definitions written plainly, and on damaged bytes."""

import contextlib
import itertools
import logging
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import Fault
from biorrn.nanopore.readers.slow5 import RECORD_CODECS, SIGNAL_CODECS, read_slow5


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
