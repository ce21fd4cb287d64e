"""Coding sequences and their proteins, made by chance: a translation whose answer is known.

Residues are drawn evenly from the twenty, each is written in one of its codons with equal chance, and start (ATG) and
stop codons stand at the ends. The code is the standard one (NCBI translation table 1).
"""

from collections.abc import Iterator

import numpy as np

from biorrn.encoders.alphabets import RESIDUES
from biorrn.readers.pairs import Pair

# third base fastest, in the order T, C, A, G; * stops
_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
STANDARD = {a + b + c: _CODE[16 * i + 4 * j + k] for i, a in enumerate("TCAG") for j, b in enumerate("TCAG")
            for k, c in enumerate("TCAG")}  # fmt: skip
CODONS = {letter: [codon for codon, found in STANDARD.items() if found == letter] for letter in sorted(set(_CODE))}


def translate(coding: str) -> str:
    """Return the protein of a coding sequence under the standard code, up to the first stop codon.

    >>> translate("ATGGCCTAA")
    'MA'
    """
    letters = (STANDARD[coding[start : start + 3]] for start in range(0, len(coding) - 2, 3))
    return "".join(letters).partition("*")[0]


def coding_pairs(number: int, shortest: int, longest: int, seed: int = 0) -> Iterator[Pair]:
    """Yield coding sequences (start and stop codon included) with their proteins, cds1, cds2, ...

    Parameters
    ----------
    number : int: pairs.
    shortest, longest : int: residues of a protein, its start included; lengths in between are equally likely.
    seed : int: the same seed gives the same pairs, and a larger number the same ones first.
    """
    for place in range(1, number + 1):
        rng = np.random.default_rng([seed, place])
        length = int(rng.integers(shortest, longest + 1))
        protein = "M" + "".join(RESIDUES[code] for code in rng.integers(20, size=length - 1))
        chances = rng.random(length + 1)
        codons = (CODONS[letter] for letter in protein + "*")
        coding = "".join(known[int(chance * len(known))] for known, chance in zip(codons, chances, strict=True))
        yield Pair(f"cds{place}", coding, protein)
