"""Signal files and folders: finding files, reading them by suffix, and sharding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from biorrn.base.errors import BiorrnError, ConfigError, InputError, LeftOut, OnProblem, reason, stop
from biorrn.base.files import open_text
from biorrn.nanopore.readers.slow5 import read_runs as read_slow5_runs
from biorrn.nanopore.readers.slow5 import read_slow5
from biorrn.sequences.guard import Guarded
from biorrn.sequences.records import SignalRecord

Item = TypeVar("Item")
ARCHIVES = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".zip", ".7z", ".rar")
PACKED = (".gz", ".bz2", ".xz", ".zst")  # one file
MEND = "mend or delete it"
UNPACK = "unpack first (tar -xf, gunzip, unzip)"
Reader = Callable[[Path, OnProblem], Iterator[Item]]


class NoReads(BiorrnError):
    """Not one read of the input could be used."""


def find_signal_files(paths: Iterable[str | Path], on_problem: OnProblem = stop) -> list[Path]:
    """Return the signal files among `paths`, folders walked recursively, each file once, in a fixed order.

    In folders, other files and hidden files are skipped, and symbolic links are followed. Archives and broken links
    are reported in one line per folder, a `LeftOut`. Files in `paths` must have a suffix of `SIGNAL_READERS`.

    Parameters
    ----------
    paths : files and folders.
    on_problem : called with the `InputError` of each path that does not exist, has another suffix, or is a folder that
        cannot be read or holds no signal file. The default raises it.
    """
    return list(each_file(paths, on_problem))


def read_signal(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of one file, by the reader of its suffix.

    Parameters
    ----------
    on_problem : called with the `InputError` of each read that is skipped. The default raises it.

    Raises
    ------
    InputError: the file cannot be read.
    """
    return _reader(Path(path))(Path(path), on_problem)


def read_runs(path: str | Path) -> Iterator[SignalRecord]:
    """Yield the metadata of a file's runs, as reads without id and samples; no signal is decoded.

    Raises
    ------
    InputError: the file cannot be read.
    """
    _reader(Path(path))
    return RUN_READERS[Path(path).suffix.lower()](Path(path), stop)


def read_all(
    paths: Iterable[str | Path],
    on_problem: OnProblem = stop,
    *,
    read: Reader = read_signal,
    calibrated: bool = True,
) -> Iterator:
    """Yield the reads of files and folders; unusable files and reads are reported and skipped.

    Parameters
    ----------
    paths : files and folders.
    on_problem : called with the `InputError` of each path, file or read that is skipped. If there is a single problem
        and no read at all, it is raised instead, so that it is reported once.
    read : reads one file: `read_signal`, `read_labels` or `read_calls`.
    calibrated : skip reads whose file has no calibration of the samples.

    Raises
    ------
    NoReads: no read could be used, because of several problems. A single problem is raised as its InputError.
    """
    held: list[InputError] = []  # the first problem, as long as nothing else came
    problems = reads = 0

    def report(problem: InputError) -> None:
        nonlocal problems
        problems += 1
        if problems == 1 and not reads and on_problem is not stop:
            held.append(problem)
            return
        while held:
            on_problem(held.pop())
        on_problem(problem)

    for file in each_file(paths, report):
        for item in _tolerant(read, file, report):
            record = item if isinstance(item, SignalRecord) else item[0]
            if calibrated and not record.calibrated:
                report(InputError(file, "the file has no calibration (offset, range, sample rate)", record.read_id))
                continue
            while held:
                on_problem(held.pop())
            reads += 1
            yield item
    if held:
        raise held[0]
    if not reads:
        raise NoReads(f"no read could be used ({problems} problems)")


def _tolerant(read: Reader, file: Path, on_problem: OnProblem) -> Iterator:
    try:
        yield from read(file, on_problem)
    except InputError as problem:
        on_problem(problem)


