"""The two alphabets and their codes; 0 is never a letter, so that padding needs no second array."""

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"  # token of a residue = index + 1; X is any residue
PADDING = 0
N_TOKENS = len(RESIDUES) + 1  # padding and the 21 letters
UNKNOWN = RESIDUES.index("X") + 1  # token of X

BASES = "NACGT"  # code of a base = index; 0 is padding, and the blank of CTC
COMPLEMENT = "NTGCA"  # the letter at each code's place is the complement of that code
