"""Text is read as people have it: packed, in any encoding, with any end of line; damage is one line."""

import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from biorrn.base.errors import InputError
from biorrn.base.files import ARCHIVES, LONGEST_LINE, UNPACKERS, encoding_of, open_text, read_text, suffix_of

LINES = [">Käse µ=5 °C", "MKVL", "", ">näch±ste", "MK" * 4000, "end"]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
# name -> what is written, and the encoding that is found
ENCODED: dict[str, tuple[Callable[[str], bytes], str]] = {
    "UTF-8": (lambda text: text.encode(), "utf-8"),
    "UTF-8 with BOM": (lambda text: text.encode("utf-8-sig"), "utf-8"),
    "UTF-16 LE": (lambda text: text.encode("utf-16-le"), "utf-16-le"),
    "UTF-16 LE with BOM": (lambda text: b"\xff\xfe" + text.encode("utf-16-le"), "utf-16-le"),
    "UTF-16 BE": (lambda text: text.encode("utf-16-be"), "utf-16-be"),
    "UTF-16 BE with BOM": (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "utf-16-be"),
    "UTF-32 with BOM": (lambda text: text.encode("utf-32"), "utf-32-le"),
    "Latin-1": (lambda text: text.encode("latin-1"), "cp1252"),
    "Windows-1252": (lambda text: text.encode("cp1252"), "cp1252"),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("packing", [None, *PACK])
@pytest.mark.parametrize("encoding", ENCODED)
def test_every_encoding_packing_and_end_of_line_is_the_same_text(
    encoding: str, packing: str | None, end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode, found = ENCODED[encoding]
    content = encode(end.join(LINES))
    path = tmp_path / "x"
    path.write_bytes(PACK[packing](content) if packing else content)
    with open_text(path) as stream:
        assert [line.rstrip("\n") for line in stream] == LINES
        assert encoding_of(stream) == found
    assert read_text(path) == "\n".join(LINES)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (found != "utf-8"), "said once a file"
    assert all(str(path) in note and "is not UTF-8; read as" in note for note in notes)


def test_every_packing_is_tried() -> None:
    assert set(PACK) == {name for name, _ in UNPACKERS.values()}


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8191, 8192, 8193])
@pytest.mark.parametrize("encoding", ENCODED)
def test_characters_that_lie_across_blocks(encoding: str, cut: int, tmp_path: Path) -> None:
    text = "a" * cut + "µ°" * 9000
    (tmp_path / "x").write_bytes(ENCODED[encoding][0](text))
    assert read_text(tmp_path / "x") == text


def test_encodings_pasted_together(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("Käse\n".encode() + "Käse µ\n".encode("latin-1") + b"plain\n")
    assert read_text(tmp_path / "x") == "Käse\nKäse µ\nplain\n"


def test_ascii_tells_no_encoding_and_a_sign_at_the_end_does(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "y").write_bytes(b"MKV\xb5")
    with open_text(tmp_path / "x") as stream:
        assert (stream.read(), encoding_of(stream)) == ("", "ascii")
    with open_text(tmp_path / "y") as stream:
        assert (stream.read(), encoding_of(stream)) == ("MKVµ", "cp1252")


@pytest.mark.parametrize("packing", PACK)
def test_packed_parts_one_after_another_are_one_text(packing: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PACK[packing](b"a\n" * 9999) + PACK[packing](b"b\n"))
    assert read_text(tmp_path / "x") == "a\n" * 9999 + "b\n"


@pytest.mark.parametrize("damage", ["cut", "cut to the first bytes", "overwritten"])
@pytest.mark.parametrize("packing", PACK)
def test_damage_is_one_line(packing: str, damage: str, tmp_path: Path) -> None:
    noise = random.Random(1)
    whole = PACK[packing]("".join(noise.choice("ACDEFGHIKLMNPQRSTVWY\n") for _ in range(200_000)).encode())
    half = len(whole) // 2
    content = {
        "cut": whole[:half],
        "cut to the first bytes": whole[:8],
        "overwritten": whole[:half] + bytes(64) + whole[half + 64 :],
    }[damage]
    (tmp_path / "x.fa").write_bytes(content)
    with pytest.raises(InputError, match=rf"^{tmp_path / 'x.fa'}: damaged {packing}: ") as error:
        read_text(tmp_path / "x.fa")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("start", ARCHIVES, ids=ARCHIVES.get)
def test_archives_are_named(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(start + bytes(40))
    with pytest.raises(InputError, match=r"unpack it and name the file in it$"):
        read_text(tmp_path / "x")


@pytest.mark.parametrize("packing", [None, *PACK])
def test_a_tar_archive_is_named(packing: str | None, tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.fa"), io.BytesIO())
    (tmp_path / "x").write_bytes(PACK[packing](made.getvalue()) if packing else made.getvalue())
    with pytest.raises(InputError, match=r"is a tar archive; unpack it and name the file in it$"):
        read_text(tmp_path / "x")


BINARY = {
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(50),
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "random": random.Random(2).randbytes(200),
    "half a character of UTF-16": b"\xff\xfeA\x00B",
    "half a pair of UTF-16": b"\xff\xfeA\x00\x00\xd8B\x00",
    "no Windows-1252": b"MKV\x81\n",
}


@pytest.mark.parametrize("content", BINARY.values(), ids=BINARY)
def test_what_is_no_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=r"not text: byte \d+ is"):
        read_text(tmp_path / "x")


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_line_without_end_is_refused(packing: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PACK[packing](b">p\n" + b"A" * (1 << 22)))
    assert (tmp_path / "x").stat().st_size < 1 << 14
    with pytest.raises(InputError, match="a line of more than 65,536 bytes"), open_text(tmp_path / "x", 1 << 16) as it:
        it.readlines()
    assert len(read_text(tmp_path / "x")) == (1 << 22) + 3 < LONGEST_LINE


@pytest.mark.parametrize("packing", PACK)
def test_standard_input_and_a_slow_pipe(packing: str) -> None:
    code = "from biorrn.base.files import read_text; import sys; sys.stdout.write(read_text('-'))"
    content = PACK[packing]("Käse\n".encode("utf-16"))
    found = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    assert found.stdout.decode() == "Käse\n"
    assert found.stderr.decode() == "biorrn: note: standard input: is not UTF-8; read as UTF-16-LE\n"


def test_lines_of_a_pipe_come_as_they_are_written() -> None:
    code = (
        "from biorrn.base.files import open_text\nwith open_text('-') as s:\n  for x in s: print(x.strip(), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert isinstance(child.stdin, io.TextIOBase)
        assert isinstance(child.stdout, io.TextIOBase)
        for line in ("first line\n", "second\n"):
            child.stdin.write(line)
            child.stdin.flush()
            assert child.stdout.readline() == line
        child.stdin.close()


@pytest.mark.parametrize(
    ("name", "suffix"), [("x.CSV.gz", ".csv"), ("x.fa.zst", ".fa"), ("x.bz2", ""), ("a.b/x", ""), ("-", "")]
)
def test_suffixes_without_packing(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
