"""Alphabets of residues, bases, codons and residue states, with their codes; amino-acid scales.

Code 0 is padding and never a residue.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"  # token of a residue = index + 1; X is any residue
PADDING = 0
N_TOKENS = len(RESIDUES) + 1  # padding and the 21 letters
UNKNOWN = RESIDUES.index("X") + 1  # token of X

BASES = "NACGT"  # code of a base = index; 0 is padding, and the blank of CTC
DNA = "ACGTN"  # of a prepared file: token = index + 1, as of residues; N is any base
COMPLEMENT = "NTGCA"  # the letter at each code's place is the complement of that code

NO_LETTER = 254  # in a table of codes: the character is no letter of the alphabet


def code_table(codes: Mapping[str, int]) -> np.ndarray:
    """Return the code of each Latin-1 character, uint8 (256,); `NO_LETTER` for characters without one."""
    table = np.full(256, NO_LETTER, np.uint8)
    for letter, code in codes.items():
        table[ord(letter)] = code
    return table


def encode(text: str, codes: np.ndarray, what: str, allowed: str) -> np.ndarray:
    """Return the codes of a text, uint8 (T,).

    Parameters
    ----------
    codes : uint8 array (256,): see `code_table`.
    what, allowed : str: the names of a letter and of the alphabet in an error.

    Raises
    ------
    BiorrnError: a character has no code.
    """
    found = codes[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
    wrong = found == NO_LETTER
    if wrong.any():
        place = int(np.argmax(wrong))
        raise BiorrnError(f"{what} {text[place]!r} at position {place + 1} is not one of {allowed}")
    return found


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


_CODES = code_table({residue: token for token, residue in enumerate(RESIDUES, 1)})


def tokens(sequence: str) -> np.ndarray:
    """Return a sequence as a uint8 array (T,) of tokens: index in `RESIDUES` + 1.

    Raises
    ------
    BiorrnError: a letter is not in `RESIDUES` (the readers upper-case and map odd letters to X before this).

    >>> tokens("ACX")
    array([ 1,  2, 21], dtype=uint8)
    >>> tokens("AJ")
    Traceback (most recent call last):
    biorrn.base.errors.BiorrnError: residue 'J' at position 2 is not one of ACDEFGHIKLMNPQRSTVWYX
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


