"""Records through a model, streamed: while the results of some are taken, the next are under way."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from biorrn.encoders.alphabets import NO_LETTER, RESIDUES, encode
from biorrn.errors import BiorrnError
from biorrn.inference.forward import ROWS
from biorrn.inference.shapes import height_of, padded_length
from biorrn.readers.records import ProteinRecord

WINDOW_BATCHES = 32  # of a window, whose records are sorted by length; one is filled while one is predicted
WINDOW_RESIDUES = 2_000_000  # a window ends here at the latest

Sent = TypeVar("Sent")
Found = TypeVar("Found")


def windows(
    records: Iterable[ProteinRecord], limit: int, residues: int = WINDOW_RESIDUES
) -> Iterator[list[ProteinRecord]]:
    """Yield runs of at most `limit` records and about `residues` residues."""
    window: list[ProteinRecord] = []
    held = 0
    for record in records:
        window.append(record)
        held += len(record.sequence)
        if len(window) == limit or held >= residues:
            yield window
            window, held = [], 0
    if window:
        yield window


def stream(
    records: Iterable[ProteinRecord],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    *,
    batch_size: int,
    threads: int | None,
    device: torch.device,
    residues: int = WINDOW_RESIDUES,
) -> Iterator[Found]:
    """Yield what `finish` yields of what `send` has begun for each window of the records, in order.

    Parameters
    ----------
    send, finish : as of `through`.
    batch_size : int: sequences a forward pass; a window has `WINDOW_BATCHES` batches and about `residues` residues.
    threads : int, optional: CPU threads; default: as many as torch uses.

    Raises
    ------
    BiorrnError: the batch size is below 1.
    """
    if batch_size < 1:
        raise BiorrnError(f"--batch-size: found {batch_size}; allowed is 1 or more")
    workers = (threads or torch.get_num_threads()) if device.type == "cpu" else 1
    parts = windows(records, max(batch_size, ROWS) * WINDOW_BATCHES, residues)
    return through(parts, send, finish, workers, device)


def through(
    parts: Iterable[list[ProteinRecord]],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    workers: int,
    device: torch.device,
) -> Iterator[Found]:
    """Yield what `finish` yields of what `send` has begun for each part, in order; two parts are under way at most.

    Parameters
    ----------
    send : hands the work on a part to the pool, whose threads each compute with one thread.
    finish : waits for it.
    workers : int: threads of the pool.
    """
    waiting: deque[Sent] = deque()
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "predict", initializer=torch.set_num_threads, initargs=(1,))
    # TF32, the default of cuDNN, would change the third digit
    exact = torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else contextlib.nullcontext()
    try:
        with exact:
            for part in parts:
                waiting.append(send(part, pool))
                if len(waiting) > 1:
                    yield from finish(waiting.popleft())
            while waiting:
                yield from finish(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # some libraries take the workers' number for everyone's


def joined(records: Sequence[ProteinRecord], alphabet: str = RESIDUES) -> np.ndarray:
    """Return the tokens of all records, one after another, uint8 (total,): the index of a letter in the alphabet + 1.

    Raises
    ------
    BiorrnError: a letter is not in the alphabet; with its place in its own sequence.
    """
    codes = np.full(256, NO_LETTER, np.uint8)
    codes[np.frombuffer(alphabet.encode(), np.uint8)] = np.arange(1, len(alphabet) + 1, dtype=np.uint8)
    what = "residue" if alphabet == RESIDUES else "letter"
    try:
        return encode("".join(record.sequence for record in records), codes, what, alphabet)
    except BiorrnError:
        for record in records:
            encode(record.sequence, codes, what, alphabet)
        raise


def padded(
    flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x int64 (B, T) and lengths (B,) on the device, of flat[start:start + length]; they share a padded length.

    Rows after those asked for repeat the first: they only fill the shape.
    """
    width = padded_length(int(lengths.max()))
    height = height_of(len(lengths), width, batch_size, device)
    sizes = np.concatenate([lengths, np.full(height - len(lengths), lengths[0])])
    x = np.zeros((height, width), np.int64)
    inside = np.arange(width) < lengths[:, None]  # (B, T)
    x[: len(lengths)][inside] = flat[(starts[:, None] + np.arange(width))[inside]]
    x[len(lengths) :] = x[0]
    return torch.from_numpy(x).to(device), torch.from_numpy(sizes).to(device)
