"""Files that mean ill, or were made by accident: memory stays bounded, and paths stay where they belong."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.base.files import inside, open_text, read_text
from biorrn.sequences.fasta import read_fasta

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
