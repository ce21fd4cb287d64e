"""New sequences from old signal: walks over real labelled reads that change read where two of them agree.

A small genome teaches its own order of bases. Here a walk follows a labelled read for a few bases, then goes on in
another read at a place with the same bases around it, and so on: the current of every base is real, noise and dwell
included, and so is what its neighbours do to it, but the sequence is new at all lengths beyond the context.

The current in a pore depends on about six bases. At a change of read the three bases on either side agree, so the bases
before it see the right successors and those after it the right predecessors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from biorrn.base.compute import jit
from biorrn.base.errors import BiorrnError
from biorrn.base.files import sha256
from biorrn.nanopore.simulate.estimate import fit_rounds
from biorrn.nanopore.simulate.events import load_prepared
from biorrn.sequences.prepared.files import SignalFile, signal_writer

SIDE = 3  # bases on either side of a change of read that agree
CONTEXT = 2 * SIDE
CENTRE = 2  # base of the k-mer that an event is counted to, of six


def recombine(
    path: str | Path,
    out: str | Path,
    samples: int,
    *,
    rounds: int = 0,
    size: int = 6000,
    run: float = 6.0,
    seed: int = 0,
    threads: int = 1,
    advance: Callable[[int], None] = lambda samples: None,
) -> int:
    """Write walks over the training segments of a prepared signal file to a new one, and return their number.

    Each read's gain and offset are first fitted to the level of every six bases.

    Parameters
    ----------
    path : prepared signal file whose labels say where each base starts.
    samples : int: samples to write.
    rounds : int: how often the starts of the bases are aligned anew to those levels; labels that a network or a move
        table gave need it, Tombo's do not.
    size : int: samples of a walk, at least.
    run : float: mean number of bases between two changes of read (geometric).
    advance : called with the samples of each walk.

    Raises
    ------
    BiorrnError: the training segments hold no two places that agree.
    """
    data = load_prepared(path)
    fit_rounds(data, data.kmers(CONTEXT, CENTRE), CONTEXT, rounds, threads)
    codes = data.kmers(CONTEXT, SIDE)  # of the bases around the start of each base
    order = np.argsort(codes, kind="stable").astype(np.int64)
    first = np.searchsorted(codes[order], np.arange(4**CONTEXT + 1)).astype(np.int64)
    if not (np.diff(first) > 1).any():
        raise BiorrnError(f"{path}: no two places of the training segments have the same {CONTEXT} bases around them")
    rng = np.random.default_rng(seed)
    written = walks = 0
    with SignalFile(path) as source:
        chemistry = source.chemistry
    with signal_writer(out, data.normaliser, data.sample_rate, "recombined", chemistry) as writer:
        writer.file.attrs["sources"] = json.dumps({str(path): sha256(path)})
        writer.file.attrs["note"] = f"walks over real segments, a change of read every {run:g} bases"
        while written < samples:
            draws = rng.random((size, 2))
            current, letters, starts = _walk(
                data.signal, data.bases, data.edges, codes, order, first, draws, size, 1.0 / run
            )
            if len(letters) == 0:
                continue
            writer.add(f"walk_{walks}", current, letters, starts, 0, "", -1, -1, "")
            written += len(current)
            walks += 1
            advance(len(current))
        writer.flush()
    return walks


@jit()
def _walk(signal, bases, edges, codes, order, first, draws, size, rate):  # type: ignore[no-untyped-def]
    """Return the current, bases and starts of one walk of at least `size` samples, or empty ones."""
    current = np.empty(2 * size + 4096, np.float32)
    letters = np.empty(size, np.uint8)
    starts = np.empty(size, np.int32)
    filled = count = 0
    place = order[int(draws[0, 0] * order.shape[0])]
    for step in range(size):
        if codes[place] >= 0 and (draws[step, 0] < rate or place + 1 >= bases.shape[0] or codes[place + 1] < 0):
            low, high = first[codes[place]], first[codes[place] + 1]
            place = order[low + int(draws[step, 1] * (high - low))]
        if codes[place] < 0:
            break
        length = edges[place + 1] - edges[place]
        if filled + length > current.shape[0]:
            break
        current[filled : filled + length] = signal[edges[place] : edges[place + 1]]
        letters[count], starts[count] = bases[place], filled
        filled += length
        count += 1  # noqa: SIM113  # numba
        if filled >= size or place + 1 >= bases.shape[0]:
            break
        place += 1
    if filled < size:
        count = filled = 0
    return current[:filled], letters[:count], starts[:count]
