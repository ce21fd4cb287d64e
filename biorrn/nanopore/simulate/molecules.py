"""Molecules that are simulated: what kits put before and behind a fragment, and poly(A) or poly(T) tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biorrn.nanopore.reads.kits import Kit
from biorrn.sequences.alphabets import decode_bases, encode_bases, reverse_complement

# the public sequences of ONT's ligation adapter, before and behind the strand
ADAPTER = encode_bases("AATGTACTTCGTTCAGTTACGTATTGCT")
TAIL = encode_bases("GCAATACGTAACTGAACGAAGT")
# of ONT's cDNA kits: of the 5' end of the transcript, and before the poly(T) of its complement
STRAND_SWITCH, OLIGO_DT = encode_bases("TTTCTGTTGGTGCTGATATTGC"), encode_bases("ACTTGCCTGTCGCTCTATCTTC")


@dataclass(frozen=True, slots=True)
class Ends:
    """What stands around a fragment.

    Attributes
    ----------
    front, rear : uint8 arrays: bases before and behind it.
    poly_a : int: bases of the poly(A) tail behind it, or of poly(T) before it; 0 for none.
    turned : bool: it is poly(T), the last bases of `front`; poly(A) is the first bases of `rear`.
    """

    front: np.ndarray
    rear: np.ndarray
    poly_a: int = 0
    turned: bool = False


def ends(kit: Kit | None, poly_a: tuple[int, int] | None, seed: int, number: int) -> Ends:
    """Return what stands around the fragment of a read: adapters, barcodes with their flanks, and primers with a tail.

    Parameters
    ----------
    kit : Kit or None: its barcode stands between adapter and fragment; see `barcode_of`.
    poly_a : (int, int) or None: shortest and longest tail of cDNA, in bases; uniform. Half of the reads are of the
        strand that begins with poly(T).
    """
    front, rear = _barcoded(kit, seed, number)
    if poly_a is None:
        return Ends(front, rear)
    rng = np.random.default_rng([seed, 5, number])
    size, turned = int(rng.integers(poly_a[0], poly_a[1] + 1)), bool(rng.integers(2))
    if turned:
        tail = np.full(size, 4, np.uint8)
        return Ends(
            np.concatenate([front, OLIGO_DT, tail]),
            np.concatenate([reverse_complement(STRAND_SWITCH), rear]),
            size,
            True,
        )
    tail = np.full(size, 1, np.uint8)
    return Ends(
        np.concatenate([front, STRAND_SWITCH]), np.concatenate([tail, reverse_complement(OLIGO_DT), rear]), size
    )


def _barcoded(kit: Kit | None, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    if kit is None:
        return ADAPTER, TAIL
    name = barcode_of(kit, seed, number)
    # where both ends differ, the strand decides which comes first
    order = 1 if np.random.default_rng([seed, 3, number]).integers(2) else -1
    pairs = kit.pairs()[::order]
    first, last = (before + barcodes[name] + after for before, barcodes, after in (pairs[0], pairs[-1]))
    front = joined(decode_bases(ADAPTER), first)
    if not kit.both:
        return encode_bases(front), TAIL
    behind = decode_bases(reverse_complement(encode_bases(last)))
    return encode_bases(front), encode_bases(joined(behind, decode_bases(TAIL)))


def joined(one: str, other: str) -> str:
    """Return one sequence and another, whose first bases may be the last of the one.

    >>> joined("AATGTATTGCT", "ATTGCTAAGG"), joined("AATGT", "CCG")
    ('AATGTATTGCTAAGG', 'AATGTCCG')
    """
    size = next(size for size in range(min(len(one), len(other)), -1, -1) if one.endswith(other[:size]))
    return one + other[size:]


def barcode_of(kit: Kit, seed: int, number: int) -> str:
    """Return the name of the barcode of a simulated read, drawn uniformly."""
    return str(np.random.default_rng([seed, 2, number]).choice(list(kit.barcodes)))
