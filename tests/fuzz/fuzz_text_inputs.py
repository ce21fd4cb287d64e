"""Damaged and odd texts, tables, mappings and containers, each made from a sound one by chance alone."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from copy import deepcopy
from typing import Any

# what has broken readers of text before, and what a cell, a name or a number may be in somebody's file
WORDS = [
    *("", " ", "0", "-1", "1", "nan", "NaN", "inf", "-inf", "1e999", "1e-999", "1_000", "0x10", "٣", "²", "½"),
    *("9" * 25, "9" * 5000, "-9223372036854775809", "NA", "null", "true", "None", "é", "𝔸", "ǅ", "ß", "ı"),
    *("\x00", "\x01", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ufffd", "\ud800"),
    *("<script>", '"', "''", '"" ""', "'", "\\", "%s", "{}", "$(id)", "../../x", "/etc/passwd"),
    *(",", ";", "\t", "|", ":", "=", "#", "@", ">", "+", "*", "-", ".", "~"),
    *("!!python/none", "!!int x", "&a", "*a", "<<", "? ", "- ", "[[", "{{", "\n", "\r", "\r\n", "\n\n"),
    *("id", "sequence", "ACGT" * 30, "MKV" * 30, "A" * 3000, "," * 300, "\t" * 300),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 10**6, 10**9, 10**18, 2**63, -(2**70), 0.5, -0.5),
    *(1e308, 1e-320, float("inf"), float("nan"), "", "x", "1", "nan", "\x1b]0;t\x07", "a" * 5000),
    *("<img src=x onerror=alert(1)>", "../../../etc/passwd", "/etc/hostname", "\ud800"),
    *([], {}, [[]], {"": {}}, [None], [1, "a", None], {"name": []}, {"path": 1}, list(range(50))),
    *([0.1] * 3, [[1, 2], [3]]),
]


def text(rng: random.Random, sound: str) -> bytes:
    """Return a text with one to six changes in lines, cells, words and characters; seldom packed, or in bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        sound = rng.choice(TEXT_CHANGES)(rng, sound)[:200_000]
    data = sound.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        data = octets(rng, data)
    if rng.random() < 0.05:
        data = gzip.compress(data, 1)
        data = octets(rng, data) if rng.random() < 0.5 else data
    return data


def octets(rng: random.Random, data: bytes) -> bytes:
    """Return bytes with bits turned, spans cut out, doubled, moved or overwritten, or the end cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not found:
            return bytes(rng.randbytes(rng.randrange(20)))
        place = rng.randrange(len(found))
        span = rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(8):
            case 0:
                found[place] ^= 1 << rng.randrange(8)
            case 1:
                found[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del found[place : place + span]
            case 3:
                found[place:place] = found[place : place + span] * rng.choice((1, 2, 50))
            case 4:
                found[place : place + span] = rng.randbytes(span)
            case 5:
                found[place : place + 8] = struct.pack("<q", rng.choice((0, 1, -1, 2**31, 2**40, 2**62, -(2**63))))
            case 6:
                other = rng.randrange(len(found))
                found[place : place + span] = found[other : other + span]
            case 7:
                del found[place:]
    return bytes(found)


def _line(rng: random.Random, sound: str) -> str:
    lines = sound.split("\n")
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(other, lines[place])
        case 2:
            lines[place], lines[other] = lines[other], lines[place]
        case 3:
            lines[place] += lines[other]
        case 4:
            lines.insert(place, rng.choice(WORDS))
        case 5:
            del lines[place:]
    return "\n".join(lines)


def _cell(rng: random.Random, sound: str) -> str:
    lines = sound.split("\n")
    place = rng.randrange(len(lines))
    mark = rng.choice([mark for mark in "\t,;: " if mark in lines[place]] or [" "])
    cells = lines[place].split(mark)
    chosen = rng.randrange(len(cells))
    match rng.randrange(4):
        case 0:
            cells[chosen] = rng.choice(WORDS)
        case 1:
            del cells[chosen]
        case 2:
            cells.insert(chosen, cells[rng.randrange(len(cells))])
        case 3:
            cells[chosen] = f'"{cells[chosen]}{rng.choice(WORDS)}"'
    lines[place] = mark.join(cells)
    return "\n".join(lines)


def _character(rng: random.Random, sound: str) -> str:
    place = rng.randrange(len(sound) + 1)
    return sound[:place] + rng.choice(WORDS) + sound[place + rng.choice((0, 0, 1, 5)) :]


def _whole(rng: random.Random, sound: str) -> str:
    if rng.random() < 0.03:  # longer than what the csv module takes for a cell
        place = rng.randrange(len(sound) + 1)
        return sound[:place] + rng.choice(("A", "9", ",", "\t", '"', " ")) * 140_000 + sound[place:]
    match rng.randrange(7):
        case 0:
            return sound.replace("\n", rng.choice(("\r\n", "\r", "\n\n", " \n", "\x0b", "\x85")))
        case 1:
            return "\ufeff" + sound
        case 2:
            return sound.swapcase()
        case 3:
            return sound + sound
        case 4:
            return sound.rstrip("\n")
        case 5:
            word = rng.choice(sound.split() or [""])
            return sound.replace(word, rng.choice(WORDS)) if word else ""
        case _:
            return sound[: rng.randrange(len(sound) + 1)]


TEXT_CHANGES: list[Callable[[random.Random, str], str]] = [_line, _cell, _cell, _character, _whole]


def mapping(rng: random.Random, sound: Any) -> Any:
    """Return a structure of JSON with one to four values replaced, left out, doubled or moved."""
    found = json.loads(json.dumps(sound))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = _place(rng, found)
        if place is None:
            return deepcopy(rng.choice(VALUES))
        holder, key = place
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = deepcopy(rng.choice(VALUES))
            case 3:
                del holder[key]
            case 4:
                other, from_key = _place(rng, found) or place
                holder[key] = json.loads(json.dumps(other[from_key]))
            case 5:
                if isinstance(holder, dict):
                    holder[rng.choice(("", "x", "name", key + "s", "path", "members", "figures"))] = deepcopy(
                        rng.choice(VALUES)
                    )
                else:
                    holder.append(holder[key])
    return found


def _place(rng: random.Random, value: Any) -> tuple[Any, Any] | None:
    """Return mapping or list and key of a value somewhere in a structure; a branch is as likely as its neighbours."""
    place = None
    while isinstance(value, dict | list) and value and (place is None or rng.random() < 0.7):
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        place, value = (value, key), value[key]
    return place


def safetensors(rng: random.Random, sound: bytes) -> bytes:
    """Return a safetensors file with its header changed as a mapping, or its bytes changed."""
    if rng.random() < 0.4:
        return octets(rng, sound)
    (size,) = struct.unpack("<Q", sound[:8])
    header = mapping(rng, json.loads(sound[8 : 8 + size]))
    written = json.dumps(header).encode()
    claimed = len(written) if rng.random() < 0.9 else rng.choice((0, 1, 10**6, 2**63, len(written) - 1))
    return struct.pack("<Q", claimed) + written + sound[8 + size :]
