"""Merging of basecalling outputs: calls and summaries of several runs as one run over all input would write them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import atomic_path, open_text, write_text
from biorrn.nanopore.basecall.formats import WRITERS, write_fastq
from biorrn.nanopore.basecall.sam import COUNTED, WARNED, found_by_checksum, printable
from biorrn.nanopore.basecall.summary import CALLED, STATUS
from biorrn.nanopore.readers.calls import SECONDARY, OnRead, fastq_parts, packed_file, packed_records
from biorrn.version import __version__

SORTED = ("coordinate", "queryname")  # sort orders that concatenation does not keep

Fields = dict[str, str]


def join_headers(parts: Sequence[tuple[Path, str]], command: str = "") -> tuple[str, list[Fields]]:
    """Return one header for the records of all parts, in their order.

    Read groups and comments of all parts are kept in order. Of read groups with equal ids, the first with a warning is
    kept, else the first. Comments that count reads are summed. Equal programs are kept once; programs with equal ids
    and different fields get numbered ids. This program is added last.

    Parameters
    ----------
    parts : path and header text of each, at least one.
    command : str: the command line of the merge.

    Returns
    -------
    header : str, lines that end in a newline.
    renamed : for each part, {old id: new id} of renamed programs.

    Raises
    ------
    InputError: the reference sequences are not those of the first part.

    >>> one, two = "@RG\\tID:a\\n@PG\\tID:x\\tCL:1\\n", "@RG\\tID:b\\n@PG\\tID:x\\tCL:2\\n"
    >>> text, renamed = join_headers([(Path("1.sam"), one), (Path("2.sam"), two)])
    >>> [line.split("\\t")[1] for line in text.splitlines()], renamed
    (['VN:1.6', 'ID:a', 'ID:b', 'ID:x', 'ID:x.1', 'ID:merge'], [{}, {'x': 'x.1'}])
    """
    first, first_text = parts[0]
    references = _references(first_text)
    groups: dict[str, str] = {}
    programs: dict[str, Fields] = {}
    comments: dict[str, int] = {}  # to the reads that one counts; 0 of others
    renamed: list[Fields] = []
    for path, text in parts:
        if _references(text) != references:
            raise InputError(path, f"its reference sequences (@SQ) are not those of {first}; map all parts to one "
                             "reference")  # fmt: skip
        for line in text.splitlines():
            kind, _, rest = line.partition("\t")
            if kind == "@RG":
                group = _fields(line).get("ID", "")
                if group not in groups or (WARNED in line and WARNED not in groups[group]):
                    groups[group] = line
            elif kind == "@CO":
                counted = COUNTED.fullmatch(rest)
                what, reads = (counted[1], int(counted[2])) if counted else (rest, 0)
                comments[what] = comments.get(what, 0) + reads
        own = add_programs(programs, text.splitlines())
        renamed.append(own)
    add_program(programs, "merge", command)
    lines = [_top(text for _, text in parts)]
    lines += [line for line in first_text.splitlines() if line.startswith("@SQ\t")]
    lines += groups.values()
    lines += program_lines(programs)
    lines += [f"@CO\t{comment}" + (f": {reads} reads" if reads else "") for comment, reads in comments.items()]
    return "".join(line + "\n" for line in lines), renamed


def add_programs(programs: dict[str, Fields], lines: Iterable[str]) -> Fields:
    """Add the @PG lines of a header to programs {id: fields}, and return {old id: new id} of renamed ones.

    A program whose id is taken by another one gets a numbered id, also where later programs refer to it (PP).
    """
    own: Fields = {}
    for line in lines:
        if line.startswith("@PG\t"):
            fields = _fields(line)
            old = fields.get("ID", "")
            fields = {name: own.get(value, value) if name == "PP" else value for name, value in fields.items()}
            new = next(name for name in _numbered(old) if programs.get(name) in (None, fields | {"ID": name}))
            programs[new] = fields | {"ID": new}
            if new != old:
                own[old] = new
    return own


def add_program(programs: dict[str, Fields], name: str, command: str) -> None:
    """Add this program with a free id, after the last program that has no successor (PP)."""
    followed = {fields.get("PP") for fields in programs.values()}
    before = [known for known in programs if known not in followed]
    new = next(known for known in _numbered(name) if known not in programs)
    fields = {"ID": new, "PN": "biorrn", "PP": before[-1] if before else "", "VN": __version__}
    fields["CL"] = printable(command)
    programs[new] = {key: value for key, value in fields.items() if value}


def program_lines(programs: dict[str, Fields]) -> list[str]:
    """Return the @PG lines."""
    return ["\t".join(["@PG", *(f"{key}:{value}" for key, value in each.items())]) for each in programs.values()]


def _numbered(name: str) -> Iterator[str]:
    return itertools.chain([name], (f"{name}.{number}" for number in itertools.count(1)))


def _fields(line: str) -> Fields:
    return {cell[:2]: cell[3:] for cell in line.split("\t")[1:]}


def _references(text: str) -> list[tuple[str, str]]:
    lines = (_fields(line) for line in text.splitlines() if line.startswith("@SQ\t"))
    return [(fields.get("SN", ""), fields.get("LN", "")) for fields in lines]


def _top(texts: Iterable[str]) -> str:
    """Return the @HD line of the parts where it is common and stays valid, else one with an unknown order."""
    found = {next((line for line in text.splitlines() if line.startswith("@HD\t")), "") for text in texts}
    line = found.pop() if len(found) == 1 else ""
    return line if line and _fields(line).get("SO") not in SORTED else "@HD\tVN:1.6\tSO:unknown"


TABLES = (".tsv", ".txt")  # suffixes of summaries


@dataclass(frozen=True, slots=True)
class Job:
    """Options of a merge.

    Attributes
    ----------
    command : str: the command line, for the header of SAM, BAM and CRAM.
    threads : int: threads that compress.
    copy : bool: copy compressed FASTQ unchanged.
    reference : FASTA file of CRAM, where the path in its header is not valid.
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
    """Merge the parts in their order, and return the counts of "parts", "reads" and "rows".

    Records stay unchanged and in order; FASTQ records get four lines each. A repeated read id is kept, as in one run.
    Calls and summaries are merged together and compared: the reads called must be the reads written.

    Parameters
    ----------
    parts : calls of one format, summaries, or both, mixed; each an output of `biorrn basecall`.
    output : str: for the calls, or for the summaries without calls. `-` is standard output, not for BAM and CRAM.
    summary : str, optional: for the summaries, where there are calls too.
    job : Job.
    unique : bool: refuse a repeated read id.
    allow_empty : bool: accept that no part holds a record.

    Raises
    ------
    ConfigError: the parts have several formats, or the outputs do not fit them.
    InputError: a part cannot be read, is given twice, is truncated, or does not match the first.
    BiorrnError: no part holds a record; or calls and summaries are of different reads.
    """
    job = job or Job()
    _check_distinct(parts)
    tables = [path for path in parts if _kind(path) == "table"]
    calls = [path for path in parts if _kind(path) != "table"]
    if bool(summary) != bool(tables and calls):
        raise ConfigError("--summary: is for parts that are calls and summaries" if summary else
                          "--summary: parts are calls and summaries; name an output for the summaries too")  # fmt: skip
    places = [place for place in (output, summary) if place is not None]
    for place in places:
        if place != "-" and Path(place).exists() and any(Path(place).samefile(path) for path in parts):
            raise ConfigError(f"{place}: is both a part and the output; name another output")
    written, called, rows = Reads(unique), Reads(unique and not calls), 0
    with contextlib.ExitStack() as stack:
        # both outputs are complete and checked before either is moved into place
        if tables:
            table = summary or output
            _check_output(table, "table")
            stream = stack.enter_context(write_text(table))
            for line in table_rows(tables, called.add):
                stream.write(line)
                rows += 1
            rows -= 1
        if calls:
            kind = _one_kind(calls)
            _check_output(output, kind)
            temporary = output if output == "-" else str(stack.enter_context(atomic_path(output)))
            try:
                JOINERS[kind](calls, temporary, job, written.add)
            except BiorrnError as error:
                if temporary != output and temporary in str(error):  # the name that the user gave
                    raise BiorrnError(str(error).replace(temporary, output)) from error
                raise
        if not (written.count if calls else rows) and not allow_empty:
            raise BiorrnError(f"no record in {len(parts)} parts: no read could be called; --allow-empty accepts that")
        if tables and calls and (written.count, written.order()) != (called.count, called.order()):
            what = f"{written.count} reads" if written.count != called.count else "other reads, or in another order,"
            raise BiorrnError(f"the calls hold {what} but the summaries list {called.count} as called; "
                              "name the same shards in the same order for both")  # fmt: skip
    return {"parts": len(parts), "reads": written.count if calls else called.count, "rows": rows}


