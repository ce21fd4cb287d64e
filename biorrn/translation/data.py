"""Data sets of sequence pairs: tables and FASTA, the prepared file, batches, and synthetic coding sequences."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import BiorrnError, InputError
from biorrn.base.files import one_line, sha256, write_text
from biorrn.base.lookup import lookup
from biorrn.nn.batch import Batch
from biorrn.sequences.alphabets import ALPHABETS, RESIDUES, Alphabet
from biorrn.sequences.fasta import read_entries
from biorrn.sequences.prepared.files import PreparedFile, Writer, gather, new_file, offsets_of
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.prepared.summary import account
from biorrn.sequences.splits import Column, Rows, Splitter
from biorrn.sequences.tables.reader import read_cells
from biorrn.training.batches import pad_tokens


class PairWriter(Writer):
    """Writer of pairs; see `pair_writer`."""

    def add(self, id: str, source: np.ndarray, target: np.ndarray, split: int = 0) -> None:
        """Append one pair: symbols uint8 (T,) and (U,), code of the split."""
        row = {"id": id, "source": source, "target": target, "split": split}
        self._append(row, {"source_offsets": len(source), "target_offsets": len(target)})


@contextlib.contextmanager
def pair_writer(path: str | Path, source: str, target: str) -> Iterator[PairWriter]:
    """Open a new file of pairs; it is moved into place when it is complete.

    Parameters
    ----------
    path : HDF5 file to write.
    source, target : str: entries of `sequences.alphabets.ALPHABETS`.
    """
    with new_file(path) as file:
        file.attrs["source_alphabet"], file.attrs["target_alphabet"] = source, target
        file.attrs["sources"] = "{}"
        writer = PairWriter(file, "pairs")
        yield writer
        writer.flush()


class PairFile(PreparedFile):
    """A prepared file of pairs, open for reading."""

    kind = "pairs"

    def alphabet(self, side: str) -> Alphabet:
        """Return the alphabet of the "source" or the "target".

        Raises
        ------
        ConfigError: the alphabet is unknown.
        """
        return lookup(ALPHABETS, str(self.file.attrs[f"{side}_alphabet"]), f"{self.path}: alphabet of the {side}")

    def symbols(self, side: str, row: int) -> np.ndarray:
        """Return the symbols of one side of a pair, uint8 (T,)."""
        start, end = self.file[f"{side}_offsets"][row : row + 2]
        return np.asarray(self.file[side][start:end])


class PairDataset:
    """The pairs of one split, in memory (one byte per symbol).

    Attributes
    ----------
    source, target : Alphabet of each side.
    lengths, target_lengths : int64 arrays (N,): symbols of sources and targets.
    ids : list of str.
    """

    def __init__(self, path: str | Path, split: str | None) -> None:
        """Load a split ("train", "valid", "test"; None: every pair).

        Raises
        ------
        InputError: not a prepared file of pairs, or the split is empty.
        """
        with PairFile(path) as file:
            rows = file.filled(split, "pairs")
            self.source, self.target = file.alphabet("source"), file.alphabet("target")
            self._flat, self._offsets = {}, {}
            for side in ("source", "target"):
                offsets = file.file[f"{side}_offsets"][:]
                self._flat[side] = gather(file.file[side], offsets, rows)
                self._offsets[side] = offsets_of(np.diff(offsets)[rows])
            self.ids = [str(name) for name in np.asarray(file.strings("id"), object)[rows]]
        self.lengths, self.target_lengths = (np.diff(self._offsets[side]) for side in ("source", "target"))

    def __len__(self) -> int:
        return len(self.lengths)

    def symbols(self, side: str, index: int) -> np.ndarray:
        """Return the symbols of one side of a pair, uint8 (T,)."""
        start, end = self._offsets[side][index : index + 2]
        return self._flat[side][start:end]

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return pairs as a batch: x int64 (B, T), targets int64 (B, U), both padded with 0, and their lengths."""
        chosen = [int(index) for index in indices]
        x, lengths = pad_tokens([self.symbols("source", index) for index in chosen])
        targets, target_lengths = pad_tokens([self.symbols("target", index) for index in chosen])
        longest = max(1, int(target_lengths.max()))  # no extra padding: each step of the decoder costs time
        return Batch(
            x=x,
            lengths=lengths,
            targets=torch.narrow(targets, 1, 0, longest),
            target_lengths=target_lengths,
            ids=[self.ids[index] for index in chosen],
        )


