"""Alignment of called reads to a reference by minimap2, and the columns of an alignment."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.lookup import nearest
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.sequences.fastq import reference_lengths

PRESET = "map-ont"  # of minimap2
# minimap2 seeds with exact 15-mers. A 200-base read with 25 % errors has almost none, so that only the best reads of a
# poor model would be evaluated. Unmapped reads are mapped again with shorter seeds, on references short enough for
# these to be rare by chance: of 3,000 random reads of 200 to 5,000 bases, none was mapped.
SENSITIVE = (  # (longest reference in bases, options)
    (200_000, {"k": 9, "w": 3, "min_cnt": 2, "min_chain_score": 20, "min_dp_score": 40}),
    (5_000_000, {"k": 11, "w": 5, "min_cnt": 2, "min_chain_score": 25, "min_dp_score": 40}),
)
Item = TypeVar("Item")
Made = TypeVar("Made")
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def reverse_complement(bases: str) -> str:
    """Return the other strand of a sequence of ACGTN, 5' to 3'.

    >>> reverse_complement("AACGN")
    'NCGTT'
    """
    return bases.translate(_COMPLEMENT)[::-1]


class Mapper:
    """A reference indexed by minimap2. Thread-safe; mapping releases the interpreter lock.

    Parameters
    ----------
    reference : FASTA file, may be gzip.
    preset : str: of minimap2.
    sensitive : bool: map unmapped reads again with the short seeds of `SENSITIVE`.

    Raises
    ------
    InputError: the file is not FASTA, or minimap2 cannot index it.
    """

    def __init__(self, reference: str | Path, preset: str = PRESET, *, sensitive: bool = False) -> None:
        import mappy

        if str(reference) == "-":
            raise InputError("-", "the reference must be a file: it is read twice")
        self.path = Path(reference)
        self.lengths = reference_lengths(reference)  # bases of each sequence
        bases = sum(self.lengths.values())
        again = [entry for longest, entry in SENSITIVE if bases <= longest][:1] if sensitive else []
        self._passes: list[Any] = [mappy.Aligner(str(reference), preset=preset, **entry) for entry in ({}, *again)]
        if not all(self._passes):
            raise InputError(reference, "minimap2 cannot index it")

    @property
    def references(self) -> list[tuple[str, int]]:
        """Return name and length of each sequence, in the order of the file."""
        return list(self.lengths.items())

    def sequence(self, name: str, start: int = 0, end: int | None = None) -> str:
        """Return a span of the forward strand, 0-based and half-open: upper case of ACGT, N for all else."""
        end = self.lengths[name] if end is None else min(end, self.lengths[name])
        return (self._passes[0].seq(name, start, end) or "").upper() if start < end else ""

    def hits(self, sequence: str) -> list[Any]:
        """Return the primary `mappy.Alignment` of a read, then its supplementary ones; secondary ones are left out."""
        return self.search(sequence)[0]

    def search(self, sequence: str) -> tuple[list[Any], bool]:
        """Return the alignments of `hits`, and whether the sensitive pass found them."""
        for number, aligner in enumerate(self._passes if sequence else []):
            found = [hit for hit in aligner.map(sequence, MD=True) if hit.is_primary]
            if found:
                return found, number > 0
        return [], False

    def best(self, sequence: str) -> Any | None:
        """Return the first `mappy.Alignment` of `hits` with the most matching bases; None for an unmapped read."""
        return max(self.hits(sequence), key=lambda hit: hit.mlen, default=None)


def in_order(work: Callable[[Item], Made], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Made]:
    """Yield `work(item)` of each item in order, computed on `threads` threads, at most `ahead` results in advance."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="map") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while waiting and (waiting[0].done() or len(waiting) > ahead):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # on early stop and on errors
            for future in waiting:
                future.cancel()


