"""Called reads: FASTA, FASTQ, SAM, BAM and CRAM reader, with move tables of BAM and of PAF (squigualiser).

`called_reads` and `read_calls` stream the reads of a file in its order. `read_sequences`, `Moves` and `BamCalls` find
calls by read id, with the sample at which each base begins.
"""

import contextlib
import itertools
import math
import re
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from biorrn.base.errors import BiorrnError, Fault, InputError, OnProblem, faults, stop
from biorrn.base.files import disk_fault, open_text
from biorrn.base.terminal import plural
from biorrn.sequences.alphabets import encode_bases
from biorrn.sequences.fasta import fasta_records, first_word
from biorrn.sequences.fastq import FastqRecord, all_of, fastq_records, first_line, quality_letters
from biorrn.sequences.guard import Guarded
from biorrn.sequences.records import MAX_SAMPLES, Hit, ReadCall

PAF_COLUMNS = 12
_STEP = re.compile(r"([0-9]+)([,ID])")
_STEPS = re.compile(r"(?:[0-9]{1,18}[,ID])+")
AMBIGUOUS = str.maketrans("RYSWKMBDHVryswkmbdhv", "N" * 20)  # IUPAC codes of several bases

_ERRORS = 10 ** (-np.arange(256) / 10)  # probability of an error by the quality


def parse_bases(text: str) -> np.ndarray:
    """Return the codes (L,) of a sequence; an ambiguous letter is 0, U is T.

    Raises
    ------
    Fault: another character.

    >>> parse_bases("ACGTN")
    array([1, 2, 3, 4, 0], dtype=uint8)
    """
    try:
        return encode_bases(text.translate(AMBIGUOUS))
    except BiorrnError as error:
        raise Fault(str(error)) from error


def mean_phred(quals: np.ndarray | None) -> float:
    """Return the Phred score of the mean error probability of qualities (L,); NaN for none.

    >>> round(mean_phred(np.array([10, 30])), 2)
    12.97
    """
    if quals is None or not len(quals):
        return math.nan
    given = np.asarray(quals)
    errors = _ERRORS.take(given) if given.dtype == np.uint8 else 10 ** (-given.astype(np.float64) / 10)
    return float(-10 * np.log10(np.mean(errors)))


def read_sequences(path: str | Path) -> dict[str, ReadCall]:
    """Return {read id: call} of a FASTA or FASTQ file, without starts; one byte of memory per base.

    The id is the first word of the header. Gzip is recognised by content.

    Raises
    ------
    InputError: neither format, an id is given twice, or a letter is no base.
    """
    calls: dict[str, ReadCall] = {}
    with open_text(path) as file:
        first, lines = first_line(file)
        if first[:1] not in (">", "@"):
            raise InputError(path, f"starts with {first[:20]!r}; allowed are FASTA (>) and FASTQ (@)")
        records: Iterator[tuple[str, str, np.ndarray | None]]
        if first[0] == ">":
            found = fasta_records(enumerate(lines, 1), path)
            records = ((header, "".join(map(str.strip, parts)), None) for _, header, parts in found)
        else:
            records = ((record.header, record.bases, record.quals) for record in fastq_records(lines, path))
        for header, bases, quals in records:
            name = first_word(header)
            if not name or name in calls:
                raise InputError(path, "the id is given twice" if name else "a header has no id", name or None)
            with faults(path, name):
                calls[name] = ReadCall(parse_bases(bases), mean_q=mean_phred(quals))
    return calls


