"""Base strings as codes and back."""

import numpy as np

from biorrn.encoders.alphabets import BASES, COMPLEMENT, DNA, NO_LETTER, encode

_LETTERS = np.frombuffer(BASES.encode(), np.uint8)
_COMPLEMENT = np.array([BASES.index(letter) for letter in COMPLEMENT], np.uint8)


def _codes() -> np.ndarray:
    codes = np.full(256, NO_LETTER, np.uint8)
    for code, letter in enumerate(BASES):
        codes[ord(letter)] = codes[ord(letter.lower())] = code
    codes[ord("U")] = codes[ord("u")] = BASES.index("T")  # RNA
    return codes


_CODES = _codes()


def encode_bases(bases: str) -> np.ndarray:
    """Return bases as a uint8 array (L,) of codes: N 0, A 1, C 2, G 3, T or U 4; lower case is accepted.

    Raises
    ------
    BiorrnError: another letter.

    >>> encode_bases("ACgT")
    array([1, 2, 3, 4], dtype=uint8)
    >>> encode_bases("AZ")
    Traceback (most recent call last):
    biorrn.errors.BiorrnError: base 'Z' at position 2 is not one of ACGTUN
    """
    return encode(bases, _CODES, "base", "ACGTUN")


def base_tokens(bases: str) -> np.ndarray:
    """Return bases as a uint8 array (L,) of tokens of `alphabets.DNA`: A 1, C 2, G 3, T or U 4, N 5; as `encode_bases`.

    >>> base_tokens("ACGTN")
    array([1, 2, 3, 4, 5], dtype=uint8)
    """
    codes = encode_bases(bases)
    return np.where(codes == 0, np.uint8(len(DNA)), codes).astype(np.uint8)


def decode_bases(codes: np.ndarray) -> str:
    """Return the base string of a code array (L,)."""
    return _LETTERS[codes].tobytes().decode()


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Return the codes (L,) of the other strand, read 5' to 3'.

    >>> decode_bases(reverse_complement(encode_bases("AACGN")))
    'NCGTT'
    """
    return _COMPLEMENT[codes][::-1]
