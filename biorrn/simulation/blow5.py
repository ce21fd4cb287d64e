"""Writing BLOW5 1.0: records by zlib, signal by svb-zd, as its specification has them; see `readers.slow5`."""

import struct
import zlib
from typing import IO

import numpy as np

from biorrn.readers.records import SignalRecord
from biorrn.readers.slow5 import END, FIELDS, HEAD, MAGIC, NUMBERS

VERSION = (1, 0, 0)
ZLIB, SVB_ZD = 1, 1  # their codes in the head
LEVEL = 1  # of zlib: the signal is dense already, and the highest level costs ten times the time for 2 %
END_REASONS = ("unknown", "partial", "mux_change", "unblock_mux_change", "signal_positive", "signal_negative")
MISSING = (2**31 - 1, 2**8 - 1, 2**64 - 1)  # of read number, mux and start time: the largest number of their types
AUXILIARY = (  # name, type: what the record's other fields are kept as
    ("channel_number", "char*"),
    ("median_before", "double"),
    ("read_number", "int32_t"),
    ("start_mux", "uint8_t"),
    ("start_time", "uint64_t"),
    ("end_reason", f"enum{{{','.join(END_REASONS)}}}"),
)


def encode_svb_zd(samples: np.ndarray) -> bytes:
    """Return an int16 signal (T,) as svb-zd: stream-VByte of the zigzag-coded differences of neighbouring samples.

    >>> encode_svb_zd(np.array([1, 0, 300], np.int16)).hex()
    '030000001002015802'
    """
    wide = samples.astype(np.int32)
    steps = np.concatenate([wide[:1], wide[1:] - wide[:-1]])
    values = ((steps << 1) ^ (steps >> 31)).astype(np.uint32)
    codes = ((values > 0xFF).astype(np.uint8) + (values > 0xFFFF)).astype(
        np.uint8
    )  # bytes beyond the first; 17 bits do
    padded = np.zeros(-(-len(codes) // 4) * 4, np.uint8)
    padded[: len(codes)] = codes
    quads = padded.reshape(-1, 4)
    control = quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6
    whole = values.astype("<u4").view(np.uint8).reshape(-1, 4)
    data = whole[np.arange(4) <= codes[:, None]]
    return struct.pack("<I", len(samples)) + control.astype(np.uint8).tobytes() + data.tobytes()


class Blow5Writer:
    """Writes records to an open file; `close` ends it with the marker without which it counts as cut short."""

    def __init__(self, file: IO[bytes], attributes: dict[str, str]) -> None:
        lines = [f"@{name}\t{value or '.'}" for name, value in sorted(attributes.items())]
        columns = (*FIELDS, *AUXILIARY)
        lines += ["#" + "\t".join(kind for _, kind in columns), "#" + "\t".join(name for name, _ in columns)]
        body = ("\n".join(lines) + "\n").encode()
        self.file = file
        file.write(HEAD.pack(MAGIC, *VERSION, ZLIB, 1, SVB_ZD, b"\0" * 49, len(body)) + body)

    def write(self, record: SignalRecord, digitisation: float, median_before: float) -> None:
        """Append a record; its range is its scale times the digitisation."""
        name = record.read_id.encode()
        channel = b"" if record.channel is None else str(record.channel).encode()
        held = (record.read_number, record.mux, record.start_time)
        number, mux, start = (missing if value is None else value for value, missing in zip(held, MISSING, strict=True))
        signal = encode_svb_zd(record.raw)
        span = record.scale * digitisation
        numbers = (0, digitisation, record.offset, span, record.sample_rate, len(signal))
        reason = END_REASONS.index(record.end_reason) if record.end_reason in END_REASONS else 0
        body = struct.pack("<H", len(name)) + name + struct.pack(f"<{NUMBERS}", *numbers) + signal
        body += struct.pack("<Q", len(channel)) + channel
        body += struct.pack("<diBQB", median_before, number, mux, start, reason)
        packed = zlib.compress(body, LEVEL)
        self.file.write(struct.pack("<Q", len(packed)) + packed)

    def close(self) -> None:
        """Write the end marker; the file itself stays open."""
        self.file.write(END)
