"""Evaluation of a language model: perplexity with bootstrap intervals, compared with n-gram models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.base.terminal import progress
from biorrn.config.recipe import sees
from biorrn.language.data import IGNORED, SymbolDataset, whole
from biorrn.language.generate import tokeniser_of
from biorrn.nn.forward import model_on
from biorrn.nn.sequence import SequenceModel, carries, next_states
from biorrn.nn.store import Stored, load_model
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.tables.writer import open_table
from biorrn.sequences.tokenisers import BOS, EOS, UNK, Tokeniser
from biorrn.stats.baselines import entry_of
from biorrn.stats.bootstrap import estimate
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, Drawing, draw, say
from biorrn.stats.results import common, trained_on
from biorrn.training.batches import ProteinDataset, ordered_batches

ROWS, STEPS = 64, 512  # of a forward pass


def symbols_of(stored: Stored, rows: ProteinDataset) -> SymbolDataset:
    """Return rows encoded for a language model.

    Raises
    ------
    ConfigError: not a language model, or another alphabet.
    """
    tokeniser = tokeniser_of(stored)
    if tokeniser.alphabet != rows.alphabet:
        raise ConfigError(f"{stored.path}: is a model of letters {tokeniser.alphabet}; the rows have {rows.alphabet}")
    backward = sees(stored.recipe.network.core) == "backward"
    return SymbolDataset(rows, tokeniser, backward, int(rows.lengths.max()) + 2)


def symbol_nats(
    model: SequenceModel, data: SymbolDataset, advance: Callable[[int], None] = lambda sequences: None
) -> np.ndarray:
    """Return -log p of each id of `data.flat`, float64 (total,), in nats; NaN for initial ids and unknown letters.

    A recurrent model reads windows and carries its state over; other models read whole sequences.

    Parameters
    ----------
    model : in evaluation mode.
    data : whole sequences, see `symbols_of`.
    """
    device = next(model.parameters()).device
    found = np.full(len(data.flat), np.nan)
    starts, ends = data.offsets[:-1], data.offsets[1:]
    with torch.inference_mode():
        if not carries(model):
            for places in ordered_batches(data.steps, ROWS):
                batch = data.collate(places)
                scores = model(batch.x.to(device), batch.lengths.to(device))[0].cpu()
                nats, first = _nats(scores, batch.targets), starts[places] + (0 if data.backward else 1)
                for row, place in enumerate(first):
                    found[place : place + int(batch.lengths[row])] = nats[row, : int(batch.lengths[row])]
                advance(len(places))
            return found
        states: Any = None
        for rows, places, batch in whole(data, ROWS, STEPS):
            there = batch.to(device)
            assert there.carried is not None
            scores, _, states = model.run_from(there.x, there.lengths, next_states(states, there.carried))
            nats, counts = _nats(scores.cpu(), batch.targets), batch.lengths.tolist()
            for row in np.flatnonzero(rows >= 0).tolist():
                part, first = nats[row, : counts[row]], int(places[row]) + 1
                if data.backward:
                    end = int(ends[rows[row]]) - first
                    found[end - len(part) : end] = part[::-1]
                else:
                    start = int(starts[rows[row]]) + first
                    found[start : start + len(part)] = part
            advance(int(((rows >= 0) & (places == 0)).sum()))
    return found


def _nats(scores: Tensor, targets: Tensor | None) -> np.ndarray:
    """Return -log p of the targets (B, T), given scores (B, T, S); NaN without target."""
    assert targets is not None
    nats = F.cross_entropy(scores.double().transpose(1, 2), targets, reduction="none", ignore_index=IGNORED)
    return nats.masked_fill(targets == IGNORED, float("nan")).numpy()


def ngram_nats(fit: ProteinDataset, rows: ProteinDataset, order: int) -> np.ndarray:
    """Return -log p of each letter of `rows`, float64 (letters,), in nats, by an n-gram model of `fit`; NaN if unknown.

    Parameters
    ----------
    order : int: n of the n-grams. 0: all known letters equally likely, and no end.
    """
    unknown = len(fit.alphabet)  # token of unknown letters; 0 is begin and end
    if order == 0:
        return np.where(rows.flat == unknown, np.nan, np.log(unknown - 1.0))
    kinds = unknown + 1
    contexts, letters, ends = _pairs(fit, order, kinds)
    counts = np.bincount(contexts * kinds + letters, minlength=kinds**order).reshape(-1, kinds).astype(np.float64)
    counts[:, unknown] = -1.0  # add-one smoothing below makes it 0: unknown letters are no target
    contexts, letters, ends = _pairs(rows, order, kinds)
    known = letters != unknown
    nats = np.full(len(letters), np.nan)
    nats[known] = np.log((counts + 1).sum(1)[contexts[known]]) - np.log(counts[contexts, letters][known] + 1)
    return nats[~ends]


def _pairs(rows: ProteinDataset, order: int, kinds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the code of the context of each letter or end, the letter (0 for an end), and a mask of the ends."""
    places = np.cumsum(rows.lengths)
    flat = np.concatenate([[0], np.insert(rows.flat.astype(np.int64), places, 0)])
    codes = np.zeros(len(flat) - 1, np.int64)
    before, inside = flat[:-1], np.ones(len(flat) - 1, bool)
    for back in range(order - 1):
        codes += np.where(inside, before, 0) * kinds**back
        inside &= before != 0  # nothing precedes the begin
        before = np.concatenate([[0], before[:-1]])
    return codes, flat[1:], flat[1:] == 0