def each_file(paths: Iterable[str | Path], on_problem: OnProblem) -> Iterator[Path]:
    """Yield the files of `find_signal_files` one by one, so that problems are reported in file order."""
    seen: set[tuple[int, int]] = set()  # by device and inode, so that a file given twice is read once
    for path in map(Path, paths):
        for file in _files(path, on_problem):
            status = file.stat()
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield file


def _files(path: Path, on_problem: OnProblem) -> Iterator[Path]:
    """Yield the signal files of one path; a path without any is a problem."""
    nothing = True
    passed: list[Path] = []  # archives and broken links

    def report(problem: InputError) -> None:
        nonlocal nothing
        nothing = False
        on_problem(problem)

    for file in _walk(path, frozenset(), report, passed):
        nothing = False
        yield file
    none = f"the folder holds no file with a suffix of {', '.join(SIGNAL_READERS)}"
    links = [file for file in passed if not file.exists()]
    archives = [file for file in passed if file not in links]
    for kind, files, advice in (("broken link", links, MEND), ("archive", archives, UNPACK)):
        if files:
            on_problem(LeftOut(path, kind, files, advice, f"{none}, but" if nothing else ""))
    if nothing and not passed:
        on_problem(InputError(path, none))


def _is_archive(path: Path) -> bool:
    """Return whether a file is an archive, or a compressed signal file.

    >>> [_is_archive(Path(name)) for name in ("a.fast5.gz", "b.tar", "c.tar.gz", "calls.fastq.gz", "d.fast5")]
    [True, True, True, False, False]
    """
    last, inner = path.suffix.lower(), Path(path.stem).suffix.lower()
    return last in ARCHIVES or (last in PACKED and inner in (".tar", *SIGNAL_READERS))


def _reader(path: Path) -> Reader:
    reader = SIGNAL_READERS.get(path.suffix.lower())
    if reader is None and _is_archive(path):
        raise InputError(path, f"archive; {UNPACK}")
    if reader is None:
        allowed = ", ".join(SIGNAL_READERS)
        raise InputError(path, f"found the suffix '{path.suffix}'; allowed are {allowed}, or a folder of such files")
    return reader


def _walk(path: Path, above: frozenset[Path], on_problem: OnProblem, passed: list[Path]) -> Iterator[Path]:
    """Yield the signal files of a path by name; a link to a parent folder is skipped.

    Archives, and broken links to a signal file or a folder, are added to `passed`.
    """
    try:
        if not path.is_dir():
            path.stat()  # raises where there is nothing
            _reader(path)
            yield path
            return
        entries = sorted(path.iterdir())
    except OSError as error:
        broken = path.is_symlink() and not path.exists()
        on_problem(InputError(path, f"broken link; {MEND}" if broken else reason(error)))
        return
    except InputError as problem:
        on_problem(problem)
        return
    above |= {path.resolve()}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        signal = entry.suffix.lower() in SIGNAL_READERS
        try:
            file, folder = entry.is_file(), entry.is_dir() and entry.resolve() not in above
            broken = entry.is_symlink() and not entry.exists()
        except OSError as error:  # the folder may be listed, but not its entries
            if signal or not entry.suffix or _is_archive(entry):
                on_problem(InputError(entry, reason(error)))
            continue
        if signal and file:
            yield entry
        elif folder:
            yield from _walk(entry, above, on_problem, passed)
        elif broken:
            if signal or not entry.suffix or entry.readlink().suffix.lower() in SIGNAL_READERS:
                passed.append(entry)
        elif file and _is_archive(entry):
            passed.append(entry)


# libraries that a damaged file can crash run in a process of their own
read_fast5 = Guarded("biorrn.nanopore.readers.fast5:read_fast5", "HDF5")
read_labels = Guarded("biorrn.nanopore.readers.fast5:read_labels", "HDF5")
read_calls = Guarded("biorrn.nanopore.readers.fast5:read_calls", "HDF5")
read_pod5 = Guarded("biorrn.nanopore.readers.pod5:read_pod5", "POD5")

