"""What is measured while a model trains, so that `alarms` can tell what goes wrong: a few numbers an epoch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from biorrn.batch import valid
from biorrn.models.recurrent import Layer

FAR = 10.0  # times the running quantile of the norms, from which on a step's gradient is far above the others
KNOWN = 20  # norms before that is judged
MEMORY = 100  # norms that the quantile is of
TENTHS = 10  # parts of a sequence, between which the gradient over time is compared


class Watch:
    """Counts of an epoch's steps, and how evenly the gradient reaches the steps of a sequence.

    Parameters
    ----------
    model : whose first recurrent layer is looked at, in the first batch of an epoch.
    quantile : float: of the recent norms, with which a norm is compared.
    """

    def __init__(self, model: nn.Module, quantile: float) -> None:
        core = getattr(model, "core", None)
        layers = [] if core is None else [part for part in core.modules() if isinstance(part, Layer)]
        self.layer = layers[0] if layers else None
        self.quantile = quantile
        self.norms: deque[float] = deque(maxlen=MEMORY)
        self._far = 0
        self._squares: list[Tensor] = []  # of the gradient, by tenth of a sequence
        self._handle: RemovableHandle | None = None

    def begin(self) -> None:
        """Begin an epoch."""
        self._far = 0
        self._squares = []
        self._release()
        if self.layer is not None:
            self._handle = self.layer.register_forward_pre_hook(self._listen)

    def step(self, norm: float) -> None:
        """Count a step whose gradient had this norm before clipping."""
        self._release()
        if not math.isfinite(norm):
            return
        if len(self.norms) >= KNOWN and norm > FAR * float(np.quantile(self.norms, self.quantile)):
            self._far += 1
        if norm > 0:  # as for clipping
            self.norms.append(norm)

    def take(self, losses: Tensor, add: Callable[[Tensor], Tensor] = lambda own: own) -> dict[str, float]:
        """Return the columns of history.tsv of an epoch with these losses, (steps,), and end it.

        `add` sums a tensor over the processes that share a batch, each of which sees some of its rows.

        first_loss : of the epoch's first step; bad_losses, far_steps : steps whose loss is no finite number, and whose
        gradient is far above the others; grad_time : the gradient that the tenth of the sequences with the least gets,
        over that of the tenth with the most; nan where it was not measured.
        """
        self._release()
        parts = torch.stack(self._squares).sum(0).cpu() if self._squares else torch.zeros(TENTHS)
        parts = add(parts).sqrt() if self.layer is not None else parts
        finite = bool(parts.isfinite().all()) and float(parts.max()) > 0
        return {
            "first_loss": float(losses[0]) if len(losses) else math.nan,
            "bad_losses": int((~losses.isfinite()).sum()),
            "far_steps": self._far,
            "grad_time": float(parts.min() / parts.max()) if finite else math.nan,
        }

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _listen(self, _: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x, lengths = given
        if not torch.is_grad_enabled():
            return None
        # what comes in of a fixed table has no gradient of its own
        x = x if x.requires_grad else x.detach().requires_grad_()

        def count(gradient: Tensor) -> None:
            self._squares.append(by_tenth(gradient.detach().float(), lengths))

        x.register_hook(count)
        return x, lengths


def by_tenth(gradient: Tensor, lengths: Tensor) -> Tensor:
    """Return the sum of squares of a gradient (B, T, F) in each tenth of the sequences, (10,).

    Sequences of fewer than ten steps do not count.

    >>> by_tenth(torch.ones(2, 12, 1), torch.tensor([10, 9])).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    rows, time = gradient.shape[:2]
    steps = torch.arange(time, device=gradient.device).expand(rows, time)
    tenth = (steps * TENTHS // lengths[:, None].clamp(min=1)).clamp(max=TENTHS - 1)
    counted = valid(lengths, time) & (lengths >= TENTHS)[:, None]
    squares = torch.where(counted, gradient.square().sum(-1), 0.0)
    return torch.zeros(TENTHS, device=gradient.device).index_add_(0, tenth.flatten(), squares.flatten())