# name -> description, and n of the n-grams
BASELINES = {
    "uniform": ("every letter equally likely", 0),
    "unigram": ("frequencies of letters in the training rows", 1),
    "bigram": ("counts of letters after the one before, add-one smoothing", 2),
    "trigram": ("counts of letters after the two before, add-one smoothing", 3),
}


EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1 << 40)  # position classes, from 1


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The likelihoods of sequences.

    Attributes
    ----------
    ids : list of str (N,).
    letters, nats : float64 arrays (N,): known letters of each sequence, and the sum of their -log p.
    by_letter : float64 array (total,): -log p of each letter, in nats; NaN if unknown.
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
) -> tuple[dict[str, Any], Likelihoods]:
    """Return the evaluation of a language model on rows of a prepared file, and the likelihoods.

    Perplexity is per letter, so that tokenisers can be compared: the -log p of a symbol is divided equally among its
    letters. Ends of sequences are left out.

    Parameters
    ----------
    model : run folder of a language model, or the name of a shipped one.
    split : "train", "valid", "test" or "all".

    Raises
    ------
    ConfigError: not a language model, another alphabet than the file's, or an unknown split.
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
    scored = _likelihoods(rows, _spread(data.flat, nats, tokeniser))
    what = "residues" if rows.alphabet == RESIDUES else "bases"
    content = common("language", name, split, note, seed, {"model": stored.path, "prepared": prepared})
    content["cautions"] += trained_on(split)
    content["metrics"] = {what: _estimates(scored, seed)}
    fit = ProteinDataset(prepared, "train")
    content["baselines"] = {what: {}}
    by_letter = {"model": scored.by_letter}
    for other, (description, order) in BASELINES.items():
        theirs = _likelihoods(rows, ngram_nats(fit, rows, order))
        content["baselines"][what][other] = _compared(other, description, scored, theirs, seed)
        by_letter[other] = theirs.by_letter
    content |= {
        "tokeniser": {"name": tokeniser.name, "symbols": tokeniser.size, "k": tokeniser.k},
        "counts": {
            "sequences": len(rows),
            what: int(scored.letters.sum()),
            f"{what}_unknown": int(rows.lengths.sum() - scored.letters.sum()),
            "symbols": int((np.isfinite(nats) & (data.flat != EOS) & (data.flat != BOS)).sum()),
        },
        "positions": _positions(rows, by_letter),
    }
    return content, scored


def _spread(flat: np.ndarray, nats: np.ndarray, tokeniser: Tokeniser) -> np.ndarray:
    """Return -log p of each letter, NaN if unknown. That of a symbol is divided equally among its letters."""
    letters = tokeniser.letters
    share = np.where(flat == UNK, np.nan, nats / np.maximum(letters[flat], 1))
    return np.repeat(share, letters[flat])


def _likelihoods(rows: ProteinDataset, by_letter: np.ndarray) -> Likelihoods:
    edges = offsets_of(rows.lengths)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.diff(np.concatenate([[0.0], np.cumsum(values)])[edges])

    return Likelihoods(rows.ids, sums(np.isfinite(by_letter)), sums(np.nan_to_num(by_letter)), by_letter)


def _estimates(scored: Likelihoods, seed: int) -> dict[str, Any]:
    return {name: estimate(metric, scored.nats, scored.letters, seed=seed) for name, metric in METRICS.items()}


def _compared(name: str, description: str, ours: Likelihoods, theirs: Likelihoods, seed: int) -> dict[str, Any]:
    """Return the metrics of a baseline, and the paired difference of the log-likelihood."""

    def gap(own: np.ndarray, other: np.ndarray, letters: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return _likelihood(own, letters, counts) - _likelihood(other, letters, counts)

    gaps = {"log2_likelihood": estimate(gap, ours.nats, theirs.nats, ours.letters, seed=seed)}
    return entry_of(name, description, _estimates(theirs, seed), gaps, "sequences")


def _positions(rows: ProteinDataset, by_letter: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return the perplexity of model and baselines by the position of a letter in its sequence, from 1."""
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


