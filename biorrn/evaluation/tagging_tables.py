"""Tables on tagged residues: which state was taken for which, accuracy by length of the chain and by confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from biorrn.evaluation.segments import ratio
from biorrn.evaluation.tagging import Scored, score
from biorrn.evaluation.tagging_rows import Tagged

LENGTHS = (0, 100, 200, 300, 500, 1_000)  # residues of a chain; edges of the table
EDGES = np.linspace(0.0, 1.0, 11)  # of the confidence


def confusion_table(found: Scored, states: str) -> dict[str, dict[str, int]]:
    """Return {true state: {predicted state: residues}}."""
    whole = found.confusion.sum(axis=0).astype(int).tolist()
    return {true: dict(zip(states, row, strict=True)) for true, row in zip(states, whole, strict=True)}


def length_table(rows: Tagged, called: np.ndarray) -> list[dict[str, Any]]:
    """Return one row a class of chain length that holds a protein: proteins, residues, accuracy, mean SOV.

    Parameters
    ----------
    called : int array (total,): predicted states.
    """
    table = []
    for low, high in zip(LENGTHS, [*LENGTHS[1:], None], strict=True):
        inside = (rows.lengths > low) & (True if high is None else rows.lengths <= high)
        if not inside.any():
            continue
        part, own = rows.select(inside), called[np.repeat(inside, rows.lengths)]
        found = score(part.labels, own, part.lengths, len(rows.states))
        whole = found.confusion.sum(axis=0)
        overlap = ratio(found.scored.sum(axis=1), found.possible.sum(axis=1))
        table.append(
            {
                "from": low + 1,
                "to": high,
                "proteins": int(inside.sum()),
                "residues": int(whole.sum()),
                "accuracy_residue": float(np.trace(whole) / whole.sum()) if whole.any() else float("nan"),
                "sov": float(overlap.mean()) if len(found) else float("nan"),
            }
        )
    return table


def confidence_table(labels: np.ndarray, called: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return {"calibration_error", "bins"}: accuracy of the labelled residues by the probability of the called state.

    The calibration error is the mean over residues of |mean probability - accuracy| of their bin (Guo et al. 2017).

    Parameters
    ----------
    labels, called : int arrays (total,).
    scores : float array (total, S): probabilities; where they are not known, NaN, there is no table: {}.
    """
    known = (labels >= 0) & ~np.isnan(scores).any(axis=1)
    if not known.any():
        return {}
    sure = scores[known, called[known]].astype(np.float64)
    right = labels[known] == called[known]
    bins = np.clip(np.digitize(sure, EDGES) - 1, 0, len(EDGES) - 2)
    rows, gap = [], 0.0
    for place in range(len(EDGES) - 1):
        inside = bins == place
        if inside.any():
            mean, share = float(sure[inside].mean()), float(right[inside].mean())
            gap += abs(mean - share) * int(inside.sum())
            low, high = EDGES[place : place + 2].round(2).tolist()
            rows.append({"from": low, "to": high, "residues": int(inside.sum()), "confidence": mean, "accuracy": share})
    return {"calibration_error": gap / len(sure), "bins": rows}
