"""Parts of a long list of signal files, for jobs that call them side by side: whole files, in order, alike in bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from biorrn.errors import ConfigError, InputError
from biorrn.files import open_text
from biorrn.readers.fields import LeftOut
from biorrn.readers.signal import each_file

OPENING = 4096  # bytes that the opening of a file is counted as, so that many tiny files are shared out too
SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


def list_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the signal files among `paths` in the order in which one process would read them.

    Paths that cannot be used stand in the list too, so that whoever reads the list reports them.
    """
    files: list[Path] = []

    def report(problem: InputError) -> None:
        files.extend(problem.files if isinstance(problem, LeftOut) else [Path(problem.source)])

    for file in each_file(paths, report):
        files.append(file)  # the problems go into the same list, each at its place
    return files


def sizes(files: Iterable[Path]) -> list[int]:
    """Return the bytes of each file, with `OPENING` for opening it; of one that cannot be looked at, only that."""
    found = []
    for file in files:
        try:
            found.append(OPENING + file.stat().st_size)
        except OSError:
            found.append(OPENING)
    return found


def cut(weights: Sequence[int], parts: int) -> list[range]:
    """Return `parts` ranges that follow one another and hold every index of `weights` once.

    An index goes to the part in which the middle of its weight falls, so that parts are alike in weight; where there
    are fewer indices than parts, some parts are empty.

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
    """Return in how many parts the files are called: of about `shard_bytes` each, and none without a file."""
    return max(1, min(len(files), round(sum(sizes(files)) / shard_bytes)))


def parse_shard(text: str) -> tuple[int, int]:
    """Return (number from 1, of how many) of a text such as 3/8.

    Raises
    ------
    ConfigError: it is something else.
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
    """Return what is to be read: `paths`, or those of a list, or the part of their files that `shard` names.

    Parameters
    ----------
    paths : files and folders.
    listed : text file with a path a line, in place of `paths`.
    shard : None, or such as 3/8: the third of eight parts.

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