def write_table(path: str | Path, scored: Likelihoods) -> None:
    """Write one row per sequence: id, known letters, perplexity."""
    with open_table(path, {"id": str, "letters": int, "perplexity": str}) as write:
        for name, letters, nats in zip(scored.ids, scored.letters, scored.nats, strict=True):
            write([name, int(letters), f"{np.exp(nats / letters) if letters else np.nan:.4f}"])


COLOURS = {"model": BLUE, "uniform": GREY, "unigram": ORANGE, "bigram": GREEN, "trigram": PURPLE}


def _by_position(rows: list[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not rows:
            return say(axes, "no letters")
        middle = [float(np.sqrt(row["from"] * row["to"])) for row in rows]
        for name, colour in COLOURS.items():
            style = {"linewidth": 2, "marker": "o", "markersize": 4} if name == "model" else {"linewidth": 1.2}
            axes.plot(middle, [row[name] for row in rows], color=colour, label=name, **style)
        axes.set_xscale("log")
        axes.set(xlabel="position in the sequence", ylabel="perplexity, lower is better")
        figure.legend(loc="outside upper center", ncols=3)
        return None

    return paint


def _histogram(scored: Likelihoods, whole: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        some = scored.letters > 0
        if not some.any():
            return say(axes, "no letters")
        values = np.exp(scored.nats[some] / scored.letters[some])
        high = float(np.quantile(values, 0.995))
        axes.hist(np.minimum(values, high), bins=40, color=BLUE)
        axes.axvline(whole, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel="perplexity of a sequence", ylabel="sequences")
        return None

    return paint


def _comparison(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = {"model": metrics, **{name: entry["metrics"] for name, entry in baselines.items()}}
        for place, (name, entry) in enumerate(rows.items()):
            value, low, high = (float(entry["perplexity"][key]) for key in ("value", "low", "high"))
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [place, place], color=COLOURS[name], linewidth=2)
            axes.plot(value, place, "o", color=COLOURS[name])
            axes.annotate(f"{value:.2f}", (value, place), xytext=(0, 7), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.margins(x=0.12)
        axes.set_xlabel("perplexity, lower is better")

    return paint


def language_figures(content: Mapping[str, Any], scored: Likelihoods) -> list[Drawing]:
    """Draw perplexity of model and baselines, by position, and as a histogram over sequences.

    Parameters
    ----------
    content, scored : as `evaluate_language` returns them.
    """
    ((what, metrics),) = content["metrics"].items()
    where = f"{content['split']} split"
    whole = metrics["perplexity"]["value"]
    return [
        draw(
            "perplexity",
            f"Perplexity of {what}, {where}, with 95 % bootstrap intervals over sequences.",
            _comparison(metrics, content["baselines"][what]),
            2.8,
        ),
        draw(
            "perplexity_by_position",
            f"Perplexity of {what} by their position in the sequence, {where}: what the model gains as it reads.",
            _by_position(content["positions"]),
        ),
        draw(
            "perplexity_by_sequence",
            f"Perplexity of each sequence, {where}; dashed: of all.",
            _histogram(scored, whole),
        ),
    ]
