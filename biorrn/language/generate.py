"""New sequences from a language model, drawn symbol by symbol; many at a time, each from its own random stream."""

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

ROUNDING = 1e-7  # of probabilities from float32 scores: 0.4 + 0.3 + 0.2 is 0.9, though not in binary


@dataclass(frozen=True, slots=True)
class Sampling:
    """How symbols are drawn.

    Attributes
    ----------
    temperature : float: 1 draws as the model says, less sharpens, more flattens, 0 takes the likeliest symbol.
    top_k : int: only the k likeliest symbols; 0 is all.
    top_p : float in (0, 1]: only the fewest symbols, likeliest first, whose mass is p or more; 1 is all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ConfigError: one is out of range.
        """
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"--temperature: found {self.temperature:g}; allowed is 0 or more")
        if self.top_k < 0:
            raise ConfigError(f"--top-k: found {self.top_k}; allowed is 0 (all symbols) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p: found {self.top_p:g}; allowed is above 0, at most 1")


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, float64 (..., S), of scores (..., S); a score of minus infinity has probability 0.

    >>> softmax(np.log([1.0, 3.0])).round(6).tolist()
    [0.25, 0.75]
    """
    shifted = np.asarray(scores, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Return probabilities (..., S) of the k likeliest symbols, summing to one; of equals the lower code is kept.

    >>> top_k(np.array([0.2, 0.5, 0.2, 0.1]), 2).round(6).tolist()
    [0.285714, 0.714286, 0.0, 0.0]
    """
    return _first(probabilities, np.full(probabilities.shape[:-1], k))


def top_p(probabilities: np.ndarray, p: float) -> np.ndarray:
    """Return probabilities (..., S) of the nucleus, summing to one (Holtzman et al. 2020, ICLR, section 3.1).

    The nucleus is the smallest set of symbols whose mass is p or more, up to rounding; of equals the lower code is
    kept.

    >>> top_p(np.array([0.125, 0.5, 0.25, 0.125]), 0.75).round(6).tolist()
    [0.0, 0.666667, 0.333333, 0.0]
    >>> top_p(np.array([0.4, 0.3, 0.2, 0.1]), 0.9).round(6).tolist()
    [0.444444, 0.333333, 0.222222, 0.0]
    """
    if p >= 1:  # every symbol, however rare
        return np.asarray(probabilities / probabilities.sum(-1, keepdims=True))
    mass = np.cumsum(-np.sort(-probabilities, axis=-1), axis=-1)
    return _first(probabilities, (mass < p - ROUNDING).sum(-1) + 1)