def pair_summary(path: str | Path) -> dict[str, Any]:
    """Return the alphabets of a prepared file of pairs, and counts and lengths of each split."""
    with PairFile(path) as file:
        present = [split for split in SPLITS if len(file.rows(split))]
        names = {side: file.alphabet(side).name for side in ("source", "target")}
    splits = {}
    for split in present:
        data = PairDataset(path, split)
        splits[split] = {
            "pairs": len(data),
            "source_symbols": int(data.lengths.sum()),
            "target_symbols": int(data.target_lengths.sum()),
            "longest_source": int(data.lengths.max()),
            "longest_target": int(data.target_lengths.max()),
        }
    return {"alphabets": names, "splits": splits}


def pair_leakage(path: str | Path) -> dict[str, Any]:
    """Return the number of pairs of valid and test whose source is also in train."""
    with PairFile(path) as file:
        texts = {split: [file.symbols("source", row).tobytes() for row in file.rows(split)] for split in SPLITS}
    train = set(texts["train"])
    return {
        split: {"pairs": len(rows), "source_in_train": sum(text in train for text in rows)}
        for split, rows in texts.items()
        if split != "train"
    }


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of sequences as written, and the cell of the split column."""

    id: str
    source: str
    target: str
    split: str = ""


def read_pair_table(
    path: str | Path,
    source_column: str = "source",
    target_column: str = "target",
    id_column: str | None = None,
    split_column: str | None = None,
) -> Iterator[Pair]:
    """Yield the pairs of a table (CSV, TSV, parquet); without `id_column` the ids are row1, row2, ...

    Raises
    ------
    InputError: a column is missing, an id is empty, or the table has no rows.
    """
    columns = [name for name in (source_column, target_column, id_column, split_column) if name is not None]
    for number, row in enumerate(read_cells(path, columns), 1):
        cells = {name: "" if row[name] is None else str(row[name]).strip() for name in columns}
        name = f"row{number}" if id_column is None else cells[id_column]
        if not name:
            raise InputError(path, f"row {number}: column '{id_column}' is empty; allowed is an id")
        yield Pair(name, cells[source_column], cells[target_column], cells.get(split_column or "", ""))


def read_pair_fasta(sources: str | Path, targets: str | Path) -> Iterator[Pair]:
    """Yield the pairs of two FASTA files, joined by id, in the order of the first. The targets are kept in memory.

    Raises
    ------
    InputError: a file is not FASTA, an id of a target is repeated, or a source has no target.
    """
    known: dict[str, str] = {}
    for name, text in read_entries(targets):
        if name in known:
            raise InputError(targets, "the id is given twice; allowed is once", name)
        known[name] = text
    for name, text in read_entries(sources):
        if name not in known:
            raise InputError(sources, f"has no record of this id in {targets}; each source needs its target", name)
        yield Pair(name, text, known[name])


def prepare_pairs(
    pairs: Iterable[Pair],
    out: str | Path,
    splitter: Splitter,
    source: str,
    target: str,
    *,
    inputs: Iterable[str | Path] = (),
    note: str = "",
    advance: Callable[[int], None] = lambda pairs: None,
) -> dict[str, Any]:
    """Write pairs to a prepared file, in constant memory, and return its summary.

    Parameters
    ----------
    pairs : from `read_pair_table`, `read_pair_fasta` or `coding_pairs`.
    splitter : from `sequences.splits.parse_split(..., "pairs")`.
    source, target : str: entries of `ALPHABETS`.
    inputs : the input files; the first is named in errors, and all are stored with their SHA-256.

    Raises
    ------
    ConfigError: an alphabet is unknown.
    InputError: a sequence is empty or not of its alphabet, or a cell of the split column is not a split.
    """
    sides = [lookup(ALPHABETS, name, f"{side} alphabet") for name, side in ((source, "source"), (target, "target"))]
    files = [str(path) for path in inputs]
    named = files[0] if files else out
    column = splitter if isinstance(splitter, Column) else None
    with pair_writer(out, source, target) as writer:
        writer.file.attrs["note"] = note
        writer.file.attrs["sources"] = json.dumps({path: sha256(path) for path in files if Path(path).is_file()})
        for pair in pairs:
            code = column.code(pair.split) if column else 0
            if code is None:
                problem = f"column '{splitter.name}': found '{pair.split}'; allowed is {', '.join(SPLITS)}"  # type: ignore[attr-defined]
                raise InputError(named, problem, pair.id)
            codes = []
            for alphabet, text in zip(sides, (pair.source, pair.target), strict=True):
                try:
                    codes.append(alphabet.encode(text))
                except BiorrnError as error:
                    raise InputError(named, str(error), pair.id) from error
            writer.add(pair.id, codes[0], codes[1], code)
            advance(1)
        writer.flush()
        if not writer.rows:
            raise InputError(named, "holds no pair")
        if column is None:
            writer.file["split"][:] = splitter.assign(Rows(list(writer.file["id"].asstr()[:])))
    return account(out, {"kept": writer.rows}, note)


def export_sources(prepared: str | Path, exports: Mapping[str, Path]) -> None:
    """Write the sources of splits as FASTA, in file order.

    Raises
    ------
    InputError: a split is empty.
    """
    for split, path in exports.items():
        data = PairDataset(prepared, split)
        with write_text(path) as stream:
            for row in range(len(data)):
                print(f">{one_line(data.ids[row])}\n{data.source.decode(data.symbols('source', row))}", file=stream)


# standard genetic code: bases in the order T, C, A, G, the third fastest; * is a stop codon
_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
STANDARD = {a + b + c: _CODE[16 * i + 4 * j + k] for i, a in enumerate("TCAG") for j, b in enumerate("TCAG")
            for k, c in enumerate("TCAG")}  # fmt: skip
CODONS = {letter: [codon for codon, found in STANDARD.items() if found == letter] for letter in sorted(set(_CODE))}


def translate(coding: str) -> str:
    """Return the protein of a coding sequence, up to the first stop codon (standard genetic code).

    >>> translate("ATGGCCTAA")
    'MA'
    """
    letters = (STANDARD[coding[start : start + 3]] for start in range(0, len(coding) - 2, 3))
    return "".join(letters).partition("*")[0]


def coding_pairs(number: int, shortest: int, longest: int, seed: int = 0) -> Iterator[Pair]:
    """Yield random coding sequences, with start and stop codon, and their proteins: cds1, cds2, ...

    Parameters
    ----------
    number : int: pairs.
    shortest, longest : int: residues of a protein, including the start; lengths are uniform.
    seed : int: the same seed gives the same pairs; a larger `number` adds pairs.
    """
    for place in range(1, number + 1):
        rng = np.random.default_rng([seed, place])
        length = int(rng.integers(shortest, longest + 1))
        protein = "M" + "".join(RESIDUES[code] for code in rng.integers(20, size=length - 1))
        chances = rng.random(length + 1)
        codons = (CODONS[letter] for letter in protein + "*")
        coding = "".join(known[int(chance * len(known))] for known, chance in zip(codons, chances, strict=True))
        yield Pair(f"cds{place}", coding, protein)
