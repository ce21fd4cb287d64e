"""Sequences told by an encoder and a decoder: what `biorrn translate` does, and what an evaluation of it is fed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biorrn.datasets.proteins import pad_tokens
from biorrn.encoders.bases import decode_bases
from biorrn.encoders.symbols import ALPHABETS
from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.lookup import lookup
from biorrn.models.decoder import Decoder
from biorrn.models.search import Found, beam_search, greedy
from biorrn.models.sequence import SequenceModel
from biorrn.models.store import Stored
from biorrn.readers.fasta import read_entries
from biorrn.readers.fields import OnProblem, stop

BEAM = 5  # hypotheses
LONGER = 1.1  # a decoder is stopped where it is so much longer than the longest of training, by steps of the source
CUT = "length_limit"  # flag: stopped there, without an end


@dataclass(frozen=True, slots=True)
class Translation:
    """One sequence told from another.

    Attributes
    ----------
    id, source : str: as read.
    target : str: what was told.
    probability : float: geometric mean of the probabilities of its symbols and its end.
    flags : list of str: `CUT`, or empty.
    attention : float32 array (U, T), optional: where each symbol, and the end, looked.
    source_symbols, target_symbols : list of str: what the axes of `attention` stand for; the end is not among them.
    """

    id: str
    source: str
    target: str
    probability: float
    flags: list[str] = field(default_factory=list)
    attention: np.ndarray | None = None
    source_symbols: list[str] = field(default_factory=list)
    target_symbols: list[str] = field(default_factory=list)


def check_model(stored: Stored, signal: bool) -> SequenceModel:
    """Return the network of a translation model that takes signal, or sequences.

    Raises
    ------
    ConfigError: another kind of model.
    """
    task, source = stored.recipe.task, stored.facts.get("source")
    model = stored.model
    if task != "translation" or not isinstance(model, SequenceModel) or not isinstance(model.head, Decoder):
        raise ConfigError(f"{stored.path}: is a model of task {task}; allowed is translation")
    if signal != (source == "signal"):
        wanted = "signal" if signal else "sequences; of signal, use `biorrn evaluate translation`"
        raise ConfigError(f"{stored.path}: translates {source}; expected a model of {wanted}")
    return model


def search(
    model: SequenceModel, x: Tensor, lengths: Tensor, symbols_a_step: float, beam: int, attention: bool = False
) -> list[Found]:
    """Return the sequence of each row of a batch: greedily for a `beam` of 1, else the best of so many.

    Parameters
    ----------
    symbols_a_step : float: most symbols a step of `x` in training; see `LONGER`.
    """
    limits = (lengths * symbols_a_step * LONGER).long() + 5
    with torch.no_grad():
        values, lengths = model(x, lengths)
    assert isinstance(model.head, Decoder)
    if beam == 1:
        return greedy(model.head, values, lengths, limits, attention)
    return beam_search(model.head, values, lengths, limits, beam, attention)


def read_sources(path: str | Path, alphabet: str, on_problem: OnProblem = stop) -> Iterator[tuple[str, str]]:
    """Yield id and sequence of each record of a FASTA file that is of an alphabet of `ALPHABETS`.

    Raises
    ------
    InputError: the file is empty or no FASTA; and unless `on_problem` takes it, a sequence is not of the alphabet.
    """
    known = lookup(ALPHABETS, alphabet, "alphabet")
    for name, text in read_entries(path):
        try:
            known.encode(text)
        except BiorrnError as error:
            on_problem(InputError(path, str(error), name))
            continue
        yield name, text


def translate(
    stored: Stored,
    records: Iterable[tuple[str, str]],
    *,
    beam: int = BEAM,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    attention: Callable[[str], bool] = lambda name: False,
) -> Iterator[Translation]:
    """Yield the translation of each record, in order; a batch of them is in memory at a time.

    Parameters
    ----------
    stored : model of task translation whose source is an alphabet.
    records : id and sequence; see `read_sources`.
    beam : int: hypotheses; 1 is greedy.
    attention : function that says of an id whether to keep where its symbols looked.

    Raises
    ------
    ConfigError: another kind of model, or a beam below 1.
    """
    model = check_model(stored, signal=False).to(device)
    if beam < 1:
        raise ConfigError(f"--beam: found {beam}; allowed is 1 or more")
    source, target = (ALPHABETS[stored.facts[side]] for side in ("source", "target"))
    rest = iter(records)
    while batch := list(islice(rest, max(1, batch_size))):
        codes = [source.encode(text) for _, text in batch]
        kept = [attention(name) for name, _ in batch]
        # like lengths together would be faster; the order of the input is kept instead
        x, lengths = pad_tokens(codes)
        found = search(
            model, x.to(device), lengths.to(device), stored.facts["symbols_a_step"], beam, any(kept)
        )  # fmt: skip
        for (name, text), row, keep, symbols in zip(batch, found, kept, codes, strict=True):
            looked = row.attention.cpu().numpy() if keep and row.attention is not None else None
            yield Translation(
                name,
                text,
                target.decode(row.symbols),
                math.exp(row.score),
                [] if row.ended else [CUT],
                looked,
                [source.symbols[int(symbol) - 1] for symbol in symbols] if keep else [],
                [target.symbols[symbol - 1] for symbol in row.symbols] if keep else [],
            )


def bases_of(found: Found) -> str:
    """Return the bases that a model of signal told."""
    return decode_bases(np.array(found.symbols, np.int64))
