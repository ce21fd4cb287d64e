"""Front ends: tokens or signal to features of output size `width`; the table `FRONTENDS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.batch import place, valid
from biorrn.nn.cells import SharedDropout
from biorrn.nn.convolutions import ACTIVATIONS, Dilated, residual, separable
from biorrn.nn.ensemble import probabilities
from biorrn.nn.lora import Adapted
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import N_TOKENS, PADDING, RESIDUES, STANDARD, TABLES, tokens
from biorrn.sequences.tokenisers import BOS, EOS, PAD, SPECIAL, UNK, Tokeniser
from biorrn.sequences.vectors import read_vectors

SETTLED = 512  # training rows that mean and spread of embeddings are taken from
END = 10  # residues from an end of a protein, within which the distance is a feature of front end `trained`


class Reader(nn.Module):
    """Tokeniser, front end and core of a language model without its head: residues to hidden states.

    All residues of a symbol have the state of the symbol.
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
        states = self.bounded(ids, counts)[:, 1:-1]  # (B, symbols, H)
        if self.tokeniser.name == "residue":
            return states
        found = states.new_zeros(*x.shape, states.shape[2])
        for row, (count, length) in enumerate(zip(counts.tolist(), lengths.tolist(), strict=True)):
            found[row, :length] = states[row, :count].repeat_interleave(self.letters[ids[row, :count]], 0)
        return found

    def bounded(self, ids: Tensor, counts: Tensor) -> Tensor:
        """Return the state after BOS, after each symbol and after EOS, (B, symbols + 2, H), of ids (B, symbols)."""
        whole = F.pad(ids, (1, 1), value=PAD)
        whole[:, 0] = BOS
        whole[torch.arange(len(ids), device=ids.device), counts + 1] = EOS
        states: Tensor = self.core(*self.frontend(whole, counts + 2))[0]
        return states

    def symbols(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return padded ids (B, symbols) of residue tokens (B, T), and the symbols of each row, (B,)."""
        ids = self.table[x]
        if self.tokeniser.name == "residue":
            return ids, lengths
        rows = [ids[row, :length].cpu().numpy() for row, length in enumerate(lengths.tolist())]
        joined = [torch.from_numpy(self.tokeniser.join(row)) for row in rows]
        counts = torch.tensor([len(row) for row in joined], device=x.device)
        return nn.utils.rnn.pad_sequence(joined, True, PAD).to(x.device), counts


@dataclass(frozen=True, slots=True)
class Part:
    """A language model whose states are features: its recipe, tokeniser as a dict, and source for messages."""

    recipe: config.Model
    tokeniser: dict[str, Any]
    model: Any
    source: str = "model folder"


class HiddenStates(nn.Module):
    """Features of a residue: the hidden state of each language model after it (as in ELMo, Peters et al. 2018).

    Frozen by default, without gradient and dropout; with `tune` they are trained with the rest.

    Parameters
    ----------
    parts : the language models, forward before backward; `store.language_models` loads those that a recipe names.

    Attributes
    ----------
    settled : the recipe for a model folder, without paths; the values are in the weights.
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


def convolutions(inputs: int, layers: Sequence[config.ConvLayer]) -> nn.ModuleList:
    """Return convolutions, each over the output of the one before; with stride 1 they keep the number of steps."""
    widths = [inputs, *(layer.width for layer in layers)]
    return nn.ModuleList(
        nn.Conv1d(before, layer.width, layer.kernel, stride=layer.stride, padding=layer.kernel // 2)
        for before, layer in zip(widths[:-1], layers, strict=True)
    )


class Scores(nn.Module):
    """What a trained language model of residues expects at each residue, without having seen it.

    Twenty-one features: for each standard residue, its log probability minus that of the residue that is there; and the
    latter. Natural logarithms, from the residues on one side.
    """

    width = len(STANDARD) + 1

    def __init__(self, tokeniser: Tokeniser, model: nn.Module) -> None:
        super().__init__()
        self.reader = Reader(tokeniser, model.frontend, model.core)  # type: ignore[arg-type]
        self.head: Any = model.head
        self.backward, self.residues = getattr(model.core, "directions", "f") == "b", len(STANDARD)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        states = self.reader.bounded(*self.reader.symbols(x, lengths))  # (B, T + 2, H)
        before = states[:, 2:] if self.backward else states[:, :-2]
        scores: Tensor = self.head(before)
        known = torch.log_softmax(scores, -1)[..., SPECIAL : SPECIAL + self.residues]  # (B, T, 20)
        own = known.gather(-1, (x - 1).clamp(0, self.residues - 1)[..., None])
        own = own.where((x <= self.residues)[..., None], known.mean(-1, keepdim=True))  # of X the mean
        return torch.cat([known - own, own], -1)


class Labels(nn.Module):
    """What a trained tagging model tells of each residue: the probabilities of its states, or its values."""

    def __init__(self, model: nn.Module, outputs: int, states: bool) -> None:
        super().__init__()
        self.model, self.width, self.states = model, outputs, states

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs, steps = self.model(x, lengths)
        if not self.states:
            return outputs.float()  # type: ignore[no-any-return]
        return probabilities(self.model, outputs, steps)


@dataclass(frozen=True, slots=True)
class Told:
    """A trained model whose outputs are features: its module, recipe and facts, the latter two as JSON values.

    In place of its module it may be the module of its features, as the front end of another model has it.
    """

    model: nn.Module
    recipe: dict[str, Any]
    facts: dict[str, Any]

    def features(self) -> nn.Module:
        """Return the module of its features, (x, lengths) -> (B, T, width)."""
        if isinstance(self.model, Scores | Labels):
            return self.model
        if self.facts["task"] == "language":
            return Scores(Tokeniser.from_dict(self.facts["tokeniser"]), self.model)
        return Labels(self.model, int(self.facts["outputs"]), self.facts["kind"] == "states")


class Trained(nn.Module):
    """Features of a residue: its own, what trained models tell of it, and convolutions over these; all joined.

    The models are frozen. The first convolution reads the features, each other one the one before; all have SiLU. The
    last feature of the own ones is the distance to the nearer end, up to 10 residues, as a part of 10.

    Parameters
    ----------
    parts : the models; `store.models_of` loads those that a recipe names.

    Attributes
    ----------
    settled : the recipe for a model folder, without paths; the values are in the weights.
    """

    def __init__(self, recipe: config.Trained, parts: Sequence[Told]) -> None:
        super().__init__()
        self.learned = nn.Embedding(N_TOKENS, recipe.embedding, padding_idx=0)
        self.fixed = Table(recipe.table.split("+")) if recipe.table != "none" else None
        features: list[Any] = [part.features() for part in parts]
        self.models = nn.ModuleList(features).requires_grad_(False)
        own = recipe.embedding + (self.fixed.width if self.fixed else 0) + 1
        width = own + sum(model.width for model in features)
        self.norm = nn.LayerNorm(width - own) if len(self.models) else None
        widths = [width, *(layer.width for layer in recipe.layers)]
        self.layers = convolutions(widths[0], recipe.layers)
        self.dropout = nn.Dropout(recipe.dropout)
        self.width = sum(widths)
        told = [{"recipe": part.recipe, "facts": part.facts} for part in parts]
        self.settled = recipe.model_copy(update={"path": None, "parts": told})

    def train(self, mode: bool = True) -> Trained:
        super().train(mode)
        self.models.eval()
        return self

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mask = valid(lengths, x.shape[1])[..., None]
        place = torch.arange(x.shape[1], device=x.device)
        nearer = torch.minimum(place, (lengths[:, None] - 1 - place)).clamp(0, END) / END
        parts = [self.learned(x), nearer[..., None]]
        if self.fixed is not None:
            parts.append(self.fixed(x, lengths)[0])
        if self.norm is not None:
            with torch.no_grad():
                told = torch.cat([model(x, lengths) for model in self.models], -1)
            parts.append(self.norm(told))
        joined = [torch.cat(parts, -1) * mask]
        for layer in self.layers:
            h = F.silu(layer(self.dropout(joined[-1]).transpose(1, 2))).transpose(1, 2)  # (B, T, C)
            joined.append(self.dropout(h) * mask)
        return torch.cat(joined, -1), lengths


class KmerTable(nn.Module):
    """Vectors of k-mers: each residue has that of the k-mer centred on it (for even k, its left middle).

    A k-mer that extends beyond the protein, or is not in the table, has the unknown vector, the last row.

    Attributes
    ----------
    codes : int64 tensor (N,), sorted: the k-mers as numbers in base `N_TOKENS`, first residue highest.
    vectors : float tensor (N + 1, F); a parameter if the recipe has `tune`.
    settled : the recipe for a model folder, without paths; the values are in the weights.
    """

    codes: Tensor
    vectors: Tensor

    def __init__(self, recipe: config.Vectors) -> None:
        super().__init__()
        if recipe.path is None:
            self.k, rows, self.width = recipe.k, recipe.rows, recipe.width
            codes, vectors = torch.zeros(rows, dtype=torch.int64), torch.zeros(rows + 1, self.width)
        else:
            table = read_vectors(recipe.path)
            self.k, (rows, self.width) = table.k, table.vectors.shape
            words = torch.as_tensor([tokens(word).tolist() for word in table.words])
            codes = self._code(words)
            order = codes.argsort()
            codes = codes[order]
            vectors = torch.cat([torch.from_numpy(table.vectors)[order], torch.from_numpy(table.unknown)[None]])
        self.register_buffer("codes", codes)
        if recipe.tune:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.settled = config.Vectors(tune=recipe.tune, k=self.k, rows=rows, width=self.width)

    def _code(self, windows: Tensor) -> Tensor:
        """Return k-mers of tokens (..., k) as numbers (...)."""
        powers = N_TOKENS ** torch.arange(self.k - 1, -1, -1, device=windows.device)
        return (windows * powers).sum(-1)

    def rows(self, x: Tensor) -> Tensor:
        """Return the row of `vectors` of each residue: x (B, T) -> int64 (B, T)."""
        left = (self.k - 1) // 2
        padded = F.pad(x, (left, self.k - 1 - left))  # token 0, which is in no k-mer of the table
        code = self._code(padded.unfold(1, self.k, 1))  # (B, T, k) -> (B, T)
        place = torch.searchsorted(self.codes, code).clamp(max=len(self.codes) - 1)
        return torch.where(self.codes[place] == code, place, len(self.codes))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = F.embedding(self.rows(x), self.vectors)  # (B, T) -> (B, T, width)
        return features * valid(lengths, x.shape[1])[:, :, None], lengths


class Embeddings(nn.Module):
    """Embeddings of a large language model, looked up by sequence among the open files of `sequences.embeddings`.

    They are standardised by mean and spread of the training rows, see `settle`. With `per: mean` a protein is one step.

    Attributes
    ----------
    settled : the recipe for a model folder, without path; the file's width and language model are in it.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: config.Embeddings) -> None:
        super().__init__()
        self.settled = embeddings.settled(recipe)
        self.width, self.whole = self.settled.width, recipe.per == "mean"
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("spread", torch.ones(self.width))

    def settle(self, flat: np.ndarray, lengths: np.ndarray) -> None:
        """Set mean and spread from at most `SETTLED` training rows: tokens uint8 (total,) and lengths (N,) of all."""
        ends = np.cumsum(lengths)
        chosen = np.unique(np.linspace(0, len(lengths) - 1, min(len(lengths), SETTLED)).astype(np.int64))
        rows = [flat[ends[row] - lengths[row] : ends[row]] for row in chosen if lengths[row]]
        found = [torch.from_numpy(one).double() for one in self._found(rows)]
        values = torch.stack(found) if self.whole else torch.cat(found)
        self.mean.copy_(values.mean(0))
        self.spread.copy_(values.std(0).clamp(min=1e-6))

    def _found(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        return embeddings.lookup(rows, self.width, self.whole, self.settled.model)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        steps = lengths.clamp(max=1) if self.whole else lengths
        features = torch.zeros(len(x), 1 if self.whole else x.shape[1], self.width)
        codes = x.detach().to("cpu", torch.uint8).numpy()
        there = [(row, int(length)) for row, length in enumerate(lengths.tolist()) if length]
        found = self._found([codes[row, :length] for row, length in there])
        for (row, length), values in zip(there, found, strict=True):
            features[row, : 1 if self.whole else length] = torch.from_numpy(values)  # float16 becomes float32
        scaled = (features.to(x.device) - self.mean) / self.spread
        return scaled * valid(steps, features.shape[1])[:, :, None], steps


class Variant(nn.Module):
    """Maps tokens (B, T) to vectors (B, L, width), one for each position of the reference, zero where a row equals it.

    `settled` is the recipe for a model folder, with the reference in it.
    """

    reference: Tensor
    features: Tensor

    def __init__(self, recipe: config.Variant) -> None:
        super().__init__()
        if not recipe.reference:
            raise ConfigError("frontend 'variant': key 'reference' is missing; training fills it in")
        self.settled = recipe
        self.width = recipe.width
        reference = torch.from_numpy(tokens(recipe.reference)).long()
        self.register_buffer("reference", reference, persistent=False)
        table = torch.cat([torch.from_numpy(TABLES["blosum62"]), torch.from_numpy(TABLES["scales"])], 1)  # (22, F)
        wild = table[reference][:, None, :].expand(-1, N_TOKENS, -1)
        gap = torch.zeros(len(reference), N_TOKENS, 1)
        gap[:, 0] = 1.0
        features = torch.cat([table[None] - wild, wild, gap], 2)  # (L, N_TOKENS, 2F + 1); symbol 0 is a deletion
        self.register_buffer("features", features, persistent=False)
        self.own = nn.Parameter(0.01 * torch.randn(len(reference) * N_TOKENS, recipe.width))
        self.position = nn.Parameter(0.01 * torch.randn(len(reference), recipe.width))
        self.kin = nn.Sequential(
            nn.Linear(features.shape[2], recipe.hidden), nn.Tanh(), nn.Linear(recipe.hidden, recipe.width)
        )
        self.insertion = nn.Parameter(torch.zeros(1, recipe.width))

    def effects(self) -> Tensor:
        """Return the vector of each symbol at each position, (L, N_TOKENS, width); symbol 0 is a deletion."""
        own = self.own.view(len(self.reference), N_TOKENS, -1)
        differs = torch.arange(N_TOKENS, device=own.device)[None, :] != self.reference[:, None]
        return (own + self.position[:, None] + self.kin(self.features)) * differs[:, :, None]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        symbols, inserted = place(x, lengths, self.reference)
        offsets = N_TOKENS * torch.arange(len(self.reference), device=x.device)
        table = self.effects().flatten(0, 1)
        found = nn.functional.embedding(symbols + offsets, table)  # (B, L) -> (B, L, width)
        if bool((inserted > 0).any()):
            found = found + inserted[:, :, None] * (self.insertion + self.position)
        return found, torch.full_like(lengths, len(self.reference))


class Table(nn.Module):
    """Fixed features of residues: one-hot, BLOSUM62, physico-chemical scales, or several concatenated.

    Parameters
    ----------
    names : list of str: "onehot" or entries of `sequences.alphabets.TABLES`.
    """

    table: Tensor

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        onehot = torch.eye(N_TOKENS)[:, 1:]  # token 0 is padding: a row of zeros
        parts = [onehot if name == "onehot" else torch.as_tensor(TABLES[name]) for name in names]
        self.register_buffer("table", torch.cat(parts, dim=1), persistent=False)
        self.width = self.table.shape[1]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.table[x], lengths  # (B, T) -> (B, T, width)


class Embedding(nn.Module):
    """A learned vector a residue, optionally with fixed features and followed by convolutions."""

    def __init__(self, recipe: config.Embedding) -> None:
        super().__init__()
        self.learned = nn.Embedding(recipe.symbols + 1, recipe.width, padding_idx=0)
        self.fixed = Table(recipe.table.split("+")) if recipe.table != "none" else None
        width = recipe.width + (self.fixed.width if self.fixed else 0)
        widths = [width, *(layer.width for layer in recipe.layers)]
        self.layers = convolutions(widths[0], recipe.layers)
        self.width = widths[-1]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.learned(x)  # (B, T) -> (B, T, width)
        if self.fixed is not None:
            features = torch.cat([features, self.fixed(x, lengths)[0]], dim=-1)
        if not len(self.layers):
            return features, lengths
        mask = valid(lengths, x.shape[1])[:, None, :]
        h = features.transpose(1, 2) * mask
        for layer in self.layers:
            h = F.silu(layer(h)) * mask  # (B, C, T) -> (B, C', T)
        return h.transpose(1, 2), lengths


class Tokens(nn.Module):
    """A learned vector for each symbol of a language model, with optional dropout of whole symbols."""

    def __init__(self, recipe: config.Tokens) -> None:
        super().__init__()
        if not recipe.size:
            raise ConfigError("front end 'tokens': its size comes from the tokeniser of task language; found none")
        self.learned = nn.Embedding(recipe.size, recipe.width, padding_idx=PAD)
        if recipe.tied:  # also the output weights: large initial vectors would give overconfident scores
            nn.init.uniform_(self.learned.weight, -0.1, 0.1)
            nn.init.zeros_(self.learned.weight[PAD])
        self.dropout = SharedDropout(recipe.dropout)
        self.width = recipe.width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.learned(x)  # (B, T) -> (B, T, width)
        if not self.training or self.dropout.p == 0:
            return features, lengths
        kept = self.dropout(features.new_ones(self.learned.num_embeddings))
        return features * kept[x][:, :, None], lengths


class Conv(nn.Module):
    """Convolutions with activations that shorten the signal by the product of their strides.

    Padded steps are set to zero after each layer: otherwise the bias of the layer before would leak from padding into
    the last valid steps.
    """

    def __init__(self, recipe: config.Conv) -> None:
        super().__init__()
        self.layers = convolutions(1, recipe.layers)
        self.width = recipe.layers[-1].width
        self.strides = [layer.stride for layer in recipe.layers]
        self.stride = math.prod(self.strides)
        self.activations = [(layer.activation, layer.clamp) for layer in recipe.layers]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        h = x.transpose(1, 2)  # (B, T, 1) -> (B, 1, T)
        h = h * valid(lengths, h.shape[2])[:, None, :]
        for layer, stride, (activation, clamp) in zip(self.layers, self.strides, self.activations, strict=True):
            h = ACTIVATIONS[activation](layer(h))  # (B, C, T) -> (B, C', T')
            if clamp is not None:
                h = h.clamp(*clamp)
            lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
            h = h * valid(lengths, h.shape[2])[:, None, :]
        return h.transpose(1, 2), lengths  # (B, T', C)


def settle(frontend: nn.Module, flat: np.ndarray, lengths: np.ndarray) -> None:
    """Set from training rows what a front end of embeddings does not learn; any other has nothing of the kind."""
    if isinstance(frontend, Embeddings):
        frontend.settle(flat, lengths)


def _fixed(recipe: config.Fixed | config.OneHot) -> Table:
    return Table([recipe.name])


def _dilated(recipe: config.Dilated) -> Dilated:
    return Dilated(Embedding(config.Embedding(width=recipe.embedding, table=recipe.table)), recipe)


FRONTENDS: dict[str, Callable[..., Any]] = {
    "onehot": _fixed,
    "blosum62": _fixed,
    "scales": _fixed,
    "embedding": Embedding,
    "dilated": _dilated,
    "tokens": Tokens,
    "variant": Variant,
    "table": KmerTable,
    "language_model": HiddenStates,
    "embeddings": Embeddings,
    "plm": Adapted,
    "trained": Trained,
    "conv": Conv,
    "residual": residual,
    "separable": separable,
}
