"""Decoding what BLOW5 compresses: records by zlib or zstd, signal by svb-zd or ex-zd.

Both signal codes keep the differences of neighbouring samples, zigzag-coded so that small ones are small numbers:
svb-zd as stream-VByte (Lemire et al. 2018), ex-zd as one byte each with the few larger ones kept apart (slow5 0.2).
They are written here with numpy, and not called in the C library, because that one reads past its buffers when a
record is damaged: it crashes where these raise.
"""

import struct
import zlib
from collections.abc import Callable

import numpy as np

from biorrn.readers.fields import MAX_SAMPLES, Fault

SPARE, MOST_PACKED = 1 << 26, 100  # bytes that any record may have, and bytes a packed byte beyond them


def plain(body: bytes) -> bytes:
    """Return a record that is not compressed."""
    return body


def zlib_record(body: bytes) -> bytes:
    """Return a record compressed by zlib."""
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(body, _most(body))
    except zlib.error as error:
        raise Fault(f"the record cannot be decompressed: {error}") from error
    if not decoder.eof:
        raise Fault(f"the record cannot be decompressed: it is cut short, or larger than {_most(body)} bytes")
    return data


def zstd_record(body: bytes) -> bytes:
    """Return a record compressed by zstd."""
    import pyarrow

    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(body), "zstd") as stream:
            data: bytes = stream.read(_most(body) + 1)
    except (OSError, ValueError) as error:
        raise Fault(f"the record cannot be decompressed: {error}") from error
    if len(data) > _most(body):
        raise Fault(f"the record cannot be decompressed: it is larger than {_most(body)} bytes")
    return data


def _most(body: bytes) -> int:
    """Return how many bytes a record may decompress to; signal shrinks to a third, what shrinks more is made to."""
    return SPARE + MOST_PACKED * len(body)


def plain_signal(packed: bytes) -> np.ndarray:
    """Return signal that is not compressed."""
    return np.frombuffer(packed, "<i2").astype(np.int16)


def svb_zd(packed: bytes) -> np.ndarray:
    """Return the int16 samples of a signal coded by svb-zd."""
    (count,) = _unpack("<I", packed, 0)
    values, used = _stream_vbyte(packed[4:], count)
    if used + 4 != len(packed):
        raise Fault(f"the signal has {len(packed) - 4 - used} bytes too many")
    samples = np.cumsum(_unzigzag(values))
    if count and not -(2**15) <= samples.min() <= samples.max() < 2**15:
        raise Fault("the signal leaves the range of int16")
    return samples.astype(np.int16)


def ex_zd(packed: bytes) -> np.ndarray:
    """Return the int16 samples of a signal coded by ex-zd, version 0."""
    version, count, shift = _unpack("<BQB", packed, 0)
    if version != 0 or shift > 5 or count > MAX_SAMPLES:
        raise Fault(f"ex-zd version {version}, shift {shift}, {count} samples; allowed is version 0, shift 0 to 5")
    if count == 0:
        return np.zeros(0, np.int16)
    first, exceptions = _unpack("<HI", packed, 10)
    at = 16
    if exceptions > count - 1:
        raise Fault(f"ex-zd: {exceptions} exceptions in {count} samples")
    if exceptions == 1:
        where, value = (np.array([number], np.int64) for number in _unpack("<II", packed, at))
        at += 8
    else:
        where = value = np.zeros(0, np.int64)
        if exceptions:
            where, at = _block(packed, at, exceptions)
            value, at = _block(packed, at, exceptions)
            where = np.cumsum(where + 1) - 1
    small = np.frombuffer(packed, np.uint8, offset=min(at, len(packed)))
    if len(small) + exceptions != count - 1 or (exceptions and where[-1] >= count - 1):
        raise Fault(f"ex-zd: {len(small)} small and {exceptions} large differences for {count} samples")
    steps = np.empty(count, np.int64)
    steps[0] = first
    large = np.zeros(count, bool)
    large[where + 1] = True
    steps[1:][~large[1:]] = small
    steps[where + 1] = value + 256
    return (np.cumsum(_unzigzag(steps)) << shift).astype(np.int16)  # 16-bit arithmetic: the sum may wrap


def _unzigzag(values: np.ndarray) -> np.ndarray:
    """0, 1, 2, 3, 4 ... -> 0, -1, 1, -2, 2 ... as int64."""
    values = values.astype(np.int64)
    return (values >> 1) ^ -(values & 1)


def _block(packed: bytes, at: int, count: int) -> tuple[np.ndarray, int]:
    """Return `count` numbers that follow their own size in bytes, and where they end."""
    (size,) = _unpack("<I", packed, at)
    values, used = _stream_vbyte(packed[at + 4 : at + 4 + size], count)
    if used != size:
        raise Fault(f"ex-zd: a block of {size} bytes holds {used}")
    return values.astype(np.int64), at + 4 + size


def _stream_vbyte(packed: bytes, count: int) -> tuple[np.ndarray, int]:
    """Return `count` uint32 numbers and the bytes they took: two bits each for its length, then 1 to 4 bytes each."""
    control = np.frombuffer(packed, np.uint8)[: (count + 3) // 4]
    if len(control) * 4 < count:
        raise Fault(f"the signal is cut short: {count} samples in {len(packed)} bytes")
    codes = ((control[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3).ravel()[:count]
    ends = np.cumsum(codes.astype(np.int64) + 1)
    used = len(control) + (int(ends[-1]) if count else 0)
    if used > len(packed):
        raise Fault(f"the signal is cut short: {used} bytes are needed, {len(packed)} are there")
    data = np.frombuffer(packed, np.uint8)[len(control) :]
    starts = ends - codes - 1
    values = data[starts].astype(np.uint32)
    for byte in (1, 2, 3):
        longer = np.flatnonzero(codes >= byte)
        values[longer] |= data[starts[longer] + byte].astype(np.uint32) << np.uint32(8 * byte)
    return values, used


def _unpack(layout: str, packed: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, packed, at)
    except struct.error:
        raise Fault(f"the signal is cut short after {len(packed)} bytes") from None


# by their codes in the header of a BLOW5 file
RECORD_CODECS: dict[int, Callable[[bytes], bytes]] = {0: plain, 1: zlib_record, 2: zstd_record}
SIGNAL_CODECS: dict[int, Callable[[bytes], np.ndarray]] = {0: plain_signal, 1: svb_zd, 2: ex_zd}
