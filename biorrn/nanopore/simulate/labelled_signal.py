"""Labelled signal as flat arrays, from a prepared file or from raw reads with their labels."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, OnProblem, stop
from biorrn.nanopore.labels.prepare import prepare_signal
from biorrn.nanopore.labels.sources import LabelledReads, labelled_reads
from biorrn.nanopore.signal import normaliser_of
from biorrn.nanopore.simulate.pore_model import kmer_index
from biorrn.sequences.prepared.files import SignalFile
from biorrn.sequences.splits import parse_split

PREPARED = (".h5", ".hdf5")


@dataclass(slots=True)
class LabelledSignal:
    """Segments of reads, concatenated, in memory (about 60 bytes per base).

    Attributes
    ----------
    signal : float32 array (T,): normalised current.
    bases : uint8 array (L,): 1 A, 2 C, 3 G, 4 T.
    edges : int64 array (L + 1,): event i is signal[edges[i]:edges[i + 1]].
    segments : int64 array (N + 1,): bases of segment i are segments[i]:segments[i + 1].
    reads : int64 array (N,): number of the read of each segment.
    sample_rate : float: Hz.
    normaliser : str: entry of `nanopore.signal.NORMALISERS` that made the signal.
    left_out : str: held-out regions that are not included, "" if none.
    picoamperes : float64 array (M, 2): median and 1.4826 x MAD of each read; M = 0 if unknown.
    """

    signal: np.ndarray
    bases: np.ndarray
    edges: np.ndarray
    segments: np.ndarray
    reads: np.ndarray
    sample_rate: float
    normaliser: str = "medmad"
    left_out: str = ""
    picoamperes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def read_of_base(self) -> np.ndarray:
        """Return the number of the read of each base, int64 (L,)."""
        return np.repeat(self.reads, np.diff(self.segments))

    def kmers(self, k: int, centre: int) -> np.ndarray:
        """Return the row of each base's k-mer, int64 (L,); -1 if it extends beyond the segment."""
        index = np.full(len(self.bases), -1, np.int64)
        for start, end in zip(self.segments[:-1], self.segments[1:], strict=True):
            if end - start >= k:
                index[start + centre : end - k + 1 + centre] = kmer_index(self.bases[start:end], k)
        return index

    def means(self) -> np.ndarray:
        """Return the mean current of each event, float64 (L,)."""
        return np.add.reduceat(self.signal, self.edges[:-1], dtype=np.float64) / np.diff(self.edges)


def load_prepared(path: str | Path) -> LabelledSignal:
    """Return the training rows of a prepared signal file.

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
        known = normaliser_of(file.normaliser)(np.zeros(1, np.float32))
        fixed = np.array([[known.shift, known.scale]]) if known.name == "pa" else np.zeros((0, 2))
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
    split : str or None: as in `sequences.splits.parse_split`; only bases of train are returned.
    on_problem, advance : as in `nanopore.labels.prepare.prepare_reads`.

    Raises
    ------
    ConfigError: options that exclude one another.
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
    """Pass reads on and store the median and 1.4826 x MAD (picoamperes) of the labelled signal of each."""
    for record, truth in reads:
        current = record.picoamperes()[max(0, int(truth.starts[0])) : truth.end]
        if len(current):
            median = float(np.median(current))
            seen.append((median, 1.4826 * float(np.median(np.abs(current - median)))))
        yield record, truth


def _left_out(file: SignalFile) -> str:
    """Return the reference regions of the rows of valid and test, as text."""
    codes, names = file.file["split"][:], np.array(file.strings("reference"))
    starts, ends = file.file["ref_start"][:], file.file["ref_end"][:]
    out = codes != 0
    spans = [
        f"{name}:{starts[out & (names == name)].min()}-{ends[out & (names == name)].max()}"
        for name in sorted(set(names[out]))
        if name
    ]
    return ", ".join(spans) or (f"{int(out.sum())} segments" if out.any() else "")
