"""`biorrn reads`: rows, summary, files, exit codes."""

import gzip
import os
import subprocess
import sys
from functools import partial

import h5py
import numpy as np
import pytest

from biorrn.nanopore.readers.summary import COLUMNS


@pytest.fixture
def biorrn(biorrn):
    """Return a function that runs `biorrn reads` and returns its exit code, stdout and stderr."""
    return partial(biorrn, "reads")


def write(path, *ids, bad=()):
    """Write a FAST5 of reads of ten samples; those in `bad` have no sampling rate."""
    with h5py.File(path, "w") as file:
        for name in ids:
            group = file.create_group(f"read_{name}")
            group["Raw/Signal"] = np.arange(10, dtype=np.int16)
            values = {"offset": 0.0, "range": 1000.0, "digitisation": 8000.0, "sampling_rate": 4000.0}
            if name in bad:
                del values["sampling_rate"]
            group.create_group("channel_id").attrs.update({"channel_number": "1", **values})
    return path


def errors(stderr):
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("biorrn: error: ")]


def test_one_row_a_read(biorrn, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "deep" / "er" / "b.fast5", "r2", "r3")
    write(tmp_path / "a.fast5", "r1")
    code, out, err = biorrn(tmp_path)
    header, *rows = [line.split("\t") for line in out.splitlines()]
    assert header == list(COLUMNS)
    assert [row[0] for row in rows] == ["r1", "r2", "r3"]
    assert all(len(row) == len(header) for row in rows)
    assert rows[0][header.index("file")] == str(tmp_path / "a.fast5")
    assert (code, errors(err)) == (0, [])
    assert err == ""  # short work shows no progress; tests/unit/base/test_terminal.py has that of long work


def test_summary(biorrn, tmp_path):
    code, out, _ = biorrn(write(tmp_path / "a.fast5", "r1", "r2"), "--summary")
    rows = dict(line.split("\t") for line in out.splitlines())
    assert (code, rows["reads"], rows["samples"]) == (0, "2", "20")


def test_output_to_a_file(biorrn, tmp_path):
    code, out, _ = biorrn(write(tmp_path / "a.fast5", "r1"), "-o", tmp_path / "new" / "reads.tsv.gz")
    assert (code, out) == (0, "")
    assert gzip.decompress((tmp_path / "new" / "reads.tsv.gz").read_bytes()).decode().count("\n") == 2


def test_bad_files_are_said_after_which_the_rest_is_listed(biorrn, tmp_path):
    (tmp_path / "a.pod5").write_text("nothing")
    write(tmp_path / "b.fast5", "r1", "r2", "r3", bad=["r2"])
    (tmp_path / "c.blow5").write_bytes(b"")
    listing = tmp_path / "reads.tsv"
    code, _, err = biorrn(tmp_path, tmp_path / "nothere.slow5", "-o", listing)
    assert code == 2
    assert [line.split("\t")[0] for line in listing.read_text().splitlines()] == ["read_id", "r1", "r3"]
    assert [line.removeprefix(f"biorrn: error: {tmp_path}/") for line in errors(err)] == [
        "a.pod5: not a POD5 file: it does not start with POD5's signature",
        "b.fast5: record 'r2': attribute 'channel_id/sampling_rate' is missing",
        "c.blow5: the file is empty",
        "nothere.slow5: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothere.fast5", "cannot be read: No such file or directory"),
        ("a.txt", "found the suffix '.txt'; allowed are .fast5, .pod5, .slow5, .blow5, or a folder of such files"),
        ("empty", "the folder holds no file with a suffix of .fast5, .pod5, .slow5, .blow5"),
        ("a.fast5", "not a FAST5 file: it is not HDF5"),
        ("a.slow5", "neither SLOW5 nor BLOW5: it starts with neither #slow5_version nor BLOW5's signature"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--summary"]])
def test_one_bad_path_is_one_line_exit_2_and_no_output(name, message, options, biorrn, tmp_path):
    (tmp_path / "empty").mkdir()
    for file in ("a.txt", "a.fast5", "a.slow5"):
        (tmp_path / file).write_text("hello")
    code, out, err = biorrn(tmp_path / name, *options)
    assert (code, out) == (2, "")
    assert err.splitlines() == [f"biorrn: error: {tmp_path / name}: {message}"]
    code, _, _ = biorrn(tmp_path / name, *options, "-o", tmp_path / "reads.tsv")
    assert code == 2
    assert not (tmp_path / "reads.tsv").exists()


def test_an_output_that_cannot_be_written(biorrn, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = biorrn(write(tmp_path / "a.fast5", "r1"), "-o", tmp_path / "file" / "reads.tsv")
    assert code == 2
    assert len(errors(err)) == 1


def test_help_says_what_it_does(biorrn):
    code, out, _ = biorrn("--help")
    assert code == 0
    assert "--summary" in out
    assert "Examples:" in out


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(biorrn, tmp_path):
    for name in ("a.fast5", "a.pod5", "a.slow5"):
        write(tmp_path / name, "r1").chmod(0)
        code, _, err = biorrn(tmp_path / name)
        assert code == 2
        assert errors(err) == [f"biorrn: error: {tmp_path / name}: cannot be read: Permission denied"]


def test_the_module_of_the_command_imports_nothing_heavy():
    script = "import sys, biorrn.cli.reads; print(sorted({'h5py', 'numpy', 'pod5', 'pyarrow'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
