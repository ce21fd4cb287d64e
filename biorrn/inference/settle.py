"""Base starts by a model that has scored the read: its best path through the bases that are known to be there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from biorrn.datasets.label_alignment import Carried, align_to, carry, increasing
from biorrn.inference.basecall import Scored
from biorrn.inference.decoders import remembered, softmax
from biorrn.kernels.forced import force_crf, force_ctc
from biorrn.readers.records import ReadCall

LEAST = 0.25  # part of a call that must be placed; of unrelated sequences a few bases always agree


def settle(carried: Carried, scored: Scored) -> Carried:
    """Return labels with the base starts of the model's best path through them; as they were where there is none.

    A stretch of bases between masked ones is aligned on its own, from where its first base began to its last one's end.
    """
    labels = carried.labels
    edges = np.append(labels.starts, labels.end)
    starts = labels.starts.copy()
    known = labels.bases > 0
    cuts = np.flatnonzero(np.diff(known)) + 1
    state_len = remembered(scored.scores.shape[1])
    for first, last in zip([0, *cuts], [*cuts, len(known)], strict=True):
        if not known[first] or last - first <= state_len + 1:
            continue
        origin = max(0, round((int(edges[first]) - scored.trimmed) / scored.stride))
        final = min(len(scored.scores), round((int(edges[last]) - scored.trimmed) / scored.stride))
        part = scored.scores[origin:final]
        guess = np.clip((edges[first:last] - scored.trimmed) // scored.stride - origin, 0, max(0, len(part) - 1))
        bases = labels.bases[first:last]
        found = force_crf(part, bases, guess, state_len) if state_len else force_ctc(softmax(part), bases, guess)
        if found is not None:
            starts[first:last] = scored.trimmed + scored.stride * (found + origin)
    settled = increasing(np.append(np.maximum.accumulate(starts), labels.end).astype(np.float64))
    if settled is None:
        return carried
    return replace(carried, labels=replace(labels, starts=settled[:-1]))


def place_call(own: ReadCall, given: ReadCall, scored: Scored) -> tuple[ReadCall, Carried] | None:
    """Return a call without starts with them, and how the model's own call agrees with it.

    Parameters
    ----------
    own : the model's call of the read, with starts.
    given : the call to place; what of it the model's call does not reach is left out.
    scored : what the model made of the read.

    Returns
    -------
    ReadCall (bases that cannot be placed have code 0) and Carried; None where the two are not of one sequence.
    """
    found = align_to(own, given.bases)
    carried = None if found is None else carry(own, found, given.bases[found.ref_start : found.ref_end])
    if carried is None or len(carried.labels.bases) - carried.masked < LEAST * len(given.bases):
        return None
    carried = replace(carried, coverage=len(carried.labels.bases) / len(given.bases))
    labels = settle(carried, scored).labels
    return ReadCall(labels.bases, labels.starts, labels.end, given.mean_q), carried