def _first(probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return probabilities with only the likeliest `counts` (...) symbols of each row, summing to one."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    kept = np.where(rank < np.asarray(counts)[..., None], probabilities, 0.0)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


def distribution(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return what is drawn from, float64 (..., S), given raw scores (..., S); minus infinity is never drawn.

    With temperature 0 all mass is on the likeliest symbol, of equals the one with the lowest code.

    >>> distribution(np.log([1.0, 3.0]), Sampling(temperature=0.5)).round(6).tolist()
    [0.1, 0.9]
    """
    scores = np.asarray(scores, np.float64)
    if sampling.temperature == 0:
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    # the best score is taken away first, or a small temperature would make all of them infinite
    found = softmax((scores - scores.max(-1, keepdims=True)) / sampling.temperature)
    if sampling.top_k:
        found = top_k(found, sampling.top_k)
    if sampling.top_p < 1:
        found = top_p(found, sampling.top_p)
    return found


def draw(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return a symbol a row, int64 (...), where each row's number in [0, 1) falls among its probabilities (..., S).

    A symbol without mass is never drawn.

    >>> draw(np.array([[0.25, 0.0, 0.75]] * 3), np.array([0.0, 0.2499, 0.25])).tolist()
    [0, 0, 2]
    """
    mass = np.cumsum(probabilities, axis=-1)
    place = (mass <= np.asarray(uniform)[..., None] * mass[..., -1:]).sum(-1)
    # rounding of u * mass may reach the end: the last symbol that has mass
    last = probabilities.shape[-1] - 1 - (probabilities[..., ::-1] > 0).argmax(-1)
    return np.minimum(place, last)


def uniforms(seed: int, first: int, rows: int, steps: int) -> np.ndarray:
    """Return a number in [0, 1) a step, (rows, steps), from one random stream a sequence.

    Sequence i has the stream of (seed, i), so what it draws depends neither on the batch nor on how many others follow.
    """
    streams = [np.random.default_rng([seed, first + row]) for row in range(rows)]
    return np.array([stream.random(steps) for stream in streams]).reshape(rows, steps)


LONGEST = 1 << 16  # letters of a sequence
LENGTH = 512  # letters, where neither the user nor the model says how many at most


class Steps(Protocol):
    """A model that is run one symbol at a time; see `models.stepper.Stepper`."""

    def start(self, batch: int) -> Any:
        """Return the state of so many sequences before their first symbol."""
        ...

    def step(self, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Return scores (B, S) of what comes next, hidden states (B, H) and the state after reading tokens (B,)."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be drawn.

    Attributes
    ----------
    sampling : Sampling.
    prompt : str: letters that every sequence begins with; with a model that reads backward, ends with.
    shortest, longest : int: letters of a sequence, the prompt counted. It does not end before, and is cut after.
    seed : int: sequence i of a seed is the same in whatever batch, and however many are drawn.
    """

    sampling: Sampling = field(default_factory=Sampling)
    prompt: str = ""
    shortest: int = 1
    longest: int = LENGTH
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ConfigError: one is out of range.
        """
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
    """One sequence.

    Attributes
    ----------
    number : int: from 1.
    sequence : str: letters, the prompt among them.
    log_likelihood : float: mean natural logarithm of the probability that the model, at temperature 1 and with all
        symbols, gives to a drawn symbol, the end counted where it was drawn; NaN where none was drawn.
    ended : bool: the model drew its end; else the sequence was cut at the greatest length.
    """

    number: int
    sequence: str
    log_likelihood: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Language:
    """A language model that is ready to draw from.

    Attributes
    ----------
    steps : the model, one symbol at a time, see `models.stepper.Stepper`.
    tokeniser : Tokeniser.
    backward : bool: it reads, and draws, from the end: a prompt is the end of each sequence.
    longest : int: letters of a sequence where the user does not say how many at most.
    device : torch device or str: where its numbers are.
    """

    steps: Steps
    tokeniser: Tokeniser
    backward: bool = False
    longest: int = LENGTH
    device: torch.device | str = "cpu"


def open_language_model(name: str | Path, device: str = "cpu") -> Language:
    """Load a language model to draw from, in float64.

    Scores of a row differ between batches by 1e-16 then, not by 1e-7, and no draw with them.

    Raises
    ------
    ConfigError, InputError: no such model, one for another task, or a damaged one.
    """
    stored = load_model(name)
    tokeniser = tokeniser_of(stored)
    where = choose_device(device)
    where = torch.device("cpu") if where.type == "mps" else where  # which has no float64
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
    ConfigError: a model for another task, or a language model from before there were tokenisers.
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
    batch_size : int: sequences at a time; changes the speed, not what is drawn.

    Raises
    ------
    ConfigError: no sequence or no batch is asked for, or the prompt has a letter that the model does not know.
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
    most = plan.longest - int(letters[prompt].sum()) + 1  # draws: each letter by itself, and the end
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
            allowed[~open_, end] = True  # so that rows that are done have something to draw
            chosen = draw(distribution(np.where(allowed, raw, -np.inf), plan.sampling), chance[:, number])
            likelihood = np.take_along_axis(softmax(raw), chosen[:, None], 1)[:, 0]
            nats += np.where(open_, np.log(np.maximum(likelihood, 1e-300)), 0.0)
            for row in np.flatnonzero(open_).tolist():
                drawn[row].append(int(chosen[row]))
            ended |= open_ & (chosen == end)
            lengths = lengths + np.where(open_, letters[chosen], 0)
            open_ &= ~ended & (lengths < plan.longest)
            tokens = torch.from_numpy(np.where(chosen == end, begin, chosen)).to(where)  # a done row reads anything
    for row in range(rows):
        ids = [*given[1:], *(symbol for symbol in drawn[row] if symbol != end)]
        text = tokeniser.decode(ids[::-1] if backward else ids)
        mean = float(nats[row] / len(drawn[row])) if drawn[row] else float("nan")
        yield Generated(first + row + 1, text, mean, bool(ended[row]))
