"""Calls in BAM, SAM and CRAM by read id: sequence, move table (`mv`, `ts`) and alignment."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from biorrn.readers.calls import mean_phred, parse_bases
from biorrn.readers.fields import Fault, faults
from biorrn.readers.records import Hit, ReadCall

DAMAGE = (OSError, ValueError, KeyError)
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
        import pysam

        self.path = Path(path)
        before = pysam.set_verbosity(0)  # htslib's own words on standard error; ours say it in one line
        try:
            with faults(path, None, *DAMAGE):
                given = None if reference is None else str(reference)
                self._file = pysam.AlignmentFile(str(path), check_sq=False, reference_filename=given)
                header = self._file.header.to_dict()
                self.lengths = {str(entry["SN"]): int(entry["LN"]) for entry in header.get("SQ", [])}
                if any("basecall_model=rna" in str(group.get("DS", "")) for group in header.get("RG", [])):
                    raise Fault("holds calls of RNA, whose signal runs against the sequence; allowed is DNA")
                self._places: dict[str, list[Any]] = {}
                for name, place in self._each():
                    self._places.setdefault(name, []).append(place)
        finally:
            pysam.set_verbosity(before)

    def _each(self) -> Iterator[tuple[str, Any]]:
        """Yield read id and place, or the record itself, of each primary record."""
        seekable = bool(self._file.is_bam)
        place = self._file.tell() if seekable else 0
        for record in self._file.fetch(until_eof=True):
            if not (record.is_secondary or record.is_supplementary):
                # a read that its caller split keeps the id of the whole in `pi`
                name = record.get_tag("pi") if record.has_tag("pi") else record.query_name
                yield str(name), place if seekable else record
            place = self._file.tell() if seekable else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, read_id: str) -> bool:
        return read_id in self._places

    def __len__(self) -> int:
        return len(self._places)

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
