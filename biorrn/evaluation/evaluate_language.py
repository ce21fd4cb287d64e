"""A language model on sequences that it may not know: perplexity, beside counts of letters."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.proteins import ProteinDataset
from biorrn.datasets.schema import SPLITS
from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.tokenisers import BOS, EOS, UNK, Tokeniser
from biorrn.errors import ConfigError
from biorrn.evaluation.baselines import entry_of
from biorrn.evaluation.bootstrap import estimate
from biorrn.evaluation.described import common, trained_on
from biorrn.evaluation.ngrams import BASELINES, ngram_nats
from biorrn.inference.forward import model_on
from biorrn.inference.likelihood import symbol_nats, symbols_of
from biorrn.inference.writers.tables import open_table
from biorrn.models.store import load_model
from biorrn.progress import progress

EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1 << 40)  # positions of letters, from 1


@dataclass(frozen=True, slots=True)
class Told:
    """What a model says of sequences.

    Attributes
    ----------
    ids : list of str (N,).
    letters, nats : float64 arrays (N,): known letters of each sequence, and the sum of their -log p.
    by_letter : float64 array (total,): -log p of each letter of all sequences, in nats; NaN of unknown ones.
    """

    ids: list[str]
    letters: np.ndarray
    nats: np.ndarray
    by_letter: np.ndarray


def _perplexity(nats: np.ndarray, letters: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.exp((counts @ nats) / (counts @ letters))


def _likelihood(nats: np.ndarray, letters: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return -(counts @ nats) / (counts @ letters) / np.log(2)


METRICS = {"perplexity": _perplexity, "log2_likelihood": _likelihood}


def evaluate_language(
    model: str,
    prepared: Path,
    *,
    name: str,
    split: str = "valid",
    note: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> tuple[dict[str, Any], Told]:
    """Return the evaluation of a language model on rows of a prepared file, and what is behind it.

    Perplexity is that of a letter: a symbol of several letters counts as these, so that tokenisers compare. Ends of
    sequences are told by model and counts alike, and count for neither.

    Parameters
    ----------
    model : folder of a recipe of task language, or the id of a shipped one.
    split : "train", "valid", "test" or "all".

    Raises
    ------
    ConfigError: no language model, one of other letters than the file's, or an unknown split.
    InputError: the file or the model cannot be read, or the split is empty.
    """
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"--split: found '{split}'; allowed is {', '.join(SPLITS)} or all")
    stored = load_model(model)
    rows = ProteinDataset(prepared, None if split == "all" else split)
    data = symbols_of(stored, rows)
    with progress("reading", "sequences", len(rows)) as advance:
        nats = symbol_nats(model_on(stored.model, device), data, advance)  # type: ignore[arg-type]
    tokeniser = Tokeniser.from_dict(stored.facts["tokeniser"])
    told = _told(rows, _spread(data.flat, nats, tokeniser))
    what = "residues" if rows.alphabet == RESIDUES else "bases"
    content = common("language", name, split, note, seed, {"model": stored.path, "prepared": prepared})
    content["cautions"] += trained_on(split)
    content["metrics"] = {what: _estimates(told, seed)}
    fit = ProteinDataset(prepared, "train")
    content["baselines"] = {what: {}}
    by_letter = {"model": told.by_letter}
    for other, (description, order) in BASELINES.items():
        theirs = _told(rows, ngram_nats(fit, rows, order))
        content["baselines"][what][other] = _compared(other, description, told, theirs, seed)
        by_letter[other] = theirs.by_letter
    content |= {
        "tokeniser": {"name": tokeniser.name, "symbols": tokeniser.size, "k": tokeniser.k},
        "counts": {
            "sequences": len(rows),
            what: int(told.letters.sum()),
            f"{what}_unknown": int(rows.lengths.sum() - told.letters.sum()),
            "symbols": int((np.isfinite(nats) & (data.flat != EOS) & (data.flat != BOS)).sum()),
        },
        "positions": _positions(rows, by_letter),
    }
    return content, told


def _spread(flat: np.ndarray, nats: np.ndarray, tokeniser: Tokeniser) -> np.ndarray:
    """Return -log p of each letter, NaN of unknown ones: that of a symbol of several letters in equal parts."""
    letters = tokeniser.letters
    share = np.where(flat == UNK, np.nan, nats / np.maximum(letters[flat], 1))
    return np.repeat(share, letters[flat])


def _told(rows: ProteinDataset, by_letter: np.ndarray) -> Told:
    edges = np.concatenate([[0], np.cumsum(rows.lengths)])

    def sums(values: np.ndarray) -> np.ndarray:
        return np.diff(np.concatenate([[0.0], np.cumsum(values)])[edges])

    return Told(rows.ids, sums(np.isfinite(by_letter)), sums(np.nan_to_num(by_letter)), by_letter)


def _estimates(told: Told, seed: int) -> dict[str, Any]:
    return {name: estimate(metric, told.nats, told.letters, seed=seed) for name, metric in METRICS.items()}


def _compared(name: str, description: str, ours: Told, theirs: Told, seed: int) -> dict[str, Any]:
    """Return a baseline's metrics, and the paired difference of the log-likelihood, as `baselines.compare` does."""

    def gap(own: np.ndarray, other: np.ndarray, letters: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return _likelihood(own, letters, counts) - _likelihood(other, letters, counts)

    gaps = {"log2_likelihood": estimate(gap, ours.nats, theirs.nats, ours.letters, seed=seed)}
    return entry_of(name, description, _estimates(theirs, seed), gaps, "sequences")


def _positions(rows: ProteinDataset, by_letter: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return perplexity by the position of a letter in its sequence, from 1: model and baselines."""
    starts = np.repeat(np.cumsum(rows.lengths) - rows.lengths, rows.lengths)
    position = np.arange(len(rows.flat)) - starts + 1
    table = []
    for low, high in itertools.pairwise(EDGES):
        here = (position >= low) & (position < high) & np.isfinite(by_letter["model"])
        if here.any():
            last = int(min(high - 1, position[here].max()))
            values = {name: float(np.exp(nats[here].mean())) for name, nats in by_letter.items()}
            table.append({"from": low, "to": last, "letters": int(here.sum()), **values})
    return table


def write_table(path: str | Path, told: Told) -> None:
    """Write one row a sequence: id, known letters, perplexity."""
    with open_table(path, {"id": str, "letters": int, "perplexity": str}) as write:
        for name, letters, nats in zip(told.ids, told.letters, told.nats, strict=True):
            write([name, int(letters), f"{np.exp(nats / letters) if letters else np.nan:.4f}"])
