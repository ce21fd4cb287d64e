"""Cleaning protein sequences, the same for FASTA and tables."""

import re
from typing import NamedTuple

from biorrn.readers.fields import Fault

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"
UNKNOWN = "BZJUO"  # ambiguous codes, selenocysteine and pyrrolysine: read as X
GAPS = "-.~"
NUCLEOTIDES = "ACGTUN"
DNA_LENGTH, DNA_PART = 30, 0.95  # a sequence as long, with so many nucleotide letters, is taken for DNA or RNA

_CLEAN = str.maketrans(
    {residue.lower(): residue for residue in RESIDUES}
    | {letter: "X" for letter in UNKNOWN + UNKNOWN.lower()}
    | dict.fromkeys(GAPS, "")
)
_RESIDUES_AWAY = str.maketrans("", "", RESIDUES)
# what nobody sees and web pages and PDF documents hold: zero-width spaces and joiners, soft hyphens
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
# phosphorylated residues as pS, pT and pY among capitals; a p that stands elsewhere is a proline in lower case
_PHOSPHO = re.compile(r"(?:[A-Z*.~-]|p(?=[STY]))+")


# four three-letter codes or more and nothing else: no protein in single letters is so by chance
_CODES = "Ala|Arg|Asn|Asp|Cys|Gln|Glu|Gly|His|Ile|Leu|Lys|Met|Phe|Pro|Ser|Thr|Trp|Tyr|Val|Sec|Pyl|Mse"
_THREE_LETTER = re.compile(rf"(?:(?:{_CODES})[-.]?){{4,}}\*?", re.IGNORECASE)

# a modification of the residue before it, as in M[Oxidation], S(ph), C[+57.02]; [ST] and (A/G) are alternatives
_MODIFIED = re.compile(
    r"^[\[({](?=[^\])}]*[a-z0-9])[^\[\](){}/]*[\])}]-?|-?[\[({](?=[^\])}]*[a-z0-9])[^\[\](){}/]*[\])}]"
)


class Cleaned(NamedTuple):
    """A sequence in upper-case letters of `RESIDUES`, how many of them are X, and what was removed, by flag."""

    residues: str
    unknown: int
    changes: tuple[str, ...] = ()


def cleaned(written: str) -> Cleaned:
    """Return a sequence in upper-case letters of `RESIDUES`.

    White space, gaps (`-`, `.` and `~`) and modifications (in brackets, or the p of `pS`) are removed, lower case
    becomes upper case, `*` at the end is dropped, and B, Z, J, U and O become X.

    Raises
    ------
    Fault: another character, a `*` before the end, an empty sequence, three-letter codes, or what looks like DNA or
        RNA: at least 30 letters, 95 % of them A, C, G, T, U or N, and at least three different ones of A, C, G, T, U.
        Positions count from 1 in the sequence as written, gaps included, white space and modifications not.

    >>> cleaned("mk-v lu*")
    Cleaned(residues='MKVLX', unknown=1, changes=('gaps_removed',))
    >>> cleaned("MK[Acetyl]V").changes
    ('modifications_removed',)
    >>> cleaned("MK7V")
    Traceback (most recent call last):
    biorrn.readers.fields.Fault: residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """
    packed, modified = "".join(written.split()), 0
    if not packed.isascii():
        packed = packed.translate(_INVISIBLE)
    if "p" in packed and _PHOSPHO.fullmatch(packed):
        packed, modified = packed.replace("p", ""), 1
    if _THREE_LETTER.fullmatch(packed):
        raise Fault(f"is in three-letter codes ('{packed[:12]}...'); expected one letter a residue", "three_letter")
    if not packed.isalpha():
        packed, brackets = _MODIFIED.subn("", packed)
        modified += brackets
    sequence = packed.translate(_CLEAN).rstrip("*")
    wrong = sequence.translate(_RESIDUES_AWAY)
    if wrong:
        position = packed.index(wrong[0]) + 1
        if wrong[0] == "*":
            raise Fault(f"stop codon '*' at position {position}; allowed is one at the end only", "stop_inside")
        raise Fault(f"residue {wrong[0]!r} at position {position} is not one of {RESIDUES}", "not_a_residue")
    if not sequence:
        raise Fault("the sequence is empty", "empty")
    if len(sequence) >= DNA_LENGTH:
        _check_protein(packed.upper(), len(sequence))
    gaps = len(sequence) < len(packed) and any(gap in packed for gap in GAPS)
    removed = {"gaps_removed": gaps, "modifications_removed": modified > 0}
    return Cleaned(sequence, sequence.count("X"), tuple(name for name, there in removed.items() if there))


def clean_sequence(written: str) -> tuple[str, int]:
    """Return the residues and the number of X of `cleaned`.

    >>> clean_sequence("mk-v lu*")
    ('MKVLX', 1)
    """
    return cleaned(written)[:2]


def _check_protein(packed: str, length: int) -> None:
    counts = {letter: packed.count(letter) for letter in NUCLEOTIDES}
    part = sum(counts.values()) / length
    # silk and other repeats of glycine and alanine have two of the letters; DNA of this length has more
    if part >= DNA_PART and sum(counts[letter] > 0 for letter in "ACGTU") >= 3:
        raise Fault(
            f"looks like DNA or RNA: {100 * part:.0f} % of {length} letters are A, C, G, T, U or N", "nucleotides"
        )
