"""Text files, limits on what is read, and files that are written whole or not at all."""

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import stat
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from biorrn.base.errors import BiorrnError, InputError
from biorrn.base.files import (
    ARCHIVES,
    LONGEST_LINE,
    UNPACKERS,
    atomic_path,
    disk_fault,
    encoding_of,
    inside,
    new_folder,
    one_line,
    open_text,
    read_text,
    scratch_folder,
    suffix_of,
    sweep,
    tsv_line,
    write_text,
)
from biorrn.sequences.fasta import read_fasta

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


KILLED = """
import os, sys
from biorrn.base.files import atomic_path, scratch_folder
with atomic_path(sys.argv[1]) as path, scratch_folder(os.path.dirname(sys.argv[1]), "sort") as folder:
    (folder / "part").write_text("half")
    path.write_text("half")
    os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.tar.gz"
    kept = [".out.tar.mine.gz", ".out.tar.0123abcd-1.abcdefgh.gz", "out.1-2.abcdefgh"]
    for name in kept:
        (tmp_path / name).touch()
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert done.returncode == -9
    assert len(names(tmp_path)) == len(kept) + 2
    sweep.cache_clear()
    with atomic_path(target) as mine:
        sweep.cache_clear()
        with atomic_path(tmp_path / "other"):
            assert mine.exists()  # of a process that lives
        mine.write_text("whole")
    assert names(tmp_path) == sorted([*kept, "other", target.name])
    assert target.read_text() == "whole"


def test_a_scratch_folder_goes_with_its_content(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "sort") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".sort.")
        (folder / "part").touch()
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", [1, 150, 240])
def test_long_names_can_be_written(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("x" * length + ".tsv")
    with atomic_path(target) as path:
        path.touch()
    assert names(tmp_path) == [target.name]


def test_a_device_is_written_and_stays_one() -> None:
    with atomic_path("/dev/null") as path:
        path.write_text("gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("link", ["store/real.gz", "../{folder}/store/real.gz", "second.tsv"])
def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path, link: str, exists: bool) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "second.tsv").symlink_to("store/real.gz")
    (tmp_path / "out.tsv").symlink_to(link.format(folder=tmp_path.name))
    if exists:
        (tmp_path / "store/real.gz").write_text("old")
    with atomic_path(tmp_path / "out.tsv") as path:
        assert path.parent == tmp_path / "store"  # on one disk with what it replaces
        assert path.suffix == ".tsv"  # by which writers choose a format
        path.write_text("new")
    assert (tmp_path / "out.tsv").is_symlink()
    assert (tmp_path / "second.tsv").is_symlink()
    assert (tmp_path / "store/real.gz").read_text() == "new"
    assert names(tmp_path / "store") == ["real.gz"]


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BiorrnError, match="a: cannot be written: Too many levels"), atomic_path(tmp_path / "a"):
        pass


def test_a_redirected_stdout_is_written_and_not_replaced(tmp_path: Path) -> None:
    code = "from biorrn.base.files import write_text\nwith write_text('/dev/stdout') as out: out.write('here')\n"
    with open(tmp_path / "out", "wb") as stream:
        before = os.fstat(stream.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], check=True, stdout=stream)
    assert (tmp_path / "out").read_text() == "here"
    assert (tmp_path / "out").stat().st_ino == before


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_move = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        real_sync(handle)

    def replace(old: Path, new: Path) -> None:
        done.append("move")
        real_move(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with write_text(tmp_path / "out.tsv.gz") as stream:
        stream.write("x")
    assert done == ["sync file", "move", "sync folder"]


def test_a_disk_that_refuses_the_content_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("old")

    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BiorrnError, match="out: cannot be written: Input/output"), atomic_path(tmp_path / "out") as new:
        new.write_text("new")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


def test_a_pipe_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_path(pipe) as path, open(path, "wb") as stream:
        stream.write(b"here")
    assert os.read(reader, 10) == b"here"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "x"), os.strerror(errno.EDQUOT)),
        (
            RuntimeError("file write failed: errno = 28, error message = 'No space left on device', buf"),
            "No space left",
        ),
        (RuntimeError("I/O error: (os error 28)"), "No space left on device"),
        (OSError(errno.EFBIG, "File too large"), "File too large"),
        (ValueError("no space in the name"), None),
        (OSError(errno.ENOENT, "No such file or directory"), None),
    ],
)
def test_a_full_disk_is_known_however_it_is_told(error: Exception, reason: str | None) -> None:
    for told in (error, _wrapped(error)):
        found = disk_fault(told)
        assert (found is None) if reason is None else (found or "").startswith(reason)


def _wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise KeyError("a library's own") from cause
    except KeyError as outer:
        return outer


@pytest.mark.parametrize("error", [RuntimeError("disk: No space left on device"), OSError(errno.ENOSPC, "No space")])
def test_the_message_names_the_file_that_was_asked_for(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(BiorrnError, match=r"out\.h5: cannot be written: No space"), atomic_path(tmp_path / "out.h5"):
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [InputError("in.fa", "is empty"), KeyError("a mistake of the code")])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "out.h5"):
        raise error
    assert caught.value is error
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [*range(32), 127, 0x85, 0x2028, 0x2029])
def test_no_text_splits_a_line_or_a_cell(code: int) -> None:
    line = tsv_line(f"a{chr(code)}b", 1, "c")
    assert line.splitlines() == ["a b\t1\tc"]
    assert len(line.split("\t")) == 3
    assert one_line(f"a{chr(code)}b") == "a b"


LINE = 1 << 16


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_up_to_the_longest_are_read(end: str, packed: bool, tmp_path: Path) -> None:
    lines = ["a" * (LINE - 2), "", "b", "ä" * 100, "last"]
    content = end.join(lines).encode()
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    with open_text(tmp_path / "x", longest=LINE) as stream:
        assert [line.rstrip("\n") for line in stream] == lines
    with open_text(tmp_path / "x", longest=LINE) as stream:
        assert stream.read().split("\n") == lines


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    packed = tmp_path / "bomb.fa.gz"
    packed.write_bytes(gzip.compress(b">p\n" + b"A" * (64 * LINE)))
    assert packed.stat().st_size < LINE
    tracemalloc.start()
    try:
        with (
            pytest.raises(InputError, match="holds a line of more than 65,536 bytes"),
            open_text(packed, LINE) as stream,
        ):
            for _ in stream:
                pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * LINE


def test_a_file_that_is_read_whole_has_a_longest_length(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(b"a\n" * 1000))
    assert len(read_text(tmp_path / "x", 2000)) == 2000
    with pytest.raises(InputError, match="longer than 1,999 characters"):
        read_text(tmp_path / "x", 1999)


def test_many_records_of_a_packed_file_are_read_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "x.fa.gz").write_bytes(gzip.compress(b"".join(b">p%d\n%s\n" % (n, b"MKV" * 400) for n in range(400))))
    records = read_fasta(tmp_path / "x.fa.gz")
    next(records)
    tracemalloc.start()
    try:
        assert sum(1 for _ in records) == 399
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200_000  # of 480 kB


@pytest.mark.parametrize("name", ["a.svg", "x/a.svg", "./a.svg", "...svg"])
def test_paths_below_the_folder(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name, "x.json") == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "../a.svg",
        "x/../../a.svg",
        "x/../a.svg",
        "/etc/passwd",
        "..",
        "",
        "a\x00b",
        "link/a.svg",
        "l" * 5000,
        None,
        3,
        ["a"],
    ],
)
def test_paths_that_lead_out_are_refused(name: object, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(InputError, match=r"^x\.json: found the path .*below the folder of this file$"):
        inside(tmp_path, name, "x.json")


def test_the_working_folder_may_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be replaced, as the folder at which a disk is mounted cannot."""
    monkeypatch.chdir(tmp_path)
    with new_folder(Path(".")) as folder:
        (folder / "a").write_text("1")
        (folder / "b").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(BiorrnError, match="holds files"), new_folder(Path(".")):
        pass
