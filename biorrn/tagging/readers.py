"""Readers of labelled sequences: FASTA with labels, FLIP archives, tables, and BED segments."""

from __future__ import annotations

import itertools
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, Fault, InputError, faults
from biorrn.base.files import decoded, open_text
from biorrn.sequences.alphabets import DNA, NO_STATE, RESIDUES, STANDARD, States, base_tokens, letters_for, tokens
from biorrn.sequences.fasta import Ids, cleaned, fasta_records
from biorrn.sequences.rows import TableOptions, protein_rows
from biorrn.sequences.splits import Reference, Rows
from biorrn.sequences.tables.numbers import MISSING
from biorrn.sequences.tables.reader import Reading, column_names, matching, read_cells

INSIDE = ".zip:"  # separates an archive and the name of a member
MOST_BYTES = 1 << 31  # maximum unpacked size of a member: a few kB can claim any size


@dataclass(frozen=True, slots=True)
class Letters:
    """A FASTA record: id, letters as written without line ends, and the rest of the header."""

    id: str
    letters: str
    description: str = ""


def read_letters(path: str | Path) -> Iterator[Letters]:
    """Yield the records of a FASTA file of sequences or labels.

    Parameters
    ----------
    path : file, may be gzip; `-` for standard input; `archive.zip:member` for a member of an archive.

    Raises
    ------
    InputError: the file cannot be read, is empty or not FASTA, or an id is missing or given twice.
    """
    ids, number = Ids(), 0
    for number, header, parts in fasta_records(enumerate(_lines(path), 1), path):
        name, _, description = " ".join(header.split()).partition(" ")
        if not name:
            raise InputError(path, f"line {number}: a header without an id; allowed is > and an id")
        if before := ids.seen(name, number):
            raise InputError(path, f"the id is given twice, on lines {before} and {number}", name)
        yield Letters(name, "".join(parts), description)
    if not number:
        raise InputError(path, "the file is empty; FASTA is a line of > and an id, then lines of letters")


def one_a_label(written: str) -> str:
    """Return a protein in upper case, with B, Z, J, U and O as X. Nothing is removed, because labels would shift.

    Raises
    ------
    Fault: as `sequences.fasta.cleaned`; or a gap or a stop codon.

    >>> one_a_label("mkv")
    'MKV'
    >>> one_a_label("MK-V")
    Traceback (most recent call last):
    biorrn.base.errors.Fault: found '-' at position 3; a sequence with one label a residue has no gaps and no '*'
    """
    packed = "".join(written.split())
    sequence = cleaned(packed).residues
    if len(sequence) != len(packed):
        place = next(place for place, letter in enumerate(packed) if letter in "-.*")
        found = f"found {packed[place]!r} at position {place + 1}"
        raise Fault(f"{found}; a sequence with one label a residue has no gaps and no '*'")
    return sequence


def members(path: str | Path) -> list[str]:
    """Return the files of a folder, or the members of a zip archive as `archive.zip:member`.

    Raises
    ------
    InputError: the archive or folder cannot be read.
    """
    if Path(path).is_dir():
        with faults(path, None, OSError):
            return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    with faults(path, None, *DAMAGE), zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.filename.endswith("/")]
    return [f"{path}:{name}" for name in names if not name.startswith("__MACOSX/")]


def is_archive(path: str | Path) -> bool:
    """Return whether an input is a folder or a zip archive."""
    return Path(path).is_dir() or (Path(path).suffix.lower() == ".zip" and Path(path).is_file())


