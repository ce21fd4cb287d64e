"""How metrics are named and written wherever people read them: on a terminal, in sentences, in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "median_identity": "median identity",
    "identity": "pooled identity",
    "aligned_fraction": "median aligned part of a read",
    "accuracy_residue": "accuracy of residues",
    "accuracy_protein": "mean accuracy of a protein",
    "sov": "segment overlap (SOV)",
    "f1": "F1",
    "perplexity": "perplexity",
    "log2_likelihood": "log2-likelihood a letter",
    "symbol_error_rate": "edits a symbol",
    "exact": "exact sequences",
}
# shown in per cent
RATES = (
    *("median_identity", "identity", "mismatch", "insertion", "deletion", "aligned_fraction"),
    *("accuracy_residue", "accuracy_protein", "sov", "precision", "recall", "f1"),
    *("symbol_error_rate", "exact"),
)
LOWER = ("perplexity", "rmse", "mae", "mismatch", "insertion", "deletion", "symbol_error_rate")  # better where lower
# kind of an evaluation -> the metric by which its rows are ranked; the first of these that a target has
HEADLINES = {
    "regression": ("spearman",),
    "basecalls": ("median_identity",),
    "tagging": ("accuracy_residue", "spearman"),
    "language": ("log2_likelihood",),
    "translation": ("identity", "exact"),
}
# the metric that decides -> the one that a terminal shows beside it
BESIDE = {"spearman": "rmse", "accuracy_residue": "sov", "log2_likelihood": "perplexity"}


def headline_metric(kind: str, metrics: Mapping[str, Any]) -> str:
    """Return the metric by which rows of a kind of evaluation are ranked; that of values where no state is predicted.

    >>> headline_metric("tagging", {"spearman": {}, "rmse": {}})
    'spearman'
    """
    known = HEADLINES[kind]
    return next((name for name in known if name in metrics), known[0])


def deciding(entry: Mapping[str, Any]) -> str:
    """Return the metric that says whether a baseline is beaten: the first whose difference to the model is given."""
    return str(list(entry["difference"])[0])  # noqa: RUF015  # an empty one, in a damaged file, is an IndexError
