"""How much of what is tested was trained on: identical and near-identical sequences, shared reference, shared reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.cluster import texts
from biorrn.datasets.prepare import PreparedFile, ProteinFile, SignalFile, gather
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.similarity import nearest, word_length
from biorrn.encoders.alphabets import RESIDUES

IDENTITIES = (0.9, 0.8)  # a neighbour of at least this identity is near-identical
SAMPLE = 2000  # sequences of a split that are compared with train; a larger split is sampled


def protein_leakage(
    path: str | Path,
    seed: int = 0,
    sample: int = SAMPLE,
    opened: type[PreparedFile] = ProteinFile,
    near: bool = True,
) -> dict[str, Any]:
    """Return how many proteins of valid and test have an identical or near-identical one in train.

    Parameters
    ----------
    path : a prepared protein file, or of another kind that `opened` opens.
    seed : int: chooses the sample.
    sample : int: most proteins of a split that are compared; identical ones are counted among all.
    near : bool: whether near-identical ones are looked for at all.

    Returns
    -------
    dict: split -> proteins, identical_in_train (of all), compared (how many of them), sampled (bool), and for each
    identity t of `IDENTITIES` "within_t": part of the compared that have a neighbour of at least t in train;
    and duplicates_in_train: proteins of train with an earlier copy there.
    """
    with opened(path) as file:
        offsets, codes, flat = file.file["offsets"][:], file.file["split"][:], file.file["tokens"]
        rows = [np.flatnonzero(codes == code) for code in range(len(SPLITS))]
        train_tokens = gather(flat, offsets, rows[0])
        train_offsets = _offsets(offsets, rows[0])
        train = {text: None for text in texts(train_tokens, train_offsets)}
        report: dict[str, Any] = {"duplicates_in_train": len(rows[0]) - len(train)}
        for code, name in enumerate(SPLITS[1:], start=1):
            tokens, bounds = gather(flat, offsets, rows[code]), _offsets(offsets, rows[code])
            identical = sum(text in train for text in texts(tokens, bounds))
            chosen = np.arange(len(rows[code]))
            if len(chosen) > sample:
                chosen = np.sort(np.random.default_rng(seed).choice(chosen, sample, replace=False))
            near = near and file.file.attrs.get("alphabet", RESIDUES) == RESIDUES  # identity is that of proteins
            chosen = chosen if near else chosen[:0]
            compared, lowest = len(chosen), min(IDENTITIES)
            entry: dict[str, Any] = {"proteins": len(rows[code]), "identical_in_train": identical, "compared": compared}
            entry["sampled"] = near and compared < len(rows[code])
            if compared:
                queries, query_offsets = gather(tokens, bounds, chosen), _offsets(bounds, chosen)
                _, best = nearest(
                    queries, query_offsets, train_tokens, train_offsets, lowest, word_length(lowest), max(IDENTITIES)
                )
                for identity in IDENTITIES:
                    entry[f"within_{identity:g}"] = float((best >= identity - 1e-9).mean())
            report[name] = entry
    return report


def signal_leakage(path: str | Path) -> dict[str, Any]:
    """Return how much of the reference that valid and test cover is covered by train, and how many reads they share.

    Returns
    -------
    dict: split -> segments, reads_in_train (reads with a segment there), reference_bases (distinct places covered, both
    strands as one) and covered_by_train (the part of them; None where nothing has a reference).
    """
    with SignalFile(path) as file:
        codes, names = file.file["split"][:], np.asarray(file.strings("reference"), object)
        starts, ends = file.file["ref_start"][:], file.file["ref_end"][:]
        reads = np.asarray(file.strings("read_id"), object)
    report: dict[str, Any] = {}
    for code, name in enumerate(SPLITS[1:], start=1):
        covered = both = 0
        for reference in sorted(set(names[codes == code]) - {""}):
            here = names == reference
            spans = _union(starts[here & (codes == code)], ends[here & (codes == code)])
            train = _union(starts[here & (codes == 0)], ends[here & (codes == 0)])
            covered += int(np.diff(spans, axis=1).sum())
            both += _overlap(spans, train)
        report[name] = {
            "segments": int((codes == code).sum()),
            "reads_in_train": len(set(reads[codes == code]) & set(reads[codes == 0])),
            "reference_bases": covered,
            "covered_by_train": both / covered if covered else None,
        }
    return report


def _offsets(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.diff(offsets)[rows])]).astype(np.int64)


def _union(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the union of half-open spans as disjoint spans (N, 2), in order."""
    merged: list[list[int]] = []
    for place in np.argsort(starts, kind="stable"):
        if merged and starts[place] <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], int(ends[place]))
        else:
            merged.append([int(starts[place]), int(ends[place])])
    return np.array(merged, np.int64).reshape(-1, 2)


def _overlap(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many places lie in both of two lists of disjoint spans."""
    return int(sum(np.clip(np.minimum(b[:, 1], end) - np.maximum(b[:, 0], start), 0, None).sum() for start, end in a))