def _lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a text file, or of a member of a zip archive (`archive.zip:member`)."""
    archive, found, member = str(path).partition(INSIDE)
    if not found or Path(path).exists():
        with open_text(path) as stream:
            yield from stream
        return
    with faults(path, None, *DAMAGE), zipfile.ZipFile(archive + INSIDE[:-1]) as opened:
        if opened.getinfo(member).file_size > MOST_BYTES:
            raise Fault(f"is larger than {MOST_BYTES:,} bytes")
        with opened.open(member) as raw, decoded(raw, path) as lines:
            yield from lines


DAMAGE = (  # errors of a file that is no archive, or a damaged or encrypted one
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    NotImplementedError,
)


ALPHABETS = {"protein": RESIDUES, "dna": DNA}
ARCHIVE = {
    "sequences": "sequences",
    "labels": "sampled",
    "mask": "mask",
}  # role -> name of the file in an archive of FLIP


@dataclass(frozen=True, slots=True)
class TagRow:
    """A sequence with a label or values per residue.

    Attributes
    ----------
    id : str.
    tokens : uint8 array (T,): index in the alphabet + 1.
    tags : uint8 array (T,) of states, `NO_STATE` where unknown; or float32 (T, K) of values, NaN where missing.
    split_text : str: names the split: the header of the labels without the id, or a cell of a table.
    split : int or None: code of the split, if the sequence was cut at the borders of splits.
    origin : str: id of the sequence that this is a window of; "" if it is whole.
    """

    id: str
    tokens: np.ndarray
    tags: np.ndarray
    split_text: str = ""
    split: int | None = None
    origin: str = ""


def encode_sequence(path: str | Path, name: str, written: str, alphabet: str) -> np.ndarray:
    """Return the tokens of a sequence, uint8 (T,).

    Raises
    ------
    InputError: a letter that is not in the alphabet, a gap, or an empty sequence.
    """
    try:
        if alphabet == "protein":
            return tokens(one_a_label(written))
        if not (packed := "".join(written.split())):
            raise Fault("the sequence is empty")
        return base_tokens(packed)
    except (Fault, BiorrnError) as error:
        raise InputError(path, str(error), name) from error


def archive_files(path: str | Path) -> dict[str, str]:
    """Return {"sequences", "labels" and possibly "mask": FASTA file} of a folder or zip archive of FLIP.

    Raises
    ------
    InputError: sequences or labels are missing, or a file is there twice.
    """
    found = {}
    inside = members(path)
    for role, stem in ARCHIVE.items():
        fitting = [name for name in inside if Path(name.rpartition(":")[2]).name in (f"{stem}.fasta", f"{stem}.fa")]
        if len(fitting) > 1 or (not fitting and role != "mask"):
            raise InputError(path, f"holds {len(fitting)} files named {stem}.fasta; expected one, with the {role}")
        if fitting:
            found[role] = fitting[0]
    return found


def rows_of_fasta(
    source: str | Path, labels: str | Path, mask: str | Path | None, states: States, alphabet: str
) -> Iterator[TagRow]:
    """Yield the sequences of a FASTA file with the labels of another, joined by id. The labels are kept in memory.

    Parameters
    ----------
    mask : FASTA of 1 and 0; a residue with 0 has no label.

    Raises
    ------
    InputError: an id is in one file only, lengths differ, or a letter is not allowed.
    """
    known = {record.id: record for record in read_letters(labels)}
    masks = {record.id: record for record in read_letters(mask)} if mask is not None else {}
    for record in read_letters(source):
        label = known.pop(record.id, None)
        if label is None:
            raise InputError(labels, f"has no labels of this sequence of {source}", record.id)
        codes = encode_sequence(source, record.id, record.letters, alphabet)
        tags = _states(labels, label, states, len(codes), source)
        if mask is not None:
            hidden = masks.pop(record.id, None)
            if hidden is None:
                raise InputError(mask, f"has no mask of this sequence of {source}", record.id)
            tags[~_mask(mask, hidden, len(codes), source)] = NO_STATE
        yield TagRow(record.id, codes, tags, label.description)
    for path, left in ((labels, known), (mask, masks)):
        if left:
            raise InputError(str(path), f"is of no sequence in {source}", next(iter(left)))


def _states(path: str | Path, label: Letters, states: States, length: int, source: str | Path) -> np.ndarray:
    try:
        found = states.encode(label.letters)
    except BiorrnError as error:
        raise InputError(path, str(error), label.id) from error
    if len(found) != length:
        raise InputError(path, f"found {len(found)} labels; the sequence in {source} has {length} letters", label.id)
    return found


def _mask(path: str | Path, record: Letters, length: int, source: str | Path) -> np.ndarray:
    letters = record.letters.strip()
    odd = letters.strip("01")
    if odd:
        raise InputError(path, f"found {odd[0]!r}; allowed in a mask are 0 and 1", record.id)
    if len(letters) != length:
        raise InputError(path, f"found {len(letters)} letters; the sequence in {source} has {length}", record.id)
    return np.frombuffer(letters.encode(), np.uint8) == ord("1")


def rows_of_table(
    path: str | Path,
    states: States,
    alphabet: str,
    label_column: str = "labels",
    values: Sequence[str] = (),
    sequence_column: str = "sequence",
    split_column: str | None = None,
) -> Iterator[TagRow]:
    """Yield the rows of a table of id, sequence, and labels (one letter per residue) or values.

    Parameters
    ----------
    values : columns of comma-separated numbers, instead of labels. NA, NaN or an empty entry is missing.

    Raises
    ------
    InputError: a column is missing, an id comes twice, lengths differ, or a letter or number is not allowed.
    """
    ids = Ids()
    named = bool(matching("id", column_names(path)))
    columns = [*(["id"] if named else []), sequence_column, *(values or [label_column])]
    columns += [split_column] if split_column else []
    for line, row in enumerate(read_cells(path, columns), 1):
        name = str(row["id"]).strip() if named else f"row{line}"
        if not name or ids.seen(name, line):
            problem = f"row {line}: the id is given twice" if name else f"row {line}: column 'id' is empty"
            raise InputError(path, problem, name or None)
        codes = encode_sequence(path, name, str(row[sequence_column] or ""), alphabet)
        if values:
            columns_of = [_numbers(path, name, column, row[column], len(codes)) for column in values]
            tags = np.stack(columns_of, 1)
        else:
            tags = _states(path, Letters(name, str(row[label_column] or "")), states, len(codes), path)
        yield TagRow(name, codes, tags, str(row[split_column]) if split_column else "")


def rows_of_mutations(
    path: str | Path,
    value: str,
    options: TableOptions,
    counts: Counter[str],
    split_column: str | None = None,
    reading: Reading | None = None,
) -> Iterator[TagRow]:
    """Yield each wild type of a table of measured mutants, with the value of each standard residue at each place.

    The value of a residue is that of the protein with this residue in the place of its own, the mean where there are
    several; NaN where none was measured. Rows that are no single substitution are counted and left out.

    Parameters
    ----------
    value : column of numbers.
    options : how the mutants and their wild types are found.
    counts : receives the rows that are left out.
    reading : how the table is read; receives rows that cannot be used. Without it, the first such row is an error.

    Raises
    ------
    ConfigError, InputError: as `sequences.rows.protein_rows`; or the mutants of a wild type have two splits.
    """
    sums: dict[str, np.ndarray] = {}
    splits: dict[str, str] = {}
    for row in protein_rows(path, [value], Counter(), options=options, split_column=split_column, reading=reading):
        wild = row.wild_type
        places = [k for k, (old, new) in enumerate(zip(wild, row.sequence, strict=False)) if old != new]
        if len(wild) != len(row.sequence) or len(places) != 1 or not np.isfinite(row.targets[0]):
            counts["dropped: mutant that is no single substitution, or has no value"] += 1
            continue
        if splits.setdefault(wild, row.split) != row.split:
            raise InputError(path, f"column '{split_column}': found '{row.split}' and '{splits[wild]}'; the mutants of "
                             "a protein have one", row.id)  # fmt: skip
        to = STANDARD.find(row.sequence[places[0]])
        if to < 0:
            counts["dropped: mutant that is no single substitution, or has no value"] += 1
            continue
        found = sums.setdefault(wild, np.zeros((2, len(wild), len(STANDARD))))
        found[:, places[0], to] += (row.targets[0], 1)
    if reading is not None and reading.dropped:
        counts["dropped: row cannot be used"] += reading.dropped
    for number, (wild, (total, times)) in enumerate(sums.items(), 1):
        values = np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0).astype(np.float32)
        yield TagRow(f"protein{number}", encode_sequence(path, wild[:20], wild, "protein"), values, splits[wild])


def _numbers(path: str | Path, name: str, column: str, cell: object, length: int) -> np.ndarray:
    parts = [part.strip() for part in str(cell or "").split(",")]
    if len(parts) != length:
        raise InputError(path, f"column '{column}': found {len(parts)} values for {length} residues", name)
    found = np.full(length, np.nan, np.float32)
    for place, part in enumerate(parts):
        if part.lower() in MISSING:
            continue
        try:
            value = math.inf if "_" in part else float(np.float32(part))
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            raise InputError(
                path, f"column '{column}': found '{part[:40]}' at position {place + 1}; expected a number", name
            )
        found[place] = value
    return found


SKIPPED = ("#", "track", "browser")  # first word of BED lines without a segment


@dataclass(frozen=True, slots=True)
class Segment:
    """A named span of a sequence, 0-based, half-open, and its line number in the file."""

    start: int
    end: int
    name: str
    line: int


def read_segments(path: str | Path) -> dict[str, list[Segment]]:
    """Read a BED file; return the segments of each sequence, sorted by start.

    Columns after the fourth (score, strand, ...) are ignored: a segment labels the bases of the forward strand.

    Raises
    ------
    InputError: the file cannot be read or has no segment, a line has fewer than four columns, a position is not a
        whole number, or a span is empty.
    """
    found: dict[str, list[Segment]] = {}
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(SKIPPED):
                continue
            cells = text.split("\t") if "\t" in text else text.split()
            if len(cells) < 4 or not cells[0] or not cells[3].strip():
                raise InputError(path, f"line {number}: found {len(cells)} columns; expected chrom, start, end, name")
            start, end = (int(cell) if cell.isdecimal() and len(cell) < 16 else -1 for cell in cells[1:3])
            if not 0 <= start < end:
                raise InputError(
                    path,
                    f"line {number}: found the span {cells[1][:20]} to {cells[2][:20]}; allowed is 0 <= start < end",
                )
            found.setdefault(cells[0], []).append(Segment(start, end, cells[3].strip(), number))
    if not found:
        raise InputError(path, "holds no segment; a line is chrom, start, end, name, parted by tabs")
    return {chrom: sorted(segments, key=lambda one: one.start) for chrom, segments in found.items()}


def segment_states(path: str | Path, background: str, name: str = "segment") -> tuple[States, dict[str, list[Segment]]]:
    """Return the states named in a BED file, `background` first, and its segments."""
    found = read_segments(path)
    others = sorted({segment.name for segments in found.values() for segment in segments} - {background})
    names = [background, *others]
    if not others:
        raise InputError(path, f"names no segment but '{background}'; a base has two states at least")
    return States(name, letters_for(names), tuple(names)), found


def rows_of_segments(
    source: str | Path, bed: str | Path, states: States, segments: dict[str, list[Segment]], alphabet: str
) -> Iterator[TagRow]:
    """Yield the sequences of a FASTA file; the state of a letter is the name of its segment, or the background.

    Raises
    ------
    InputError: the sequence of a segment is missing, a segment ends beyond it, or overlaps one of another name.
    """
    left = dict(segments)
    for record in read_letters(source):
        codes = encode_sequence(source, record.id, record.letters, alphabet)
        tags = np.zeros(len(codes), np.uint8)
        for one in left.pop(record.id, ()):
            code = states.names.index(one.name)
            if one.end > len(codes):
                raise InputError(bed, f"line {one.line}: ends at {one.end}; the sequence has {len(codes)}", record.id)
            here = tags[one.start : one.end]
            if ((here != 0) & (here != code)).any():
                raise InputError(bed, f"line {one.line}: '{one.name}' overlaps a segment of another name", record.id)
            here[:] = code
        yield TagRow(record.id, codes, tags, record.description)
    if left:
        raise InputError(bed, f"the segments are of no sequence in {source}", next(iter(left)))


def cut_windows(row: TagRow, size: int, overlap: int, regions: Reference | None = None) -> Iterator[TagRow]:
    """Yield windows of at most `size` letters of a sequence; neighbours overlap. Ids get `:FIRST-LAST`, from 1.

    In an overlap each window has the labels of its own half, so that every letter is labelled once.

    Parameters
    ----------
    regions : Reference, optional: the split of each position. A window lies in one split, and windows of different
        splits do not overlap.

    Raises
    ------
    ConfigError: the overlap is below 0, or not below the window.
    """
    if not 0 <= overlap < size:
        raise ConfigError(f"--overlap: found {overlap}; allowed is 0 to less than the window, {size}")
    length = len(row.tokens)
    codes = np.zeros(length, np.uint8)
    if regions is not None:
        codes = regions.assign(Rows(reference=row.id, positions=np.arange(length)))
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), length]
    for first, last in itertools.pairwise(edges):
        for start in range(first, max(first + 1, last - overlap), size - overlap):
            end = min(start + size, last)
            tags = row.tags[start:end].copy()
            hidden = NO_STATE if tags.ndim == 1 else np.nan
            if start > first:
                tags[: overlap // 2] = hidden
            if end < last:
                tags[len(tags) - (overlap - overlap // 2) :] = hidden
            name = row.id if end - start == length else f"{row.id}:{start + 1}-{end}"
            split = row.split if regions is None else int(codes[first])
            yield replace(row, id=name, tokens=row.tokens[start:end], tags=tags, split=split, origin=row.id)