# fmt: off
# BLOSUM62 in half-bits: a row for each letter of RESIDUES, a column for each of STANDARD. Here and not from a library,
# whose import would take as long as all other tables of this package.
_BLOSUM62 = {
    "A": ( 4,  0, -2, -1, -2,  0, -2, -1, -1, -1, -1, -2, -1, -1, -1,  1,  0,  0, -3, -2),
    "C": ( 0,  9, -3, -4, -2, -3, -3, -1, -3, -1, -1, -3, -3, -3, -3, -1, -1, -1, -2, -2),
    "D": (-2, -3,  6,  2, -3, -1, -1, -3, -1, -4, -3,  1, -1,  0, -2,  0, -1, -3, -4, -3),
    "E": (-1, -4,  2,  5, -3, -2,  0, -3,  1, -3, -2,  0, -1,  2,  0,  0, -1, -2, -3, -2),
    "F": (-2, -2, -3, -3,  6, -3, -1,  0, -3,  0,  0, -3, -4, -3, -3, -2, -2, -1,  1,  3),
    "G": ( 0, -3, -1, -2, -3,  6, -2, -4, -2, -4, -3,  0, -2, -2, -2,  0, -2, -3, -2, -3),
    "H": (-2, -3, -1,  0, -1, -2,  8, -3, -1, -3, -2,  1, -2,  0,  0, -1, -2, -3, -2,  2),
    "I": (-1, -1, -3, -3,  0, -4, -3,  4, -3,  2,  1, -3, -3, -3, -3, -2, -1,  3, -3, -1),
    "K": (-1, -3, -1,  1, -3, -2, -1, -3,  5, -2, -1,  0, -1,  1,  2,  0, -1, -2, -3, -2),
    "L": (-1, -1, -4, -3,  0, -4, -3,  2, -2,  4,  2, -3, -3, -2, -2, -2, -1,  1, -2, -1),
    "M": (-1, -1, -3, -2,  0, -3, -2,  1, -1,  2,  5, -2, -2,  0, -1, -1, -1,  1, -1, -1),
    "N": (-2, -3,  1,  0, -3,  0,  1, -3,  0, -3, -2,  6, -2,  0,  0,  1,  0, -3, -4, -2),
    "P": (-1, -3, -1, -1, -4, -2, -2, -3, -1, -3, -2, -2,  7, -1, -2, -1, -1, -2, -4, -3),
    "Q": (-1, -3,  0,  2, -3, -2,  0, -3,  1, -2,  0,  0, -1,  5,  1,  0, -1, -2, -2, -1),
    "R": (-1, -3, -2,  0, -3, -2,  0, -3,  2, -2, -1,  0, -2,  1,  5, -1, -1, -3, -3, -2),
    "S": ( 1, -1,  0,  0, -2,  0, -1, -2,  0, -2, -1,  1, -1,  0, -1,  4,  1, -2, -3, -2),
    "T": ( 0, -1, -1, -1, -2, -2, -2, -1, -1, -1, -1,  0, -1, -1, -1,  1,  5,  0, -2, -2),
    "V": ( 0, -1, -3, -2, -1, -3, -3,  3, -2,  1,  1, -3, -2, -2, -3, -2,  0,  4, -3, -1),
    "W": (-3, -2, -4, -3,  1, -2, -2, -3, -3, -2, -1, -4, -4, -2, -3, -3, -2, -3, 11,  2),
    "Y": (-2, -2, -3, -2,  3, -3,  2, -1, -2, -1, -1, -2, -3, -1, -2, -2, -2, -1,  2,  7),
    "X": ( 0, -2, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -2, -1, -1,  0,  0, -1, -2, -1),
}
# fmt: on


def _blosum62() -> np.ndarray:
    table = np.zeros((N_TOKENS, len(STANDARD)), np.float32)
    table[1:] = np.array([_BLOSUM62[residue] for residue in RESIDUES]) / BLOSUM_UNIT
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


_LETTERS = np.frombuffer(BASES.encode(), np.uint8)
_COMPLEMENT = np.array([BASES.index(letter) for letter in COMPLEMENT], np.uint8)


_BASE_CODES = code_table(
    {letter: code for code, base in enumerate(BASES) for letter in (base, base.lower())}
    | dict.fromkeys("Uu", BASES.index("T"))  # RNA
)


def encode_bases(bases: str) -> np.ndarray:
    """Return bases as a uint8 array (L,) of codes: N 0, A 1, C 2, G 3, T or U 4; lower case is accepted.

    Raises
    ------
    BiorrnError: another letter.

    >>> encode_bases("ACgT")
    array([1, 2, 3, 4], dtype=uint8)
    >>> encode_bases("AZ")
    Traceback (most recent call last):
    biorrn.base.errors.BiorrnError: base 'Z' at position 2 is not one of ACGTUN
    """
    return encode(bases, _BASE_CODES, "base", "ACGTUN")


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
        biorrn.base.errors.BiorrnError: 4 letters are no whole number of codons of 3
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


NO_STATE = 255  # code of a residue of unknown state
MOST = 100  # states


