"""How far a consensus can be trusted: depth, identity of its reads, and the consensuses of two halves of the reads.

An error that all reads share, as a homopolymer that the caller always shortens, is in the consensus too, and in that of
any part of the reads: comparing the consensuses of two halves finds the errors of chance and none of those.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.errors import InputError
from biorrn.inference.consensus import Contig, consensus
from biorrn.inference.layout import Rules, Say, stretches
from biorrn.inference.polish import codes
from biorrn.readers.nucleotides import read_bases

DEEP = 15  # reads over a base that is called deep in reports
WINDOW = 100  # bases of each number of a depth profile
RUN_LENGTH = 3  # equal bases from which a run counts as a homopolymer
KINDS = ("mismatch", "homopolymer", "indel")
LEAST_BASES = 20  # of a draft: shorter ones cannot be indexed


def make_consensus(
    path: str | Path,
    *,
    draft: str | Path | None,
    rounds: int,
    min_depth: int,
    check: bool,
    threads: int,
    say: Say = lambda line: None,
) -> tuple[list[Contig], dict[str, Any]]:
    """Return the consensus of the reads of a file, and the numbers about it (JSON of plain values).

    Parameters
    ----------
    path : FASTA or FASTQ of called reads.
    draft : FASTA to polish; None: drafts are made of the reads.
    rounds, min_depth, threads : as in `consensus.consensus`.
    check : bool: compare the consensuses of two halves of the reads.
    say : called with a line about each step.

    Raises
    ------
    InputError: a file is not what it should be, or no place has `min_depth` reads.
    """
    reads = [bases for _, bases in read_bases(path)]
    drafts = None
    if draft is not None:
        named = list(read_bases(draft))
        for name, bases in named:
            if len(bases) < LEAST_BASES:
                raise InputError(draft, f"has {len(bases)} bases; allowed are {LEAST_BASES} or more", record=name)
        drafts = [bases.replace("N", "A") for _, bases in named]
    rules = Rules(min_depth, threads)
    contigs = consensus(reads, rules, rounds, drafts, say)
    if not contigs:
        raise InputError(
            path, f"no place has {min_depth} of the {len(reads)} reads; allowed: deeper reads, --min-depth"
        )
    numbers: dict[str, Any] = {
        "reads": len(reads),
        "placed": sum(len(contig.identities) for contig in contigs),
        "bases": sum(len(contig.bases) for contig in contigs),
        "identity_median": _median(np.concatenate([contig.identities for contig in contigs])),
        "contigs": [_numbers(contig) for contig in contigs],
    }
    if check:
        say("two halves of the reads")
        first, second = halves(reads, rules, rounds)
        numbers["halves"] = disagreement(first, second)
    return contigs, numbers


def _numbers(contig: Contig) -> dict[str, Any]:
    over = contig.depth
    return {
        "name": contig.name,
        "bases": len(contig.bases),
        "depth_median": _median(over),
        "depth_max": int(over.max()),
        "deep_spans": stretches(over, DEEP),
        "depth_profile": [round(float(over[at : at + WINDOW].mean()), 1) for at in range(0, len(over), WINDOW)],
        "identity_median": _median(contig.identities),
    }


def _median(values: np.ndarray) -> float:
    return round(float(np.median(values)), 4) if len(values) else 0.0


def summary(numbers: dict[str, Any]) -> list[str]:
    """Return what `make_consensus` found as a few lines for a person."""
    lines = [
        f"{numbers['bases']} bases in {len(numbers['contigs'])} contigs; "
        f"{numbers['placed']} of {numbers['reads']} reads on them, median identity {numbers['identity_median']:.4f}"
    ]
    for contig in numbers["contigs"]:
        spans = ", ".join(f"{start}-{end}" for start, end in contig["deep_spans"]) or "nowhere"
        lines.append(
            f"{contig['name']}: {contig['bases']} bases, depth median {contig['depth_median']:.0f}, "
            f"most {contig['depth_max']}; {DEEP} or more at {spans}"
        )
    if "halves" in numbers:
        both = numbers["halves"]
        lines.append(
            f"two halves of the reads differ in {100 * both['rate']:.2f} % of {both['bases']} bases: "
            + ", ".join(f"{both[kind]} {kind}" for kind in KINDS)
            + "; errors that all reads share are not among them"
        )
    return lines


def halves(reads: list[str], rules: Rules, rounds: int = 4) -> tuple[list[Contig], list[Contig]]:
    """Return the consensuses of two halves of the reads, made without knowledge of each other.

    Reads are dealt out by length, so that both halves hold long ones; half of the depth is asked for.
    """
    order = sorted(range(len(reads)), key=lambda row: (-len(reads[row]), row))
    half = Rules(max(2, rules.min_depth // 2), rules.threads)
    first, second = (consensus([reads[row] for row in order[part::2]], half, rounds) for part in (0, 1))
    return first, second


def disagreement(first: list[Contig], second: list[Contig], least: int = DEEP // 2) -> dict[str, Any]:
    """Compare consensuses of the same genome, where both have at least `least` reads over a base.

    Returns
    -------
    bases compared, and the number of each of `KINDS`: mismatches; bases more or fewer in a run of `RUN_LENGTH` or more
    in the longer of both; other bases more or fewer.
    """
    import mappy

    counts: Counter[str] = Counter(dict.fromkeys(("bases", *KINDS), 0))
    for one in first:
        index = mappy.Aligner(seq=one.bases, preset="asm10")
        for other in second:
            for hit in index.map(other.bases):
                if hit.is_primary and hit.mlen >= 0.9 * hit.blen:
                    counts += _differences(hit, one, other, least)
    for name in ("bases", *KINDS):
        counts[name] += 0  # adding Counters drops what is zero
    errors = sum(counts[kind] for kind in KINDS)
    return {**{name: counts[name] for name in ("bases", *KINDS)}, "rate": errors / max(counts["bases"], 1)}


def _differences(hit: Any, one: Contig, other: Contig, least: int) -> Counter[str]:
    bases, over = codes(other.bases), other.depth
    if hit.strand < 0:
        bases, over = 3 - bases[::-1], over[::-1]
    here = hit.q_st if hit.strand > 0 else len(bases) - hit.q_en
    true, there = codes(one.bases), hit.r_st
    runs, true_runs = run_lengths(bases), run_lengths(true)
    counts: Counter[str] = Counter()
    for length, operation in hit.cigar:
        for _ in range(length):
            deep = min(over[min(here, len(over) - 1)], one.depth[min(there, len(true) - 1)]) >= least
            if operation == 0:
                counts["mismatch"] += int(deep and bases[here] != true[there])
            else:
                run = runs[here] if operation == 1 else true_runs[there]
                counts["homopolymer" if run >= RUN_LENGTH else "indel"] += int(deep)
            counts["bases"] += int(deep and operation != 1)
            here += operation != 2
            there += operation != 1
    return counts


def run_lengths(bases: np.ndarray) -> np.ndarray:
    """Return int64 (n,): the length of the run of equal bases that each stands in.

    >>> run_lengths(codes("AACGGG")).tolist()
    [2, 2, 1, 3, 3, 3]
    """
    edges = (
        np.flatnonzero(np.concatenate([[True], bases[1:] != bases[:-1], [True]])) if len(bases) else np.zeros(1, int)
    )
    lengths = np.diff(edges)
    return np.repeat(lengths, lengths)
