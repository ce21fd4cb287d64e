"""Front end `language_model`: the hidden states of one or two trained language models as features of each residue."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid
from biorrn.encoders.alphabets import N_TOKENS
from biorrn.errors import ConfigError


class Reader(nn.Module):
    """Front end and core of a language model, without its head: tokens to hidden states."""

    def __init__(self, frontend: nn.Module, core: nn.Module) -> None:
        super().__init__()
        self.frontend, self.core = frontend, core

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.core(*self.frontend(x, lengths))[0]  # type: ignore[no-any-return]


class HiddenStates(nn.Module):
    """A residue's features: the state after it was read, of each model; after Peters et al. 2018 (ELMo).

    Frozen by default: no gradient, and no dropout. With `tune` they are trained with the rest.

    Attributes
    ----------
    settled : the recipe without its files: what a model folder keeps, since the values are in the weights.
    """

    def __init__(self, recipe: config.LanguageModel) -> None:
        super().__init__()
        from biorrn.models.sequence import build_model  # here, since models are built of front ends
        from biorrn.models.store import load_model

        readers, parts = [], []
        paths = [path for path in (recipe.path, recipe.backward) if path is not None]
        for path in paths:
            stored = load_model(path)
            if stored.facts.get("task") != "language":
                raise ConfigError(f"{path}: is a model for {stored.facts.get('task')}; needed is one for language")
            assert stored.recipe.model is not None  # as in every recipe of this task
            parts.append(stored.recipe.model.model_dump(mode="json"))
            readers.append(_reader(stored.model))
        if not paths:
            for part in recipe.parts:
                parts.append(part)
                readers.append(_reader(build_model(config.Model.model_validate(part), N_TOKENS, stored=True)))
        self.readers = nn.ModuleList(readers)
        self.tuned = recipe.tune
        self.readers.requires_grad_(recipe.tune)
        self.width = sum(int(reader.core.width) for reader in readers)  # type: ignore[arg-type,misc]
        self.settled = config.LanguageModel(tune=recipe.tune, parts=parts)

    def train(self, mode: bool = True) -> HiddenStates:
        super().train(mode)
        if not self.tuned:
            self.readers.eval()
        return self

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(self.tuned and torch.is_grad_enabled()):
            bounded = F.pad(x, (1, 1))  # as in training: token 0 before the first residue and after the last
            states = [reader(bounded, lengths + 2)[:, 1:-1] for reader in self.readers]  # each (B, T, H)
        return torch.cat(states, dim=-1) * valid(lengths, x.shape[1])[:, :, None], lengths


def _reader(model: Any) -> Reader:
    return Reader(model.frontend, model.core)
