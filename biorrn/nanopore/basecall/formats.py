"""Output formats of called reads (FASTQ, SAM, BAM, CRAM), chosen by suffix or name, and the FASTQ writer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biorrn.base.errors import ConfigError
from biorrn.base.files import GzipWriter, atomic_path, write_text
from biorrn.base.lookup import lookup
from biorrn.nanopore.basecall.sam import name_fault, sam_header, sam_text, tags, write_packed
from biorrn.nanopore.chemistry import Purpose
from biorrn.sequences.fastq import quality_letters

if TYPE_CHECKING:
    from biorrn.nanopore.alignment import Mapper
    from biorrn.nanopore.basecall.caller import Call


def fastq_text(call: Call, model: str = "", uracil: bool = False) -> str:
    """Return a call as a FASTQ record; SAM tags follow the id, separated by tabs, as minimap2 -y copies them.

    `uracil`: write U in place of T.
    """
    header = "\t".join([call.read_id, *tags(call, model)])
    bases = call.bases.replace("T", "U") if uracil else call.bases
    return f"@{header}\n{bases}\n+\n{quality_letters(call.quals)}\n"


def write_fastq(path: str, texts: Iterable[str], threads: int = 1) -> None:
    """Write records; `.gz` is compressed on `threads` threads, `-` is standard output.

    The bytes do not depend on the number of threads.
    """
    if path == "-":
        sys.stdout.writelines(texts)
        sys.stdout.flush()
    elif path.endswith(".gz"):
        with atomic_path(path) as temporary, open(temporary, "wb") as stream, ThreadPoolExecutor(threads) as pool:
            packed = GzipWriter(stream, pool)
            for text in texts:
                packed.write(text.encode())
            packed.close()
    else:
        with write_text(path) as plain:
            plain.writelines(texts)


@dataclass(frozen=True, slots=True)
class Style:
    """Settings of records and header.

    Attributes
    ----------
    model : str: name of the model; "" omits the read groups.
    moves : bool: write move tables, where the format holds them.
    mapper : Mapper or None: the reference of aligned records.
    command : str: the command line, for the header.
    threads : int: threads that compress.
    purpose : Purpose or None: chemistries of the model; reads of others get a warning.
    comments : comment lines of the header.
    uracil : bool: FASTQ of RNA has U in place of T.
    engine : str: what runs the network, for the header.
    kit : str: whose barcodes are looked for; "" for none.
    split, tails : bool: reads are split, and tails measured.
    """

    model: str = ""
    moves: bool = True
    mapper: Mapper | None = None
    command: str = ""
    threads: int = 1
    purpose: Purpose | None = None
    comments: tuple[str, ...] = ()
    uracil: bool = False
    engine: str = ""
    kit: str = ""
    split: bool = False
    tails: bool = False

    @property
    def tables(self) -> tuple[bool, bool, bool, bool]:
        """Return whether the summary has the columns of alignments, barcodes, parents and tails."""
        return self.mapper is not None, bool(self.kit), self.split, self.tails


def check_uracil(kind: str, facts: Mapping[str, Any], model: str) -> None:
    """Check that a format and a model, by its facts, allow U in place of T.

    Raises
    ------
    ConfigError: BAM and CRAM have no letter U, and SAM must be convertible to them; or the model is of DNA.
    """
    if kind != "fastq":
        raise ConfigError(f"--uracil: found the format {kind}, which has no letter U; allowed is fastq")
    if not facts.get("reversed"):
        raise ConfigError(f"--uracil: {model} is a model of DNA; allowed is one of RNA")


Groups = Iterable[dict[str, str]]
Hits = Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its suffixes, `record(call, hits, style)` as text, and `write(path, texts, groups, style)`.

    The text of a record ends with a newline. `-` as path is standard output.
    """

    suffixes: tuple[str, ...]
    record: Callable[[Call, Hits, Style], str]
    write: Callable[[str, Iterable[str], Groups, Style], None]
    streams: bool = False  # no header, so that records are written immediately
    fault: Callable[[str], str | None] = lambda name: None  # why it cannot hold a read id, or None


def _header(groups: Groups, style: Style) -> str:
    references = style.mapper.references if style.mapper else ()
    return sam_header(groups, references, style.command, style.comments, style.engine)


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
    biorrn.base.errors.ConfigError: --emit: found bam, where the output calls.sam is sam; leave one of them out
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
        lambda call, hits, style: fastq_text(call, style.model, style.uracil),
        lambda path, texts, groups, style: write_fastq(path, texts, style.threads),
        streams=True,
    ),
    "sam": _aligned(".sam", _sam),
    "bam": _aligned(".bam", partial(_packed, kind="bam")),
    "cram": _aligned(".cram", partial(_packed, kind="cram")),
}
# suffix -> name of its format
WRITERS: dict[str, str] = {suffix: name for name, entry in FORMATS.items() for suffix in entry.suffixes}
