"""Generation of sequences from a language model: temperature, top-k and nucleus sampling, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from biorrn.base.compute import choose_device
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import sees
from biorrn.nn.sequence import Stepper
from biorrn.nn.store import Stored, load_model
from biorrn.sequences.tokenisers import BOS, EOS, PAD, UNK, Tokeniser

ROUNDING = 1e-7  # tolerance of sums of probabilities: 0.4 + 0.3 + 0.2 counts as 0.9


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters of sampling.

    Attributes
    ----------
    temperature : float: 1 is the distribution of the model; below 1 sharpens, above 1 flattens, 0 takes the likeliest.
    top_k : int: only the k likeliest symbols; 0 is all.
    top_p : float in (0, 1]: only the fewest likeliest symbols of total probability p or more; 1 is all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"--temperature: found {self.temperature:g}; allowed is 0 or more")
        if self.top_k < 0:
            raise ConfigError(f"--top-k: found {self.top_k}; allowed is 0 (all symbols) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p: found {self.top_p:g}; allowed is above 0, at most 1")


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of scores (..., S), float64; minus infinity has probability 0.

    >>> softmax(np.log([1.0, 3.0])).round(6).tolist()
    [0.25, 0.75]
    """
    shifted = np.asarray(scores, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Return probabilities (..., S) of only the k likeliest symbols, normalised; ties go to the lower code.

    >>> top_k(np.array([0.2, 0.5, 0.2, 0.1]), 2).round(6).tolist()
    [0.285714, 0.714286, 0.0, 0.0]
    """
    return _likeliest(probabilities, np.full(probabilities.shape[:-1], k))


def top_p(probabilities: np.ndarray, p: float) -> np.ndarray:
    """Return probabilities (..., S) of only the nucleus, normalised (Holtzman et al. 2020, ICLR, section 3.1).

    The nucleus is the smallest set of symbols of total probability p or more, up to rounding; ties go to the lower
    code.

    >>> top_p(np.array([0.125, 0.5, 0.25, 0.125]), 0.75).round(6).tolist()
    [0.0, 0.666667, 0.333333, 0.0]
    >>> top_p(np.array([0.4, 0.3, 0.2, 0.1]), 0.9).round(6).tolist()
    [0.444444, 0.333333, 0.222222, 0.0]
    """
    if p >= 1:
        return np.asarray(probabilities / probabilities.sum(-1, keepdims=True))
    mass = np.cumsum(-np.sort(-probabilities, axis=-1), axis=-1)
    return _likeliest(probabilities, (mass < p - ROUNDING).sum(-1) + 1)


def _likeliest(probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return probabilities of only the likeliest `counts` (...) symbols of each row, normalised."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    kept = np.where(rank < np.asarray(counts)[..., None], probabilities, 0.0)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


def distribution(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return the sampling distribution, float64 (..., S), of raw scores (..., S); minus infinity has probability 0.

    With temperature 0 the likeliest symbol has probability 1; ties go to the lowest code.

    >>> distribution(np.log([1.0, 3.0]), Sampling(temperature=0.5)).round(6).tolist()
    [0.1, 0.9]
    """
    scores = np.asarray(scores, np.float64)
    if sampling.temperature == 0:
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    # subtract the maximum first, or a small temperature would overflow
    found = softmax((scores - scores.max(-1, keepdims=True)) / sampling.temperature)
    if sampling.top_k:
        found = top_k(found, sampling.top_k)
    if sampling.top_p < 1:
        found = top_p(found, sampling.top_p)
    return found


def draw(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return one symbol per row, int64 (...), by inverse transform of a number in [0, 1) per row.

    A symbol of probability 0 is never drawn.

    >>> draw(np.array([[0.25, 0.0, 0.75]] * 3), np.array([0.0, 0.2499, 0.25])).tolist()
    [0, 0, 2]
    """
    mass = np.cumsum(probabilities, axis=-1)
    place = (mass <= np.asarray(uniform)[..., None] * mass[..., -1:]).sum(-1)
    # by rounding u * mass may reach the end: take the last symbol of probability above 0
    last = probabilities.shape[-1] - 1 - (probabilities[..., ::-1] > 0).argmax(-1)
    return np.minimum(place, last)


def uniforms(seed: int, first: int, rows: int, steps: int) -> np.ndarray:
    """Return numbers in [0, 1), (rows, steps), from one random stream per sequence.

    Sequence i has the stream of (seed, i), so it depends neither on the batch size nor on the number of sequences.
    """
    streams = [np.random.default_rng([seed, first + row]) for row in range(rows)]
    return np.array([stream.random(steps) for stream in streams]).reshape(rows, steps)


LONGEST = 1 << 16  # maximum letters of a sequence
LENGTH = 512  # default maximum letters, for a model without a stored maximum


class Steps(Protocol):
    """Interface of a model that reads one symbol at a time; see `nn.sequence.Stepper`."""

    def start(self, batch: int) -> Any:
        """Return the initial state of a batch."""
        ...

    def step(self, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Read tokens (B,); return scores (B, S) of the next symbol, hidden states (B, H) and the new state."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of a generation.

    Attributes
    ----------
    sampling : Sampling.
    prompt : str: start of every sequence; its end, for a backward model.
    shortest, longest : int: minimum and maximum letters of a sequence, including the prompt.
    seed : int: sequence i of a seed is the same for any batch size and number of sequences.
    """

    sampling: Sampling = field(default_factory=Sampling)
    prompt: str = ""
    shortest: int = 1
    longest: int = LENGTH
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if not 1 <= self.longest <= LONGEST:
            raise ConfigError(f"--max-length: found {self.longest}; allowed is 1 to {LONGEST}")
        if not 0 <= self.shortest <= self.longest:
            raise ConfigError(f"--min-length: found {self.shortest}; allowed is 0 to --max-length, {self.longest}")
        if len(self.prompt) > self.longest:
            raise ConfigError(f"--prompt: has {len(self.prompt)} letters; allowed is --max-length, {self.longest}")
        if self.seed < 0:
            raise ConfigError(f"--seed: found {self.seed}; allowed is 0 or more")


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated sequence.

    Attributes
    ----------
    number : int: from 1.
    sequence : str: letters, including the prompt.
    log_likelihood : float: mean log-probability of the drawn symbols (nats), at temperature 1 with all symbols,
        including the end; NaN if none was drawn.
    ended : bool: the model drew an end; else the sequence was cut at the maximum length.
    """

    number: int
    sequence: str
    log_likelihood: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Language:
    """A loaded language model.

    Attributes
    ----------
    steps : the model, one symbol at a time, see `nn.sequence.Stepper`.
    tokeniser : Tokeniser.
    backward : bool: the model reads and draws from the end, and a prompt is the end of a sequence.
    longest : int: default maximum letters of a sequence.
    device : torch device or str.
    """

    steps: Steps
    tokeniser: Tokeniser
    backward: bool = False
    longest: int = LENGTH
    device: torch.device | str = "cpu"


def open_language_model(name: str | Path, device: str = "cpu") -> Language:
    """Load a language model in float64.

    In float64 the scores of a row differ between batch sizes by 1e-16 instead of 1e-7, so that the draws are the same.

    Raises
    ------
    ConfigError, InputError: the model is missing, damaged, or not a language model.
    """
    stored = load_model(name)
    tokeniser = tokeniser_of(stored)
    where = choose_device(device)
    where = torch.device("cpu") if where.type == "mps" else where  # mps has no float64
    model = stored.model.double().to(where)
    try:
        steps = Stepper(model)
    except ConfigError as error:
        raise ConfigError(f"{stored.path}: {error}") from error
    longest = min(int(stored.facts.get("max_length") or LENGTH), LONGEST)
    return Language(steps, tokeniser, sees(stored.recipe.network.core) == "backward", longest, where)


def tokeniser_of(stored: Stored) -> Tokeniser:
    """Return the tokeniser of a language model.

    Raises
    ------
    ConfigError: not a language model, or one of an old version without a tokeniser.
    """
    task = stored.facts.get("task")
    if task != "language":
        raise ConfigError(f"{stored.path}: is a model for {task}; expected one for language")
    if not stored.facts.get("tokeniser"):
        raise ConfigError(f"{stored.path}: fact 'tokeniser' is missing; train the language model again")
    return Tokeniser.from_dict(stored.facts["tokeniser"])


def generate(language: Language, count: int, plan: Plan, *, batch_size: int = 64) -> Iterator[Generated]:
    """Yield `count` sequences.

    Parameters
    ----------
    batch_size : int: sequences per batch. Affects speed only.

    Raises
    ------
    ConfigError: `count` or `batch_size` is below 1, or the prompt has an unknown letter.
    """
    for option, number in (("-n", count), ("--batch-size", batch_size)):
        if number < 1:
            raise ConfigError(f"{option}: found {number}; allowed is 1 or more")
    tokeniser = language.tokeniser
    try:
        prompt = tokeniser.encode(plan.prompt)
    except BiorrnError as error:
        raise ConfigError(f"--prompt: {error}") from error
    if (prompt == UNK).any():
        raise ConfigError(
            f"--prompt: letter '{tokeniser.alphabet[-1]}' is ambiguous; allowed is {tokeniser.alphabet[:-1]}"
        )
    for first in range(0, count, batch_size):
        rows = min(batch_size, count - first)
        yield from _batch(language, prompt, plan, first, rows)


def _batch(language: Language, prompt: np.ndarray, plan: Plan, first: int, rows: int) -> Iterator[Generated]:
    steps, tokeniser, backward, where = language.steps, language.tokeniser, language.backward, language.device
    begin, end = (EOS, BOS) if backward else (BOS, EOS)
    letters = tokeniser.letters
    given = [begin, *(prompt[::-1] if backward else prompt).tolist()]
    most = plan.longest - int(letters[prompt].sum()) + 1  # maximum draws: one per letter, and the end
    chance = uniforms(plan.seed, first, rows, most)
    drawn: list[list[int]] = [[] for _ in range(rows)]
    lengths = np.full(rows, letters[prompt].sum())
    nats, ended, open_ = np.zeros(rows), np.zeros(rows, bool), lengths < plan.longest
    with torch.inference_mode():
        state = steps.start(rows)
        for token in given[:-1]:
            state = steps.step(torch.full((rows,), token, device=where), state)[2]
        tokens = torch.full((rows,), given[-1], device=where)
        for number in range(most):
            if not open_.any():
                break
            scores, _, state = steps.step(tokens, state)
            raw = scores.double().cpu().numpy()  # (B, S)
            allowed = letters[None, :] <= (plan.longest - lengths)[:, None]
            allowed[:, [PAD, begin, UNK]] = False
            allowed[:, end] = lengths >= plan.shortest
            allowed[~open_, end] = True  # finished rows need an allowed symbol
            chosen = draw(distribution(np.where(allowed, raw, -np.inf), plan.sampling), chance[:, number])
            likelihood = np.take_along_axis(softmax(raw), chosen[:, None], 1)[:, 0]
            nats += np.where(open_, np.log(np.maximum(likelihood, 1e-300)), 0.0)
            for row in np.flatnonzero(open_).tolist():
                drawn[row].append(int(chosen[row]))
            ended |= open_ & (chosen == end)
            lengths = lengths + np.where(open_, letters[chosen], 0)
            open_ &= ~ended & (lengths < plan.longest)
            tokens = torch.from_numpy(np.where(chosen == end, begin, chosen)).to(where)  # ignored for finished rows
    for row in range(rows):
        ids = [*given[1:], *(symbol for symbol in drawn[row] if symbol != end)]
        text = tokeniser.decode(ids[::-1] if backward else ids)
        mean = float(nats[row] / len(drawn[row])) if drawn[row] else float("nan")
        yield Generated(first + row + 1, text, mean, bool(ended[row]))
