"""The alphabets of pairs of sequences: DNA, RNA, codons and residues as symbols 1, 2, ...; 0 is padding and the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from biorrn.encoders.alphabets import DNA, RESIDUES
from biorrn.errors import BiorrnError

CODONS = [*map("".join, itertools.product("ACGT", repeat=3)), "NNN"]


@dataclass(frozen=True)
class Alphabet:
    """Maps text to symbols and back.

    Attributes
    ----------
    name : str: entry of `ALPHABETS`.
    symbols : list of str: what symbol 1, 2, ... stands for, all of one length; the last is the unknown one.
    same : dict: letters that are read as another, besides lower case.
    """

    name: str
    symbols: list[str]
    same: dict[str, str]
    _codes: dict[str, int] = field(init=False, repr=False, compare=False)
    _table: dict[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_codes", {symbol: code for code, symbol in enumerate(self.symbols, 1)})
        object.__setattr__(self, "_table", str.maketrans(self.same))

    @property
    def size(self) -> int:
        """Return the number of letters a symbol."""
        return len(self.symbols[0])

    @property
    def letters(self) -> str:
        """Return the letters that symbols are made of."""
        return "".join(sorted(set("".join(self.symbols))))

    def encode(self, text: str) -> np.ndarray:
        """Return the symbols of a text, uint8 (T,); white space is left out, lower case accepted.

        A codon with an unknown base is the unknown codon.

        Raises
        ------
        BiorrnError: a letter of another alphabet, no letter at all, or codons that are not whole.

        >>> ALPHABETS["codons"].encode("AAAAAT")
        array([1, 4], dtype=uint8)
        >>> ALPHABETS["codons"].encode("ATGA")
        Traceback (most recent call last):
        biorrn.errors.BiorrnError: 4 letters are no whole number of codons of 3
        """
        letters = "".join(text.split()).upper().translate(self._table)
        wrong = letters.translate(dict.fromkeys(map(ord, self.letters)))
        if wrong:
            place = letters.index(wrong[0]) + 1
            raise BiorrnError(f"letter {wrong[0]!r} at position {place} is not one of {self.letters} ({self.name})")
        if not letters:
            raise BiorrnError("the sequence is empty")
        if len(letters) % self.size:
            raise BiorrnError(f"{len(letters)} letters are no whole number of codons of {self.size}")
        step, unknown = self.size, len(self.symbols)
        parts = (letters[start : start + step] for start in range(0, len(letters), step))
        return np.fromiter((self._codes.get(part, unknown) for part in parts), np.uint8)

    def decode(self, codes: Iterable[int]) -> str:
        """Return the text of symbols.

        >>> ALPHABETS["dna"].decode([1, 4, 5])
        'ATN'
        """
        return "".join(self.symbols[int(code) - 1] for code in codes)


_BASES = {"U": "T", **dict.fromkeys("RYSWKMBDHV", "N")}  # an ambiguous base is an unknown one
_RESIDUES = dict.fromkeys("BZJUO", "X")

# name -> alphabet of a source or a target
ALPHABETS = {
    "dna": Alphabet("dna", list(DNA), _BASES),
    "rna": Alphabet("rna", list(DNA.replace("T", "U")), {**_BASES, "U": "U", "T": "U"}),
    "codons": Alphabet("codons", CODONS, _BASES),
    "residues": Alphabet("residues", list(RESIDUES), _RESIDUES | {"*": ""}),
}
