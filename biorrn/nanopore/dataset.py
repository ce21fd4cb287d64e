"""Dataset of labelled signal: random augmented windows for training, consecutive windows for validation, batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from biorrn.base.errors import InputError
from biorrn.config.recipe import Augment
from biorrn.nn.batch import Batch
from biorrn.sequences.prepared.files import SignalFile

IN_MEMORY = 1 << 30  # bytes of signal and labels; a larger file is read window by window
# samples per base; outside these bounds the labels of a window are wrong (R9.4.1 DNA at 4 kHz: 10 on average)
FEWEST, MOST = 3, 60
SLOWER = 4  # times that RNA (70 to 130 bases a second) may stay longer at a base than DNA
TRIES = 50  # draws for one window


@dataclass(frozen=True, slots=True)
class Window:
    """A window of one segment.

    Attributes
    ----------
    segment : int: row of the prepared file.
    start, samples : int: span within the segment.
    factor : float: samples of the segment per sample of the batch; above 1 the strand moves faster.
    seed : tuple of int: seed of the noise; empty without augmentation.
    """

    segment: int
    start: int
    samples: int
    factor: float = 1.0
    seed: tuple[int, ...] = ()


class ChunkDataset:
    """The windows of one split of a prepared signal file.

    Attributes
    ----------
    samples : int: T, samples of every window in a batch; shorter segments are padded with zeros.
    dropped : Counter: dropped windows by reason.
    normaliser, sample_rate, chemistry, rna : as in the file.
    """

    def __init__(
        self, path: str | Path, split: str | None, samples: int, augment: Augment | None = None, context: int = 0
    ) -> None:
        """Open a split ("train", "valid", "test"; None: every segment).

        With `context`, labels begin with that many bases before the first whole one, as the first state of a CRF; a
        window with fewer bases before it has no context.

        Raises
        ------
        InputError: not a prepared signal file, or the split is empty.
        """
        self.samples, self.augment, self.context = samples, augment or Augment(), context
        self.dropped: Counter[str] = Counter()
        self._file = SignalFile(path)
        self.normaliser, self.sample_rate = self._file.normaliser, self._file.sample_rate
        self.chemistry, self.rna = self._file.chemistry, self._file.rna
        self._most = MOST * SLOWER if self.rna else MOST
        file = self._file.file
        self.rows = self._file.rows(split)
        if not len(self.rows):
            raise InputError(path, f"split '{split}' is empty; {len(self._file)} segments are in other splits")
        self._whole = self._optional("whole", 0).astype(bool)
        self._offsets, self._base_offsets = file["signal_offsets"][:], file["base_offsets"][:]
        self.bases = np.diff(self._base_offsets)[self.rows]  # of each segment
        self.lengths = np.diff(self._offsets)[self.rows]  # samples of each segment
        self._ends = self._shares(path, split)
        self._signal, self._bases, self._starts = file["signal"], file["bases"], file["starts"]
        if sum(data.nbytes for data in (self._signal, self._bases, self._starts)) <= IN_MEMORY:
            self._signal, self._bases, self._starts = self._signal[:], self._bases[:], self._starts[:]
            self._file.file.close()
        self._cached: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int32))

    def windows(self, epoch: int, seed: int, n: int) -> list[Window]:
        """Return the `n` random windows of an epoch: any place of any segment, by length; the same pair gives the same.

        Where the file has a dataset `weight`, segments come in proportion to length times weight. Window i depends on
        (seed, epoch, i) alone. A window whose labels cannot be right is drawn anew and counted; one that stays wrong
        `TRIES` times is left out.
        """
        windows = [self._draw((seed, epoch, place)) for place in range(n)]
        return [window for window in windows if window is not None]

    def tiles(self, limit: int | None = None) -> list[Window]:
        """Return consecutive windows of every segment, without augmentation; at most `limit`, evenly spread.

        The rest at the end of a segment becomes a window if it is at least a quarter of one.
        """
        windows = [
            Window(int(row), start, min(self.samples, int(length) - start))
            for row, length in zip(self.rows, self.lengths, strict=True)
            for start in range(0, max(1, int(length) - self.samples // 4 + 1), self.samples)
        ]
        if limit is not None and limit < len(windows):
            windows = [windows[place] for place in np.linspace(0, len(windows) - 1, limit).round().astype(int)]
        return [window for window in windows if self._fits(window)]

    def collate(self, windows: Sequence[Window]) -> Batch:
        """Return windows as a batch: x float32 (B, T, 1), targets int64 (B, L) of 1..4, 0-padded, and their lengths."""
        x = np.zeros((len(windows), self.samples, 1), np.float32)
        lengths = np.zeros(len(windows), np.int64)
        labels = [self.labels(window) for window in windows]
        for row, window in enumerate(windows):
            signal = self.signal(window)
            x[row, : len(signal), 0], lengths[row] = signal, len(signal)
        counts = np.array([len(bases) for bases in labels], np.int64)
        targets = np.zeros((len(windows), int(counts.max(initial=1))), np.int64)
        for row, bases in enumerate(labels):
            targets[row, : len(bases)] = bases
        return Batch(
            x=torch.from_numpy(x),
            lengths=torch.from_numpy(lengths),
            targets=torch.from_numpy(targets),
            target_lengths=torch.from_numpy(counts),
        )

    def signal(self, window: Window) -> np.ndarray:
        """Return the normalised current of a window, augmented: float32 (T,), T <= samples."""
        begin = int(self._offsets[window.segment]) + window.start
        signal = np.asarray(self._signal[begin : begin + window.samples], np.float32)
        if not window.seed:
            return signal
        length = min(self.samples, max(1, round(window.samples / window.factor)))
        if length != len(signal):
            places = np.linspace(0, len(signal) - 1, length)
            signal = np.interp(places, np.arange(len(signal)), signal).astype(np.float32)
        rng = np.random.default_rng([*window.seed, 1])
        scale, shift = rng.normal(1, self.augment.scale), rng.normal(0, self.augment.shift)
        spread = rng.uniform(0, self.augment.noise)
        noise = rng.standard_normal(len(signal), np.float32) * np.float32(spread)
        return (signal * np.float32(scale) + np.float32(shift) + noise).astype(np.float32)

    def labels(self, window: Window) -> np.ndarray:
        """Return the context and the bases wholly inside a window, uint8 (L,), in the direction of the signal."""
        first, last = self._span(window)
        first -= self.context if first >= self.context else 0
        begin = int(self._base_offsets[window.segment])
        return np.asarray(self._bases[begin + first : begin + last])

    def truth(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the bases wholly inside a window, uint8 (L,), and the first sample of each within the window."""
        first, last = self._span(window)
        begin = int(self._base_offsets[window.segment])
        return np.asarray(self._bases[begin + first : begin + last]), self._edges(window.segment)[
            first:last
        ] - window.start

    def _span(self, window: Window) -> tuple[int, int]:
        """Return the half-open range of bases of the segment that are wholly inside the window."""
        edges = self._edges(window.segment)
        first = int(np.searchsorted(edges, window.start))
        # edges[last] is where base last - 1 ends
        last = int(np.searchsorted(edges, window.start + window.samples, side="right")) - 1
        return first, max(first, last)

    def _edges(self, segment: int) -> np.ndarray:
        """Return the start of each base of a segment, and the end of the last."""
        if self._cached[0] != segment:
            begin, end = (int(place) for place in self._base_offsets[segment : segment + 2])
            length = self._offsets[segment + 1] - self._offsets[segment]
            self._cached = (segment, np.append(self._starts[begin:end], np.int32(length)))
        return self._cached[1]

    def _optional(self, name: str, default: int) -> np.ndarray:
        """Return an optional dataset (N,) at the rows of this split, or its default."""
        file = self._file.file
        return np.asarray(file[name][:][self.rows]) if name in file else np.full(len(self.rows), default)

    def _shares(self, path: str | Path, split: str | None) -> np.ndarray:
        """Return the cumulative weights (N,) by which segments are drawn: samples, or samples times weight.

        Raises
        ------
        InputError: a segment that may not be cut is longer than a window, or the weights are not valid.
        """
        longest = int(self.lengths[self._whole].max(initial=0))
        if longest > self.samples:
            found = f"holds chunks of {longest} samples, which may not be cut"
            raise InputError(path, f"{found}; expected windows of as many, found {self.samples} in the recipe")
        if "weight" not in self._file.file:
            return np.cumsum(self.lengths)
        weights = self._optional("weight", 1).astype(np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise InputError(path, f"split '{split}': weights must be finite, 0 or more, and not all 0")
        return np.cumsum(self.lengths * weights)

    def _draw(self, seed: tuple[int, int, int]) -> Window | None:
        rng = np.random.default_rng(seed)
        ends = self._ends
        for _ in range(TRIES):
            # integers without weights, which keeps the windows of files that were made before weights existed
            spot = rng.integers(ends[-1]) if ends.dtype.kind == "i" else rng.random() * ends[-1]
            place = min(int(np.searchsorted(ends, spot, side="right")), len(ends) - 1)
            factor = float(rng.uniform(1 - self.augment.stretch, 1 + self.augment.stretch))
            length = int(self.lengths[place])
            samples = length if self._whole[place] else min(round(self.samples * factor), length)
            window = Window(int(self.rows[place]), int(rng.integers(length - samples + 1)), samples, factor, seed)
            if self._fits(window):
                return window
        self.dropped["given up"] += 1
        return None

    def _fits(self, window: Window) -> bool:
        """Return whether the labels of a window are plausible; count it in `dropped` where not."""
        first, last = self._span(window)
        bases = last - first
        if not bases:
            self.dropped["no base"] += 1
        elif bases > window.samples / FEWEST:
            self.dropped[f"fewer than {FEWEST} samples a base"] += 1
        elif bases < window.samples / self._most:
            self.dropped[f"more than {self._most} samples a base"] += 1
        else:
            return True
        return False