SIGNAL_READERS: dict[str, Reader] = {
    ".fast5": read_fast5,
    ".pod5": read_pod5,
    ".slow5": read_slow5,
    ".blow5": read_slow5,
}
RUN_READERS: dict[str, Reader] = {
    ".fast5": Guarded("biorrn.nanopore.readers.fast5:read_runs", "HDF5"),
    ".pod5": Guarded("biorrn.nanopore.readers.pod5:read_runs", "POD5"),
    ".slow5": read_slow5_runs,
    ".blow5": read_slow5_runs,
}


OPENING = 4096  # bytes added for each file, so that many tiny files are distributed evenly too
SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


def list_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the signal files among `paths` in reading order.

    Unusable paths are listed too, so that the shard which reads them reports them.
    """
    files: list[Path] = []

    def report(problem: InputError) -> None:
        files.extend(problem.files if isinstance(problem, LeftOut) else [Path(problem.source)])

    for file in each_file(paths, report):
        files.append(file)  # the problems go into the same list, each at its place
    return files


def sizes(files: Iterable[Path]) -> list[int]:
    """Return the bytes of each file plus `OPENING`; `OPENING` alone where the size is unknown."""
    found = []
    for file in files:
        try:
            found.append(OPENING + file.stat().st_size)
        except OSError:
            found.append(OPENING)
    return found


def cut(weights: Sequence[int], parts: int) -> list[range]:
    """Return `parts` consecutive ranges that partition the indices of `weights` into about equal sums.

    An index belongs to the part in which the middle of its weight falls. With fewer indices than parts, some parts are
    empty.

    Parameters
    ----------
    weights : positive numbers.
    parts : 1 or more.

    >>> cut([1, 1, 1, 1, 4], 2)
    [range(0, 4), range(4, 5)]
    """
    total = sum(weights)
    ends = [0] * parts
    before = 0
    for weight in weights:
        part = min(parts - 1, (2 * before + weight) * parts // (2 * total))
        ends[part] += 1
        before += weight
    ranges, start = [], 0
    for count in ends:
        ranges.append(range(start, start + count))
        start += count
    return ranges


def count_shards(files: Sequence[Path], shard_bytes: float) -> int:
    """Return the number of shards of about `shard_bytes` each; at most one per file, at least one."""
    return max(1, min(len(files), round(sum(sizes(files)) / shard_bytes)))


def parse_shard(text: str) -> tuple[int, int]:
    """Return (3, 8) for the text 3/8.

    Raises
    ------
    ConfigError: the text is not of this form.
    """
    match = SHARD.fullmatch(text)
    number, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= parts:
        raise ConfigError(f"--shard: found '{text}'; allowed is I/N with I from 1 to N, such as 3/8")
    return number, parts


def read_list(path: str | Path) -> list[Path]:
    """Return the paths of a text file, one a line; `-` is standard input.

    Raises
    ------
    InputError: there is no path in it.
    """
    with open_text(path) as stream:
        found = [Path(line.rstrip("\r\n")) for line in stream if line.strip()]
    if not found:
        raise InputError(path, "holds no path; allowed is one a line")
    return found


def choose(paths: Sequence[str | Path], listed: str | Path | None, shard: str | None) -> list[Path]:
    """Return the paths to read: `paths`, or those of a list file, or the files of one shard of them.

    Parameters
    ----------
    paths : files and folders.
    listed : text file with one path per line, instead of `paths`.
    shard : None, or text such as 3/8: the third of eight shards.

    Raises
    ------
    ConfigError: both or neither of paths and list are given, or `shard` cannot be read.
    """
    if bool(paths) == (listed is not None):
        raise ConfigError("reads: name files or folders, or a list of them by --files, and not both")
    given = list(map(Path, paths)) if listed is None else read_list(listed)
    if shard is None:
        return given
    number, parts = parse_shard(shard)
    files = list_files(given)
    chosen = cut(sizes(files), parts)[number - 1] if files else range(0)
    return [files[index] for index in chosen]
