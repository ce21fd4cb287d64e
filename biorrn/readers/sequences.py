"""Cleaning protein sequences, the same for FASTA and tables."""

from biorrn.readers.fields import Fault

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"
UNKNOWN = "BZJUO"  # ambiguous codes, selenocysteine and pyrrolysine: read as X
GAPS = "-."
NUCLEOTIDES = "ACGTUN"
DNA_LENGTH, DNA_PART = 30, 0.95  # a sequence as long, with so many nucleotide letters, is taken for DNA or RNA

_CLEAN = str.maketrans(
    {residue.lower(): residue for residue in RESIDUES}
    | {letter: "X" for letter in UNKNOWN + UNKNOWN.lower()}
    | dict.fromkeys(GAPS, "")
)
_RESIDUES_AWAY = str.maketrans("", "", RESIDUES)


def clean_sequence(written: str) -> tuple[str, int]:
    """Return a sequence in upper-case letters of `RESIDUES`, and how many of them are X.

    White space and gaps (`-` and `.`) are removed, lower case becomes upper case, `*` at the end is dropped, and
    B, Z, J, U and O become X.

    Raises
    ------
    Fault: another character, a `*` before the end, an empty sequence, or what looks like DNA or RNA: at least 30
        letters, 95 % of them A, C, G, T, U or N, and at least three different ones of A, C, G, T, U. Positions count
        from 1 in the sequence as written, gaps included, white space not.

    >>> clean_sequence("mk-v lu*")
    ('MKVLX', 1)
    >>> clean_sequence("MK7V")
    Traceback (most recent call last):
    biorrn.readers.fields.Fault: residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """
    packed = "".join(written.split())
    sequence = packed.translate(_CLEAN).rstrip("*")
    wrong = sequence.translate(_RESIDUES_AWAY)
    if wrong:
        position = packed.index(wrong[0]) + 1
        if wrong[0] == "*":
            raise Fault(f"stop codon '*' at position {position}; allowed is one at the end only")
        raise Fault(f"residue {wrong[0]!r} at position {position} is not one of {RESIDUES}")
    if not sequence:
        raise Fault("the sequence is empty")
    if len(sequence) >= DNA_LENGTH:
        _check_protein(packed.upper(), len(sequence))
    return sequence, sequence.count("X")


def _check_protein(packed: str, length: int) -> None:
    counts = {letter: packed.count(letter) for letter in NUCLEOTIDES}
    part = sum(counts.values()) / length
    # silk and other repeats of glycine and alanine have two of the letters; DNA of this length has more
    if part >= DNA_PART and sum(counts[letter] > 0 for letter in "ACGTU") >= 3:
        raise Fault(f"looks like DNA or RNA: {100 * part:.0f} % of {length} letters are A, C, G, T, U or N")
