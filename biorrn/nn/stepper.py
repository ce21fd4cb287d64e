"""A language model one symbol at a time, or one window of steps at a time, with its memory handed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from biorrn.base.errors import ConfigError
from biorrn.nn.cells import Stack
from biorrn.nn.heads import Tokens
from biorrn.nn.sequence import SequenceModel


class Stepper:
    """Runs a language model symbol by symbol; the scores are those of the model on the whole sequence.

    A recurrent core hands its state on. Any other core, such as causal self-attention, is run over all symbols again
    at each step. A model that reads backward takes its symbols from the end.

    Parameters
    ----------
    model : in evaluation mode.

    Raises
    ------
    ConfigError: no language model, or one whose core runs both ways.
    """

    def __init__(self, model: nn.Module) -> None:
        if not isinstance(model, SequenceModel) or not isinstance(model.head, Tokens):
            raise ConfigError("is no language model: its head predicts no symbols")
        self.model, self.recurrent = model, carries(model)
        directions = getattr(model.core, "directions", "f")
        if len(directions) != 1 or (directions == "b" and not self.recurrent):
            raise ConfigError("its core does not run one way, so that a symbol has no state of its own")

    def start(self, batch: int) -> Any:
        """Return the state of `batch` sequences before their first symbol."""
        device = next(self.model.parameters()).device
        return None if self.recurrent else torch.zeros(batch, 0, dtype=torch.long, device=device)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
        """Return scores of what comes next (B, S), the core's output (B, H), and the state after reading `tokens`.

        Parameters
        ----------
        tokens : int64 tensor (B,): ids of one symbol each.
        state : from `start` or from the step before.
        """
        x = tokens[:, None]
        if self.recurrent:
            scores, hidden, state = self.model.go_on(x, torch.ones_like(tokens), state)
            return scores[:, -1], hidden[:, -1], state
        seen = torch.cat([state, x], 1)
        lengths = torch.full_like(tokens, seen.shape[1])
        features, _ = self.model.frontend(seen, lengths)
        hidden, _ = self.model.core(self.model.dropout(features), lengths)
        scores, _ = self.model(seen, lengths)
        return scores[:, -1], hidden[:, -1], seen


def carries(model: SequenceModel) -> bool:
    """Tell whether a model's core has a state to hand on: a recurrent one that runs one way, in every layer."""
    core = model.core
    return isinstance(core, Stack) and {layer.directions for layer in core.layers} in ({"f"}, {"b"})


def hand_on(states: Any, carried: Tensor) -> Any:
    """Return states of cells for the next window: without their history, and zero in rows that begin anew.

    Parameters
    ----------
    states : as `SequenceModel.go_on` gives them, tensors (1, B, H); or None.
    carried : bool tensor (B,): rows that go on.
    """
    if states is None:
        return None
    keep = carried[None, :, None]
    return tree_map(lambda state: torch.where(keep, state.detach(), torch.zeros_like(state)), states)
