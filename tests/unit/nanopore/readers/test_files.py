"""Finding signal files and streaming many of them; `SIGNAL_READERS` is replaced, so no format matters here."""

import os

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, InputError
from biorrn.nanopore.readers import files as signal
from biorrn.nanopore.readers.files import find_signal_files, read_all, read_signal
from biorrn.sequences.records import SignalRecord


@pytest.fixture(autouse=True)
def words(monkeypatch):
    """Read `.sig` files, in which each word is a read: `bad` is a bad one, `bare` has no calibration, `end` ends it."""

    def read(path, on_problem):
        for word in path.read_text().split():
            if word == "end":
                raise InputError(path, "cut short")
            if word == "bad":
                on_problem(InputError(path, "no good", word))
                continue
            unknown = float("nan")
            meaning = (unknown,) * 3 if word == "bare" else (0.0, 1.0, 4000.0)
            yield SignalRecord(word, np.zeros(3, np.int16), *meaning, source=path)

    monkeypatch.setattr(signal, "SIGNAL_READERS", {".sig": read})


def fill(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.sig"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folders_are_walked_in_a_fixed_order(tmp_path):
    fill(tmp_path, b="x", a__z="x", a__c__y="x", c="x")
    (tmp_path / "a" / "notes.txt").write_text("")
    (tmp_path / ".hidden.sig").write_text("")
    (tmp_path / "BIG.SIG").write_text("")
    assert names(find_signal_files([tmp_path]), tmp_path) == ["BIG.SIG", "a/c/y.sig", "a/z.sig", "b.sig", "c.sig"]


def test_paths_keep_their_order_and_a_file_is_read_once(tmp_path):
    fill(tmp_path, a="x", b="x", d__e="x")
    os.symlink(tmp_path / "a.sig", tmp_path / "again.sig")
    found = find_signal_files([tmp_path / "b.sig", tmp_path, tmp_path / "d", tmp_path / "b.sig"])
    assert names(found, tmp_path) == ["b.sig", "a.sig", "d/e.sig"]


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    fill(tmp_path, run__a="x", other__b="x")
    os.symlink(tmp_path / "run", tmp_path / "run" / "loop")
    os.symlink(tmp_path / "other", tmp_path / "run" / "more")
    assert names(find_signal_files([tmp_path / "run"]), tmp_path / "run") == ["a.sig", "more/b.sig"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothere", "cannot be read: No such file or directory"),
        ("a.txt", "found the suffix '.txt'; allowed are .sig, or a folder of such files"),
        ("empty", "the folder holds no file with a suffix of .sig"),
    ],
)
def test_paths_of_nothing(path, message, tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    fill(tmp_path, good="x")
    with pytest.raises(InputError) as error:
        find_signal_files([tmp_path / path])
    assert str(error.value) == f"{tmp_path / path}: {message}"
    problems = []
    assert names(find_signal_files([tmp_path / path, tmp_path / "good.sig"], problems.append), tmp_path) == ["good.sig"]
    assert [str(problem) for problem in problems] == [str(error.value)]


def test_archives_and_broken_links_are_one_line_each_and_end_nothing(tmp_path):
    fill(tmp_path, run__a="r1", run__more__b="r2")
    for name in ("c.sig.gz", "d.tar", "more/e.tar.zst", "calls.fastq.gz", "notes.txt"):
        (tmp_path / "run" / name).write_text("")
    for name in ("f.sig", "old", "readme.txt"):
        os.symlink(tmp_path / "gone", tmp_path / "run" / name)
    folder = tmp_path / "run"
    assert names(find_signal_files([folder]), folder) == ["a.sig", "more/b.sig"]  # nothing is raised
    found, problems = run([folder])
    assert found == ["r1", "r2"]
    assert problems == [
        f"{folder}: left out: 2 broken links (f.sig, old); mend or delete it",
        f"{folder}: left out: 3 archives (c.sig.gz, d.tar, more/e.tar.zst); unpack first (tar -xf, gunzip, unzip)",
    ]
    with pytest.raises(InputError, match=r"archive; unpack first"):
        read_signal(folder / "d.tar")
    with pytest.raises(InputError, match=r"f\.sig: broken link; mend or delete it"):  # as a shard's list names it
        find_signal_files([folder / "f.sig"])


def test_what_may_not_be_looked_at_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    """A folder that may be listed and not entered: root may enter any, so that the refusal is made here."""
    fill(tmp_path, a="r1", shut__b="r2", shut__c="r3", z="r4")
    (tmp_path / "shut" / "notes.txt").write_text("")
    plain = signal.Path.is_file

    def is_file(path):
        if path.parent.name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(signal.Path, "is_file", is_file)
    found, problems = run([tmp_path])
    assert found == ["r1", "r4"]
    assert problems == [f"{tmp_path / 'shut' / name}.sig: cannot be read: Permission denied" for name in "bc"]


def test_a_folder_of_archives_alone(tmp_path):
    (tmp_path / "a.tgz").write_text("")
    with pytest.raises(InputError, match=r"no file with a suffix of \.sig, but 1 archive \(a\.tgz\); unpack first"):
        find_signal_files([tmp_path])


def test_read_signal_raises_at_the_first_bad_read(tmp_path):
    path = fill(tmp_path, a="x bad y") / "a.sig"
    reads = read_signal(path)
    assert next(reads).read_id == "x"
    with pytest.raises(InputError, match="record 'bad': no good"):
        next(reads)
    with pytest.raises(InputError, match="found the suffix"):
        read_signal(tmp_path / "a.txt")


def run(paths, **options):
    problems = []
    found = [read.read_id for read in read_all(paths, lambda problem: problems.append(str(problem)), **options)]
    return found, problems


def test_bad_reads_and_files_are_reported_and_left_out(tmp_path):
    fill(tmp_path, a="r1 bad r2 end r9", b="end", c="r3")
    found, problems = run([tmp_path, tmp_path / "nothere"])
    assert found == ["r1", "r2", "r3"]
    assert [problem.removeprefix(f"{tmp_path}/") for problem in problems] == [
        "a.sig: record 'bad': no good",
        "a.sig: cut short",
        "b.sig: cut short",
        "nothere: cannot be read: No such file or directory",
    ]


def test_reads_without_calibration_are_left_out_unless_asked_for(tmp_path):
    fill(tmp_path, a="r1 bare")
    assert run([tmp_path], calibrated=False) == (["r1", "bare"], [])
    found, problems = run([tmp_path])
    assert found == ["r1"]
    assert "record 'bare': the file has no calibration" in problems[0]


def test_the_only_problem_of_all_is_raised_and_not_reported(tmp_path):
    problems = []
    with pytest.raises(InputError, match="cut short"):
        list(read_all([fill(tmp_path, a="end")], problems.append))
    assert problems == []


def test_a_problem_before_the_first_read_is_reported(tmp_path):
    fill(tmp_path, a="bad r1")
    found, problems = run([tmp_path])
    assert (found, len(problems)) == (["r1"], 1)


def test_several_problems_and_no_read(tmp_path):
    problems = []
    with pytest.raises(BiorrnError, match="no read could be used"):
        list(read_all([fill(tmp_path, a="bad bad", b="end")], problems.append))
    assert len(problems) == 3


def test_without_a_callback_the_first_problem_is_raised(tmp_path):
    with pytest.raises(InputError, match="record 'bad'"):
        list(read_all([fill(tmp_path, a="r1 bad")]))


def test_another_reader_may_yield_pairs(tmp_path):
    def pairs(path, on_problem):
        return ((read, "labels") for read in read_signal(path, on_problem))

    assert [labels for _, labels in read_all([fill(tmp_path, a="r1 r2")], read=pairs)] == ["labels", "labels"]


def test_files_are_opened_one_at_a_time(tmp_path):
    fill(tmp_path, a="r1", b="end")
    reads = read_all([tmp_path])
    assert next(reads).read_id == "r1"  # what is wrong with b is not known yet
    with pytest.raises(InputError, match=r"b\.sig: cut short"):
        next(reads)
