"""Calls in files of their own: FASTA and FASTQ by read id, and the moves of PAF as squigualiser writes it."""

import contextlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from biorrn.base.errors import Fault, InputError, OnProblem, faults, guarded, stop
from biorrn.base.files import open_text
from biorrn.sequences.fasta import fasta_records, first_word
from biorrn.sequences.fastq import fastq_records, first_line
from biorrn.sequences.guard import Guarded
from biorrn.sequences.records import MAX_SAMPLES, Hit, ReadCall

PAF_COLUMNS = 12
_STEP = re.compile(r"([0-9]+)([,ID])")
_STEPS = re.compile(r"(?:[0-9]{1,18}[,ID])+")
_CODES = np.full(256, 255, np.uint8)
for _letters, _code in (("Aa", 1), ("Cc", 2), ("Gg", 3), ("TtUu", 4), ("NnRrYySsWwKkMmBbDdHhVv", 0)):
    _CODES[[ord(_letter) for _letter in _letters]] = _code


def parse_bases(text: str) -> np.ndarray:
    """Return the codes (L,) of a sequence; an ambiguous letter is 0, U is T.

    Raises
    ------
    Fault: another character.

    >>> parse_bases("ACGTN")
    array([1, 2, 3, 4, 0], dtype=uint8)
    """
    codes = _CODES[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
    wrong = np.flatnonzero(codes == 255)
    if len(wrong):
        raise Fault(f"base {text[wrong[0]]!r} at position {wrong[0] + 1} is not one of ACGTUN")
    return codes


def mean_phred(quals: np.ndarray | None) -> float:
    """Return the Phred score of the mean error probability of qualities (L,); NaN for none.

    >>> round(mean_phred(np.array([10, 30])), 2)
    12.97
    """
    if quals is None or not len(quals):
        return math.nan
    return float(-10 * np.log10(np.mean(10 ** (-np.asarray(quals, np.float64) / 10))))


def read_sequences(path: str | Path) -> dict[str, ReadCall]:
    """Return read id -> call of a FASTA or FASTQ file, without starts; a base takes one byte of memory.

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
    """Where the bases of called reads begin, from PAF with `ss:Z:` (squigualiser's reform of a move table).

    Its columns are read id, samples, first sample, end, strand, read id, bases, first and last base, and so on. In `ss`
    a number and a comma are the samples of the next base, `3I` are three samples of no base, `2D` two bases without
    samples.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file; the text of `ss`, about 3 bytes a base, stays in memory.

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
        """Return a call with its starts; a call longer than the moves loses the bases that they do not reach.

        Raises
        ------
        InputError: the moves run against the sequence (RNA), or contradict it or themselves.
        """
        start, end, first, last, text = self._rows[read_id]
        if first > last:
            raise InputError(self.path, "the signal runs against the sequence, as RNA does; allowed is DNA", read_id)
        if not (0 <= start <= end <= MAX_SAMPLES and 0 <= first <= last <= len(call.bases)):
            found = f"samples {start} to {end}, bases {first} to {last}"
            raise InputError(self.path, f"its row says {found:.200}; the call has {len(call.bases)} bases", read_id)
        steps = text.decode()
        if not _STEPS.fullmatch(steps):
            raise InputError(self.path, f"ss:Z: holds more than numbers with , I or D: {steps[:40]!r}", read_id)
        starts: list[int] = []
        sample = start
        for count, kind in _STEP.findall(steps):
            if len(starts) > last - first:
                break
            if kind == "D":
                starts += [sample] * min(int(count), last - first + 1)  # no more than shows that there are too many
                continue
            if kind == ",":
                starts.append(sample)
            sample += int(count)
        if sample != end or len(starts) != last - first or last > len(call.bases):
            found = f"{len(starts)} bases up to sample {sample}"
            wanted = f"bases {first} to {last} of {len(call.bases)} up to sample {end}"
            raise InputError(self.path, f"ss:Z: gives {found}; its row and the call say {wanted}", read_id)
        return replace(call, bases=call.bases[first:last], starts=np.array(starts, np.int64), end=end)


DAMAGE = (Exception,)  # pysam raises half a dozen kinds, AssertionError and NotImplementedError among them
BATCH = 10_000  # records told at a time
CLIPS = (4, 5)  # soft and hard, of SAM's operations


class BamCalls:
    """The primary records of an alignment file by read id; use it in a `with` statement.

    Of BAM the place of each record is kept, about 150 bytes a read; of SAM and CRAM, which cannot be entered anywhere,
    the records themselves.

    Attributes
    ----------
    lengths : dict: name -> bases of the references in its header.
    """

    def __init__(self, path: str | Path, reference: str | Path | None = None) -> None:
        """Open the file and read it once.

        Parameters
        ----------
        path : BAM, SAM or CRAM, sorted or not, aligned or not.
        reference : FASTA file, which CRAM needs.

        Raises
        ------
        InputError: it cannot be read, is cut short, or holds RNA.
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
        with contextlib.suppress(OSError):  # htslib says once more what was wrong with a file that was read
            self._file.close()

    def __contains__(self, read_id: str) -> bool:
        return read_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def calls(self, read_id: str) -> Iterator[tuple[ReadCall, Hit | None]]:
        """Yield the calls of a read, one unless its caller split it, each with its place on the reference or None.

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
    """Keep htslib's own words from standard error; ours say it in one line."""
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
    """Yield read id and place of each primary record of BAM; read id and the record itself of SAM and CRAM."""
    seekable = bool(file.is_bam)
    place = file.tell() if seekable else 0
    for record in file.fetch(until_eof=True):
        if not (record.is_secondary or record.is_supplementary):
            # a read that its caller split keeps the id of the whole in `pi`
            name = record.get_tag("pi") if record.has_tag("pi") else record.query_name
            yield str(name), place if seekable else record
        place = file.tell() if seekable else 0


def scan(path: str | Path, on_problem: OnProblem, reference: str | None) -> Iterator[tuple[str, list[str], list[int]]]:
    """Yield the references with their lengths, then the read ids of records, in BAM with their places.

    A damaged CRAM can keep htslib busy without end, so this runs in a process of its own (`sequences.guard`); what it
    came through, the other may read.

    Raises
    ------
    InputError: the file cannot be read, is cut short, or holds RNA.
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
    """Return the call of a record in the order of the signal."""
    letters = record.get_forward_sequence()
    if not letters:
        raise Fault("holds no sequence")
    bases = parse_bases(letters)
    quals = record.query_qualities  # in any order: only their mean is used
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
    # `sp`: where a split read begins in the whole; `ts`: samples trimmed from its start
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


PACKED = (".sam", ".bam", ".cram")  # suffixes of records that may hold move tables; every other file is FASTQ
_NOT_BASES = re.compile("[^ACGTN]")


@dataclass(frozen=True, slots=True)
class BaseCall:
    """One called read: bases of ACGTN, and the quality of each as uint8 (L,) on the Phred scale."""

    id: str
    bases: str
    quals: np.ndarray


def has_moves(path: str | Path) -> bool:
    """Return whether a file of this name may hold move tables."""
    return Path(path).suffix.lower() in PACKED


def read_calls(path: str | Path, reference: str | Path | None = None) -> Iterator[BaseCall]:
    """Yield the reads of a file in its order; an aligned record is turned back to the direction of its signal.

    Lower case is raised and U is read as T. A read may be empty.

    Parameters
    ----------
    path : SAM, BAM or CRAM by its suffix, of which the primary records are read; else FASTQ, may be gzip, `-` is
        standard input.
    reference : FASTA file, which CRAM needs.

    Raises
    ------
    InputError: the file cannot be read, is cut off or holds no reads; a letter is no base; a read has no qualities.
    """
    packed, count = has_moves(path), 0
    for count, (name, letters, quals) in enumerate(_packed(path, reference) if packed else _fastq(path), 1):  # noqa: B007
        bases = letters.upper().replace("U", "T")
        odd = _NOT_BASES.search(bases)
        if odd:
            place = "" if packed else f" at position {odd.start() + 1}"
            raise InputError(path, f"base '{odd[0]}'{place} is not one of ACGTUN", record=name)
        yield BaseCall(name, bases, quals)
    if not count:
        hint = "" if packed else "; a FASTQ record has 4 lines, the first starts with '@'"
        raise InputError(path, f"holds no reads{hint}")


def _fastq(path: str | Path) -> Iterator[tuple[str, str, np.ndarray]]:
    with open_text(path) as stream:
        for record in fastq_records(stream, path):
            yield record.id, record.bases, record.quals


def _packed(path: str | Path, reference: str | Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    import pysam

    def records() -> Iterator[pysam.AlignedSegment]:
        given = str(reference) if reference is not None and Path(path).suffix.lower() == ".cram" else None
        with pysam.AlignmentFile(str(path), check_sq=False, reference_filename=given) as file:
            yield from file.fetch(until_eof=True)

    before = pysam.set_verbosity(0)  # htslib's own words on standard error; ours say it in one line
    try:
        for record in guarded(records(), path, *DAMAGE):
            if record.is_secondary or record.is_supplementary:
                continue
            bases, quals = record.get_forward_sequence() or "", record.get_forward_qualities()
            if bases and quals is None:
                raise InputError(path, "holds no qualities", record=record.query_name)
            yield str(record.query_name), bases, np.asarray(quals if bases else [], np.uint8)
    finally:
        pysam.set_verbosity(before)
