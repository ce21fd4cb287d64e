"""What a set of proteins is like: variants of one protein, or proteins that differ; and how its targets spread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biorrn.datasets.similarity import edit_distance
from biorrn.encoders.consensus import consensus as consensus_of
from biorrn.encoders.residues import sequence
from biorrn.tasks.protein_table import Table, distinct

SAMPLE = 2000  # rows that are compared with the consensus
NEAR = 0.15  # edits from the consensus, as a part of its length, up to which a row is a variant
LEAST_EDITS = 5  # a short protein may differ by so many and still be one
VARIANTS = 0.8  # part of the rows that makes a set one of variants
VARIED = 0.002  # part of the rows that differ at a place that varies
NARROW = 0.25  # the middle nine tenths of the lengths span less of the median: designed to a length


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a table.

    Attributes
    ----------
    rows, residues, sequences : int: proteins, residues of all, distinct sequences.
    shortest, middle, longest, lengths : int: residues; how many distinct lengths.
    kind : str: "variants" of one protein, "designs" (unlike, of about one length) or "natural" (unlike, any length).
    variants : float: part of the rows that are variants of the consensus.
    edits : float: median edits of a row from the consensus; NaN where the set is no set of variants.
    most_edits : float: the same, 99th percentile.
    reference : str: the consensus of a set of variants, "" otherwise.
    positions : int: places of the consensus where more than 2 rows in 1,000 of its length differ.
    repeats : float: standard deviation between measurements of one sequence, of the first target; NaN without any.
    targets : list of {"name", "known", "missing", "mean", "standard_deviation", "lowest", "highest", "distinct"}.
    """

    rows: int
    residues: int
    sequences: int
    shortest: int
    middle: int
    longest: int
    lengths: int
    kind: str
    variants: float
    edits: float
    most_edits: float
    reference: str
    positions: int
    repeats: float
    targets: list[dict[str, Any]] = field(default_factory=list)


def look(table: Table, names: tuple[str, ...] | list[str], seed: int = 0) -> Look:
    """Look at a table.

    Parameters
    ----------
    table : Table of N rows.
    names : of its K targets.
    seed : int: chooses the rows that are compared.
    """
    lengths = table.lengths
    numbers = distinct(table)
    consensus = consensus_of(table.tokens, lengths)
    edits = edits_from(table, consensus, seed)
    limit = variant_limit(len(consensus))
    share = float((edits <= limit).mean())
    is_variants = share >= VARIANTS
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    kind = "variants" if is_variants else "designs" if high - low <= NARROW * middle else "natural"
    near = edits[edits <= limit]
    return Look(
        rows=len(table),
        residues=int(lengths.sum()),
        sequences=int(numbers.max()) + 1,
        shortest=int(lengths.min()),
        middle=int(middle),
        longest=int(lengths.max()),
        lengths=len(np.unique(lengths)),
        kind=kind,
        variants=share,
        edits=float(np.median(near)) if is_variants else float("nan"),
        most_edits=float(np.quantile(near, 0.99)) if is_variants else float("nan"),
        reference=sequence(consensus) if is_variants else "",
        positions=_positions(table, consensus) if is_variants else 0,
        repeats=_repeats(numbers, table.targets[:, 0]),
        targets=[_target(name, table.targets[:, place]) for place, name in enumerate(names)],
    )


def variant_limit(length: int) -> int:
    """Return the most edits at which a protein counts as a variant of one of `length` residues."""
    return max(min(LEAST_EDITS, length // 4), int(NEAR * length))


def edits_from(table: Table, consensus: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the edits between each of at most `SAMPLE` rows and the consensus, float64; infinite above the limit."""
    limit = variant_limit(len(consensus))
    chosen = np.arange(len(table))
    if len(chosen) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, SAMPLE, replace=False))
    edits = np.full(len(chosen), np.inf)
    for place, row in enumerate(chosen):
        tokens = table.sequence(int(row))
        if len(tokens) == len(consensus):
            edits[place] = int((tokens != consensus).sum())
        elif abs(len(tokens) - len(consensus)) <= limit:
            edits[place] = edit_distance(tokens, consensus, limit)
    return np.where(edits <= limit, edits, np.inf)


def _positions(table: Table, consensus: np.ndarray) -> int:
    starts = table.offsets[:-1][table.lengths == len(consensus)]
    differs = np.stack([table.tokens[starts + place] != residue for place, residue in enumerate(consensus)])
    return int((differs.mean(axis=1) > VARIED).sum())


def _repeats(numbers: np.ndarray, target: np.ndarray) -> float:
    known = np.isfinite(target)
    numbers, target = numbers[known], target[known]
    if not len(numbers):
        return float("nan")
    counts = np.bincount(numbers)
    sums = np.bincount(numbers, target)
    again = counts[numbers] > 1
    free = int(again.sum() - (counts > 1).sum())
    if free < 5:
        return float("nan")
    squares = np.square(target - (sums / np.maximum(counts, 1))[numbers])[again].sum()
    return float(np.sqrt(squares / free))


def _target(name: str, values: np.ndarray) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    return {
        "name": name,
        "known": len(known),
        "missing": len(values) - len(known),
        "mean": float(known.mean()),
        "standard_deviation": float(known.std()),
        "lowest": float(known.min()),
        "highest": float(known.max()),
        "distinct": len(np.unique(known)),
    }


def lines(seen: Look) -> list[str]:
    """Return what was seen in plain lines."""
    spread = f"{seen.shortest} residues" if seen.lengths == 1 else f"{seen.shortest} to {seen.longest} residues"
    said = [f"{seen.rows:,} proteins of {spread} ({seen.lengths} distinct lengths)"]
    if seen.sequences < seen.rows:
        again = f"; measurements of one sequence differ by {seen.repeats:.3g} (SD)" if seen.repeats >= 0 else ""
        said[0] += f", {seen.sequences:,} distinct sequences{again}"
    if seen.kind == "variants":
        said.append(
            f"{100 * seen.variants:.0f} % are variants of one protein of {len(seen.reference)} residues: "
            f"{seen.edits:g} edits in the median, up to {seen.most_edits:g}, at {seen.positions} positions"
        )
    elif seen.kind == "designs":
        said.append("they are no variants of one protein, and are of about one length: treated as designed proteins")
    else:
        said.append("they are no variants of one protein, and differ in length: treated as natural proteins")
    for target in seen.targets:
        text = f"{target['name']}: {target['known']:,} values, mean {target['mean']:.4g}, SD "
        text += f"{target['standard_deviation']:.3g}, {target['lowest']:.4g} to {target['highest']:.4g}"
        said.append(text + (f", {target['missing']:,} missing" if target["missing"] else ""))
        if target["distinct"] <= 2:
            said.append(f"{target['name']} has two values: it is learned as a number between them, not as classes")
    return said
