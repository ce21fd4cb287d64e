"""What is sequenced in a simulation: sequences from FASTA or drawn at random, and the fragments of both strands."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.encoders.bases import decode_bases, encode_bases, reverse_complement
from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.files import open_text, write_text
from biorrn.readers.fasta import fasta_records, first_word

TRIES = 100  # draws of a fragment before it is given up: a reference of Ns has none
AMBIGUOUS = str.maketrans("RYSWKMBDHVryswkmbdhv", "N" * 20)
SHORTEST = 50  # bases of a fragment


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of one strand.

    Attributes
    ----------
    bases : uint8 array (L,): 1 A, 2 C, 3 G, 4 T, 5' to 3' of the strand.
    reference : str; start, end : int: 0-based, half-open, on the forward strand; strand : str: "+" or "-".
    """

    bases: np.ndarray
    reference: str
    start: int
    end: int
    strand: str


def read_genome(path: str | Path) -> dict[str, np.ndarray]:
    """Return the sequences of a FASTA file of DNA by name, uint8 arrays (L,): 1 A, 2 C, 3 G, 4 T, 0 any other letter.

    Raises
    ------
    InputError: not FASTA, a name twice, an empty sequence, or a letter that stands for no nucleotide.
    """
    found: dict[str, np.ndarray] = {}
    with open_text(path) as file:
        for number, header, parts in fasta_records(enumerate(file, 1), path):
            name = first_word(header)
            if not name:
                raise InputError(path, f"line {number}: a header without a name; allowed is > and a name")
            if name in found:
                raise InputError(path, f"line {number}: the name is given twice; allowed is once", name)
            found[name] = _codes(path, name, "".join(map(str.strip, parts)))
    if not found:
        raise InputError(path, "the file is empty; expected FASTA of DNA")
    return found


def _codes(path: str | Path, name: str, letters: str) -> np.ndarray:
    if not letters:
        raise InputError(path, "the sequence is empty", name)
    try:
        return encode_bases(letters.translate(AMBIGUOUS))
    except BiorrnError as error:
        raise InputError(path, str(error), name) from error


def random_genome(description: str, seed: int) -> dict[str, np.ndarray]:
    """Return one random sequence from LENGTH or LENGTH:GC, the part of G and C from 0 to 1 (0.5 where it is not given).

    Raises
    ------
    ConfigError: no such numbers.

    >>> random_genome("1000:1", 0)["random"].tolist().count(1)
    0
    """
    length, _, part = description.partition(":")
    try:
        size, gc = int(length), float(part) if part else 0.5
    except ValueError:
        size, gc = 0, 0.5
    if size < SHORTEST or not 0 <= gc <= 1:
        raise ConfigError(
            f"--random-genome: found '{description}'; allowed is LENGTH[:GC], {SHORTEST} bases or more, GC 0 to 1"
        )
    rng = np.random.default_rng([seed, 0])
    chances = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    return {"random": (rng.choice(4, size, p=chances) + 1).astype(np.uint8)}


def write_genome(path: str | Path, genome: dict[str, np.ndarray]) -> None:
    """Write sequences as FASTA, 80 bases a line."""
    with write_text(path) as out:
        for name, codes in genome.items():
            letters = decode_bases(codes)
            print(f">{name}", file=out)
            for start in range(0, len(letters), 80):
                print(letters[start : start + 80], file=out)


def draw_fragment(
    rng: np.random.Generator, genome: dict[str, np.ndarray], mean: float, shape: float
) -> Fragment | None:
    """Return a fragment of either strand, or None where none without an unknown base was found.

    Lengths are gamma-distributed about `mean` bases with the given shape, at least `SHORTEST` and at most the longest
    sequence; each place where the fragment fits is as likely as another.
    """
    longest = max(map(len, genome.values()))
    for _ in range(TRIES):
        size = int(np.clip(rng.gamma(shape, mean / shape), min(SHORTEST, longest), longest))
        places = np.array([max(0, len(codes) - size + 1) for codes in genome.values()])
        place = int(rng.integers(places.sum()))
        which = int(np.searchsorted(np.cumsum(places), place, side="right"))
        name = list(genome)[which]
        start = place - int(places[:which].sum())
        bases = genome[name][start : start + size]
        forward = bool(rng.integers(2))
        if bases.all():
            strand = bases if forward else reverse_complement(bases)
            return Fragment(strand, name, start, start + size, "+" if forward else "-")
    return None
