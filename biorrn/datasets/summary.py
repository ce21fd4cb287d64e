"""What a prepared file holds, split by split, as numbers and histograms for a report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biorrn.datasets.prepare import ProteinFile, SignalFile
from biorrn.datasets.schema import SPLITS
from biorrn.encoders.alphabets import BASES, RESIDUES

BINS = 30
BLOCK = 1 << 20  # elements of a flat dataset in memory at a time
LONGEST_DWELL = 60  # samples; longer ones are counted in the last bin


def protein_summary(path: str | Path) -> dict[str, Any]:
    """Return counts, lengths, residue composition and target values of each split of a prepared protein file.

    Histograms are {"edges": (n + 1,), "counts": (n,)}; the splits share their edges.
    """
    with ProteinFile(path) as prepared:
        file = prepared.file
        codes, lengths = file["split"][:], np.diff(file["offsets"][:])
        targets, weights = file["targets"][:].astype(np.float64), file["weights"][:]
        alphabet = prepared.alphabet
        residues = _composition(file["tokens"], np.repeat(codes, lengths), len(alphabet) + 1)[:, 1:]
        names = [target["name"] for target in prepared.targets]
    present = [code for code in range(len(SPLITS)) if (codes == code).any()]
    summary: dict[str, Any] = {"splits": {}, "lengths": {}, "composition": {}, "targets": {}}
    if alphabet != RESIDUES:
        summary["alphabet"] = alphabet
    for code in present:
        here = codes == code
        summary["splits"][SPLITS[code]] = {
            "proteins": int(here.sum()),
            "residues": int(lengths[here].sum()),
            **spread(lengths[here], "length"),
            "sum_of_weights": float(weights[here].sum()),
        }
        summary["lengths"][SPLITS[code]] = histogram(lengths[here], bin_edges(lengths, whole=True))
        summary["composition"][SPLITS[code]] = parts(residues[code], alphabet)
    for place, name in enumerate(names):
        values = targets[:, place]
        edges = bin_edges(values[np.isfinite(values)])
        entry: dict[str, Any] = {"statistics": {}, "histograms": {}}
        for code in present:
            known = values[(codes == code) & np.isfinite(values)]
            missing = int(((codes == code) & ~np.isfinite(values)).sum())
            entry["statistics"][SPLITS[code]] = {"n": len(known), "missing": missing} | moments(known)
            entry["histograms"][SPLITS[code]] = histogram(known, edges)
        summary["targets"][name] = entry
    return summary


def signal_summary(path: str | Path) -> dict[str, Any]:
    """Return counts, segment lengths, samples a base and base composition of each split of a prepared signal file."""
    with SignalFile(path) as prepared:
        file = prepared.file
        codes, samples = file["split"][:], np.diff(file["signal_offsets"][:])
        bases, reads = np.diff(file["base_offsets"][:]), np.asarray(prepared.strings("read_id"), object)
        composition = _composition(file["bases"], np.repeat(codes, bases), len(BASES))[:, 1:]
        dwell = np.zeros((len(SPLITS), LONGEST_DWELL), np.int64)
        for row, (_, starts) in enumerate(prepared.labels(row) for row in range(len(codes))):
            lasting = np.clip(np.diff(np.append(starts, samples[row])), 1, LONGEST_DWELL)
            dwell[codes[row]] += np.bincount(lasting - 1, minlength=LONGEST_DWELL)
        rate = prepared.sample_rate
    summary: dict[str, Any] = {"splits": {}, "segment_samples": {}, "samples_a_base": {}, "composition": {}}
    for code, name in enumerate(SPLITS):
        here = codes == code
        if not here.any():
            continue
        summary["splits"][name] = {
            "segments": int(here.sum()),
            "reads": len(set(reads[here])),
            "samples": int(samples[here].sum()),
            "seconds": float(samples[here].sum() / rate),
            "bases": int(bases[here].sum()),
            "samples_a_base": float(samples[here].sum() / bases[here].sum()),
            **spread(samples[here], "samples"),
        }
        summary["segment_samples"][name] = histogram(samples[here], bin_edges(samples, whole=True))
        summary["samples_a_base"][name] = {
            "edges": list(range(1, LONGEST_DWELL + 2)),
            "counts": [int(count) for count in dwell[code]],
        }
        summary["composition"][name] = parts(composition[code], BASES[1:])
    return summary


def _blocks(flat: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(flat), BLOCK):
        yield start, flat[start : start + BLOCK]


def _composition(flat: h5py.Dataset, codes: np.ndarray, symbols: int) -> np.ndarray:
    """Return how often each symbol comes in each split, int64 (splits, symbols)."""
    counts = np.zeros((len(SPLITS), symbols), np.int64)
    for start, block in _blocks(flat):
        joint = codes[start : start + len(block)].astype(np.int64) * symbols + block
        counts += np.bincount(joint, minlength=len(SPLITS) * symbols)[: len(SPLITS) * symbols].reshape(-1, symbols)
    return counts


def parts(counts: np.ndarray, letters: str) -> dict[str, float]:
    total = max(1, int(counts.sum()))
    return {letter: float(count / total) for letter, count in zip(letters, counts, strict=True)}


def spread(values: np.ndarray, name: str) -> dict[str, float]:
    return {
        f"shortest_{name}": int(values.min()),
        f"median_{name}": float(np.median(values)),
        f"longest_{name}": int(values.max()),
    }


def moments(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("mean", "standard_deviation", "lowest", "highest"))
    return {
        "mean": float(values.mean()),
        "standard_deviation": float(values.std()),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }


def bin_edges(values: np.ndarray, whole: bool = False) -> np.ndarray:
    """Return the edges of at most `BINS` bins over all values; whole numbers get bins of whole width."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if whole:
        width = max(1, int(np.ceil((high - low + 1) / BINS)))
        return np.arange(low, high + width + 1, width)
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, list[float]]:
    counts, _ = np.histogram(values, edges)
    return {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]}
