"""A few odd inputs of each reader, always the same, and every input that once did more than be refused.

`fuzz_text.py` makes a hundred thousand of each; docs/measured/fuzz.tsv has the results.
"""

import gzip
import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_text_seeds as seeds
from fuzz_text import ACCEPTED, ALL, OTHER, REFUSED, attempt, content_of

pytestmark = pytest.mark.fuzz

SLOW = ("model", "foreign", "recipe", "set")  # milliseconds an input, where others take a tenth of one
HEADER = "id\tsequence\ty\tweight\tsplit\n"


def npz(part: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("words.npy", part)
    return stream.getvalue()


def turned(data: bytes, mark: bytes, place: int, value: int) -> bytes:
    """Return bytes with one of them changed, counted from the first `mark`."""
    at = data.index(mark) + place
    return data[:at] + bytes([value]) + data[at + 1 :]


def vector_header(**arrays: object) -> bytes:
    header = json.dumps(arrays).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64)


def nameless() -> bytes:
    """Return a zip archive whose only file has an empty name, as damage leaves it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("@", b"")
    return stream.getvalue().replace(b"@", b"\0")


SOUND = seeds.npz(seeds.random.Random(0))
COUNT = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
ROWS = {"dtype": "F32", "shape": [2, 1], "data_offsets": [2, 10]}
SUMMARY = seeds.summary(seeds.random.Random(0))
TRUTH = "read_id\treference\tref_start\tref_end\tstrand\tbases\tstarts\tend\n"
ALIASES = b"a: &a [x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 120)
)
CLAIM = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,)}   \n"
PREDICTED = "id\ty\tlength\np0\t0.5\t{}\np1\t0.5\t21\np2\t0.5\t22\n"

# what broke a reader: name -> (reader, input)
FAULTS = {
    "an archive with a file of no name": ("archive", nameless()),
    "an npz whose packing is unknown": ("vectors_npz", turned(SOUND, b"PK\x01\x02", 10, 99)),
    "an npz with a flag that zipfile lacks": ("vectors_npz", turned(SOUND, b"PK\x03\x04", 6, 0x20)),
    "an npz that is no zip inside": ("vectors_npz", npz(b"\x93NUMPY\x01\x00\xff\xff")),
    "an npz that claims more than there is": (
        "vectors_npz",
        npz(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(CLAIM)) + CLAIM),
    ),
    "a parquet whose dictionary lacks a word": ("parquet", content_of("parquet", 0, 10029)),
    "a package that is a list": ("foreign", content_of("foreign", 0, 1052)),
    "a number of thousands of digits in TOML": ("foreign", content_of("foreign", 0, 5807)),
    "words without rows": ("vectors_safetensors", vector_header(words=COUNT, vectors=ROWS)),
    "words of numbers": ("vectors_safetensors", vector_header(words={**ROWS, "data_offsets": [0, 8]})),
    "facts nested too deeply": ("vectors_npz", seeds.npz(seeds.random.Random(0), facts=seeds.np.array("[" * 3000))),
    "a position of thousands of digits": ("mutations", b"A" + b"9" * 5000 + b"G"),
    "a position of thousands of digits in a file": ("mutation_file", b"A" + b"9" * 5000 + b"G\n"),
    "a start beyond 64 bits": ("truth", f"{TRUTH}r\tchr\t0\t1\t+\tA\t{2**70}\t1\n".encode()),
    "an end of thousands of digits": ("truth", f"{TRUTH}r\tchr\t0\t1\t+\tA\t0\t{'9' * 5000}\n".encode()),
    "a length that is a digit and no number": ("predictions", PREDICTED.format("²").encode()),
    "a length of thousands of digits": ("predictions", PREDICTED.format("9" * 5000).encode()),
    "a cell longer than the csv module takes": ("predictions", PREDICTED.format('"' + "9" * 140_000).encode()),
    "a cell longer than the csv module takes, in a table": ("table", (HEADER + "A" * 140_000).encode()),
    "a header longer than the csv module takes": ("table", b"id,y," + b"A" * 140_000 + b"\n1,2,3\n"),
    "an id that fills the screen": ("fasta", b">" + b"\x01" * 100_000 + b"\n7\n"),
    "a recipe of one long word": ("recipe", b"name: [" + b"a" * 100_000),
    "a number of thousands of digits in a recipe": ("recipe", b"name: " + b"9" * 5000),
    "a number that cannot be written again": ("recipe", b"name: x\ntask: 0x" + b"f" * 5000),
    "a date in a recipe": ("recipe", b"name: 2020-99-99"),
    "a tag that does not fit": ("recipe", b"name: !!int x"),
    "aliases of aliases": ("recipe", ALIASES),
    "an alias of itself": ("recipe", b"name: &a [*a]"),
    "lists in lists": ("recipe", b"name: " + b"[" * 100_000),
    "a place in a list that is a digit and no number": ("set", "model.pool.²=1".encode()),
    "a key of a thousand parts": ("set", b"a." * 1000 + b"=1"),
    "too many betas": ("set", b"training.betas=[0.9, 0.9, 0.9]"),
    "a learning rate that is no number": ("set", b"training.lr=.nan"),
    "a member whose name is too long for a file": (
        "recipe",
        b"name: e\ntask: regression\nmembers: [{recipe: " + b"a" * 5000 + b".yaml}]",
    ),
    "shards of thousands of digits": ("sample_sheet", b"name\tkind\tinput\tshards\ns\tsignal\tx\t" + b"9" * 5000),
    "an infinite number of samples": ("summary", SUMMARY.replace("9000", "inf").encode()),
    "a benchmark with a cell longer than the csv module takes": ("benchmark", b"s\tmax_rss\n1\t" + b"9" * 140_000),
    "JSON nested too deeply": ("evaluation", b'{"kind": ' + b"[" * 100_000),
    "JSON with a number of thousands of digits": ("evaluation", b'{"kind": ' + b"9" * 5000 + b"}"),
    "a figure out of the folder": (
        "evaluation",
        json.dumps(seeds.evaluation("regression") | {"figures": [{"path": "../../etc/x.svg"}]}).encode(),
    ),
    "gzip in gzip, cut off": ("fasta", gzip.compress(b">a\nMKV\n")[:-6]),
}  # fmt: skip


@pytest.mark.parametrize("reader", ALL)
def test_odd_inputs_are_read_or_refused_in_a_line(reader: str, tmp_path: Path) -> None:
    came: set[int] = set()
    for number in range(40 if reader in SLOW else 150):
        content = content_of(reader, 7, number)
        kind, said = attempt(reader, tmp_path, content)
        assert kind != OTHER, f"--reader {reader} --seed 7 --only {number}: {said}"
        came.add(kind)
    # neither all sound nor all beyond reading: the changes are where a reader looks
    assert came == {ACCEPTED, REFUSED}


@pytest.mark.parametrize("name", FAULTS)
def test_what_broke_a_reader_breaks_it_no_more(name: str, tmp_path: Path) -> None:
    reader, content = FAULTS[name]
    kind, said = attempt(reader, tmp_path, content)
    assert kind != OTHER, said


@pytest.mark.parametrize("reader", ALL)
def test_an_input_can_be_made_again(reader: str) -> None:
    assert content_of(reader, 3, 5) == content_of(reader, 3, 5)