@dataclass(frozen=True, slots=True)
class States:
    """The states of residues that a tagger predicts, such as those of secondary structure.

    Attributes
    ----------
    name : str: of the property, such as "secondary structure".
    letters : str: one letter per state; the code of a state is its place.
    names : tuple of str: one name per state.
    synonyms : dict: other letters of the input -> the letter that they stand for.
    unknown : str: letters of the input for an unknown state.
    """

    name: str
    letters: str
    names: tuple[str, ...]
    synonyms: dict[str, str] = field(default_factory=dict)
    unknown: str = ""

    def encode(self, labels: str) -> np.ndarray:
        """Return the code of each label, uint8 (T,); `NO_STATE` where it is not known.

        Raises
        ------
        BiorrnError: a letter that stands for no state.

        >>> THREE.encode("HGE-").tolist()
        [0, 0, 1, 2]
        >>> THREE.encode("HZ")
        Traceback (most recent call last):
        biorrn.base.errors.BiorrnError: label 'Z' at position 2 is not one of HECGIBTS-P and blank
        """
        codes = {letter: code for code, letter in enumerate(self.letters)}
        codes |= {letter: codes[other] for letter, other in self.synonyms.items()}
        codes |= dict.fromkeys(self.unknown, NO_STATE)
        allowed = self.letters + "".join(self.synonyms) + self.unknown
        words = allowed.replace(" ", "") + (" and blank" if " " in allowed else "")
        return encode(labels, code_table(codes), "label", words)


def parse_states(text: str, unknown: str = "", names: str = "", name: str = "") -> States:
    """Return the states that `--states` names: "3", "8", or the letters of others, such as "io".

    Parameters
    ----------
    unknown : str: letters for an unknown state.
    names : str: of the states, comma separated; default: those of DSSP, or the letters.
    name : str: of the property.

    Raises
    ------
    ConfigError: fewer than two letters, a letter twice, or another number of names.

    >>> parse_states("io", names="inside,outside").names
    ('inside', 'outside')
    """
    given = STATES.get(text)
    letters = given.letters if given else text
    odd = [letter for letter in letters + unknown if not letter.isprintable() or ord(letter) > 255]
    if not 2 <= len(letters) <= MOST or len(set(letters)) < len(letters) or odd:
        raise ConfigError(f"--states: found '{text}'; allowed is 3, 8, or 2 to {MOST} different letters")
    called = tuple(part.strip() for part in names.split(",")) if names else given.names if given else tuple(letters)
    if len(called) != len(letters) or len(set(called)) < len(called) or not all(called):
        raise ConfigError(f"--state-names: found '{names}'; allowed are {len(letters)} different names, as a,b,c")
    synonyms = {key: value for key, value in (given.synonyms if given else {}).items() if key not in unknown}
    clash = [letter for letter in unknown if letter in letters]
    if clash:
        raise ConfigError(f"--unknown: '{clash[0]}' is a state; allowed are other letters")
    return States(name or (given.name if given else "state"), letters, called, synonyms, unknown)


