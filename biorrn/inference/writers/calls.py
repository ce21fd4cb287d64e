"""Calls to a file in one go, for programs: no journal to resume from, no summary."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biorrn.inference.resume import open_journal
from biorrn.inference.writers.formats import FORMATS, Style, format_of
from biorrn.inference.writers.tags import read_group

if TYPE_CHECKING:
    from biorrn.inference.basecall import Call

CallWriter = Callable[..., bool]


def open_calls(
    path: str | Path, emit: str | None = None, style: Style | None = None
) -> AbstractContextManager[CallWriter]:
    """Open a file for calls in the format that its suffix or `emit` names; `-` is standard output, FASTQ by default.

    Yields a function that takes a call and, optionally, its alignments, and returns whether the format can hold the
    read: SAM allows no ids of more than 254 characters. The file appears when the block ends well.

    Raises
    ------
    ConfigError: the suffix is unknown.

    >>> open_calls("calls.fasq")
    Traceback (most recent call last):
    biorrn.errors.ConfigError: calls.fasq: found the suffix '.fasq'; allowed is .fastq, .fq, with or without .gz, \
.sam, .bam, .cram, or - for stdout
    """
    return _calls(str(path), format_of(path, emit), style or Style())


@contextlib.contextmanager
def _calls(path: str, kind: str, style: Style) -> Iterator[CallWriter]:
    format = FORMATS[kind]
    groups: dict[str, dict[str, str]] = {}
    # a nameless temporary file: the header, which names the read groups, comes before the first record
    with contextlib.closing(open_journal(None, {})) as journal:

        def write(call: Call, hits: Sequence[Any] | None = None) -> bool:
            if format.fault(call.read_id):
                return False
            text = format.record(call, hits, style)
            if path == "-" and format.streams:
                sys.stdout.write(text)
                return True
            if style.model:
                group = read_group(call.record, style.model)
                groups.setdefault(group["ID"], group)
            journal.append({}, text)
            return True

        yield write
        texts = (text for _, _, text in journal.entries())
        format.write(path, texts, groups.values(), style)