MATCH, MISMATCH, INSERTION, DELETION = 0, 1, 2, 3  # kinds of alignment columns
_LETTERS = {"M": 0, "I": 1, "D": 2, "N": 3, "=": 7, "X": 8}  # CIGAR operations


@dataclass(frozen=True, slots=True)
class Region:
    """A span of the reference: 0-based, half-open, both strands."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """Alignment of a read, with C columns in the direction of the reference.

    Attributes
    ----------
    reference, strand : str: name of the sequence; "+" or "-".
    ref_start, ref_end : int: span on the forward strand, 0-based, half-open.
    aligned : int: bases of the read inside the alignment.
    mapq : int.
    kind : uint8 array (C,): MATCH, MISMATCH, INSERTION (a base of the read that the reference lacks) or DELETION.
    ref_position : int64 array (C,): reference base of the column; for an insertion the one before it.
    read_position : int64 array (C,): base of the read in the direction of the signal; -1 for a deletion.
    sensitive : bool: found only by the sensitive pass.
    span : str: the reference from ref_start to ref_end, forward strand, of ACGTN; "" where it is not known.
    """

    reference: str
    strand: str
    ref_start: int
    ref_end: int
    aligned: int
    mapq: int
    kind: np.ndarray
    ref_position: np.ndarray
    read_position: np.ndarray
    sensitive: bool = False
    span: str = ""

    def inside(self, region: Region | None) -> np.ndarray:
        """Return the columns inside a region, bool (C,); an insertion is inside if both its neighbours are."""
        if region is None:
            return np.ones(len(self.kind), dtype=bool)
        if region.name != self.reference:
            return np.zeros(len(self.kind), dtype=bool)
        last = self.ref_position + (self.kind == INSERTION)
        return (self.ref_position >= region.start) & (last < region.end)


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one read. Counts and identity are of the columns inside the region; 0 and NaN where it is not scored.

    Attributes
    ----------
    status : str: "scored", "short" (too few aligned reference bases inside), "outside" the region, or "unmapped".
    aligned_fraction : float: part of the read's bases inside its alignment.
    mean_q : float: Phred score of the mean error probability of all bases of the read.
    within : bool: the whole alignment is inside the region.
    sensitive : bool: mapped only by the sensitive pass.
    """

    read_id: str
    length: int
    status: str
    mean_q: float
    reference: str = ""
    ref_start: int = -1
    ref_end: int = -1
    strand: str = ""
    mapq: int = -1
    aligned_fraction: float = 0.0
    matches: int = 0
    mismatches: int = 0
    insertions: int = 0
    deletions: int = 0
    identity: float = float("nan")
    within: bool = False
    sensitive: bool = False


