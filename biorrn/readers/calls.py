"""Calls in files of their own: FASTA and FASTQ by read id, and the moves of PAF as squigualiser writes it."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.fasta import fasta_records, first_word
from biorrn.readers.fastq import fastq_records, first_line
from biorrn.readers.fields import MAX_SAMPLES, Fault, faults
from biorrn.readers.records import ReadCall

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