class Moves:
    """Move tables in PAF with `ss:Z:`, as squigualiser reform writes them.

    Columns: read id, samples, first sample, end, strand, read id, bases, first and last base, and so on. In `ss`, `N,`
    is the number of samples of the next base, `3I` three samples without a base, `2D` two bases without samples.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file; the text of `ss` stays in memory, about 3 bytes per base.

        Raises
        ------
        InputError: a row has no `ss:Z:`, or numbers that cannot be used.
        """
        self.path = path
        self._rows: dict[str, tuple[int, int, int, int, bytes]] = {}
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                cells = line.rstrip("\r\n").split("\t")
                steps = [cell[5:] for cell in cells[PAF_COLUMNS:] if cell.startswith("ss:Z:")]
                if len(cells) <= PAF_COLUMNS or not steps:
                    raise InputError(path, f"row {number} is not PAF with ss:Z:, as squigualiser writes it")
                if cells[5] != cells[0]:
                    continue  # on a reference, not on the read
                try:
                    start, end, first, last = (int(cells[place]) for place in (2, 3, 7, 8))
                except ValueError as error:
                    raise InputError(path, f"row {number}: {error}", cells[0]) from error
                self._rows[cells[0]] = (start, end, first, last, steps[0].encode())

    def __contains__(self, read_id: str) -> bool:
        return read_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, read_id: str, call: ReadCall) -> ReadCall:
        """Return a call with the start of each base; bases that the move table does not cover are cut off.

        Raises
        ------
        InputError: the moves run against the sequence (RNA), or contradict it or themselves.
        """
        start, end, first, last, text = self._rows[read_id]
        if first > last:
            raise InputError(self.path, "the signal runs against the sequence, as RNA does; allowed is DNA", read_id)
        if not (0 <= start <= end <= MAX_SAMPLES and 0 <= first <= last <= len(call.bases)):
            found = f"samples {start} to {end}, bases {first} to {last}"
            raise InputError(self.path, f"its row has {found:.200}; the call has {len(call.bases)} bases", read_id)
        steps = text.decode()
        if not _STEPS.fullmatch(steps):
            raise InputError(self.path, f"ss:Z: holds more than numbers with , I or D: {steps[:40]!r}", read_id)
        starts: list[int] = []
        sample = start
        for count, kind in _STEP.findall(steps):
            if len(starts) > last - first:
                break
            if kind == "D":
                starts += [sample] * min(int(count), last - first + 1)  # a damaged count cannot fill the memory
                continue
            if kind == ",":
                starts.append(sample)
            sample += int(count)
        if sample != end or len(starts) != last - first or last > len(call.bases):
            found = f"{len(starts)} bases up to sample {sample}"
            wanted = f"bases {first} to {last} of {len(call.bases)} up to sample {end}"
            raise InputError(self.path, f"ss:Z: gives {found}; its row and the call say {wanted}", read_id)
        return replace(call, bases=call.bases[first:last], starts=np.array(starts, np.int64), end=end)


DAMAGE = (Exception,)  # pysam raises many kinds, AssertionError and NotImplementedError among them
BATCH = 10_000  # records sent at a time
CLIPS = (4, 5)  # CIGAR operations: soft and hard clip


