"""What an assembly is like: contigs, N50, and against a reference what part is there and how right it is.

Contigs are aligned with minimap2's presets for assemblies: asm5, and where that leaves more than a hundredth of their
bases unaligned the wider ones too, of which the one that aligns the most counts. Identity is matches over the columns
of the primary and supplementary alignments, in which each base of a gap counts. What does not align is not in it, but
in the aligned fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.evaluation.counts import Counts
from biorrn.evaluation.described import aligned_rows, described
from biorrn.inference.assemble import Assembly, Contig, versions
from biorrn.inference.mapping import Mapper

PRESETS = ("asm5", "asm10", "asm20")  # of minimap2, tried in this order
ENOUGH = 0.99  # of the contigs' bases
MOST = 1000  # contigs and alignments that are named one by one


def aligned_contigs(contigs: Iterable[Contig], mapper: Mapper) -> list[dict[str, Any]]:
    """Return the alignments of contigs: names, spans (0-based, half-open), strand and counts of columns by kind."""
    found = []
    for contig in contigs:
        for hit in mapper.hits(contig.bases):
            insertions, deletions = (sum(size for size, kind in hit.cigar if kind == gap) for gap in (1, 2))
            found.append({
                "contig": contig.name, "start": hit.q_st, "end": hit.q_en,
                "reference": hit.ctg, "reference_start": hit.r_st, "reference_end": hit.r_en,
                "strand": "+" if hit.strand > 0 else "-",
                "matches": hit.mlen, "columns": hit.blen,
                "mismatches": max(0, hit.blen - hit.mlen - insertions - deletions),
                "insertions": insertions, "deletions": deletions,
            })  # fmt: skip
    return found


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many places lie in at least one of some spans.

    >>> covered([(0, 10), (5, 12), (20, 21)])
    13
    """
    total, reached = 0, -1
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def against(contigs: list[Contig], reference: Path) -> dict[str, Any]:
    """Return what contigs hold of a reference, and how right they are.

    Returns
    -------
    dict: preset; identity (NaN where nothing aligns); per_100_kb: mismatches, insertions and deletions in 100,000
    columns; aligned_fraction of the contigs' bases; reference_fraction covered by them; duplication: aligned bases of
    the contigs for each base of the reference that they cover; alignments.

    Raises
    ------
    InputError: the reference cannot be used.
    """
    bases = sum(len(contig.bases) for contig in contigs)
    preset, on_contigs = PRESETS[0], -1
    rows: list[dict[str, Any]] = []
    for tried in PRESETS:
        mapper = Mapper(reference, tried)
        found = aligned_contigs(contigs, mapper)
        aligned = _covered(found, "contig", "start", "end")
        if aligned > on_contigs:
            preset, rows, on_contigs = tried, found, aligned
        if on_contigs >= ENOUGH * bases:
            break
    columns = sum(row["columns"] for row in rows)
    on_reference = _covered(rows, "reference", "reference_start", "reference_end")
    return {
        "path": str(reference),
        "bases": sum(mapper.lengths.values()),
        "preset": preset,
        "identity": sum(row["matches"] for row in rows) / columns if columns else float("nan"),
        "per_100_kb": {
            name: 1e5 * sum(row[name] for row in rows) / columns if columns else float("nan")
            for name in ("mismatches", "insertions", "deletions")
        },
        "aligned_fraction": on_contigs / bases if bases else float("nan"),
        "reference_fraction": on_reference / sum(mapper.lengths.values()),
        "duplication": on_contigs / on_reference if on_reference else float("nan"),
        "alignments": rows[:MOST],
        "sequences": [{"name": name, "length": length} for name, length in mapper.lengths.items()][:MOST],
    }


def _covered(rows: list[dict[str, Any]], name: str, start: str, end: str) -> int:
    places: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        places.setdefault(row[name], []).append((row[start], row[end]))
    return sum(covered(spans) for spans in places.values())


def describe_assembly(
    made: Assembly, *, reads: str | Path, reference: Path | None = None, name: str, note: str = ""
) -> dict[str, Any]:
    """Return what `biorrn assemble` writes: see the keys; `skipped` only where nothing was done."""
    inputs = {"reads": reads} | ({"reference": reference} if reference is not None else {})
    content = described("assembly", name, inputs, note)
    lengths, sizes = Counts(), Counts()
    lengths.add(np.array(made.lengths, np.int64))
    sizes.add(np.array([len(contig.bases) for contig in made.contigs], np.int64))
    content |= {
        "counts": {
            "reads": lengths.total,
            "read_bases": lengths.sum,
            "read_n50": lengths.n50(),
            "contigs": len(made.contigs),
            "bases": sizes.sum,
            "n50": sizes.n50(),
            "longest": sizes.ends()[1],
            "circular": sum(contig.circular for contig in made.contigs),
        },
        "contigs": [
            {"name": contig.name, "length": len(contig.bases), "circular": contig.circular}
            for contig in made.contigs[:MOST]
        ],
        "tools": versions(),
        "layout_options": made.layout,
        "rounds": made.rounds,
        "seconds": {step: round(value, 3) for step, value in made.seconds.items()},
        "reference": None,
    }
    if made.skipped:
        return content | {"skipped": made.skipped}
    if not made.contigs:
        content["cautions"].append(
            f"No contig came out of {lengths.total:,} reads with {lengths.sum:,} bases: too few of them overlap."
        )
    elif made.layout:
        content["cautions"].append(
            f"miniasm laid out nothing by its defaults, and these contigs with {made.layout}: where one read stands "
            "alone, nothing corrects it."
        )
    if reference is not None and made.contigs:
        content["reference"] = against(made.contigs, reference)
    return content


def assembly_lines(content: dict[str, Any]) -> list[str]:
    """Return what a terminal shows of it."""
    if "skipped" in content:
        return [f"skipped: {content['skipped']}"]
    counts, found = content["counts"], content["reference"]
    rows = [
        ("reads", f"{counts['reads']:,}"),
        ("bases in reads", f"{counts['read_bases']:,}"),
        ("contigs", f"{counts['contigs']:,}"),
        ("bases in contigs", f"{counts['bases']:,}"),
        ("contig N50", f"{counts['n50']:,}"),
        ("circular contigs", f"{counts['circular']:,}"),
    ]
    if found:
        rows += [
            ("identity", "-" if not np.isfinite(found["identity"]) else f"{100 * found['identity']:.3f} %"),
            *((f"{name} per 100 kb", f"{value:.1f}") for name, value in found["per_100_kb"].items()),
            ("contigs aligned", f"{100 * found['aligned_fraction']:.2f} %"),
            ("reference covered", f"{100 * found['reference_fraction']:.2f} %"),
        ]
    rows.append(("seconds", f"{sum(content['seconds'].values()):.1f}"))
    return [*aligned_rows(rows), *content["cautions"]]
