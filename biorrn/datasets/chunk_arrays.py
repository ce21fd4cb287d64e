"""Training chunks as three numpy files, the layout that open trainers share.

`chunks.npy` (N, T) float16 is normalised current, `references.npy` (N, L) uint8 the bases of each chunk, 1 A, 2 C, 3 G,
4 T, padded with 0, `reference_lengths.npy` (N,) uint16 their number. A folder holds training chunks; its folders
`validation` and `test`, where there are such, hold the held-out ones.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biorrn.datasets.chunks import ChunkDataset
from biorrn.datasets.prepare import SignalFile, signal_writer
from biorrn.datasets.schema import SPLITS, add_optional
from biorrn.datasets.splits import Random, Rows
from biorrn.encoders.signal import NORMALISERS
from biorrn.errors import BiorrnError, InputError
from biorrn.files import atomic_path, sha256
from biorrn.lookup import lookup

NAMES = ("chunks.npy", "references.npy", "reference_lengths.npy")
FOLDERS = {"train": ".", "valid": "validation", "test": "test"}
LONGEST = 65535  # bases that uint16 can count


def export_chunks(prepared: str | Path, folder: str | Path, samples: int) -> dict[str, int]:
    """Write a prepared signal file as chunks, side by side over each segment, and return their number by split.

    What is left at the end of a segment is left out, for all chunks have one length; so is a chunk whose labels cannot
    be right (see `ChunkDataset`).

    Parameters
    ----------
    prepared : file of `biorrn prepare`.
    folder : where the files go; each appears whole or not at all.
    samples : int: T.

    Raises
    ------
    InputError: no segment is that long.
    """
    with SignalFile(prepared) as file:
        present = [split for split in SPLITS if len(file.rows(split))]
    counts: dict[str, int] = {}
    for split in present:
        data = ChunkDataset(prepared, split, samples)
        windows = [window for window in data.tiles() if window.samples == samples]
        if not windows:
            continue
        labels = [data.labels(window)[:LONGEST] for window in windows]
        lengths = np.array([len(bases) for bases in labels], np.uint16)
        references = np.zeros((len(windows), int(lengths.max())), np.uint8)
        for row, bases in enumerate(labels):
            references[row, : len(bases)] = bases
        target = Path(folder) / FOLDERS[split]
        with contextlib.ExitStack() as stack:
            paths = [stack.enter_context(atomic_path(target / name)) for name in NAMES]
            chunks = np.lib.format.open_memmap(paths[0], "w+", np.float16, (len(windows), samples))
            for row, window in enumerate(windows):
                chunks[row] = data.signal(window)
            chunks.flush()
            np.save(paths[1], references)
            np.save(paths[2], lengths)
            for name in NAMES:  # killed while all three are moved, the folder lacks one; it never mixes two exports
                (target / name).unlink(missing_ok=True)
        counts[split] = len(windows)
    if not counts:
        raise InputError(prepared, f"holds no segment of {samples} samples or more; nothing to export")
    return counts


def import_chunks(
    folder: str | Path,
    out: str | Path,
    *,
    normaliser: str = "medmad",
    sample_rate: float = 4000.0,
    splitter: Random | None = None,
    note: str = "",
) -> dict[str, int]:
    """Write a folder of chunks to a prepared signal file and return its counts.

    Where each base begins is not in the folder. The starts are spread evenly, and each segment is marked as whole: it
    is one training window and never cut.

    Parameters
    ----------
    folder : with the three files, and perhaps `validation` and `test`.
    out : the HDF5 file to write.
    normaliser : str: entry of `NORMALISERS` that the chunks were made with; a model trained on them will use it.
    sample_rate : float: samples a second (Hz).
    splitter : Random, optional: how chunks are split where there is no `validation`; None: all are for training.
    note : str: kept as an attribute.

    Raises
    ------
    InputError: a file is missing, of another shape, or holds what is no number or base.
    BiorrnError: no chunk could be used.
    """
    lookup(NORMALISERS, normaliser, "normaliser")
    root = Path(folder)
    present = [split for split in SPLITS if (root / FOLDERS[split] / NAMES[0]).is_file()]
    if "train" not in present:
        raise InputError(root, f"holds no {NAMES[0]}; allowed is a folder with {', '.join(NAMES)}")
    counts = dict.fromkeys(("chunks", "chunks dropped: no bases", "chunks dropped: fewer samples than bases"), 0)
    sources = {}
    with signal_writer(out, normaliser, sample_rate, "chunks") as writer:
        for split in present:
            place = root / FOLDERS[split]
            sources.update({str(place / name): sha256(place / name) for name in NAMES if (place / name).is_file()})
            for row, (signal, bases) in enumerate(_rows(place)):
                if not len(bases):
                    counts["chunks dropped: no bases"] += 1
                elif len(bases) > len(signal):
                    counts["chunks dropped: fewer samples than bases"] += 1
                else:
                    starts = np.arange(len(bases)) * len(signal) // len(bases)
                    writer.add(f"{split}{row}", signal, bases, starts, SPLITS.index(split))
                    counts["chunks"] += 1
        writer.flush()
        if not writer.rows:
            raise BiorrnError(f"{root}: no chunk could be used")
        add_optional(writer.file, "whole", np.ones(writer.rows))
        if splitter is not None and present == ["train"]:
            writer.file["split"][:] = splitter.assign(Rows(ids=list(writer.file["read_id"].asstr()[:])))
        writer.file.attrs["note"], writer.file.attrs["sources"] = note, json.dumps(sources)
    return counts


def _rows(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield signal float16 (T,) and bases uint8 (L,) of each chunk; the files stay on disk."""
    chunks, references, lengths = (_load(folder / name) for name in NAMES)
    if chunks.ndim != 2 or chunks.dtype.kind != "f" or not chunks.size:
        raise InputError(folder / NAMES[0], f"found {_shape(chunks)}; allowed is a float array (N, T)")
    if references.ndim != 2 or references.dtype.kind not in "iu" or len(references) != len(chunks):
        raise InputError(folder / NAMES[1], f"found {_shape(references)}; allowed is integers ({len(chunks)}, L)")
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or len(lengths) != len(chunks):
        raise InputError(folder / NAMES[2], f"found {_shape(lengths)}; allowed is integers ({len(chunks)},)")
    for row, length in enumerate(lengths):
        bases = np.asarray(references[row, : max(0, int(length))])
        if not 0 <= int(length) <= references.shape[1] or ((bases < 1) | (bases > 4)).any():
            raise InputError(folder / NAMES[1], f"row {row}: its {length} bases are not all 1, 2, 3 or 4")
        signal = np.asarray(chunks[row])
        if not np.isfinite(signal.astype(np.float16)).all():
            raise InputError(folder / NAMES[0], f"row {row} holds what is no number in float16")
        yield signal, bases


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy reads a header as Python: it raises what a parser, a file and a map of it do
        what = "is missing" if not path.is_file() else f"is not a readable numpy file: {error!s:.200}"
        raise InputError(path, what) from error


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
