"""Called reads to a sorted, indexed BAM file or to PAF, with minimap2's presets through mappy."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from biorrn.errors import BiorrnError, ConfigError
from biorrn.files import atomic_path, scratch_folder, write_text
from biorrn.inference.called_reads import CalledRead, called_reads, header_lines
from biorrn.inference.mapping import Mapper, in_order
from biorrn.inference.merge_headers import Fields, add_program, add_programs, program_lines
from biorrn.inference.writers.sam import sam_header, sam_lines, write_packed

BATCH = 32  # reads that a thread maps at a time
NAME = re.compile(r"[!-?A-~][!-~]{0,253}")  # of a read, in SAM and BAM

Mapped = tuple[CalledRead, list[Any], str]
OnRead = Callable[[CalledRead, list[Any]], None]


def map_reads(
    reads: str | Path,
    mapper: Mapper,
    output: str,
    *,
    command: str = "",
    threads: int = 1,
    on_read: OnRead = lambda read, hits: None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Map reads and write them; the output, and the index of BAM, appear whole.

    Parameters
    ----------
    reads : FASTQ, SAM, BAM or CRAM; tags are kept, of FASTQ those that stand after the id, apart by tabs.
    output : .bam, sorted by place, unmapped reads at the end, index OUTPUT.bai; or .paf, also .paf.gz, in the order of
        the reads. Both hold the primary alignment of a read and its supplementary ones.
    command : str: the command line, for the header.
    threads : int: threads that map, sort and compress.
    say : called with a line about reads and tags that were left out.
    on_read : called in order with each read and its alignments, `mappy.Alignment`, the primary one first.

    Raises
    ------
    ConfigError: the output has another suffix.
    InputError: see `called_reads`.
    BiorrnError: the output cannot be written.
    """
    write = format_of(output)

    left_out: list[str] = []

    def named(found: Iterable[CalledRead]) -> Iterator[CalledRead]:
        for read in found:
            if write is not _bam or NAME.fullmatch(read.name):
                yield read
            else:
                left_out.append(read.name)

    def found(text: Callable[[CalledRead, list[Any]], str]) -> Iterator[Mapped]:
        for read, hits, line in _mapped(named(called_reads(reads, say)), mapper, text, threads):
            on_read(read, hits)
            yield read, hits, line

    write(output, found, mapper, header_lines(reads), command, threads)
    if left_out:
        say(
            f"{reads}: {len(left_out):,} reads left out, whose ids BAM cannot hold (at most 254 letters of ASCII, the "
            f"first not '@'); the first is {left_out[0][:60]!r}"
        )


def format_of(output: str) -> Callable[..., None]:
    """Return what writes the format of an output.

    Raises
    ------
    ConfigError: the suffix is unknown.
    """
    for suffix, write in WRITERS.items():
        if output.endswith(suffix):
            return write
    raise ConfigError(f"{output}: found the suffix '{Path(output).suffix}'; allowed is {', '.join(WRITERS)}")


def _mapped(
    reads: Iterable[CalledRead], mapper: Mapper, text: Callable[[CalledRead, list[Any]], str], threads: int
) -> Iterator[Mapped]:
    """Yield reads in order with their alignments and their text, made on `threads` threads."""

    def work(batch: list[CalledRead]) -> list[Mapped]:
        mapped = ((read, mapper.hits(read.bases)) for read in batch)
        return [(read, hits, text(read, hits)) for read, hits in mapped]

    batches = iter(lambda: list(itertools.islice(reads, BATCH)), [])  # type: ignore[arg-type]
    return itertools.chain.from_iterable(in_order(work, batches, threads, 2 * threads))


def paf_text(read: CalledRead, hits: list[Any]) -> str:
    """Return the alignments of a read as lines of PAF; none of an unmapped read."""
    return "".join(f"{read.name}\t{len(read.bases)}\t{hit}\n" for hit in hits)


def _paf(output: str, found: Callable[..., Iterator[Mapped]], *_: Any) -> None:
    with write_text(output) as stream:
        stream.writelines(line for _, _, line in found(paf_text))


def _bam(output: str, found: Callable[..., Iterator[Mapped]], mapper: Mapper, lines: list[str], command: str,
         threads: int) -> None:  # fmt: skip
    import pysam

    groups: dict[str, None] = {}

    def texts() -> Iterator[str]:
        for read, _, text in found(lambda read, hits: sam_lines(read.name, read.bases, read.letters, read.tags, hits)):
            for tag in read.tags:
                if tag.startswith("RG:Z:"):
                    groups.setdefault(tag[5:])
            yield text

    top = sam_header((), mapper.references).splitlines()[:-1]
    programs: dict[str, Fields] = {}
    add_programs(programs, lines)
    add_program(programs, "map", command)
    lines = [line for line in lines if not line.startswith("@PG\t")] + program_lines(programs)
    index = f"{output}.bai"
    # the index is moved into place first: a file that is there has its own index
    with contextlib.ExitStack() as stack:
        final, table = (stack.enter_context(atomic_path(path)) for path in (output, index))
        folder = str(stack.enter_context(scratch_folder(final.parent, "map")))
        unsorted, place = f"{folder}/unsorted.bam", f"{folder}/sorted.bam"
        write_packed(unsorted, "\n".join([*top, *lines]) + "\n", texts(), "bam", threads)
        try:
            pysam.sort("--no-PG", "-@", str(threads - 1), "-T", f"{folder}/part", "-o", place, unsorted)
            os.unlink(unsorted)
            known = {cell[3:] for line in lines for cell in line.split("\t") if line[:3] == "@RG" and cell[:3] == "ID:"}
            named = [f"@RG\tID:{name}" for name in groups if name not in known]  # of FASTQ, which has no header
            if named:
                place = _with_lines(place, named, folder)
            os.replace(place, final)
            pysam.index("-@", str(threads - 1), "-o", str(table), str(final))
        except pysam.SamtoolsError as error:
            free = f"its disk has {shutil.disk_usage(folder).free:,} bytes free"
            raise BiorrnError(f"{output}: cannot be sorted ({free}): {' '.join(str(error).split())}") from error


def _with_lines(path: str, lines: list[str], folder: str) -> str:
    """Write a BAM file with more lines in its header, before the programs, and return its path."""
    import pysam

    with pysam.AlignmentFile(path, check_sq=False) as file:
        old = str(file.header).splitlines()
    cut = next((number for number, line in enumerate(old) if line.startswith("@PG")), len(old))
    head = Path(folder) / "header.sam"
    head.write_text("\n".join([*old[:cut], *lines, *old[cut:]]) + "\n")
    place = f"{folder}/headed.bam"
    pysam.reheader("--no-PG", str(head), path, save_stdout=place)
    os.unlink(path)
    return place


# suffix -> what writes (output, reads, mapper, header lines, command, threads)
WRITERS: dict[str, Callable[..., None]] = {".bam": _bam, ".paf": _paf, ".paf.gz": _paf}
# of minimap2: noisy reads, accurate reads, RNA and cDNA across introns
PRESETS: dict[str, str] = {"map-ont": "map-ont", "lr:hq": "lr:hq", "splice": "splice"}
