"""Reading labelled signal into flat arrays: from a prepared file, or from raw reads with their labels."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, OnProblem, stop
from biorrn.nanopore.labels.prepare import prepare_signal
from biorrn.nanopore.labels.sources import LabelledReads, labelled_reads
from biorrn.nanopore.signal import PA_MEAN, PA_STD
from biorrn.nanopore.simulate.pore_model import LabelledSignal
from biorrn.sequences.prepared.files import SignalFile
from biorrn.sequences.splits import parse_split

PREPARED = (".h5", ".hdf5")


def load_prepared(path: str | Path) -> LabelledSignal:
    """Return the training rows of a prepared signal file; rows of valid and test are left out.

    Raises
    ------
    InputError: not a prepared signal file.
    BiorrnError: it has no training rows.
    """
    with SignalFile(path) as file:
        rows = file.rows("train")
        if not len(rows):
            raise BiorrnError(f"{path}: has no rows of split 'train'; expected labelled segments")
        parts = [(file.signal(row).astype(np.float32), *file.labels(row)) for row in rows]
        lengths = np.cumsum([0, *(len(signal) for signal, _, _ in parts)])
        names = np.array(file.strings("read_id"))[rows]
        edges = [starts.astype(np.int64) + begin for (_, _, starts), begin in zip(parts, lengths, strict=False)]
        fixed = np.array([[PA_MEAN, PA_STD]]) if file.normaliser == "picoampere" else np.zeros((0, 2))
        return LabelledSignal(
            np.concatenate([signal for signal, _, _ in parts]),
            np.concatenate([bases for _, bases, _ in parts]),
            np.append(np.concatenate(edges), lengths[-1]),
            np.cumsum([0, *(len(bases) for _, bases, _ in parts)]),
            np.unique(names, return_inverse=True)[1].astype(np.int64),
            file.sample_rate,
            file.normaliser,
            _left_out(file),
            fixed,
        )


def load_reads(
    paths: Sequence[str | Path],
    labels: str,
    truth: str | Path | None = None,
    split: str | None = None,
    on_problem: OnProblem = stop,
    advance: Callable[[int], None] = lambda samples: None,
) -> LabelledSignal:
    """Return labelled reads, or one prepared file, as flat arrays.

    Parameters
    ----------
    paths : what `biorrn prepare signal` takes, or one HDF5 file that it wrote.
    labels, truth : as in `nanopore.labels.sources.labelled_reads`.
    split : str or None: as in `sequences.splits.parse_split`; bases of valid and test are left out.
    on_problem, advance : as in `nanopore.labels.prepare.prepare_reads`.

    Raises
    ------
    ConfigError: options that do not go together.
    BiorrnError: no read could be used.
    """
    if any(Path(path).suffix.lower() in PREPARED for path in paths):
        if len(paths) > 1:
            raise ConfigError(f"found {len(paths)} inputs; allowed is one prepared file, or raw reads")
        if split is not None or truth is not None:
            raise ConfigError("--split and --truth are for raw reads; a prepared file holds its split and labels")
        return load_prepared(paths[0])
    splitter = parse_split(split or "random:1,0,0", "signal")
    seen: list[tuple[float, float]] = []
    reads = _measured(labelled_reads(paths, labels, truth, Counter(), on_problem), seen)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "reads.h5"
        prepare_signal(reads, prepared, splitter, labels=labels, advance=advance)
        loaded = load_prepared(prepared)
    loaded.picoamperes = np.array(seen)
    return loaded


def _measured(reads: LabelledReads, seen: list[tuple[float, float]]) -> LabelledReads:
    """Pass reads on and keep the median and 1.4826 x MAD, in picoamperes, of what is labelled in each."""
    for record, truth in reads:
        current = record.picoamperes()[max(0, int(truth.starts[0])) : truth.end]
        if len(current):
            median = float(np.median(current))
            seen.append((median, 1.4826 * float(np.median(np.abs(current - median)))))
        yield record, truth


def _left_out(file: SignalFile) -> str:
    """Say which bases of which reference are in the rows of valid and test."""
    codes, names = file.file["split"][:], np.array(file.strings("reference"))
    starts, ends = file.file["ref_start"][:], file.file["ref_end"][:]
    out = codes != 0
    spans = [
        f"{name}:{starts[out & (names == name)].min()}-{ends[out & (names == name)].max()}"
        for name in sorted(set(names[out]))
        if name
    ]
    return ", ".join(spans) or (f"{int(out.sum())} segments" if out.any() else "")