def letters_for(names: list[str]) -> str:
    """Return one letter per name: the first unused capital letter of the name, else the first unused letter.

    >>> letters_for(["none", "coding", "control"])
    'NCO'
    """
    letters = ""
    for name in names:
        wanted = [letter for letter in name.upper() if letter.isascii() and letter.isalpha()]
        free = [letter for letter in (*wanted, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ") if letter not in letters]
        if not free:
            raise BiorrnError(f"found {len(names)} names of segments; allowed are at most 26")
        letters += free[0]
    return letters


THREE = States(
    "secondary structure",
    "HEC",
    ("helix", "strand", "coil"),
    {"G": "H", "I": "H", "B": "E", "T": "C", "S": "C", "-": "C", "P": "C", " ": "C"},
)
EIGHT = States(
    "secondary structure",
    "GHIBESTC",
    ("3-10 helix", "alpha helix", "pi helix", "bridge", "strand", "bend", "turn", "coil"),
    {"-": "C", "P": "C", " ": "C"},
)
STATES = {"3": THREE, "8": EIGHT}


GAP = 12  # padding tokens after each sequence: a product of two residues up to 12 apart never joins two sequences


def by_token(values: Mapping[str, float], other: float = 0.0) -> np.ndarray:
    """Return float64 (22,): the value of each token; `other` for X and unnamed residues, 0 for padding.

    >>> by_token({"C": 2.0}, other=1.0)[:3].tolist()
    [0.0, 1.0, 2.0]
    """
    return np.array([0.0, *(values.get(residue, other) for residue in RESIDUES)])


def member(letters: str) -> np.ndarray:
    """Return float64 (22,): 1 for the tokens of these residues, else 0."""
    return by_token(dict.fromkeys(letters, 1.0))


@dataclass(frozen=True, slots=True)
class Layout:
    """N sequences laid out with `GAP` tokens of padding after each.

    Attributes
    ----------
    tokens : uint8 array (M,), M = residues + N * GAP; 0 is padding.
    starts : int64 array (N,): where each sequence starts in it.
    lengths : int64 array (N,): residues.
    counts : float64 array (N, 22): how often each token stands in each sequence; column 0 is 0.
    """

    tokens: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def size(self) -> np.ndarray:
        """Residues of each sequence as float64 (N,), at least 1: a divisor."""
        return np.maximum(self.lengths, 1).astype(np.float64)

    @property
    def known(self) -> np.ndarray:
        """Residues other than X as float64 (N,), at least 1: the divisor of a mean over residues that have a value."""
        return np.maximum(self.lengths - self.counts[:, UNKNOWN], 1.0)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each sequence, float64 (N,), of values (M,) that are 0 on padding."""
        return np.add.reduceat(values, self.starts, dtype=np.float64)

    def along(self, values: np.ndarray) -> np.ndarray:
        """Return a value a token (22,) along the layout (M,)."""
        return values[self.tokens]


def lay_out(tokens: np.ndarray, lengths: np.ndarray) -> Layout:
    """Return the layout of sequences that stand one after another in `tokens` (total,), uint8, 1..21.

    Raises
    ------
    ValueError: the lengths do not sum to the number of tokens, or a token is not one of 1..21.
    """
    lengths = np.asarray(lengths, np.int64)
    if int(lengths.sum()) != len(tokens):
        raise ValueError(f"lengths sum to {int(lengths.sum())}; there are {len(tokens)} tokens")
    if len(tokens) and (tokens.min() < 1 or tokens.max() >= N_TOKENS):
        raise ValueError(f"tokens are {tokens.min()} to {tokens.max()}; allowed is 1 to {N_TOKENS - 1}")
    row = np.repeat(np.arange(len(lengths)), lengths)
    laid = np.zeros(len(tokens) + GAP * len(lengths), np.uint8)
    laid[np.arange(len(tokens)) + GAP * row] = tokens
    starts = np.cumsum(lengths) - lengths + GAP * np.arange(len(lengths))
    counts = np.bincount(row * N_TOKENS + tokens, minlength=len(lengths) * N_TOKENS).reshape(len(lengths), N_TOKENS)
    return Layout(laid, starts, lengths, counts.astype(np.float64))


def consensus(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the commonest residue at each position of the rows of the commonest length, uint8 (L,).

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all rows, one after another; 1..21.
    lengths : int array (N,): residues of each row, N > 0.

    >>> consensus(np.array([1, 2, 3, 1, 2, 4, 1, 5, 3, 9], np.uint8), np.array([3, 3, 3, 1]))
    array([1, 2, 3], dtype=uint8)
    """
    lengths = np.asarray(lengths, np.int64)
    size = int(np.bincount(lengths).argmax())
    rows = tokens[np.repeat(lengths == size, lengths)].reshape(-1, size)
    counts = np.stack([(rows == residue).sum(0) for residue in range(N_TOKENS)])  # (N_TOKENS, L)
    counts[UNKNOWN] = 0  # no information; the rest may be 0 everywhere
    common = counts.argmax(0).astype(np.uint8)
    common[counts.max(0) == 0] = UNKNOWN
    return common
