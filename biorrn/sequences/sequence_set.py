"""Sequence sets: the sequences of FASTA, a table or a split of a prepared file, as one flat token array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import InputError, stop
from biorrn.sequences.alphabets import DNA, base_tokens, tokens
from biorrn.sequences.fasta import read_fasta
from biorrn.sequences.fastq import read_bases
from biorrn.sequences.prepared.files import SequenceFile, gather, offsets_of
from biorrn.sequences.rows import protein_rows
from biorrn.sequences.tables.reader import Reading

PREPARED = (".h5", ".hdf5")


def is_prepared(path: str | Path) -> bool:
    """Return whether a path names a prepared file, by its suffix."""
    return Path(path).suffix.lower() in PREPARED


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Sequences as one flat token array.

    Attributes
    ----------
    ids : list of str (N,).
    tokens : uint8 array (total,): index of a letter in the alphabet + 1.
    offsets : int64 array (N + 1,): where each starts.
    """

    ids: list[str]
    tokens: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Return the letters of each sequence, int64 (N,)."""
        return np.diff(self.offsets)

    def one(self, row: int) -> np.ndarray:
        """Return the tokens of one sequence, uint8 (T,)."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: np.ndarray) -> SequenceSet:
        """Return the sequences at these places."""
        flat = gather(self.tokens, self.offsets, np.asarray(rows, np.int64))
        return SequenceSet([self.ids[row] for row in rows], flat, offsets_of(self.lengths[rows]))


def as_set(ids: Sequence[str], sequences: Sequence[str], alphabet: str) -> SequenceSet:
    """Return texts in letters of an alphabet as a set."""
    tokens_of = base_tokens if alphabet == DNA else tokens
    return SequenceSet(list(ids), tokens_of("".join(sequences)), offsets_of([len(text) for text in sequences]))


def read_set(
    path: str | Path, alphabet: str, split: str | None = "train", reading: Reading | None = None
) -> SequenceSet:
    """Return the sequences of FASTA, of a table, or of one split of a prepared file.

    Parameters
    ----------
    path : FASTA, `-` for standard input; a table with the column sequence, and id where it has one; or a prepared file.
    alphabet : str: of the tokens; with that of DNA a file that is not prepared is FASTA or FASTQ of nucleotides.
    split : "train", "valid", "test" or None for all; of a prepared file only.
    reading : takes records and rows that cannot be used; without it, the first is an error.

    Raises
    ------
    InputError: the file cannot be read, holds another alphabet, or holds no sequence.
    """
    if is_prepared(path):
        with SequenceFile(path) as file:
            if file.alphabet != alphabet:
                raise InputError(path, f"holds letters {file.alphabet}; the model has {alphabet}")
            chosen, offsets, ids = file.rows(split), file.file["offsets"][:], file.strings("id")
            whole = SequenceSet(ids, file.file["tokens"][:], offsets.astype(np.int64))
        found = whole if split is None else whole.take(chosen)
    elif alphabet == DNA:
        pairs = list(read_bases(path))
        found = as_set([name for name, _ in pairs], [bases for _, bases in pairs], alphabet)
    else:
        # standard input is FASTA: a table is known by its name
        rows: Any = (
            read_fasta(path, reading.problem if reading is not None else stop)
            if str(path) == "-"
            else protein_rows(path, (), Counter(), unlabelled=True, reading=reading)
        )
        proteins = [(row.id, row.sequence) for row in rows]
        found = as_set([name for name, _ in proteins], [text for _, text in proteins], alphabet)
    if not len(found):
        raise InputError(path, f"holds no sequence{f' in split {split}' if split and is_prepared(path) else ''}")
    return found