def columns(cigar: np.ndarray, read: str, reference: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return kind, reference offset and read offset of each column of an alignment, by comparing letters.

    Parameters
    ----------
    cigar : int array (n, 2): length and operation (0 M, 1 I, 2 D, 7 =, 8 X), without clips.
    read, reference : str: the aligned parts of both, in the same direction. N matches nothing.

    Returns
    -------
    kind uint8 (C,), reference offset int64 (C,) (for an insertion the base before it), read offset int64 (C,), -1 at a
    deletion.
    """
    operation = np.repeat(cigar[:, 1], cigar[:, 0])
    on_read, on_reference = (operation != 2) & (operation != 3), operation != 1
    read_offset, reference_offset = np.cumsum(on_read) - 1, np.cumsum(on_reference) - 1
    called, true = np.frombuffer(read.encode(), np.uint8), np.frombuffer(reference.encode(), np.uint8)
    if int(on_read.sum()) != len(called) or int(on_reference.sum()) != len(true):
        raise ValueError(f"cigar spans {on_read.sum()} read and {on_reference.sum()} reference bases, "
                         f"given are {len(called)} and {len(true)}")  # fmt: skip
    kind = np.where(on_read, INSERTION, DELETION).astype(np.uint8)
    both = on_read & on_reference
    letter = called[read_offset[both]]
    kind[both] = np.where((letter == true[reference_offset[both]]) & (letter != ord("N")), MATCH, MISMATCH)
    return kind, reference_offset, np.where(on_read, read_offset, -1)


def parse_cigar(text: str) -> np.ndarray:
    """Return a CIGAR string as the int array (n, 2) that `columns` takes.

    >>> parse_cigar("3M1I2M").tolist()
    [[3, 0], [1, 1], [2, 0]]
    """
    found = re.findall(r"(\d+)([MIDN=X])", text)
    return np.array([[int(length), _LETTERS[letter]] for length, letter in found], dtype=np.int64).reshape(-1, 2)


class AlignmentMapper(Mapper):
    """A sensitive `Mapper` that returns alignments with their columns."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, sensitive=True)

    def align(self, call: BaseCall) -> Alignment | None:
        """Return the primary alignment of a read; None for an unmapped one."""
        hits, sensitive = self.search(call.bases)
        if not hits:
            return None
        first = hits[0]
        return _alignment(call, first, self.sequence(first.ctg, first.r_st, first.r_en), sensitive)


def _alignment(call: BaseCall, hit: Any, reference: str, sensitive: bool) -> Alignment:
    read = call.bases[hit.q_st : hit.q_en]
    forward = hit.strand > 0
    kind, ref_offset, read_offset = columns(
        np.array(hit.cigar, dtype=np.int64), read if forward else reverse_complement(read), reference
    )
    place = hit.q_st + read_offset if forward else hit.q_en - 1 - read_offset
    return Alignment(
        reference=hit.ctg,
        strand="+" if forward else "-",
        ref_start=hit.r_st,
        ref_end=hit.r_en,
        aligned=hit.q_en - hit.q_st,
        mapq=hit.mapq,
        kind=kind,
        ref_position=hit.r_st + ref_offset,
        read_position=np.where(read_offset < 0, -1, place),
        sensitive=sensitive,
        span=reference,
    )


def of_label(bases: str, label: str) -> Alignment | None:
    """Return the alignment of least edit distance of a label within a call; None where one of them is empty."""
    import edlib

    if not bases or not label:
        return None
    found = edlib.align(label, bases, mode="HW", task="path")  # the label as a whole, anywhere in the call
    first, last = found["locations"][0]
    swapped = {"I": "D", "D": "I"}  # edlib takes the label as the query
    cigar = "".join(swapped.get(letter, letter) for letter in found["cigar"])
    kind, on_label, on_call = columns(parse_cigar(cigar), bases[first : last + 1], label)
    place = np.where(on_call < 0, -1, on_call + first)
    return Alignment("", "+", 0, len(label), last + 1 - first, 0, kind, on_label, place)


def parse_region(text: str, lengths: dict[str, int]) -> Region:
    """Parse a region `NAME:START-END`, 0-based and half-open.

    Raises
    ------
    ConfigError: another form, or no such sequence or span in the reference.

    >>> parse_region("lambda:0-12000", {"lambda": 48502})
    Region(name='lambda', start=0, end=12000)
    """
    match = re.fullmatch(r"(.+):([\d,_]+)-([\d,_]+)", text.strip())
    if match is None:
        raise ConfigError(f"--region: found '{text}'; allowed is NAME:START-END, as lambda:0-12000")
    name = match[1]
    start, end = (int(part.replace(",", "").replace("_", "") or 0) for part in match.groups()[1:])
    if name not in lengths:
        close = nearest(name, lengths)
        hint = f"; did you mean '{close}'?" if close else "."
        known = ", ".join(list(lengths)[:10]) + (", ..." if len(lengths) > 10 else "")
        raise ConfigError(f"--region: the reference has no sequence '{name}'{hint} Known: {known}")
    if not 0 <= start < end <= lengths[name]:
        raise ConfigError(f"--region: found {start}-{end}; allowed is a span inside 0-{lengths[name]} of '{name}'")
    return Region(name, start, end)
