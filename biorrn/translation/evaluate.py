"""Evaluation of encoder-decoders: symbol error rate and exact matches; on signal, compared with CTC and CRF.

Edits are those of the best global alignment (edit distance). Chunks of signal are called one by one: their first and
last bases may be cut, so identities are lower than those of reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.kernels.distance import columns, distance
from biorrn.nanopore.basecall.decode import DECODERS
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.evaluate.identity import RESAMPLED
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import SequenceModel
from biorrn.nn.store import Stored, load_facts, load_model
from biorrn.sequences.alphabets import decode_bases
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.bootstrap import estimate
from biorrn.stats.figures import Drawing, slug
from biorrn.stats.results import common
from biorrn.training.batches import ordered_batches
from biorrn.translation.data import PairDataset
from biorrn.translation.predict import bases_of, check_model, search, signal_drawing

BATCH = 64


@dataclass(frozen=True, slots=True)
class Results:
    """Results of one model on the rows of a split.

    Attributes
    ----------
    edits, symbols : int64 arrays (N,): edits to the true sequence, and its length.
    counts : int64 array (N, 4), for signal: matches, mismatches, insertions, deletions; else empty (0, 4).
    cut : int: number of predictions without an end.
    seconds : float: time of model and search.
    sample : for a figure: signal, attention, bases, identity; or None.
    """

    edits: np.ndarray
    symbols: np.ndarray
    counts: np.ndarray
    cut: int
    seconds: float
    sample: tuple[np.ndarray, np.ndarray, str, float] | None = None


def _error_rate(edits: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return (counts @ edits) / np.maximum(counts @ symbols, 1)


def _exact(edits: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return (counts @ (edits == 0)) / counts.sum(1)


def metrics(results: Results, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}}, with 95 % bootstrap intervals over rows."""
    edits, symbols = results.edits.astype(np.float64), results.symbols.astype(np.float64)
    found = {name: estimate(statistic, edits, symbols, seed=seed) for name, statistic in METRICS.items()}
    if len(results.counts):
        found |= {name: estimate(f, results.counts.astype(np.float64), seed=seed) for name, f in RESAMPLED.items()}
    return found


def evaluate_pairs(stored: Stored, data: PairDataset, beam: int) -> Results:
    """Return the results of a model on pairs.

    Raises
    ------
    ConfigError: the model has other alphabets.
    """
    model = check_model(stored, signal=False)
    for side, alphabet in (("source", data.source), ("target", data.target)):
        if stored.facts[side] != alphabet.name:
            raise ConfigError(f"{stored.path}: its {side} is {stored.facts[side]}; that of the data is {alphabet.name}")
    edits, cut, start = np.zeros(len(data), np.int64), 0, time.perf_counter()
    for indices in ordered_batches(data.lengths, BATCH):
        batch = data.collate(indices)
        found = search(model, batch.x, batch.lengths, stored.facts["symbols_a_step"], beam)
        for index, row in zip(indices, found, strict=True):
            edits[index] = distance(row.symbols, data.symbols("target", int(index)).tolist())
            cut += not row.ended
    return Results(edits, data.target_lengths, np.zeros((0, 4), np.int64), cut, time.perf_counter() - start)


def evaluate_chunks(stored: Stored, data: ChunkDataset, windows: Sequence[Any], beam: int) -> Results:
    """Return the results of a model on chunks of signal: an encoder-decoder, or a basecaller (CTC, CRF).

    Raises
    ------
    ConfigError: the model does not read signal, or needs another normalisation.
    """
    if stored.recipe.task != "basecalling":
        check_model(stored, signal=True)
    if stored.facts["normaliser"] != data.normaliser:
        raise ConfigError(
            f"{stored.path}: needs signal by {stored.facts['normaliser']}; that of the data is by {data.normaliser}"
        )
    calls: list[str] = []
    labels: list[str] = []
    cut, seconds, sample = 0, 0.0, None
    for start in range(0, len(windows), BATCH):
        batch = data.collate(windows[start : start + BATCH])
        assert batch.targets is not None
        assert batch.target_lengths is not None
        begun = time.perf_counter()
        found = list(_chunk_calls(stored, batch, beam, attention=not start))
        seconds += time.perf_counter() - begun
        calls += [call for call, _, _ in found]
        cut += sum(not ended for _, ended, _ in found)
        ends = zip(batch.targets, batch.target_lengths.tolist(), strict=True)
        labels += [decode_bases(row[:end].numpy()) for row, end in ends]
        if not start and found[0][2] is not None:
            sample = _median_sample(batch, found, labels)
    kinds = [list(columns(call, label).values()) for call, label in zip(calls, labels, strict=True)]
    counts = np.array(kinds, np.int64).reshape(-1, 4)
    symbols = np.array([len(label) for label in labels], np.int64)
    return Results(counts[:, 1:].sum(1), symbols, counts, cut, seconds, sample)


def _chunk_calls(
    stored: Stored, batch: Batch, beam: int, attention: bool
) -> Iterator[tuple[str, bool, np.ndarray | None]]:
    model = stored.model
    assert isinstance(model, SequenceModel)
    if stored.recipe.task == "basecalling":
        with torch.no_grad():
            scores, lengths = model(batch.x, batch.lengths)
        decode = DECODERS["greedy" if beam == 1 else "beam"]
        for row, length in zip(scores.float().numpy(), lengths.tolist(), strict=True):
            yield decode(row[:length]).bases, True, None
        return
    for found in search(model, batch.x, batch.lengths, stored.facts["symbols_a_step"], beam, attention):
        weights = None if found.attention is None else found.attention.numpy()
        yield bases_of(found), found.ended, weights


