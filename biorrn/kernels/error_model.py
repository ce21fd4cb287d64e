"""How called reads differ from the sequence they were read from, as probabilities that are estimated from counts."""

from dataclasses import dataclass

import numpy as np

RUN = 4  # classes of a base: 0, 1, 2, 3 or more equal ones before it


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """How reads of one strand differ from the template, both in the direction of the template.

    Attributes
    ----------
    emit : float64 array (RUN, 4, 5): class of the run, template base, then read base or (last) a deletion; sums to 1.
    insert : float64 array (4, 4): base before, inserted base; the rest to 1 is that no further base is inserted.
    """

    emit: np.ndarray
    insert: np.ndarray


def first_model() -> ErrorModel:
    """Return the model to start from: 6 % deletions, 4 % miscopied, 1 % of each inserted base."""
    emit = np.full((RUN, 4, 5), 0.04 / 3)
    emit[:, np.arange(4), np.arange(4)] = 0.90
    emit[:, :, 4] = 0.06
    return ErrorModel(emit, np.full((4, 4), 0.01))


def estimate(seen: np.ndarray, extra: np.ndarray, prior: float = 50.0) -> ErrorModel:
    """Return the model of expected counts, with `first_model` counted in as `prior` bases of each kind.

    Parameters
    ----------
    seen, extra : float64 arrays (RUN, 4, 5) and (4, 4): sums of what `kernels.edits.edit_gains`
        returns, over reads of one strand.
    """
    first = first_model()
    emit = seen + prior * first.emit
    emit /= emit.sum(axis=2, keepdims=True)
    left = seen.sum(axis=(0, 2))  # one leave for each template base
    insert = (extra + prior * first.insert) / (left + extra.sum(axis=1) + prior)[:, None]
    return ErrorModel(emit, insert)
