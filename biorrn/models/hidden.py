"""Front end `language_model`: the hidden states of one or two trained language models as features of each residue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid
from biorrn.encoders.alphabets import PADDING, RESIDUES
from biorrn.encoders.tokenisers import BOS, EOS, PAD, SPECIAL, UNK, Tokeniser
from biorrn.errors import ConfigError


class Reader(nn.Module):
    """Tokeniser, front end and core of a language model, without its head: residues to hidden states.

    Of symbols of several residues, each of these has the state of the whole symbol.
    """

    table: Tensor
    letters: Tensor

    def __init__(self, tokeniser: Tokeniser, frontend: nn.Module, core: nn.Module) -> None:
        super().__init__()
        self.frontend, self.core, self.tokeniser = frontend, core, tokeniser
        singles = torch.arange(len(RESIDUES) + 1) + SPECIAL - 1  # id of each residue by itself
        singles[[PADDING, len(RESIDUES)]] = torch.tensor([PAD, UNK])
        self.register_buffer("table", singles, persistent=False)
        self.register_buffer("letters", torch.from_numpy(tokeniser.letters), persistent=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the state after each residue, (B, T, H), of residue tokens (B, T)."""
        ids, counts = self.symbols(x, lengths)
        bounded = F.pad(ids, (1, 1), value=PAD)
        bounded[:, 0] = BOS
        bounded[torch.arange(len(x), device=x.device), counts + 1] = EOS
        states: Tensor = self.core(*self.frontend(bounded, counts + 2))[0][:, 1:-1]  # (B, symbols, H)
        if self.tokeniser.name == "residue":
            return states
        found = states.new_zeros(*x.shape, states.shape[2])
        for row, (count, length) in enumerate(zip(counts.tolist(), lengths.tolist(), strict=True)):
            found[row, :length] = states[row, :count].repeat_interleave(self.letters[ids[row, :count]], 0)
        return found

    def symbols(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids (B, symbols) of residue tokens (B, T), padded, and how many each row has, (B,)."""
        ids = self.table[x]
        if self.tokeniser.name == "residue":
            return ids, lengths
        rows = [ids[row, :length].cpu().numpy() for row, length in enumerate(lengths.tolist())]
        joined = [torch.from_numpy(self.tokeniser.join(row)) for row in rows]
        counts = torch.tensor([len(row) for row in joined], device=x.device)
        return nn.utils.rnn.pad_sequence(joined, True, PAD).to(x.device), counts


@dataclass(frozen=True, slots=True)
class Part:
    """A language model whose states are features: its recipe, the dict of its tokeniser, and where it comes from."""

    recipe: config.Model
    tokeniser: dict[str, Any]
    model: Any
    source: str = "model folder"


class HiddenStates(nn.Module):
    """A residue's features: the state after it was read, of each model; after Peters et al. 2018 (ELMo).

    Frozen by default: no gradient, and no dropout. With `tune` they are trained with the rest.

    Parameters
    ----------
    parts : the language models, forward before backward; `store.language_models` loads those that a recipe names.

    Attributes
    ----------
    settled : the recipe without its files: what a model folder keeps, since the values are in the weights.
    """

    def __init__(self, recipe: config.LanguageModel, parts: Sequence[Part]) -> None:
        super().__init__()
        readers = [_reader(part) for part in parts]
        self.readers = nn.ModuleList(readers)
        self.tuned = recipe.tune
        self.readers.requires_grad_(recipe.tune)
        self.width = sum(int(reader.core.width) for reader in readers)  # type: ignore[arg-type,misc]
        self.settled = config.LanguageModel(
            tune=recipe.tune,
            parts=[part.recipe.model_dump(mode="json") for part in parts],
            tokenisers=[part.tokeniser for part in parts],
        )

    def train(self, mode: bool = True) -> HiddenStates:
        super().train(mode)
        if not self.tuned:
            self.readers.eval()
        return self

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(self.tuned and torch.is_grad_enabled()):
            states = [reader(x, lengths) for reader in self.readers]  # each (B, T, H)
        return torch.cat(states, dim=-1) * valid(lengths, x.shape[1])[:, :, None], lengths


def _reader(part: Part) -> Reader:
    made = Tokeniser.from_dict(part.tokeniser)
    if made.alphabet != RESIDUES:
        raise ConfigError(f"{part.source}: is a language model of {made.alphabet}; expected one of residues")
    return Reader(made, part.model.frontend, part.model.core)
