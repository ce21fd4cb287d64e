"""Protein sequences as tokens, and fixed features of a residue: BLOSUM62 and physico-chemical scales."""

import numpy as np
from Bio.Align import substitution_matrices

from biorrn.encoders.alphabets import N_TOKENS, NO_LETTER, PADDING, RESIDUES, encode

STANDARD = RESIDUES[:20]  # without X
BLOSUM_UNIT = 4.0  # half-bits: the diagonal of most residues becomes about 1

SCALES = (
    "hydropathy",  # Kyte and Doolittle 1982, J Mol Biol 157:105
    "volume",  # cubic angstroms; Zamyatnin 1972, Prog Biophys Mol Biol 24:107
    "charge",  # of the side chain at pH 7; histidine (pKa 6.0) is charged in a tenth of the molecules
    "polarity",  # Grantham 1974, Science 185:862
    "isoelectric",  # pH, of the free amino acid; Zimmerman, Eliezer and Simha 1968, J Theor Biol 21:170
    "helix",  # this and the next two: frequency there over the mean; Chou and Fasman 1978, Adv Enzymol 47:45
    "sheet",
    "turn",
    "helix_cost",  # kcal/mol of a residue in a helix over alanine; Pace and Scholtz 1998, Biophys J 75:422
    "aromatic",  # 1 for an aromatic ring
)

# fmt: off
_VALUES = {  # residue -> one value a scale, in the order of SCALES
    "A": ( 1.8,  88.6,  0.0,  8.1,   6.0, 1.42, 0.83, 0.66,  0.0, 0.0),
    "C": ( 2.5, 108.5,  0.0,  5.5,  5.05,  0.7, 1.19, 1.19, 0.68, 0.0),
    "D": (-3.5, 111.1, -1.0, 13.0,  2.77, 1.01, 0.54, 1.46, 0.69, 0.0),
    "E": (-3.5, 138.4, -1.0, 12.3,  3.22, 1.51, 0.37, 0.74,  0.4, 0.0),
    "F": ( 2.8, 189.9,  0.0,  5.2,  5.48, 1.13, 1.38,  0.6, 0.54, 1.0),
    "G": (-0.4,  60.1,  0.0,  9.0,  5.97, 0.57, 0.75, 1.56,  1.0, 0.0),
    "H": (-3.2, 153.2,  0.1, 10.4,  7.59,  1.0, 0.87, 0.95, 0.61, 1.0),
    "I": ( 4.5, 166.7,  0.0,  5.2,  6.02, 1.08,  1.6, 0.47, 0.41, 0.0),
    "K": (-3.9, 168.6,  1.0, 11.3,  9.74, 1.16, 0.74, 1.01, 0.26, 0.0),
    "L": ( 3.8, 166.7,  0.0,  4.9,  5.98, 1.21,  1.3, 0.59, 0.21, 0.0),
    "M": ( 1.9, 162.9,  0.0,  5.7,  5.74, 1.45, 1.05,  0.6, 0.24, 0.0),
    "N": (-3.5, 114.1,  0.0, 11.6,  5.41, 0.67, 0.89, 1.56, 0.65, 0.0),
    "P": (-1.6, 112.7,  0.0,  8.0,   6.3, 0.57, 0.55, 1.52, 3.16, 0.0),
    "Q": (-3.5, 143.8,  0.0, 10.5,  5.65, 1.11,  1.1, 0.98, 0.39, 0.0),
    "R": (-4.5, 173.4,  1.0, 10.5, 10.76, 0.98, 0.93, 0.95, 0.21, 0.0),
    "S": (-0.8,  89.0,  0.0,  9.2,  5.68, 0.77, 0.75, 1.43,  0.5, 0.0),
    "T": (-0.7, 116.1,  0.0,  8.6,  5.66, 0.83, 1.19, 0.96, 0.66, 0.0),
    "V": ( 4.2, 140.0,  0.0,  5.9,  5.96, 1.06,  1.7,  0.5, 0.61, 0.0),
    "W": (-0.9, 227.8,  0.0,  5.4,  5.89, 1.08, 1.37, 0.96, 0.49, 1.0),
    "Y": (-1.3, 193.6,  0.0,  6.2,  5.66, 0.69, 1.47, 1.14, 0.53, 1.0),
}
# fmt: on


def scale(name: str) -> np.ndarray:
    """Return one scale of `SCALES` in its own unit, float64 (20,): a value for each residue of `STANDARD`.

    >>> scale("hydropathy")[:2].tolist()
    [1.8, 2.5]
    """
    return np.array([_VALUES[residue][SCALES.index(name)] for residue in STANDARD], np.float64)


def _codes() -> np.ndarray:
    codes = np.full(256, NO_LETTER, np.uint8)
    codes[np.frombuffer(RESIDUES.encode(), np.uint8)] = np.arange(1, N_TOKENS, dtype=np.uint8)
    return codes


_CODES = _codes()


def tokens(sequence: str) -> np.ndarray:
    """Return a sequence as a uint8 array (T,) of tokens: index in `RESIDUES` + 1.

    Raises
    ------
    BiorrnError: a letter is not in `RESIDUES` (the readers upper-case and map odd letters to X before this).

    >>> tokens("ACX")
    array([ 1,  2, 21], dtype=uint8)
    >>> tokens("AJ")
    Traceback (most recent call last):
    biorrn.errors.BiorrnError: residue 'J' at position 2 is not one of ACDEFGHIKLMNPQRSTVWYX
    """
    return encode(sequence, _CODES, "residue", RESIDUES)


def sequence(codes: np.ndarray, alphabet: str = RESIDUES) -> str:
    """Return the sequence of a token array (T,), each the place of its letter, from 1; padding is left out.

    >>> sequence(tokens("MKV"))
    'MKV'
    """
    letters = np.frombuffer(("-" + alphabet).encode(), np.uint8)
    return letters[codes[codes != PADDING]].tobytes().decode()


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Return tokens (..., T) as float32 (..., T, 21): one column a residue; padding is a row of zeros."""
    return np.eye(N_TOKENS, dtype=np.float32)[codes][..., 1:]


def _blosum62() -> np.ndarray:
    matrix = substitution_matrices.load("BLOSUM62")
    table = np.zeros((N_TOKENS, len(STANDARD)), np.float32)
    for row, residue in enumerate(RESIDUES, start=1):
        table[row] = [matrix[residue, other] / BLOSUM_UNIT for other in STANDARD]
    return table


def _scales() -> np.ndarray:
    values = np.array([_VALUES[residue] for residue in STANDARD], np.float64)  # (residue, scale)
    table = np.zeros((N_TOKENS, len(SCALES)), np.float32)
    table[1:21] = (values - values.mean(0)) / values.std(0)
    return table  # the row of X stays 0, which is the mean of each standardised scale


# name -> float32 (N_TOKENS, F): features of each token; the row of padding is 0
TABLES: dict[str, np.ndarray] = {
    "blosum62": _blosum62(),  # Henikoff and Henikoff 1992, PNAS 89:10915; column = score against one standard residue
    "scales": _scales(),  # mean 0 and standard deviation 1 over the 20 standard residues
}


def blosum62() -> np.ndarray:
    """Return BLOSUM62 in half-bits, float64 (20, 20), in the order of `STANDARD`.

    >>> blosum62()[0, :2].tolist()
    [4.0, 0.0]
    """
    return TABLES["blosum62"][1 : len(STANDARD) + 1].astype(np.float64) * BLOSUM_UNIT