class Reads:
    """Number of reads of an output, and a hash of their ids in order.

    Parameters
    ----------
    unique : bool: refuse a repeated id; uses about 100 bytes per read.
    """

    def __init__(self, unique: bool = False) -> None:
        self.count = 0
        self._order = hashlib.sha256()
        self._seen: set[bytes] | None = set() if unique else None

    def add(self, path: Path, name: str) -> None:
        """Add the id of the next read. Raises `InputError` for a repeated id where `unique`."""
        self.count += 1
        self._order.update(name.encode() + b"\n")
        if self._seen is None:
            return
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        if digest in self._seen:
            raise InputError(path, "the read id occurs twice, in this part or an earlier one", record=name)
        self._seen.add(digest)

    def order(self) -> str:
        """Return the hash of all ids so far."""
        return self._order.hexdigest()


def table_rows(paths: Sequence[Path], on_read: OnRead) -> Iterator[str]:
    """Yield the header of the first summary table, then the rows of all tables; `on_read` is called for called reads.

    Raises
    ------
    InputError: a table is empty, has other columns than the first, or a row with another number of cells.
    """
    names: list[str] = []
    for path in paths:
        with open_text(path) as stream:
            header = stream.readline()
            found = header.rstrip("\r\n").split("\t")
            if not header.endswith("\n"):
                raise InputError(path, "holds no table; a summary starts with the names of its columns")
            if not names:
                names = found
                for column in ("read_id", STATUS):
                    if column not in names:
                        raise InputError(
                            path, f"column '{column}' is missing; allowed are summaries of biorrn basecall"
                        )
                read_id, status = names.index("read_id"), names.index(STATUS)
                yield header
            elif found != names:
                other = sorted(set(found) ^ set(names)) or ["their order"]
                raise InputError(path, f"its columns are not those of {paths[0]}: {', '.join(other)}")
            for number, line in enumerate(stream, 2):
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) != len(names) or not line.endswith("\n"):
                    raise InputError(path, f"line {number} has {len(cells)} cells, the header {len(names)}, or is cut")
                if cells[status] == CALLED:
                    on_read(path, cells[read_id])
                yield line


