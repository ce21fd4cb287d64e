"""One truncated file among a hundred: it is named, the others are used, and the exit code says that all is well."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biorrn.nanopore.readers.files import read_all
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.sequences.prepared.files import SignalFile

FILES = 100
BROKEN = 37


def hundred(source: Path, folder: Path, suffix: str) -> list[str]:
    """Write files of one read each, one of them cut in half; return the ids of the others."""
    record = next(iter(read_all([source])))
    folder.mkdir()
    ids = [str(uuid.UUID(int=number + 1)) for number in range(FILES)]
    for number, read_id in enumerate(ids):
        with open_signal(folder / f"{number:03}{suffix}") as write:
            write(replace(record, read_id=read_id, read_number=number))
    path = folder / f"{BROKEN:03}{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return ids[:BROKEN] + ids[BROKEN + 1 :]


@pytest.mark.parametrize("suffix", [".blow5", ".fast5"])
def test_the_others_are_used(server: Any, inputs: Path, tmp_path: Path, suffix: str) -> None:
    ids = hundred(inputs / "reads.blow5", tmp_path / "reads", suffix)
    words = ("basecall", "reads", "--model", str(inputs / "caller"), "--allow-empty", "--threads", "1")
    run = server.run(*words, "-o", "c.fastq", "--summary", "c.tsv", folder=tmp_path)
    assert run.code == 0, run.error
    assert "Traceback" not in run.error
    assert f"{BROKEN:03}{suffix}" in run.error
    rows = [line.split("\t") for line in (tmp_path / "c.tsv").read_text().splitlines()]
    place = rows[0].index("read_id")
    assert [row[place] for row in rows[1:] if row[place]] == ids
    assert [row[0] for row in rows[1:] if not row[place]] == [f"{BROKEN:03}{suffix}"]  # the file, with its reason
    lines = (inputs / "truth.tsv").read_text().splitlines()
    row = lines[1].partition("\t")[2]  # of the first read, which all are
    every = [*ids, str(uuid.UUID(int=BROKEN + 1))]
    (tmp_path / "truth.tsv").write_text("\n".join([lines[0], *(f"{read_id}\t{row}" for read_id in every)]) + "\n")
    labels = ("--labels", "truth", "--truth", "truth.tsv", "--split", "random:0.8,0.2,0")
    prepared = server.run("prepare", "signal", "reads", *labels, "-o", "s.h5", folder=tmp_path)
    assert prepared.code == 0, prepared.error
    assert f"{BROKEN:03}{suffix}" in prepared.error
    with SignalFile(tmp_path / "s.h5") as file:
        assert sorted(file.strings("read_id")) == sorted(ids)


def test_a_truncated_part_is_not_merged(server: Any, inputs: Path, left: Any, tmp_path: Path) -> None:
    """A part of a whole is another matter: to leave it out would lose reads, so nothing is written."""
    import gzip

    content = gzip.compress((inputs / "more.fastq").read_bytes())
    for number in range(FILES):
        (tmp_path / f"{number:03}.fastq.gz").write_bytes(content)
    broken = tmp_path / f"{BROKEN:03}.fastq.gz"
    broken.write_bytes(content[: len(content) // 2])
    parts = sorted(path.name for path in tmp_path.iterdir())
    run = server.run("merge", *parts, "-o", "all.fastq.gz", folder=tmp_path)
    assert run.code == 2
    assert broken.name in run.error
    assert run.error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == parts
