"""Recombined training signal: walks over labelled reads that switch reads where their sequences agree.

A network trained on a small genome learns its order of bases. A walk follows a labelled read for a few bases, then
continues in another read at a position with the same bases around it. The current of every base is real, with noise,
dwell and context, but the sequence is new beyond the length of the context.

The current depends on about six bases. At a switch, three bases on either side agree, so bases before it have the right
successors and bases after it the right predecessors.
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
from biorrn.nanopore.simulate.labelled_signal import load_prepared
from biorrn.sequences.prepared.files import SignalFile, signal_writer

SIDE = 3  # equal bases on either side of a switch
CONTEXT = 2 * SIDE
CENTRE = 2  # base of the 6-mer that an event belongs to


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

    Gain and offset of each read are first fitted to the levels of 6-mers.

    Parameters
    ----------
    path : prepared signal file with base starts.
    samples : int: samples to write.
    rounds : int: rounds of realignment to those levels; labels from a network or a move table need it, Tombo's do not.
    size : int: minimum samples of a walk.
    run : float: mean number of bases between two switches (geometric).
    advance : called with the samples of each walk.

    Raises
    ------
    BiorrnError: no two positions of the training segments have the same context.
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
