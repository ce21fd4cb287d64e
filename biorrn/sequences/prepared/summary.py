"""Summary of a prepared file: rows kept and dropped, lengths, composition, targets, leakage between splits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import h5py
import numpy as np

from biorrn.base.files import write_text
from biorrn.base.terminal import plural
from biorrn.sequences.alphabets import BASES, RESIDUES
from biorrn.sequences.prepared import schema
from biorrn.sequences.prepared.files import ProteinFile, SignalFile
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.repeats import distinct, repeats_of
from biorrn.sequences.tables.classes import labels_of


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of prepared file: its reader, summary and leakage functions as module:name, and the units it counts.

    They are imported on use, so that this module imports no domain.
    """

    reader: str
    summary: str
    leakage: str
    units: tuple[str, str]  # rows, and symbols of a row


KINDS = {
    "protein": Kind(
        "biorrn.sequences.prepared.files:ProteinFile",
        "biorrn.sequences.prepared.summary:protein_summary",
        "biorrn.sequences.similarity:protein_leakage",
        ("proteins", "residues"),
    ),
    "signal": Kind(
        "biorrn.sequences.prepared.files:SignalFile",
        "biorrn.sequences.prepared.summary:signal_summary",
        "biorrn.sequences.similarity:signal_leakage",
        ("segments", "bases"),
    ),
    "tags": Kind(
        "biorrn.tagging.prepare:TagFile",
        "biorrn.tagging.prepare:tag_summary",
        "biorrn.tagging.prepare:tag_leakage",
        ("sequences", "residues"),
    ),
    "pairs": Kind(
        "biorrn.translation.data:PairFile",
        "biorrn.translation.data:pair_summary",
        "biorrn.translation.data:pair_leakage",
        ("pairs", "target_symbols"),
    ),
}


def account(path: str | Path, counts: Mapping[str, int], note: str = "") -> dict[str, Any]:
    """Return the account of a prepared file, as JSON values.

    Parameters
    ----------
    path : the prepared file.
    counts : rows kept and dropped, by reason.
    note : str: a remark on the data.

    Returns
    -------
    dict: kind, prepared (path), note, counts, the summary of its kind, leakage, and inputs (path, sha256).
    """
    with h5py.File(path, "r") as file:
        kind = schema.check(file, path)
    own = KINDS[kind]
    with resolve_name(own.reader)(path) as prepared:
        sources = prepared.sources
    return {
        "kind": kind,
        "prepared": str(path),
        "note": note,
        "counts": {name: int(number) for name, number in counts.items() if number},
        **resolve_name(own.summary)(path),
        "leakage": resolve_name(own.leakage)(path),
        "inputs": [{"path": name, "sha256": digest} for name, digest in sources.items()],
    }


def write_account(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write an account as JSON."""
    with write_text(path) as stream:
        json.dump(content, stream, indent=2, allow_nan=False)
        stream.write("\n")


def lines(content: Mapping[str, Any]) -> list[str]:
    """Return an account in a few lines for a terminal."""
    shown = [f"{content['prepared']}: {content['kind']} data"]
    for name, numbers in content["splits"].items():
        unit, rest = KINDS[content["kind"]].units
        words = ("sequences", "bases") if content["kind"] == "protein" and "alphabet" in content else (unit, rest)
        counted = zip((numbers[unit], numbers[rest]), words, strict=True)
        parts = [plural(count, word.replace("_", " ").removesuffix("s")) for count, word in counted]
        shown.append(f"  {name}: {', '.join(parts)}")
    shown += [f"  {name}: {number:,}" for name, number in content["counts"].items()]
    shown += [f"  {line}" for line in content.get("repeats", ())]
    for name, numbers in content["leakage"].items():
        if not isinstance(numbers, dict) or name not in content["splits"]:
            continue
        facts = ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in numbers.items())
        shown.append(f"  leakage, {name}: {facts}")
    return shown


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
        alphabet, ids = prepared.alphabet, prepared.strings("id")
        residues = _composition(file["tokens"], np.repeat(codes, lengths), len(alphabet) + 1)[:, 1:]
        named = [(target["name"], target.get("classes"), bool(target.get("sets"))) for target in prepared.targets]
        measured = any(not classes for _, classes, _ in named)
        numbers = distinct(file["tokens"][:], file["offsets"][:]) if measured else np.zeros(0, np.int64)
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
    for place, (name, classes, sets) in enumerate(named):
        values = targets[:, place]
        if classes:
            parts_of = {SPLITS[code]: values[codes == code] for code in present}
            summary["targets"][name] = {
                "statistics": {split: class_counts(own, classes, sets) for split, own in parts_of.items()}
            }
            continue
        if line := repeats_of(numbers, values).line(ids, values):
            summary.setdefault("repeats", []).append(f"{name}: {line}")
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


def class_counts(values: np.ndarray, classes: Sequence[str], sets: bool = False) -> dict[str, Any]:
    """Return how many rows and classes there are, and the largest one, of indices of classes (N,); NaN is missing.

    Parameters
    ----------
    sets : bool: the indices are those of sets of classes; then also how many classes a row has in the mean.
    """
    counts = np.bincount(values[np.isfinite(values)].astype(np.int64), minlength=len(classes))
    rows, more = int(counts.sum()), dict[str, Any]()
    if sets:
        classes, members = labels_of(classes)
        of_set = counts
        counts = np.zeros(len(classes), np.int64)
        for number, places in zip(of_set, members, strict=True):
            counts[places] += number
        more = {"classes_a_row": float(counts.sum() / max(1, rows))}
    largest = int(counts.argmax())
    return more | {
        "n": rows,
        "missing": int(len(values) - rows),
        "classes": int((counts > 0).sum()),
        "largest_class": classes[largest] if counts.any() else None,
        "rows_of_it": int(counts[largest]),
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
