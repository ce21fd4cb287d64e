"""Writing of called reads again: FASTQ, SAM, BAM and CRAM without alignments, one read at a time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem
from biorrn.base.files import GzipWriter, atomic_path, scratch_folder, tsv_line, write_text
from biorrn.base.terminal import command_line
from biorrn.nanopore.basecall.formats import format_of
from biorrn.nanopore.basecall.merge import Fields, add_program, add_programs, program_lines
from biorrn.nanopore.basecall.sam import sam_lines
from biorrn.nanopore.readers.calls import BaseCall, called_reads, header_lines, piped, quiet

if TYPE_CHECKING:
    from biorrn.sequences.tally import Tally

SUFFIXES = {"fastq": ".fastq.gz", "sam": ".sam", "bam": ".bam", "cram": ".cram"}  # of files that we name
MODES = {"sam": "w", "bam": "wb", "cram": "wc"}
LOWEST = '"'  # quality of each base in FASTQ where the record has none, as `samtools fastq` writes it
LEVEL = 4  # of gzip: 6 takes twice as long for 3 %
NAME = re.compile(r"[!-?A-~][!-~]{0,253}")  # of a read, in SAM, BAM and CRAM


def kind_of(path: str | Path) -> str:
    """Return the format of reads in which a file like this one is written again."""
    suffix = Path(path).suffix.lower()[1:]
    return suffix if suffix in MODES else "fastq"


def usable_reads(
    path: str | Path, kind: str, on_problem: OnProblem, say: Callable[[str], None] = lambda line: None
) -> Iterator[BaseCall]:
    """Yield the called reads of a file that can be written again as `kind`; see `called_reads`.

    Parameters
    ----------
    kind : str: fastq, or another, in which not all ids can stand.
    on_problem : called with what is wrong with a read, which is left out.

    Raises
    ------
    InputError: as `called_reads`.
    """
    for read in called_reads(path, say, on_problem=on_problem):
        if kind == "fastq" or NAME.fullmatch(read.id):
            yield read
            continue
        problem = "its id fits no SAM, BAM or CRAM; allowed are at most 254 letters of ASCII, the first not '@'"
        on_problem(InputError(path, problem, record=read.id, flag="not_an_id"))


def unusable(problem: InputError, columns: Sequence[str]) -> list[str]:
    """Return the cells of a read that is left out: its id first, the reason in the last column."""
    return [problem.record or "", *[""] * (len(columns) - 2), f"left out: {problem.problem}"]


def group_name(name: str, barcode: str) -> str:
    """Return the id of a read group for the reads of a barcode, KIT_barcode01; one that has it is left as it is."""
    return name if name.endswith(barcode) else "_".join(filter(None, (name, barcode)))


class Header:
    """The header of reads that were read from a file: its read groups and programs, with this program.

    Parameters
    ----------
    path : the file.
    command : str: the command line.
    name : str: of the command.
    """

    def __init__(self, path: str | Path, command: str, name: str) -> None:
        lines = header_lines(path)
        programs: dict[str, Fields] = {}
        add_programs(programs, lines)
        add_program(programs, name, command)
        self._programs = program_lines(programs)
        self._comments = [line for line in lines if line.startswith("@CO")]
        self._groups = [line for line in lines if line.startswith("@RG")]
        self.rna = any("basecall_model=rna" in line for line in self._groups)

    def text(self, barcode: Barcode | None = None) -> str:
        """Return the lines; the read groups of a barcode have its name in their ids, its bases and its sample."""
        groups = self._groups
        if barcode is not None and barcode.label:
            mine = [line for line in groups if not any(map(barcode.of_another, group_ids(line)))] or ["@RG"]
            made = [for_barcode(line, barcode) for line in mine]
            # a group of this barcode and the one that it was made of become the same
            groups = list({tuple(group_ids(line)): line for line in made}.values())
        return "\n".join(["@HD\tVN:1.6\tSO:unknown", *groups, *self._programs, *self._comments]) + "\n"


class Barcode(NamedTuple):
    """A barcode in a header: KIT_barcode01, its bases, and the name of its sample; "" for what there is not."""

    label: str
    bases: str
    sample: str

    def of_another(self, group: str) -> bool:
        """Return whether the id of a read group names another barcode of the kit."""
        kit = re.escape(self.label.rpartition("_")[0])
        return not group.endswith(self.label) and re.fullmatch(rf".*{kit}_barcode[0-9]+", group) is not None


def group_ids(line: str) -> list[str]:
    """Return the id of a line @RG, as a list of one, or none."""
    return [cell[3:] for cell in line.split("\t") if cell.startswith("ID:")]


def for_barcode(line: str, barcode: Barcode) -> str:
    """Return a line @RG for the reads of a barcode; as it is where there is none."""
    if not barcode.label:
        return line
    cells = line.split("\t")
    name = next(iter(group_ids(line)), "")
    kept = [cell for cell in cells[1:] if cell[:3] not in ("ID:", "BC:", *(["SM:"] if barcode.sample else []))]
    made = [f"ID:{group_name(name, barcode.label)}", *kept, f"BC:{barcode.bases}"]
    return "\t".join(["@RG", *made, *([f"SM:{barcode.sample}"] if barcode.sample else [])])


class RecordWriter:
    """Writer of reads to one file.

    Parameters
    ----------
    path : the file, `-` for standard output.
    kind : str: fastq, sam, bam or cram.
    header : str: text of the header; FASTQ has none.
    pool : threads that compress FASTQ; None: it is not compressed.
    group : completes the line @RG of an id that records have and the header lacks, as that of FASTQ does; the file is
        then written again at the end.

    Raises
    ------
    BiorrnError: the file cannot be written, or binary records are asked on a terminal.
    """

    def __init__(
        self, path: str | Path, kind: str, header: str = "", pool: Executor | None = None,
        group: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self.path, self._kind, self._head = path, kind, None
        self._file: Any
        if kind == "fastq":
            self._raw: Any = sys.stdout.buffer if str(path) == "-" else open(path, "wb")  # noqa: SIM115
            self._file = self._raw if pool is None else GzipWriter(self._raw, pool, LEVEL)
            return
        import pysam

        if str(path) == "-" and kind != "sam" and sys.stdout.isatty():
            raise BiorrnError(f"-o -: {kind.upper()} is binary; name a file, or pipe it into another program")
        self._head = pysam.AlignmentHeader.from_text(header)
        self._header, self._group = header, group
        self._groups = {name for line in header.splitlines() if line.startswith("@RG") for name in group_ids(line)}
        self._missing: dict[str, None] = {}
        self._calm = ExitStack()
        self._calm.enter_context(quiet())  # CRAM warns of each record whose group the header lacks
        self._file = pysam.AlignmentFile(str(path), MODES[kind], header=self._head)

    def write(self, read: BaseCall) -> None:
        """Write one read."""
        if self._head is None:
            head = "\t".join([read.id, *read.tags])
            letters = read.letters if len(read.quals) else LOWEST * len(read.bases)
            self._file.write(f"@{head}\n{read.bases}\n+\n{letters}\n".encode())
            return
        import pysam

        for tag in read.tags:
            if tag.startswith("RG:Z:") and tag[5:] not in self._groups:
                self._missing.setdefault(tag[5:])
        line = sam_lines(read.id, read.bases, read.letters, read.tags, ())
        try:
            self._file.write(pysam.AlignedSegment.fromstring(line.rstrip("\n"), self._head))
        except ValueError as error:  # without the path, which is a temporary one
            raise BiorrnError(f"read '{read.id:.60}': SAM, BAM and CRAM cannot hold it: {error}") from error

    def close(self) -> None:
        """Finish the file."""
        if self._file is sys.stdout.buffer:
            self._file.flush()
            return
        self._file.close()
        if self._head is None:
            self._raw.close()
        else:
            self._calm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._head is not None and self._missing and Path(self.path).is_file():
            self._describe()

    def _describe(self) -> None:
        """Write the file again with the missing groups in its header."""
        import pysam

        lines = self._header.splitlines()
        place = next((at for at, line in enumerate(lines) if line.startswith(("@PG", "@CO"))), len(lines))
        lines[place:place] = [self._group(f"@RG\tID:{name}") for name in self._missing]
        head = pysam.AlignmentHeader.from_text("\n".join(lines) + "\n")
        path = Path(self.path)
        with scratch_folder(path.parent, "groups") as folder, quiet():
            again = folder / path.name
            with (
                pysam.AlignmentFile(str(path), check_sq=False) as old,
                pysam.AlignmentFile(str(again), MODES[self._kind], header=head) as new,
            ):
                for record in old.fetch(until_eof=True):
                    new.write(record)
            os.replace(again, path)


@contextmanager
def open_reads(
    output: str, summary: str | None, columns: Sequence[str], header: Header, threads: int = 1
) -> Iterator[Callable[[BaseCall | None, Sequence[str]], None]]:
    """Open an output of reads, by its suffix, and a table of them; yields a function of a read or None and its row.

    Raises
    ------
    ConfigError: another suffix, or both are standard output.
    """
    kind = format_of(output)
    if output == summary == "-":
        raise ConfigError("--summary: found -, which is also the output")
    with ExitStack() as stack:
        place = output if output == "-" else stack.enter_context(atomic_path(output))
        pool = stack.enter_context(ThreadPoolExecutor(threads)) if output.endswith(".gz") else None
        writer = stack.enter_context(RecordWriter(place, kind, header.text(), pool))
        table = None if summary is None else stack.enter_context(write_text(summary))
        if table is not None:
            table.write("\t".join(columns) + "\n")

        def write(read: BaseCall | None, cells: Sequence[str]) -> None:
            if read is not None:
                writer.write(read)
            if table is not None:
                table.write(tsv_line(*cells))

        yield write


@contextmanager
def rewritten(
    reads: Path, output: str, summary: str | None, columns: Sequence[str], program: str, tally: Tally, threads: int = 1
) -> Iterator[tuple[Iterator[BaseCall], bool, Callable[[BaseCall | None, Sequence[str]], None]]]:
    """Open called reads that are written again; yields those that can be used, whether they are RNA, and the writer.

    Those that cannot be used are told to the tally, and have a row in the table.

    Parameters
    ----------
    reads : file of called reads, `-` for standard input; see `piped`.
    output, summary, columns : see `open_reads`.
    program : str: command of biorrn, for the header.

    Raises
    ------
    InputError, ConfigError: as `usable_reads`, `piped` and `open_reads`.
    """
    with piped(reads) as place:
        header = Header(place, command_line(), program)
        with open_reads(output, summary, columns, header, threads) as write:

            def skip(problem: InputError) -> None:
                tally.skip_call(problem, reads)
                write(None, unusable(problem, columns))

            yield usable_reads(place, format_of(output), skip, tally.say), header.rna, write


def with_tags(read: BaseCall, tags: Sequence[str], without: Sequence[str] = ()) -> BaseCall:
    """Return a read with further tags, which replace those of the same name, and without those of some names."""
    names = {*without, *(tag[:2] for tag in tags)}
    return replace(read, tags=(*(tag for tag in read.tags if tag[:2] not in names), *tags))
