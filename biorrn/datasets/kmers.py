"""Proteins as sentences of k-mers, one sentence a reading frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from biorrn.datasets.prepare import ProteinFile
from biorrn.datasets.protein_rows import protein_rows
from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.residues import sequence
from biorrn.errors import InputError
from biorrn.readers.tables import Reading

PREPARED = (".h5", ".hdf5")


def sentences(proteins: Iterable[str], k: int) -> Iterator[list[str]]:
    """Yield the k-mers of each reading frame of each protein; a k-mer with an unknown residue X parts a sentence.

    As in ProtVec (Asgari and Mofrad 2015, PLoS ONE 10:e0141287): frame i holds the k-mers that start at i, i + k, ...

    >>> list(sentences(["MKVLAT"], 3))
    [['MKV', 'LAT'], ['KVL'], ['VLA']]
    """
    for protein in proteins:
        for frame in range(min(k, len(protein) - k + 1)):
            words = [protein[start : start + k] for start in range(frame, len(protein) - k + 1, k)]
            sentence: list[str] = []
            for word in words:
                if "X" not in word:
                    sentence.append(word)
                elif sentence:
                    yield sentence
                    sentence = []
            if sentence:
                yield sentence


def read_sequences(
    path: str | Path, column: str = "sequence", split: str | None = None, reading: Reading | None = None
) -> list[str]:
    """Return the proteins of FASTA, of a table, or of one split of a prepared file (None: all of it).

    `reading` takes records and rows that cannot be used; without it, the first is an error.

    Raises
    ------
    InputError: the file cannot be read, or a sequence cannot be cleaned.
    """
    if Path(path).suffix.lower() in PREPARED:
        with ProteinFile(path) as file:
            if file.alphabet != RESIDUES:
                raise InputError(path, f"holds sequences of {file.alphabet}; expected residues")
            return [sequence(file.tokens(int(row))) for row in file.rows(split)]
    rows = protein_rows(path, (), Counter(), sequence_column=column, unlabelled=True, reading=reading)
    return [row.sequence for row in rows]
