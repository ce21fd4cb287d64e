"""Calls in BAM, SAM and CRAM by read id: sequence, move table (`mv`, `ts`) and alignment."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from biorrn.readers.calls import mean_phred, parse_bases
from biorrn.readers.fields import Fault, OnProblem, faults, stop
from biorrn.readers.guard import Guarded
from biorrn.readers.records import Hit, ReadCall

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

    A damaged CRAM can keep htslib busy without end, so this runs in a process of its own (`readers.guard`); what it
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


_scan = Guarded("biorrn.readers.bam:scan", "htslib")


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
