"""Damage to the bytes of a file, as disks, networks and ill will do it; the same generator does the same damage."""

import random
import re
import struct
from collections.abc import Callable, Sequence

Op = Callable[[random.Random, bytearray, Sequence[bytes]], None]
EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62]
EXTREMES += [2**63 - 1, 2**63, 2**64 - 1]
WORDS = {1: "B", 2: "H", 4: "I", 8: "Q"}
NUMBERS = [b"-1", b"0", b"4294967295", b"4294967296", b"9223372036854775807", b"1e400", b"nan", b"inf", b"-0", b"0x10"]
NUMBERS += [b"99999999999999999999999999", b"", b".", b"1_0", b"\xd9\xa3", b"\xff", b"1e-320", b"1" * 5000]


def mutate(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Return `content` with one to a few faults; `others` are whole files of which pieces may be spliced in."""
    data = bytearray(content)
    for _ in range(min(8, 1 + int(rng.expovariate(0.7)))):
        if data:
            rng.choices(OPS, WEIGHTS)[0](rng, data, others)
    return bytes(data)


def _span(rng: random.Random, data: bytearray, longest: int = 4096) -> tuple[int, int]:
    """Return a place, more often early, where formats keep their structure, and an end; short spans are likelier."""
    start = int(len(data) * rng.random() ** rng.choice((1, 1, 3)))
    return start, min(len(data), start + 1 + int(min(longest, len(data)) * rng.random() ** 4))


def _bits(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[_span(rng, data)[0] % len(data)] ^= 1 << rng.randrange(8)


def _bytes(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, data, 64)
    data[start:end] = rng.randbytes(end - start)


def _block(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, data)
    data[start:end] = rng.choice((b"\0", b"\xff", b"\x01", b" ")) * (end - start)


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, data)
    del data[start:end]


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _span(rng, data, 512)
    data[end:end] = data[start:end] * rng.choice((1, 1, 2, 16))


def _swap(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Copy one stretch over another: a record's length over its neighbour's, an address over an address."""
    size = rng.choice((2, 4, 8, 8, 16, 64))
    one, other = (rng.randrange(max(1, len(data) - size)) // size * size for _ in range(2))
    data[one : one + size] = data[other : other + size]


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start, end = _span(rng, bytearray(other))
    at = start if rng.random() < 0.5 else rng.randrange(len(data))
    data[at : at + (end - start if rng.random() < 0.7 else 0)] = other[start:end]


def _length(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Write an extreme number where a length, a count or an address may stand."""
    size = rng.choice((1, 2, 4, 4, 8, 8))
    at = _span(rng, data)[0]
    if rng.random() < 0.7:
        at -= at % min(size, 4)
    if at + size > len(data):
        return
    order = rng.choice("<<<>")
    (value,) = struct.unpack_from(order + WORDS[size], data, at)
    near = value + rng.choice((-2, -1, 1, 2, 8, len(data), -len(data)))
    extreme = rng.choice([*EXTREMES, len(data), near, near, value * 2, value << 8, ~value])
    struct.pack_into(order + WORDS[size], data, at, extreme & (256**size - 1))


def _number(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Replace a number that is written in letters; in a binary file there are few, in text many."""
    found = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", bytes(data))]
    if found:
        start, end = rng.choice(found)
        data[start:end] = rng.choice(NUMBERS)


def _letter(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Put a character that starts a field, a record or a name somewhere else."""
    at = rng.randrange(len(data))
    data[at : at + rng.randrange(2)] = rng.choice((b"\t", b"\n", b"\r", b"\0", b",", b"@", b"#", b"\xc3\x28", b"/../"))


OPS: list[Op] = [_bits, _bytes, _block, _cut, _remove, _repeat, _swap, _splice, _length, _number, _letter]
WEIGHTS = [6, 5, 3, 1, 1, 2, 3, 3, 8, 1, 2]
