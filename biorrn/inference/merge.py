"""What several runs of basecalling wrote, as one: the files that one run over all their input would have written."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.files import atomic_path, write_text
from biorrn.inference.merge_headers import join_headers
from biorrn.inference.merge_parts import (
    OnRead,
    Reads,
    fastq_parts,
    packed_file,
    packed_records,
    sam_header_of,
    sam_records,
    table_rows,
)
from biorrn.inference.writers.fastq import write_fastq
from biorrn.inference.writers.formats import WRITERS
from biorrn.inference.writers.sam import found_by_checksum

TABLES = (".tsv", ".txt")  # suffixes of summaries


@dataclass(frozen=True, slots=True)
class Job:
    """How parts are joined.

    Attributes
    ----------
    command : str: the command line, for the header of SAM, BAM and CRAM.
    threads : int: threads that compress.
    copy : bool: copy compressed FASTQ as it is.
    reference : FASTA file of CRAM whose reference is no longer where its header says.
    """

    command: str = ""
    threads: int = 1
    copy: bool = False
    reference: Path | None = None


def merge(
    parts: Sequence[Path],
    output: str,
    summary: str | None = None,
    job: Job | None = None,
    *,
    unique: bool = False,
    allow_empty: bool = False,
) -> dict[str, int]:
    """Join the parts, in their order, and return how many {"parts", "reads", "rows"} there are.

    Records stay as they are and in order; those of FASTQ get four lines each. A read id that stands twice is kept
    twice, as one run keeps it. Of parts that are calls and summaries, both are joined, and held against each other: the
    reads called are the reads written.

    Parameters
    ----------
    parts : calls of one format, summaries, or both, mixed; each an output of `biorrn basecall`.
    output : str: of the calls; of the summaries where there are no calls. `-` is standard output, not of BAM and CRAM.
    summary : str, optional: of the summaries, where there are calls too.
    job : Job.
    unique : bool: refuse a read id that stands twice.
    allow_empty : bool: accept that no part holds a record.

    Raises
    ------
    ConfigError: the parts have several formats, or the outputs do not fit them.
    InputError: a part cannot be read, is named twice, is cut short, or does not fit the first.
    BiorrnError: no part holds a record; or calls and summaries are of other reads.
    """
    job = job or Job()
    _once(parts)
    tables = [path for path in parts if _kind(path) == "table"]
    calls = [path for path in parts if _kind(path) != "table"]
    if bool(summary) != bool(tables and calls):
        raise ConfigError("--summary: is for parts that are calls and summaries" if summary else
                          "--summary: parts are calls and summaries; name an output for the summaries too")  # fmt: skip
    places = [place for place in (output, summary) if place is not None]
    for place in places:
        if place != "-" and Path(place).exists() and any(Path(place).samefile(path) for path in parts):
            raise ConfigError(f"{place}: is a part and the output; name another output")
    written, called, rows = Reads(unique), Reads(unique and not calls), 0
    with contextlib.ExitStack() as stack:
        # both outputs are whole and hold the same reads before either appears
        if tables:
            table = summary or output
            _fits(table, "table")
            stream = stack.enter_context(write_text(table))
            for line in table_rows(tables, called.add):
                stream.write(line)
                rows += 1
            rows -= 1
        if calls:
            kind = _one_kind(calls)
            _fits(output, kind)
            temporary = output if output == "-" else str(stack.enter_context(atomic_path(output)))
            try:
                JOINERS[kind](calls, temporary, job, written.add)
            except BiorrnError as error:
                if temporary != output and temporary in str(error):  # the name that the user knows
                    raise BiorrnError(str(error).replace(temporary, output)) from error
                raise
        if not (written.count if calls else rows) and not allow_empty:
            raise BiorrnError(f"no record in {len(parts)} parts: no read could be called; --allow-empty accepts that")
        if tables and calls and (written.count, written.order()) != (called.count, called.order()):
            what = f"{written.count} reads" if written.count != called.count else "other reads, or in another order,"
            raise BiorrnError(f"the calls hold {what} but the summaries list {called.count} as called; "
                              "name the same shards in the same order for both")  # fmt: skip
    return {"parts": len(parts), "reads": written.count if calls else called.count, "rows": rows}


def _once(parts: Sequence[Path]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for path in parts:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror}") from error
        if path.is_dir():
            raise InputError(path, "is a folder; allowed are files that biorrn basecall wrote")
        before = seen.setdefault((status.st_dev, status.st_ino), path)
        if before is not path:
            raise InputError(path, f"is named twice, first as {before}" if before != path else "is named twice")


def _kind(path: str | Path) -> str:
    """Return the format of a file by its suffix: "table", or an entry of `writers.FORMATS`."""
    name = Path(path).name
    suffix = Path(name.removesuffix(".gz")).suffix
    kind = "table" if suffix in TABLES else WRITERS.get(suffix)
    if kind is None or (name.endswith(".gz") and kind not in ("table", "fastq")):
        allowed = ", ".join([*WRITERS, *TABLES])
        raise ConfigError(f"{path}: found the suffix '{Path(name).suffix}'; allowed is {allowed}; FASTQ and tables "
                          "with or without .gz")  # fmt: skip
    return kind


def _one_kind(calls: Sequence[Path]) -> str:
    first = _kind(calls[0])
    for path in calls:
        if _kind(path) != first:
            raise ConfigError(f"{path}: is {_kind(path)} where {calls[0]} is {first}; all calls must have one format")
    return first


def _fits(output: str, kind: str) -> None:
    if output == "-" and kind in ("bam", "cram"):
        raise ConfigError(f"-o -: {kind.upper()} is binary; name a file")
    if output != "-" and _kind(output) != kind:
        raise ConfigError(f"{output}: the parts are {kind}, and so must be the output")


def _fastq(parts: Sequence[Path], output: str, job: Job, on_read: OnRead) -> None:
    if job.copy and output.endswith(".gz"):
        with open(output, "wb") as out:
            for path in parts:
                if path.suffix != ".gz":
                    raise ConfigError(f"--copy: {path} is not compressed")
                last = deque(fastq_parts(path, on_read), maxlen=1)
                if last and not last[0].whole:
                    raise InputError(path, "its last line has no end, so the next part cannot follow; leave --copy out")
                if last:  # a member without a byte would only be in the way
                    with open(path, "rb") as stream:
                        while block := stream.read(2**22):
                            out.write(block)
            if not out.tell():
                out.write(Path(parts[0]).read_bytes())
        return
    write_fastq(output, (record.text for path in parts for record in fastq_parts(path, on_read)), job.threads)


def _sam(parts: Sequence[Path], output: str, job: Job, on_read: OnRead) -> None:
    header, renamed = join_headers([(path, sam_header_of(path)) for path in parts], job.command)
    with write_text(output) as stream:
        stream.write(header)
        for path, names in zip(parts, renamed, strict=True):
            stream.writelines(sam_records(path, names, on_read))


def _packed(parts: Sequence[Path], output: str, job: Job, on_read: OnRead, kind: str) -> None:
    import pysam

    texts = []
    for path in parts:
        with packed_file(path) as file:
            texts.append((path, str(file.header)))
    header, renamed = join_headers(texts, job.command)
    with contextlib.ExitStack() as stack:
        if kind == "cram" and (reference := job.reference or _named(parts[0], header)) is not None:
            bare = ["\t".join(cell for cell in line.split("\t") if line[:3] != "@SQ" or cell[:3] not in ("M5:", "UR:"))
                    for line in header.splitlines()]  # fmt: skip
            header = stack.enter_context(found_by_checksum("\n".join(bare), reference))
        head = pysam.AlignmentHeader.from_text(header)
        mode = "wb" if kind == "bam" else "wc"
        try:
            with pysam.AlignmentFile(output, mode, header=head, threads=job.threads) as packed:
                for path, names in zip(parts, renamed, strict=True):
                    for record in packed_records(path, names, on_read, job.threads):
                        packed.write(record)
        except OSError as error:
            raise BiorrnError(f"{kind.upper()} cannot be written: {error.strerror or error}") from error


def _named(path: Path, header: str) -> Path | None:
    """Return the reference that a header names; None where nothing is aligned.

    Raises
    ------
    InputError: the file is not there.
    """
    cells = [cell for line in header.splitlines() if line.startswith("@SQ\t") for cell in line.split("\t")]
    if not cells:
        return None
    place = Path(next((cell[3:].removeprefix("file://") for cell in cells if cell.startswith("UR:")), ""))
    if not place.is_file():
        raise InputError(path, f"is aligned to '{place}', which is not there; name the reference with --reference")
    return place


# format -> what joins parts (parts, output, job, on_read)
JOINERS: dict[str, Callable[[Sequence[Path], str, Job, OnRead], None]] = {
    "fastq": _fastq,
    "sam": _sam,
    "bam": partial(_packed, kind="bam"),
    "cram": partial(_packed, kind="cram"),
}
