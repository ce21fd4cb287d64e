"""Which format calls are written in: by the suffix of the output, or by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biorrn.errors import ConfigError
from biorrn.files import write_text
from biorrn.inference.writers.fastq import fastq_text, write_fastq
from biorrn.inference.writers.sam import name_fault, sam_header, sam_text, write_packed
from biorrn.lookup import lookup
from biorrn.readers.chemistry import Purpose

if TYPE_CHECKING:
    from biorrn.inference.basecall import Call
    from biorrn.inference.mapping import Mapper


@dataclass(frozen=True, slots=True)
class Style:
    """What shapes the records and the header.

    Attributes
    ----------
    model : str: name of the model; "" leaves the read groups out.
    moves : bool: write move tables, where the format holds them.
    mapper : Mapper or None: the reference of aligned records.
    command : str: the command line, for the header.
    threads : int: threads that compress.
    purpose : Purpose or None: what the model is for; reads that are none of it get a warning.
    comments : lines of the header's comments.
    """

    model: str = ""
    moves: bool = True
    mapper: Mapper | None = None
    command: str = ""
    threads: int = 1
    purpose: Purpose | None = None
    comments: tuple[str, ...] = ()


Groups = Iterable[dict[str, str]]
Hits = Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its suffixes, the text of a record, and what writes all texts to a file.

    `record(call, hits, style)` returns text that ends a line; `write(path, texts, groups, style)` may be given `-`.
    """

    suffixes: tuple[str, ...]
    record: Callable[[Call, Hits, Style], str]
    write: Callable[[str, Iterable[str], Groups, Style], None]
    streams: bool = False  # needs no header, so that records can be written as they come
    fault: Callable[[str], str | None] = lambda name: None  # why it cannot hold a read of that name, or None


def _header(groups: Groups, style: Style) -> str:
    references = style.mapper.references if style.mapper else ()
    return sam_header(groups, references, style.command, style.comments)


def _sam(path: str, texts: Iterable[str], groups: Groups, style: Style) -> None:
    with write_text(path) as stream:
        stream.write(_header(groups, style))
        stream.writelines(texts)


def _packed(path: str, texts: Iterable[str], groups: Groups, style: Style, kind: str) -> None:
    reference = style.mapper.path if style.mapper else None
    write_packed(path, _header(groups, style), texts, kind, style.threads, reference)


def _aligned(suffix: str, write: Callable[[str, Iterable[str], Groups, Style], None]) -> Format:
    return Format(
        (suffix,), lambda call, hits, style: sam_text(call, style.model, hits, style.moves), write, fault=name_fault
    )


def format_of(path: str | Path, emit: str | None = None) -> str:
    """Return the name of the format of an output: by its suffix; for `-` by `emit`, else FASTQ.

    Raises
    ------
    ConfigError: the suffix or the name is unknown, or they disagree.

    >>> format_of("calls.fq.gz"), format_of("calls.bam", "bam"), format_of("-"), format_of("-", "sam")
    ('fastq', 'bam', 'fastq', 'sam')
    >>> format_of("calls.sam", "bam")
    Traceback (most recent call last):
    biorrn.errors.ConfigError: --emit: found bam, where the output calls.sam is sam; leave one of them out
    """
    if emit is not None:
        lookup(FORMATS, emit, "--emit: format")
    if str(path) == "-":
        return emit or "fastq"
    name = Path(path).name
    suffix = Path(name.removesuffix(".gz")).suffix
    found = WRITERS.get(suffix)
    if found is None or (name.endswith(".gz") and found != "fastq"):
        shown = f"{suffix}.gz" if found else suffix
        plain = ", ".join(FORMATS["fastq"].suffixes)
        others = ", ".join(suffix for suffix, kind in WRITERS.items() if kind != "fastq")
        raise ConfigError(
            f"{path}: found the suffix '{shown}'; allowed is {plain}, with or without .gz, {others}, or - for stdout"
        )
    if emit not in (None, found):
        raise ConfigError(f"--emit: found {emit}, where the output {path} is {found}; leave one of them out")
    return found


FORMATS: dict[str, Format] = {
    "fastq": Format(
        (".fastq", ".fq"),
        lambda call, hits, style: fastq_text(call, style.model),
        lambda path, texts, groups, style: write_fastq(path, texts, style.threads),
        streams=True,
    ),
    "sam": _aligned(".sam", _sam),
    "bam": _aligned(".bam", partial(_packed, kind="bam")),
    "cram": _aligned(".cram", partial(_packed, kind="cram")),
}
# suffix -> name of its format
WRITERS: dict[str, str] = {suffix: name for name, entry in FORMATS.items() for suffix in entry.suffixes}
