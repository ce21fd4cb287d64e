"""The two alphabets and their codes; 0 is never a letter, so that padding needs no second array."""

import numpy as np

from biorrn.errors import BiorrnError

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"  # token of a residue = index + 1; X is any residue
PADDING = 0
N_TOKENS = len(RESIDUES) + 1  # padding and the 21 letters
UNKNOWN = RESIDUES.index("X") + 1  # token of X

BASES = "NACGT"  # code of a base = index; 0 is padding, and the blank of CTC
DNA = "ACGTN"  # of a prepared file: token = index + 1, as of residues; N is any base
COMPLEMENT = "NTGCA"  # the letter at each code's place is the complement of that code

NO_LETTER = 255  # in a table of codes: the character is no letter of the alphabet


def encode(text: str, codes: np.ndarray, what: str, allowed: str) -> np.ndarray:
    """Return the codes of a text, uint8 (T,).

    Parameters
    ----------
    codes : uint8 array (256,): the code of each character, `NO_LETTER` where it has none.
    what, allowed : str: how an error names a letter, and the alphabet.

    Raises
    ------
    BiorrnError: a character has no code.
    """
    found = codes[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
    if found.size and found.max() == NO_LETTER:
        place = int(np.argmax(found == NO_LETTER))
        raise BiorrnError(f"{what} '{text[place]}' at position {place + 1} is not one of {allowed}")
    return found
