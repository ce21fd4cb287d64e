"""What a prepared file of tags holds, split by split: counts, lengths, composition, and states or values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.leakage import protein_leakage
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.summary import bin_edges, histogram, moments, parts, spread
from biorrn.datasets.tag_file import TagFile
from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.states import NO_STATE


def tag_summary(path: str | Path) -> dict[str, Any]:
    """Return counts, lengths, composition, and the share of each state or the moments of each value of each split.

    Histograms are {"edges": (n + 1,), "counts": (n,)}; the splits share their edges.
    """
    with TagFile(path) as prepared:
        file, letters, tags = prepared.file, prepared.alphabet, prepared.tags
        codes, lengths = file["split"][:], np.diff(file["offsets"][:])
        tokens, owner = file["tokens"][:], np.repeat(codes, lengths)
        found = file["labels" if tags else "values"][:]
        said = file["probabilities"][:].any(1) if "probabilities" in file else None
        names = [target["name"] for target in prepared.targets]
    summary: dict[str, Any] = {"alphabet": letters, "tags": tags, "targets": {}}
    summary |= {"splits": {}, "lengths": {}, "composition": {}} | ({"states": {}} if tags else {})
    for code in range(len(SPLITS)):
        here, mine = codes == code, owner == code
        if not here.any():
            continue
        known = found[mine] != NO_STATE if tags else np.isfinite(found[mine]).any(1)
        summary["splits"][SPLITS[code]] = {
            "sequences": int(here.sum()),
            "residues": int(lengths[here].sum()),
            "labelled": int(known.sum()),
            **({} if said is None else {"labelled_by_model": int(said[mine].sum())}),
            **spread(lengths[here], "length"),
        }
        summary["lengths"][SPLITS[code]] = histogram(lengths[here], bin_edges(lengths, whole=True))
        counts = np.bincount(tokens[mine], minlength=len(letters) + 1)[1:]
        summary["composition"][SPLITS[code]] = parts(counts, letters)
        if tags:
            states = np.bincount(found[mine][known], minlength=len(tags["states"]))
            summary["states"][SPLITS[code]] = parts(states, tags["states"])
    for place, name in enumerate(names):
        column = found[:, place].astype(np.float64)
        entry: dict[str, Any] = {"statistics": {}, "histograms": {}}
        bounds = bin_edges(column[np.isfinite(column)])
        for split in summary["splits"]:
            mine = column[owner == SPLITS.index(split)]
            known = mine[np.isfinite(mine)]
            entry["statistics"][split] = {"n": len(known), "missing": len(mine) - len(known)} | moments(known)
            entry["histograms"][split] = histogram(known, bounds)
        summary["targets"][name] = entry
    return summary


def tag_leakage(path: str | Path) -> dict[str, Any]:
    """Return what `protein_leakage` says of proteins; for DNA, how many sequences are the same in two splits."""
    with TagFile(path) as file:
        protein = file.alphabet == RESIDUES
    return protein_leakage(path, opened=TagFile, near=protein)
