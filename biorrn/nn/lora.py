"""Low-rank adapters (LoRA) of a protein language model of the hub, by the library peft; the front end `plm`.

The weights of the language model stay as they are; beside some of its matrices stands the product of two narrow ones,
which is trained (Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, ICLR). A model folder holds these
alone, and the name and checksum of the language model, which is found again by `hub.find`.
"""

from __future__ import annotations

import copy
import functools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from biorrn.base.compute import free_memory, has_bfloat16, kind_of
from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Adapted as Recipe
from biorrn.nn import hub
from biorrn.nn.batch import valid
from biorrn.nn.chunks import spans
from biorrn.nn.hub import OVERLAP, PACKAGES, RESIDUES, WINDOW, LanguageModel
from biorrn.sequences.alphabets import PADDING
from biorrn.sequences.alphabets import RESIDUES as LETTERS

# kind of model, as transformers names it -> its matrices with adapters: those of attention
MATRICES = {
    "esm": r".*attention\.(self\.(query|key|value)|output\.dense)",
    "bert": r".*attention\.(self\.(query|key|value)|output\.dense)",
    "t5": r".*SelfAttention\.(q|k|v|o)",
}


class Adapted(nn.Module):
    """Maps tokens (B, T) to the last hidden states of a language model with adapters, normalised, (B, T, width).

    Longer proteins are cut into windows, as by `biorrn embed plm`. Without a gradient a batch is run in parts.

    Attributes
    ----------
    settled : the recipe for a model folder, without a path.
    network : the module of transformers; its adapters alone are trained and in `state_dict`.
    """

    table: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        folder, name, mark = source(recipe)
        of = _language_model(str(folder), "bf16" if recipe.half else "32", mark)
        self.network = with_adapters(_shared(of.network), recipe, name)
        if recipe.checkpointing:
            recompute(self.network)
        self.before, self.after, self.pad, self.width = of.before, of.after, of.pad, of.width
        self.norm = nn.LayerNorm(of.width)  # brings the states of any language model to one scale
        ids = torch.full((len(LETTERS) + 1,), of.pad)
        ids[1:] = torch.tensor([of.ids[letter] for letter in LETTERS])
        ids[PADDING] = of.pad
        self.register_buffer("table", ids, persistent=False)
        self.settled = recipe.model_copy(update={"path": None, "model": name, "sha256": mark})
        self.own = frozenset(key for key, value in self.named_parameters() if value.requires_grad)
        self.register_state_dict_post_hook(_without_language_model)
        self.register_load_state_dict_post_hook(_language_model_is_there)

    def __deepcopy__(self, memo: dict[int, Any]) -> Adapted:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        memo[id(self.network)] = _shared(self.network, memo, self.own)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        states = self._whole(x, lengths) if torch.is_grad_enabled() else self._in_parts(x, lengths)
        return self.norm(states) * valid(lengths, x.shape[1])[:, :, None], lengths

    def _in_parts(self, x: Tensor, lengths: Tensor) -> Tensor:
        # rows that only fill a batch are equal to others
        rows, back = torch.unique(torch.cat([lengths[:, None], x], 1), dim=0, return_inverse=True)  # shortest first
        sizes, found = rows[:, 0], x.new_zeros(len(rows), x.shape[1], self.width, dtype=torch.float32)
        first = 0
        while first < len(rows):
            height = max(1, RESIDUES.get(x.device.type, RESIDUES["cuda"]) // x.shape[1])
            own = slice(first, first + height)
            longest = max(1, int(sizes[own].max()))
            found[own, :longest] = self._whole(rows[own, 1 : longest + 1], sizes[own])
            first += height
        return found[back]

    def _whole(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the states (B, T, width) of tokens (B, T), in one pass."""
        if x.shape[1] <= WINDOW:
            return self._pass(x, lengths)
        cuts = [
            (row, span)
            for row, length in enumerate(lengths.tolist())
            for span in spans(length, WINDOW, OVERLAP if length > WINDOW else 0, 1)
        ]
        pieces = pad_sequence([x[row, cut.start : cut.start + cut.length] for row, cut in cuts], True)
        found = self._pass(pieces, torch.tensor([cut.length for _, cut in cuts], device=x.device))
        whole = found.new_zeros(*x.shape, self.width)
        for (row, cut), states in zip(cuts, found, strict=True):
            whole[row, cut.first : cut.last] = states[cut.first - cut.start : cut.last - cut.start]
        return whole

    def _pass(self, x: Tensor, lengths: Tensor) -> Tensor:
        ahead, behind = len(self.before), len(self.after)
        ids = F.pad(self.table[x], (ahead, behind), value=self.pad)
        ids[:, :ahead] = torch.tensor(self.before, dtype=ids.dtype, device=x.device)
        ends = ahead + lengths[:, None] + torch.arange(behind, device=x.device)
        ids.scatter_(1, ends, torch.tensor(self.after, dtype=ids.dtype, device=x.device).expand(len(x), behind))
        mask = valid(lengths + ahead + behind, ids.shape[1])
        states: Tensor = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states[:, ahead : ahead + x.shape[1]].float()


def _without_language_model(module: Any, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix) and name[len(prefix) :] not in module.own]:
        del state[name]


def _language_model_is_there(module: Any, keys: Any) -> None:
    parts = [(name, name.partition("network.")) for name in keys.missing_keys]
    keys.missing_keys[:] = [name for name, (_, inner, rest) in parts if not inner or inner + rest in module.own]


def source(recipe: Recipe) -> tuple[Path, str, str]:
    """Return the folder of a recipe's language model, the name that a model folder keeps, and its checksum.

    Raises
    ------
    ConfigError: it is not there, or has other weights than the recipe says.
    """
    if recipe.path is None:
        return hub.find(recipe.model, recipe.sha256), recipe.model, recipe.sha256
    folder = hub.folder_of(recipe.path)
    name, mark = named(recipe.path), hub.checksum(folder)
    if recipe.sha256 not in ("", mark):
        raise ConfigError(f"{recipe.path}: has weights {mark[:12]}; the recipe asks for {recipe.sha256[:12]}")
    return folder, name, mark


def named(given: str) -> str:
    """Return the name that a model folder keeps of a language model: that of the hub, or of its folder.

    >>> named("facebook/esm2_t6_8M_UR50D"), named("/")
    ('facebook/esm2_t6_8M_UR50D', 'model')
    """
    place = Path(given)
    return re.sub(r"[^\w.-]|^\.", "_", place.resolve().name or "model") if place.is_dir() else given


@functools.lru_cache(1)
def _language_model(folder: str, precision: str, mark: str) -> LanguageModel:
    """Load a language model on the CPU, once for all models of this process that have it."""
    with torch.random.fork_rng(devices=[]):  # so that what is drawn later is the same when it is here already
        return LanguageModel.load(folder, "cpu", precision)


def forget() -> None:
    """Let go of the language model that is kept for further models of this process."""
    _language_model.cache_clear()


def _shared(network: nn.Module, memo: dict[int, Any] | None = None, own: frozenset[str] = frozenset()) -> nn.Module:
    """Return a copy of a network whose weights, but for adapters, share memory with its own until it is moved."""
    memo = {} if memo is None else memo
    for name, value in network.named_parameters():
        if f"network.{name}" not in own:
            memo[id(value)] = nn.Parameter(value.data, requires_grad=False)
    return copy.deepcopy(network, memo)


def with_adapters(network: nn.Module, recipe: Recipe, name: str) -> nn.Module:
    """Put adapters beside the matrices of attention, in place; their second matrix is zero at first.

    Raises
    ------
    ConfigError: peft is missing, or another kind of model than those of `MATRICES`.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(f"adapters of language models need the package peft: {PACKAGES}") from error
    kind = str(network.config.model_type)  # type: ignore[union-attr]
    if kind not in MATRICES:
        raise ConfigError(f"{name}: is a {kind}; adapters are for {', '.join(MATRICES)}")
    network.requires_grad_(False)
    settings = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout, target_modules=MATRICES[kind]
    )
    inject_adapter_in_model(settings, network)
    for value in network.parameters():
        if value.requires_grad:
            value.data = value.data.float()  # small, and an optimiser needs small steps
    return network


def recompute(network: Any) -> None:
    """Let a network compute its activations again for the gradient, in place of keeping them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        start = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        with hub.transformers_library():
            start({"use_reentrant": False})


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a training with adapters takes.

    Attributes
    ----------
    weights : of the language model in float32.
    adapters : with their gradients and the moments of the optimiser.
    kept, recomputed : for a protein of the longest length: where activations are kept, and where they are computed
        again.
    """

    weights: int
    adapters: int
    kept: int
    recomputed: int

    def total(self, rows: int, half: bool, checkpointing: bool, device: object) -> int:
        """Return the bytes of a training with batches of `rows` proteins, with what the allocator takes beyond.

        On a CPU that is about as much as all activations, also where they are computed again, since the C library keeps
        between blocks in use what was freed; see benchmarks/bench_plm.py tune. On a GPU a quarter is taken.
        """
        live = self.recomputed if checkpointing else self.kept
        beyond = self.kept if kind_of(device) == "cpu" else live // 4
        return self.weights // (2 if half else 1) + self.adapters + rows * (live + beyond)


def need(recipe: Recipe, longest: int) -> Need:
    """Estimate the memory of a training: the activations are measured on one and on two layers with random weights.

    Parameters
    ----------
    longest : int: residues of the longest protein.
    """
    folder = source(recipe)[0]
    length = min(longest, WINDOW)
    pieces = len(spans(longest, WINDOW, OVERLAP, 1)) if longest > WINDOW else 1
    with hub.transformers_library() as library, torch.random.fork_rng(devices=[]):
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind, more = hub.class_of(library, config, False, str(folder))
        make = functools.partial(getattr(kind, "from_config", kind), **more)
        with torch.device("meta"):
            whole = with_adapters(make(config), recipe, str(folder))
        parameters = [(value.numel(), value.requires_grad) for value in whole.parameters()]
        layers, few = int(config.num_hidden_layers), []
        for number in (1, 2):
            own = copy.deepcopy(config)
            own.num_hidden_layers = number
            few.append(_kept_bytes(with_adapters(make(own), recipe, str(folder)), length))
    a_layer = few[1] - few[0]
    rest = max(0, few[0] - a_layer)
    border = 4 * length * int(getattr(config, "hidden_size", None) or config.d_model)  # what a layer gives to the next
    return Need(
        weights=4 * sum(count for count, trained in parameters if not trained),
        adapters=16 * sum(count for count, trained in parameters if trained),
        # while a layer is differentiated, its gradients stand beside what was kept
        kept=pieces * (rest + layers * a_layer + a_layer),
        recomputed=pieces * (rest + layers * border + 2 * a_layer),
    )


def _kept_bytes(network: Any, length: int) -> int:
    """Return the bytes that a network keeps for the gradient of one protein, beside its weights."""
    weights = {value.untyped_storage().data_ptr() for value in network.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        place = value.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = value.untyped_storage().nbytes()
        return value

    ids = torch.full((1, length), 5)
    mask = torch.ones_like(ids)
    mask[0, -1:] = 0  # as in a padded batch
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        states = network.train()(input_ids=ids, attention_mask=mask).last_hidden_state  # noqa: F841  # keeps the graph
    return sum(kept.values())


SHARE = 0.9  # of the free memory that a training may take
ROWS = 8  # proteins of a batch


def fitted(given: str, longest: int, device: torch.device, rows: int = ROWS) -> tuple[Recipe, int, str]:
    """Return the recipe of a language model with adapters that fits the memory, its batch size, and a line about it.

    Where memory does not suffice, activations are computed again, then the language model is kept in bfloat16, then
    batches become smaller.

    Raises
    ------
    ConfigError: it does not fit with one protein a batch either; or as `source`.
    """
    recipe = Recipe(path=given)
    recipe = recipe.model_copy(update={"sha256": source(recipe)[2]})
    asked, free = need(recipe, longest), free_memory(device)
    choices = [(rows, False, False), (rows, False, True)]
    smaller = [rows >> step for step in range(1, rows.bit_length())]
    low = has_bfloat16(device)
    choices += [(count, low, True) for count in [*([rows] if low else []), *smaller]]
    for count, half, checkpointing in choices:
        total = asked.total(count, half, checkpointing, device)
        if total <= SHARE * free:
            made = recipe.model_copy(update={"half": half, "checkpointing": checkpointing})
            line = f"{named(given)} with adapters: about {_size(total)} of {_size(free)} free on {device}"
            line += f", batches of {count}"
            line += ", its weights in bfloat16" * half + ", activations computed again" * checkpointing
            return made, count, line
    raise ConfigError(
        f"--tune lora: {named(given)} needs about {_size(total)} with one protein of {longest:,} residues a batch; "
        f"{device} has {_size(free)} free; take a smaller language model, or leave --tune out"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2g} GB" if count < 1e11 else f"{count / 1e9:.0f} GB"
