"""Where a model looks: the weights of its self-attention layers and attention pools, head by head, for a protein."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.residues import tokens
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.forward import model_on
from biorrn.models.attention import Heads
from biorrn.models.attention_pool import MultiHead
from biorrn.models.heads import Attention
from biorrn.models.store import Stored
from biorrn.readers.records import ProteinRecord

LONGEST = 2000  # residues: the weights of one head are then four million
POOLS = {Attention: "attention", MultiHead: "multihead"}
TASKS = ("regression", "tagging")


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The weights of one layer, or of one pool.

    Attributes
    ----------
    layer : str: where in the model: `core.0`, of a list of cores `core.1.0`, `pool.multihead`; of a member of an
        ensemble with `members.0.` before it.
    weights : float32 array (heads, T, T), with queries by row and keys by column; of a pool (heads, T). What a query
        or a pool's head gives away sums to one.
    """

    layer: str
    weights: np.ndarray

    @property
    def pooled(self) -> bool:
        """Whether the heads have one learned query each."""
        return self.weights.ndim == 2


@dataclass(frozen=True, slots=True)
class Attended:
    """All weights of a model for one protein, in the order in which they are computed."""

    id: str
    sequence: str
    maps: list[AttentionMap]


def attend(stored: Stored, records: Iterable[ProteinRecord], device: torch.device | str = "cpu") -> Iterator[Attended]:
    """Yield the attention weights of a model for each record.

    Raises
    ------
    ConfigError: the model does not read residues, or has no attention.
    BiorrnError: a record has more than `LONGEST` residues, or none; or attention that is over something else.
    """
    task = stored.facts.get("task")
    if task not in TASKS or stored.facts.get("alphabet", RESIDUES) != RESIDUES:
        wanted = " or ".join(TASKS)
        raise ConfigError(f"{stored.path}: is a model for {task}; --attention is of one for {wanted} of proteins")
    if not _parts(stored.model):
        raise ConfigError(
            f"{stored.path}: has no attention; --attention is of a model with a core self_attention, or with a pool "
            f"{' or '.join(POOLS.values())}"
        )
    model = model_on(stored.model, device)
    return (_attended(model, record, torch.device(device)) for record in records)


def _attended(model: nn.Module, record: ProteinRecord, device: torch.device) -> Attended:
    length = len(record.sequence)
    if not 0 < length <= LONGEST:
        raise BiorrnError(f"record '{record.id}': has {length:,} residues; --attention takes 1 to {LONGEST:,}")
    x = torch.from_numpy(tokens(record.sequence)).long().to(device)[None]
    found = [
        AttentionMap(layer, weights[0].cpu().numpy())
        for layer, weights in maps_of(model, x, torch.tensor([length], device=device))
        if weights.shape[-1] == length
    ]
    if not found:
        raise BiorrnError(f"record '{record.id}': the attention of this model is not over residues")
    return Attended(record.id, record.sequence, found)


def maps_of(
    model: nn.Module, x: Tensor, lengths: Tensor, parts: list[tuple[str, nn.Module]] | None = None
) -> list[tuple[str, Tensor]]:
    """Return the place and the weights, float32 (B, heads, T, T) or (B, heads, T), of all attention inside a model.

    They are those of a forward pass of x (B, T) and lengths (B,), with the fused kernels replaced by the formula; of
    all layers and pools, or of some `parts` with their places.
    """
    seen: list[tuple[str, Tensor]] = []

    def keep(layer: str, pool: bool) -> Any:
        def hook(part: Any, inputs: tuple[Tensor, Tensor]) -> None:
            weights = part.weights(*inputs).float()
            seen.append((layer, weights[:, None] if pool and weights.ndim == 2 else weights))

        return hook

    chosen = _parts(model) if parts is None else parts
    handles = [part.register_forward_pre_hook(keep(name, type(part) in POOLS)) for name, part in chosen]
    try:
        if handles:
            with torch.no_grad():
                model(x, lengths)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def pools_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the attention pools of a model with their places."""
    return [(name, part) for name, part in _parts(model) if type(part) in POOLS]


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for path, part in model.named_modules():
        words = [word for word in path.split(".") if word not in ("layers", "parts")]
        if type(part) in POOLS:
            found.append((".".join([*words[:-1], POOLS[type(part)]]), part))  # type: ignore[index]
        elif isinstance(part, Heads):
            found.append((".".join(words[:-1]), part))
    return found
