"""Greedy and beam search over a decoder (Graves 2012; length normalisation of Wu et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biorrn.nn.decoder import END, Decoder

ALPHA = 1.0  # score of a hypothesis: log probability / length ** ALPHA, the end symbol counted


@dataclass(frozen=True, slots=True)
class Found:
    """One decoded sequence.

    Attributes
    ----------
    symbols : list of int: without the end symbol.
    log_probability : float: natural logarithm, of the symbols and, where reached, the end symbol.
    ended : bool: False where the length limit cut the sequence off.
    attention : float32 tensor (U, T): weights of each step, including that of the end; None unless requested.
    """

    symbols: list[int]
    log_probability: float
    ended: bool
    attention: Tensor | None = None

    @property
    def score(self) -> float:
        """Length-normalised log probability, by which hypotheses are compared."""
        return self.log_probability / max(1, len(self.symbols) + self.ended) ** ALPHA


@torch.no_grad()
def greedy(decoder: Decoder, values: Tensor, lengths: Tensor, limits: Tensor, attention: bool = False) -> list[Found]:
    """Return for each row the sequence that takes the likeliest symbol at every step.

    Parameters
    ----------
    values, lengths : (B, T, F) and (B,), as the model returns them.
    limits : int64 tensor (B,): most symbols of each row.
    attention : bool: keep the attention weights.
    """
    memory, state = decoder.start(values, lengths)
    before = torch.full_like(lengths, END)
    total = torch.zeros(len(lengths), device=values.device)
    ended = lengths < 0
    chosen: list[Tensor] = []
    looked: list[Tensor] = []
    for number in range(int(limits.max()) + 1):
        scores, state = decoder.step(before, state, memory)
        best, before = scores.max(1)
        running = ~ended & (limits >= number)
        ends = running & (before == END)
        goes = running & (ends | (limits > number))  # at the limit only the end symbol may follow
        total = torch.where(goes, total + best, total)
        chosen.append(torch.where(goes & ~ends, before, -1))
        if attention:
            looked.append(state.weights)
        ended = ended | ends
        if not bool((~ended & (limits > number)).any()):
            break
    table = torch.stack(chosen, 1).tolist()
    rows = []
    for row, cells in enumerate(table):
        symbols = [cell for cell in cells if cell >= 0]
        over = bool(ended[row])
        kept = [weights[row, : int(lengths[row])] for weights in looked[: len(symbols) + over]]
        rows.append(Found(symbols, float(total[row]), over, torch.stack(kept) if kept else None))
    return rows


@torch.no_grad()
def beam_search(
    decoder: Decoder, values: Tensor, lengths: Tensor, limits: Tensor, width: int, attention: bool = False
) -> list[Found]:
    """Return for each row the best of the sequences that a beam of `width` finishes; of width 1 it is the greedy one.

    A row is done when `width` sequences have ended, or at its limit. What has ended goes by its score, see `Found`.
    Parameters as in `greedy`.
    """
    rows, symbols = len(lengths), decoder.outputs
    memory, state = decoder.start(values, lengths)
    memory, state = memory.repeat(width), state.take(torch.arange(rows).repeat_interleave(width).to(lengths.device))
    scores = values.new_full((rows, width), float("-inf"), dtype=torch.float32)
    scores[:, 0] = 0.0
    before = torch.full((rows * width,), END, device=lengths.device)
    first = width * torch.arange(rows, device=lengths.device)[:, None]
    trail = _Trail([], [], [], lengths)
    ended: list[list[tuple[float, int, int]]] = [[] for _ in range(rows)]  # log probability, step, place
    live: list[tuple[float, int, int] | None] = [None] * rows  # the best where the limit came first
    for number in range(int(limits.max()) + 1):
        found, state = decoder.step(before, state, memory)
        joint = (scores[:, :, None] + found.view(rows, width, symbols)).flatten(1)  # (B, K, S) -> (B, K * S)
        for row in (limits == number).nonzero()[:, 0].tolist():
            if torch.isfinite(scores[row]).any():
                live[row] = (float(scores[row].max()), number - 1, int(scores[row].argmax()))
        scores, index = joint.topk(width, 1)
        origin, symbol = torch.div(index, symbols, rounding_mode="floor"), index % symbols
        trail.origins.append(origin)
        trail.symbols.append(symbol)
        if attention:
            trail.looked.append(state.weights.view(rows, width, -1))
        over = (symbol == END) & torch.isfinite(scores)
        for row, place in over.nonzero().tolist():
            ended[row].append((float(scores[row, place]), number, place))
        done = torch.tensor([len(entries) >= width for entries in ended], device=limits.device) | (limits <= number)
        scores = scores.masked_fill(over | done[:, None], float("-inf"))
        if bool(torch.isinf(scores).all()):
            break
        state, before = state.take((first + origin).flatten()), symbol.flatten()
    results = []
    for row in range(rows):
        entries = [trail.follow(row, entry, True) for entry in ended[row]]
        last = live[row]
        if not entries and last is not None:
            entries = [trail.follow(row, last, False)]
        results.append(max(entries, key=lambda entry: entry.score))
    return results


@dataclass(frozen=True, slots=True)
class _Trail:
    """Back-pointers of a beam, by step: origin (B, K) and symbol of each hypothesis, and attention weights."""

    origins: list[Tensor]
    symbols: list[Tensor]
    looked: list[Tensor]
    lengths: Tensor

    def follow(self, row: int, entry: tuple[float, int, int], over: bool) -> Found:
        """Return the sequence that ends at (log probability, step, place)."""
        value, step, place = entry
        length = int(self.lengths[row])
        found: list[int] = []
        looked: list[Tensor] = []
        for number in range(step, -1, -1):
            found.append(int(self.symbols[number][row, place]))
            place = int(self.origins[number][row, place])
            if self.looked:
                looked.append(self.looked[number][row, place, :length])
        found, looked = found[::-1], looked[::-1]
        return Found(found[:-1] if over else found, value, over, torch.stack(looked) if looked else None)