def sam_header_of(path: Path) -> str:
    """Return the header of a SAM file as text."""
    lines = []
    with open_text(path) as stream:
        for line in stream:
            if not line.startswith("@"):
                break
            lines.append(line)
    return "".join(lines)


def sam_records(path: Path, renamed: dict[str, str], on_read: OnRead) -> Iterator[str]:
    """Yield the record lines of a SAM file, with renamed programs in the tag PG.

    Raises
    ------
    InputError: a line has fewer than 11 cells, or is truncated.
    """
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith("@"):
                continue
            cells = line.split("\t", 11)
            if len(cells) < 11 or not line.endswith("\n") or not cells[1].isdigit():
                raise InputError(path, f"line {number} is not a whole SAM record")
            if not int(cells[1]) & SECONDARY:
                on_read(path, cells[0])
            if renamed and len(cells) == 12 and "PG:Z:" in cells[11]:
                tags = cells[11].rstrip("\n").split("\t")
                tags = [f"PG:Z:{renamed.get(tag[5:], tag[5:])}" if tag.startswith("PG:Z:") else tag for tag in tags]
                line = "\t".join([*cells[:11], *tags]) + "\n"
            yield line


def _renamed_records(path: Path, renamed: Fields, on_read: OnRead, threads: int) -> Iterator[Any]:
    """Yield the records of a BAM or CRAM file as `pysam.AlignedSegment`; see `sam_records`."""
    with packed_file(path, threads) as file:
        for record in packed_records(file, path):
            if not record.flag & SECONDARY:
                on_read(path, record.query_name)
            if renamed and record.has_tag("PG"):
                program = record.get_tag("PG")
                record.set_tag("PG", renamed.get(program, program), "Z")
            yield record


def _check_distinct(parts: Sequence[Path]) -> None:
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
            raise InputError(path, f"is given twice, first as {before}" if before != path else "is given twice")


def _kind(path: str | Path) -> str:
    """Return the format of a file by its suffix: "table", or an entry of `formats.FORMATS`."""
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


def _check_output(output: str, kind: str) -> None:
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
                if last:  # a part without records adds no empty gzip member
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
        if kind == "cram" and (reference := job.reference or _reference_of(parts[0], header)) is not None:
            bare = ["\t".join(cell for cell in line.split("\t") if line[:3] != "@SQ" or cell[:3] not in ("M5:", "UR:"))
                    for line in header.splitlines()]  # fmt: skip
            header = stack.enter_context(found_by_checksum("\n".join(bare), reference))
        head = pysam.AlignmentHeader.from_text(header)
        mode = "wb" if kind == "bam" else "wc"
        try:
            with pysam.AlignmentFile(output, mode, header=head, threads=job.threads) as packed:
                for path, names in zip(parts, renamed, strict=True):
                    for record in _renamed_records(path, names, on_read, job.threads):
                        packed.write(record)
        except OSError as error:
            raise BiorrnError(f"{kind.upper()} cannot be written: {error.strerror or error}") from error


def _reference_of(path: Path, header: str) -> Path | None:
    """Return the reference named in a header; None where nothing is aligned. Raises `InputError` if it is missing."""
    cells = [cell for line in header.splitlines() if line.startswith("@SQ\t") for cell in line.split("\t")]
    if not cells:
        return None
    place = Path(next((cell[3:].removeprefix("file://") for cell in cells if cell.startswith("UR:")), ""))
    if not place.is_file():
        raise InputError(path, f"is aligned to '{place}', which is not there; name the reference with --reference")
    return place


# format -> function that merges parts (parts, output, job, on_read)
JOINERS: dict[str, Callable[[Sequence[Path], str, Job, OnRead], None]] = {
    "fastq": _fastq,
    "sam": _sam,
    "bam": partial(_packed, kind="bam"),
    "cram": partial(_packed, kind="cram"),
}
