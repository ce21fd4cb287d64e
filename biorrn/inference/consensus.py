"""The consensus of reads that overlap: drafts, rounds of polishing, ends cut to the depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.files import write_text
from biorrn.inference.layout import Rules, Say, alike, lay_out, stretches
from biorrn.inference.polish import depth, place_reads, polish

MIN_CONTIG = 500  # bases of the shortest contig


@dataclass(frozen=True, slots=True)
class Contig:
    """A consensus sequence.

    Attributes
    ----------
    name : str.
    bases : str of ACGT, length L.
    depth : int64 array (L,): reads over each base.
    identities : float64 array (n,): of each read on it, matches / columns of the alignment.
    """

    name: str
    bases: str
    depth: np.ndarray
    identities: np.ndarray


def consensus(
    reads: list[str],
    rules: Rules,
    rounds: int = 4,
    drafts: list[str] | None = None,
    say: Say = lambda line: None,
) -> list[Contig]:
    """Return the consensus sequences of reads of one genome, the longest first.

    Parameters
    ----------
    reads : list of str of ACGTN.
    rules : the depth that each base of a consensus has, and threads.
    rounds : int: times that the reads are aligned anew and the drafts polished, at most; it ends when nothing changes.
    drafts : sequences to polish; default: `layout.lay_out` makes them.
    say : called with a line about each draft and round.
    """
    drafts = lay_out(reads, rules, say) if drafts is None else drafts
    models: list[Any] = [None] * len(drafts)
    for number in range(rounds):
        placed = alike(place_reads(drafts, reads, rules.threads)) if drafts else []
        changes = 0
        for row, draft in enumerate(drafts):
            ours = [place for place in placed if place.draft == row]
            drafts[row], models[row], made = polish(draft, ours, models[row], threads=rules.threads)
            changes += made
        say(f"round {number + 1}: {len(placed)} of {len(reads)} reads placed, {changes} edits")
        if not changes:
            break
    placed = alike(place_reads(drafts, reads, rules.threads)) if drafts else []
    found = []
    for row, draft in enumerate(drafts):
        ours = [place for place in placed if place.draft == row]
        over = depth(ours, len(draft))
        for start, end in stretches(over, rules.min_depth, MIN_CONTIG):
            # a read that lies on two stretches counts on the one that holds its middle
            identities = [place.identity for place in ours if start <= (place.start + place.end) // 2 < end]
            found.append((draft[start:end], over[start:end], np.array(identities)))
    found.sort(key=lambda entry: -len(entry[0]))
    return [Contig(f"consensus_{number}", *entry) for number, entry in enumerate(found, 1)]


def write_contigs(path: str | Path, contigs: list[Contig]) -> None:
    """Write contigs as FASTA, 80 bases a line; the header says length and median depth."""
    with write_text(path) as stream:
        for contig in contigs:
            over = f"{np.median(contig.depth):.0f}"
            print(f">{contig.name} length={len(contig.bases)} median_depth={over}", file=stream)
            for start in range(0, len(contig.bases), 80):
                print(contig.bases[start : start + 80], file=stream)