def _median_sample(
    batch: Batch, results: Sequence[tuple[str, bool, np.ndarray | None]], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Return signal, attention, bases and identity of the chunk of median identity of a batch."""
    counts = [columns(call, label) for (call, _, _), label in zip(results, labels, strict=True)]
    identities = np.array([entry["="] / sum(entry.values()) for entry in counts])
    row = int(np.argsort(identities, kind="stable")[len(identities) // 2])
    call, _, weights = results[row]
    assert weights is not None
    return batch.x[row, : int(batch.lengths[row]), 0].numpy(), weights, call, float(identities[row])


def evaluate_translation(
    models: Sequence[str],
    prepared: Path,
    *,
    name: str,
    split: str = "test",
    beam: int = 5,
    samples: int | None = None,
    limit: int | None = None,
    note: str = "",
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Results]]:
    """Return the evaluation of models on the same rows of a prepared file, and the results of each.

    Parameters
    ----------
    models : run folders of task translation; for signal also of task basecalling.
    prepared : file of pairs, or of signal.
    samples : int, for signal: samples per chunk. Default: as in the first model's recipe.
    limit : int, for signal: maximum number of chunks, evenly spaced.

    Raises
    ------
    ConfigError: no model, a model of another task or alphabet, or a beam below 1.
    InputError: the file is of another kind, or the split is empty.
    """
    if beam < 1:
        raise ConfigError(f"--beam: found {beam}; allowed is 1 or more")
    stored = {model: load_model(model) for model in dict.fromkeys(models)}
    if not stored:
        raise ConfigError("names no model; allowed is one or more")
    first = next(iter(stored.values()))
    signal = first.recipe.task == "basecalling" or first.facts.get("source") == "signal"
    results: dict[str, Results] = {}
    rows: dict[str, Any]
    if signal:
        size = samples or (first.recipe.chunks.samples if first.recipe.chunks else 0)
        data = ChunkDataset(prepared, None if split == "all" else split, size)
        windows = data.tiles(limit)
        if not windows:
            raise InputError(prepared, f"split '{split}' has no chunk that can be used")
        results = {model: evaluate_chunks(entry, data, windows, beam) for model, entry in stored.items()}
        rows = {"chunks": len(windows), "samples": size}
    else:
        pairs = PairDataset(prepared, None if split == "all" else split)
        results = {model: evaluate_pairs(entry, pairs, beam) for model, entry in stored.items()}
        rows = {"pairs": len(pairs)}
    content = common("translation", name, split, note, seed, {"prepared": prepared})
    content |= {"beam": beam, "rows": rows, "models": {}}
    for model, found in results.items():
        recipe = stored[model].recipe
        content["models"][model] = {
            "recipe": recipe.name,
            "head": recipe.network.head.name,
            "parameters": sum(weight.numel() for weight in stored[model].model.parameters()),
            "symbols": int(found.symbols.sum()),
            "length_limit": found.cut,
            "seconds": found.seconds,
        }
        content["metrics"][model] = metrics(found, seed)
    return content, results


METRICS = {"symbol_error_rate": _error_rate, "exact": _exact}


def rows(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the column names, and the cells of each model; metrics with 95 % intervals."""
    names = list(dict.fromkeys(name for metrics in content["metrics"].values() for name in metrics))
    body = []
    for model, entry in content["models"].items():
        estimates = content["metrics"][model].values()
        cells = [f"{found['value']:.4f} ({found['low']:.4f}-{found['high']:.4f})" for found in estimates]
        facts = [f"{entry['parameters']:,}", str(entry["length_limit"]), f"{entry['seconds']:.1f}"]
        body.append([model, entry["head"], *cells, *facts])
    return ["model", "head", *names, "parameters", "length_limit", "seconds"], body


def write_table(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the table as TSV."""
    header, body = rows(content)
    with open_table(path, dict.fromkeys(header, str)) as write:
        for cells in body:
            write(cells)


def table_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the table as lines for the terminal, a block per model."""
    header, body = rows(content)
    counts = ", ".join(f"{number:,} {what}" for what, number in content["rows"].items())
    lines = [f"{content['name']}: split {content['split']}, {counts}, beam {content['beam']}"]
    for cells in body:
        lines.append(f"  {cells[0]}")
        lines += [f"    {name:<18}{cell}" for name, cell in zip(header[1:], cells[1:], strict=True)]
    return lines


def sample_drawings(content: Mapping[str, Any], results: Mapping[str, Results]) -> list[Drawing]:
    """Return a drawing for each decoder of signal: the attention over its median chunk."""
    drawings: list[Drawing] = []
    for model, found in results.items():
        if found.sample is None:
            continue
        signal, attention, bases, identity = found.sample
        facts, recipe = load_facts(model), content["models"][model]["recipe"]
        title = f"{recipe}: a chunk, identity {identity:.2f}"
        drawings.append(
            signal_drawing(
                signal, attention, bases, facts["stride"], facts["sample_rate"], title,
                f"attention_{slug(recipe)}_{len(drawings) + 1}",
            )
        )  # fmt: skip
    return drawings
