"""Sequences whose letters are labelled by segments of a BED file, and long ones cut into windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from biorrn.datasets.splits import Reference, Rows
from biorrn.datasets.tag_rows import TagRow, encode_sequence
from biorrn.encoders.states import NO_STATE, States, letters_for
from biorrn.errors import ConfigError, InputError
from biorrn.readers.labels import read_letters
from biorrn.readers.segments import Segment, read_segments


def segment_states(path: str | Path, background: str, name: str = "segment") -> tuple[States, dict[str, list[Segment]]]:
    """Return the states that a BED file names, what is in no segment first, and its segments."""
    found = read_segments(path)
    others = sorted({segment.name for segments in found.values() for segment in segments} - {background})
    names = [background, *others]
    if not others:
        raise InputError(path, f"names no segment but '{background}'; a base has two states at least")
    return States(name, letters_for(names), tuple(names)), found


def rows_of_segments(
    source: str | Path, bed: str | Path, states: States, segments: dict[str, list[Segment]], alphabet: str
) -> Iterator[TagRow]:
    """Yield the sequences of a FASTA file with the state of the segments that each letter lies in.

    Raises
    ------
    InputError: a segment is of no sequence, ends beyond it, or overlaps one of another name.
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
    """Yield a sequence in windows of at most `size`, neighbours sharing `overlap`; ids get `:FIRST-LAST`, from 1.

    Of what two windows share, each has the labels of its own half, so that every letter is labelled once and most have
    letters on either side.

    Parameters
    ----------
    regions : Reference, optional: which places are of which split; a window lies in one and shares nothing with others.

    Raises
    ------
    ConfigError: an overlap below 0, or not below the window.
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