class BamCalls:
    """The primary records of an alignment file by read id, as a context manager.

    Of BAM, the file offset of each record is kept, about 150 bytes per read. SAM and CRAM are not seekable, so their
    records are kept.

    Attributes
    ----------
    lengths : dict: name -> length in bases of each reference in the header.
    """

    def __init__(self, path: str | Path, reference: str | Path | None = None) -> None:
        """Open the file and read it once.

        Parameters
        ----------
        path : BAM, SAM or CRAM, sorted or not, aligned or not.
        reference : FASTA file, which CRAM needs.

        Raises
        ------
        InputError: the file cannot be read, is truncated, or holds RNA.
        """
        self.path = Path(path)
        self.lengths: dict[str, int] = {}
        self._places: dict[str, list[Any]] = {}
        given = None if reference is None else str(reference)
        for kind, names, numbers in _scan(path, stop, given):
            if kind == "references":
                self.lengths = dict(zip(names, numbers, strict=True))
            else:
                for name, place in zip(names, numbers, strict=False):
                    self._places.setdefault(name, []).append(place)
        with quiet(), faults(path, None, *DAMAGE):
            self._file = _open(path, given)
            if not self._file.is_bam:
                self._places.clear()
                for name, record in _each(self._file):
                    self._places.setdefault(name, []).append(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # htslib reports an error of reading again on closing
            self._file.close()

    def __contains__(self, read_id: str) -> bool:
        return read_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def calls(self, read_id: str) -> Iterator[tuple[ReadCall, Hit | None]]:
        """Yield the calls of a read with their alignment or None; several where the basecaller split the read.

        Raises
        ------
        InputError: the record has no sequence, or its moves contradict it.
        """
        for place in self._places.get(read_id, []):
            with faults(self.path, read_id, *DAMAGE):
                record = place
                if isinstance(place, int):
                    self._file.seek(place)
                    record = next(self._file)
                found = _call(record), _hit(record)
            yield found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence htslib on standard error; its errors are reported in one line by the caller."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def _open(path: str | Path, reference: str | None) -> Any:
    import pysam

    return pysam.AlignmentFile(str(path), check_sq=False, reference_filename=reference)


def _each(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield read id and file offset of each primary record of BAM; read id and record of SAM and CRAM."""
    seekable = bool(file.is_bam)
    place = file.tell() if seekable else 0
    for record in file.fetch(until_eof=True):
        if not (record.is_secondary or record.is_supplementary):
            # `pi`: id of the whole read, where the basecaller split it
            name = record.get_tag("pi") if record.has_tag("pi") else record.query_name
            yield str(name), place if seekable else record
        place = file.tell() if seekable else 0


def scan(path: str | Path, on_problem: OnProblem, reference: str | None) -> Iterator[tuple[str, list[str], list[int]]]:
    """Yield the references with their lengths, then the read ids of records, in BAM with their file offsets.

    htslib can loop forever on a damaged CRAM, so this first pass runs in a process of its own (`sequences.guard`).

    Raises
    ------
    InputError: the file cannot be read, is truncated, or holds RNA.
    """
    with quiet(), faults(path, None, *DAMAGE), _open(path, reference) as file:
        header = file.header.to_dict()
        found = [(str(entry["SN"]), int(entry["LN"])) for entry in header.get("SQ", [])]
        if any("basecall_model=rna" in str(group.get("DS", "")) for group in header.get("RG", [])):
            raise Fault("holds calls of RNA, whose signal runs against the sequence; allowed is DNA")
        yield "references", [name for name, _ in found], [length for _, length in found]
        seekable = bool(file.is_bam)
        records = _each(file)
        while some := list(itertools.islice(records, BATCH)):
            yield "records", [name for name, _ in some], [place for _, place in some] if seekable else []


_scan = Guarded("biorrn.nanopore.readers.calls:scan", "htslib")


def _call(record: Any) -> ReadCall:
    """Return the call of a record, in the direction of the signal."""
    letters = record.get_forward_sequence()
    if not letters:
        raise Fault("holds no sequence")
    bases = parse_bases(letters)
    quals = record.query_qualities  # the direction does not matter: only their mean is used
    mean = mean_phred(None if quals is None else np.asarray(quals))
    if np.isnan(mean) and record.has_tag("qs"):
        mean = float(record.get_tag("qs"))
    if not record.has_tag("mv"):
        return ReadCall(bases, mean_q=mean)
    table = np.asarray(record.get_tag("mv"), np.int64)
    stride, moves = int(table[0]), table[1:]
    places = np.flatnonzero(moves)
    if stride < 1 or len(places) != len(bases):
        raise Fault(f"tag mv gives {len(places)} bases, {stride} samples a step; the record has {len(bases)} bases")
    # `sp`: first sample of a split read within the whole read; `ts`: samples trimmed from its start
    first = sum(int(record.get_tag(tag)) for tag in ("sp", "ts") if record.has_tag(tag))
    return ReadCall(bases, first + stride * places, first + stride * len(moves), mean)


def _hit(record: Any) -> Hit | None:
    cigar = record.cigartuples
    if record.is_unmapped or not cigar:
        return None
    steps = [(int(count), int(kind)) for kind, count in cigar]
    if record.is_reverse:
        steps.reverse()
    start = 0
    while steps and steps[0][1] in CLIPS:
        start += steps.pop(0)[0]
    while steps and steps[-1][1] in CLIPS:
        steps.pop()
    strand = "-" if record.is_reverse else "+"
    return Hit(record.reference_name, record.reference_start, record.reference_end, strand, start, tuple(steps))


PACKED = (".sam", ".bam", ".cram")  # suffixes of files read by htslib; every other file is FASTQ
SECONDARY = 256 | 2048  # flags of secondary and supplementary records
# tags of an alignment, which are dropped when a record becomes a read again
ALIGNED = {"NM", "MD", "AS", "SA", "nn", "tp", "cm", "s1", "s2", "de", "rl", "cs", "ms", "MC", "XS", "ts:A"}
ALIGNED |= {"E2", "U2"}  # second calls, one base each, in the direction of the record
MODIFIED = {"MM", "ML", "MN"}  # modified bases, by place among the read's bases
TURNED = {"OQ", "BQ", "BI", "BD"}  # texts of one letter per base, in the direction of the record
# what SAM allows (section 1.5); htslib checks the numbers of an array
_TAG = re.compile(
    r"[A-Za-z][A-Za-z0-9]:(?:A:[!-~]|i:[-+]?[0-9]{1,10}|f:[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|Z:[ -~]*"
    r"|H:(?:[0-9A-F]{2})*|B:[cCsSiI](?:,[-+]?[0-9]{1,10})*|B:f(?:,[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)*)"
)
# of tags that are read here: one of another kind, such as the ts of minimap2 in FASTQ, is left out
_KINDS = {"mv": re.compile("B:[cCsSiI],"), "ML": re.compile("B:C"), "du": re.compile("[fi]:"), "tq": re.compile("f:")}
_KINDS |= dict.fromkeys(("ts", "ns", "sp", "s0", "pt"), re.compile("i:"))
_LIKE_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]:[A-Za-z]:")
_WHOLE = {"c": (-128, 127), "C": (0, 255), "s": (-32768, 32767), "S": (0, 65535)}
_WHOLE |= {"i": (-(2**31), 2**31 - 1), "I": (0, 2**32 - 1)}
_NOT_BASES = re.compile("[^ACGTN]")

OnRead = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True)
class BaseCall:
    """One called read, in the order of its signal.

    Attributes
    ----------
    id : str.
    bases : str of ACGTN, upper case, U as T; may be empty.
    quals : uint8 array (L,): Phred quality of each base; (0,) where the file has no qualities.
    tags : SAM tags as text, without those of an alignment, without `MM` where it counts other bases, and without those
        of ONT's names that hold another kind of value.
    """

    id: str
    bases: str
    quals: np.ndarray
    tags: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """Return one quality letter per base, as FASTQ and SAM have them; "*" without qualities."""
        return quality_letters(self.quals) if len(self.quals) else "*"


def has_moves(path: str | Path) -> bool:
    """Return whether a file of this name may hold move tables."""
    return Path(path).suffix.lower() in PACKED


def read_calls(
    path: str | Path, reference: str | Path | None = None, on_problem: OnProblem = stop
) -> Iterator[BaseCall]:
    """Yield the reads of a file in its order, without tags; see `called_reads`.

    Parameters
    ----------
    on_problem : as of `called_reads`; also called for a read without qualities.

    Raises
    ------
    InputError: as `called_reads`; or the file holds no reads, or none that can be used.
    """
    usable, problems = False, list[InputError]()
    leave_out = noted(on_problem, problems)
    for call in called_reads(path, reference=reference, tags=False, on_problem=leave_out):
        if len(call.quals) == len(call.bases):
            usable = True
            yield call
        else:
            leave_out(InputError(path, "holds no qualities", record=call.id, flag="no_qualities"))
    if problems and not usable:
        raise none_usable(problems)
    if not usable:
        hint = "" if has_moves(path) else "; a FASTQ record has 4 lines, the first starts with '@'"
        raise InputError(path, f"holds no reads{hint}")


def noted(on_problem: OnProblem, problems: list[InputError]) -> OnProblem:
    """Return a function that calls `on_problem` and, where it returns, adds the problem to a list."""

    def leave_out(problem: InputError) -> None:
        on_problem(problem)
        problems.append(problem)

    return leave_out


def none_usable(problems: Sequence[InputError]) -> InputError:
    """Return the error for a file of which no read can be used: its first problem."""
    first = problems[0]
    return InputError(first.source, f"{first.problem}; no read can be used", first.record, first.flag)


def called_reads(
    path: str | Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    reference: str | Path | None = None,
    tags: bool = True,
    on_problem: OnProblem = stop,
) -> Iterator[BaseCall]:
    """Yield the called reads of a file in its order; an aligned record is turned back to the direction of its signal.

    Parameters
    ----------
    path : SAM, BAM or CRAM by its suffix, of which the primary records are read; else FASTQ, may be gzip, `-` is
        standard input.
    say : called at the end with a line about tags of FASTQ that SAM cannot hold, and one about other words of its
        headers; they are left out.
    reference : FASTA file, which CRAM needs unless its header names one.
    tags : bool: read the tags too.
    on_problem : called with what is wrong with a read, which is left out: no id, a letter that is no base, a record of
        BAM that cannot be decoded, or as of `sequences.fastq.fastq_records`. By default it is raised.

    Raises
    ------
    InputError: the file cannot be read or is cut short. In SAM, htslib does not tell a faulty line from that.
    """
    packed = has_moves(path)
    found = (
        _packed_reads(Path(path), reference, tags, on_problem) if packed else _fastq_reads(Path(path), say, on_problem)
    )
    for name, letters, quals, own in found:
        bases = letters.upper().replace("U", "T")
        if not all_of(bases, b"ACGTN") and (odd := _NOT_BASES.search(bases)):
            place = "" if packed else f" at position {odd.start() + 1}"
            problem = f"base '{odd[0]}'{place} is not one of ACGTUN"
            on_problem(InputError(path, problem, record=name, flag="not_a_base"))
            continue
        yield BaseCall(name, bases, quals, tuple(filter(_is_of_its_kind, own)))


SIGNAL = {b"\x8bPOD\r\n": "POD5", b"\x89HDF\r\n": "HDF5, as FAST5", b"BLOW5\x01": "BLOW5"}  # first bytes
SAM_LINES = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")


@contextlib.contextmanager
def piped(path: Path) -> Iterator[Path]:
    """Yield a file of called reads: standard input of SAM, BAM or CRAM is first copied to a temporary file.

    Their header is needed before the first read. FASTQ on standard input stays `-` and is read as it comes.

    Raises
    ------
    InputError: it is raw signal, or BAM whose name does not say so.
    """
    standard = str(path) == "-"
    if not (standard or path.is_file()):  # what is read of a named pipe is gone
        yield path
        return
    try:
        stream: Any = sys.stdin.buffer if standard else open(path, "rb")  # noqa: SIM115
        head = stream.peek(512) if hasattr(stream, "peek") else b""
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}") from error
    if not standard:
        stream.close()
    if raw := next((name for start, name in SIGNAL.items() if head.startswith(start)), None):
        raise InputError(path, f"is raw signal ({raw}), which biorrn basecall calls; allowed are called reads")
    kind = _packing(head)
    if kind and not standard and not has_moves(path):
        raise InputError(path, f"is {kind.upper()}; give it a name that ends in .{kind}")
    if not kind or not standard:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="biorrn.") as folder:
        place = Path(folder) / f"standard_input.{kind}"
        try:
            with open(place, "wb") as copy:
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            reason = disk_fault(error) or error.strerror
            raise BiorrnError(f"{place}: cannot be written: {reason}; TMPDIR may name another place") from error
        try:
            yield place
        except InputError as error:
            if error.source != str(place):
                raise
            raise InputError(path, error.problem, error.record, error.flag) from error


def _packing(head: bytes) -> str:
    """Return sam, bam or cram by the first bytes of a file; "" for another."""
    if head.startswith(SAM_LINES):
        return "sam"
    if head.startswith(b"CRAM"):
        return "cram"
    with contextlib.suppress(zlib.error):
        return "bam" if zlib.decompressobj(31).decompress(head, 4) == b"BAM\1" else ""
    return ""


def header_lines(path: str | Path) -> list[str]:
    """Return the lines @RG, @PG and @CO of the header of SAM, BAM or CRAM; none of FASTQ."""
    if not has_moves(path):
        return []
    with packed_file(Path(path)) as file:
        return [line for line in str(file.header).splitlines() if line.startswith(("@RG", "@PG", "@CO"))]


Parts = tuple[str, str, np.ndarray, tuple[str, ...]]  # id, letters, qualities, tags


def fastq_parts(path: Path, on_read: OnRead, on_problem: OnProblem = stop) -> Iterator[FastqRecord]:
    """Yield the records of a FASTQ file, gzip or not; `on_problem` as of `sequences.fastq.fastq_records`.

    Raises
    ------
    InputError: it cannot be read, is a gzip file without a byte, or as `sequences.fastq.fastq_records`.
    """
    if path.suffix == ".gz" and path.is_file() and not path.stat().st_size:
        raise InputError(path, "is empty; a gzip file without a record has some 20 bytes")
    with open_text(path) as stream:
        for record in fastq_records(stream, path, on_problem):
            on_read(path, record.id)
            yield record


def _fastq_reads(path: Path, say: Callable[[str], None], on_problem: OnProblem) -> Iterator[Parts]:
    odd: Counter[str] = Counter()
    words, first = 0, ""  # reads with other words, and such words
    for record in fastq_parts(path, lambda path, name: None, on_problem):
        told, *cells = record.header.split("\t")
        if not told.strip():
            problem = f"a header without an id before its tags, {record.header[:60]!r}; allowed is @ and an id"
            on_problem(InputError(path, problem, flag="no_id"))
            continue
        tags = tuple(cell for cell in cells if _is_tag(cell))
        name, *others = told.split(maxsplit=1)
        if others or len(tags) < len(cells):
            left = [cell for cell in cells if not _is_tag(cell)]
            odd.update(cell[:60] for cell in left if _LIKE_TAG.match(cell))
            others += [cell for cell in left if cell.strip() and not _LIKE_TAG.match(cell)]
            words, first = words + bool(others), first or "".join(others[:1])
        yield name, record.bases, record.quals, tags
    if odd:
        say(f"{path}: {plural(odd.total(), 'tag')} left out, which SAM cannot hold, such as {next(iter(odd))!r}")
    if words:
        say(f"{path}: {plural(words, 'read')} with words in the header that are no SAM tags, left out, such as "
            f"{first[:60]!r}")  # fmt: skip


def _is_tag(cell: str) -> bool:
    """Return whether SAM can hold a tag: it must not hold the end of a line, and a number must fit.

    >>> [_is_tag(cell) for cell in ("ch:i:4", "ch:i:x", "ch:i:5000000000", "co:Z:a b", "co:Z:a\\x0bb", "ML:B:C,256")]
    [True, False, False, True, False, False]
    """
    if not _TAG.fullmatch(cell):
        return False
    kind, value = cell[3], cell[5:]
    if kind == "i":
        return _WHOLE["i"][0] <= int(value) <= _WHOLE["I"][1]
    low, high = _WHOLE.get(value[:1], (0, 0)) if kind == "B" and value[:1] != "f" else (0, 0)
    return (low, high) == (0, 0) or all(low <= int(number) <= high for number in value.split(",")[1:])


def _is_of_its_kind(cell: str) -> bool:
    """Return whether a tag has the kind of value that its name has in ONT's specification, if it is one that we read.

    >>> [_is_of_its_kind(cell) for cell in ("ts:i:4", "ts:A:+", "mv:B:c,5,1", "mv:B:c", "XX:Z:x")]
    [True, False, True, False, True]
    """
    kind = _KINDS.get(cell[:2])
    return kind is None or kind.match(cell, 3) is not None


@contextlib.contextmanager
def packed_file(path: Path, threads: int = 1, reference: str | Path | None = None) -> Iterator[Any]:
    """Open a SAM, BAM or CRAM file as `pysam.AlignmentFile`; what htslib finds wrong with it meanwhile is one line.

    Raises
    ------
    InputError: it cannot be read, or is cut short.
    """
    import pysam

    given = str(reference) if reference is not None and path.suffix.lower() == ".cram" else None
    try:
        with (
            quiet(),
            pysam.AlignmentFile(str(path), check_sq=False, threads=threads, reference_filename=given) as file,
        ):
            yield file
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def packed_records(file: Any, path: Path) -> Iterator[Any]:
    """Yield all records of an open file as `pysam.AlignedSegment`.

    Raises
    ------
    InputError: the file is damaged or cut short.
    """
    records = file.fetch(until_eof=True)
    while True:
        try:
            record = next(records, None)
        except DAMAGE as error:
            raise InputError(path, f"cannot be read to its end: {error}") from error
        if record is None:
            return
        yield record


def _packed_reads(path: Path, reference: str | Path | None, tags: bool, on_problem: OnProblem) -> Iterator[Parts]:
    with packed_file(path, reference=reference) as file:
        for record in packed_records(file, path):
            if record.flag & SECONDARY:
                continue
            try:
                with faults(path, record.query_name, *DAMAGE):
                    parts = _packed_read(record, tags)
            except InputError as problem:
                on_problem(problem)
                continue
            yield parts


def _packed_read(record: Any, tags: bool) -> Parts:
    bases, quals = record.get_forward_sequence() or "", record.query_qualities
    found = np.asarray(quals if bases and quals is not None else [], np.uint8)
    if record.is_reverse:  # pysam's get_forward_qualities fails where there are none
        found = found[::-1].copy()
    return str(record.query_name), bases, found, tuple(_record_tags(record, len(bases))) if tags else ()


def _record_tags(record: Any, length: int) -> list[str]:
    """Return the tags of the read of a record, in the direction of its signal."""
    cells = record.to_string().split("\t")[11:]
    cells = [cell for cell in cells if cell[:2] not in ALIGNED and cell[:4] not in ALIGNED]
    cells = [_exact(cell, record) if cell[3] == "f" or cell[3:6] == "B:f" else cell for cell in cells]
    if f"MN:i:{length}" not in cells and any(cell.startswith("MN:") for cell in cells):
        cells = [cell for cell in cells if cell[:2] not in MODIFIED]  # of a longer read, which was clipped
    if record.is_reverse:
        cells = [f"{cell[:5]}{cell[:4:-1]}" if cell[:2] in TURNED else cell for cell in cells]
    return cells


def _exact(cell: str, record: Any) -> str:
    """Return a tag of float32 with the digits that make it the same number again; htslib writes six."""
    held = record.get_tag(cell[:2])
    values = [held] if cell[3] == "f" else held
    shown = [np.format_float_positional(np.float32(value), trim="-") for value in values]
    return cell[:5] + shown[0] if cell[3] == "f" else ",".join([cell[:6], *shown])
