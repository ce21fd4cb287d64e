"""SequenceModel: front end, recurrent or attention core, pool and head, built from a recipe.

Also here: the size limit of a model (`Budget`), the builder of any recipe (`build`), and language models run one symbol
at a time (`Stepper`).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.config.recipe import Forest, GaussianProcess, Recipe
from biorrn.nn.attention import SelfAttention
from biorrn.nn.cells import Stack, lock
from biorrn.nn.ensemble import Neighbours, ensemble_for
from biorrn.nn.frontends import FRONTENDS, HiddenStates, Part, Told, Trained
from biorrn.nn.heads import HEADS, Keep, Pool, Tokens
from biorrn.sequences.tokenisers import Tokeniser

MOST = 1 << 30  # elements of a model to be trained: 4 GB as float32, four times that with gradients and optimiser
SPARE = 1 << 22  # elements that a loaded model may have beyond those of its file, such as fixed tables


COUNTS = threading.local()  # `on`: whether a `Budget` counts; absent for yes


class Budget(TorchFunctionMode):
    """Context manager that limits the elements of all tensors created in it, before memory is allocated.

    Parameters
    ----------
    numbers : int: elements in all.
    what : str: the recipe or file that asks for them, named in the message.

    Raises
    ------
    ConfigError: at the tensor that exceeds the limit.

    >>> with Budget(1000, "recipe 'wide'"):
    ...     torch.nn.Linear(100, 100)
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: recipe 'wide': asks for a model of more than 1,000 numbers, which is the limit
    """

    def __init__(self, numbers: int, what: object) -> None:
        super().__init__()
        self.left = self.numbers = numbers
        self.what = what

    @staticmethod
    @contextlib.contextmanager
    def lifted() -> Iterator[None]:
        """Do not count what this thread makes meanwhile, such as a language model that is here already."""
        COUNTS.on = False
        try:
            yield
        finally:
            COUNTS.on = True

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in MAKERS and getattr(COUNTS, "on", True):
            self.left -= MAKERS[func](args, kwargs or {})
            if self.left < 0:
                message = f"asks for a model of more than {self.numbers:,} numbers, which is the limit"
                raise ConfigError(f"{self.what}: {message}")
        return func(*args, **(kwargs or {}))


def _size(args: Any, kwargs: dict[str, Any]) -> int:
    size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
    return math.prod(int(length) for length in size)


def _square(args: Any, kwargs: dict[str, Any]) -> int:
    return int(args[0]) * int(args[1] if len(args) > 1 else args[0])


def _range(args: Any, kwargs: dict[str, Any]) -> int:
    return int(max(abs(float(number)) for number in args))


# function that creates a tensor -> how many elements it will have
MAKERS: dict[Any, Callable[[Any, dict[str, Any]], int]] = {
    **dict.fromkeys((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn), _size),
    torch.eye: _square,
    torch.arange: _range,
}


class Chain(nn.Module):
    """Cores in sequence, such as an LSTM followed by a layer of self-attention."""

    def __init__(self, inputs: int, recipes: list[config.Core | config.SelfAttention]) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        self.width, self.directions = inputs, "f"
        for recipe in recipes:
            part = build_core(self.width, recipe)
            self.parts.append(part)
            self.width, self.directions = part.width, part.directions

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for part in self.parts:
            x, lengths = part(x, lengths)
        return x, lengths


Made = Stack | SelfAttention | Chain


def build_core(
    inputs: int, recipe: config.Core | config.SelfAttention | list[config.Core | config.SelfAttention]
) -> Made:
    """Return the core of a recipe for steps of `inputs` features.

    It maps (x (B, T, inputs), lengths (B,)) to (x (B, T, width), lengths), with zero padding. Its `directions` say
    where the final states are, one letter for each equal part of the width: "f" the last valid step, "b" the first.
    """
    if isinstance(recipe, list):
        return Chain(inputs, recipe)
    return SelfAttention(inputs, recipe) if isinstance(recipe, config.SelfAttention) else Stack(inputs, recipe)


class SequenceModel(nn.Module):
    """Maps `(x, lengths)` to `(outputs, lengths)`.

    A pooled head returns (B, K) and the input lengths; a head for each step returns (B, T', S) and lengths in output
    steps. `stride` is the number of input steps of one output step.
    """

    def __init__(
        self,
        frontend: nn.Module,
        dropout: nn.Module,
        core: nn.Module,
        pool: nn.Module,
        head: nn.Module,
        steps: nn.Linear | None = None,
    ):
        super().__init__()
        self.frontend, self.dropout, self.core, self.pool, self.head = frontend, dropout, core, pool, head
        self.steps = steps
        self.stride = int(getattr(frontend, "stride", 1))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.frontend(x, lengths)
        return self.of_features(self.dropout(x), lengths)

    def of_features(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and lengths from the front end's features (B, T, F) and lengths (B,)."""
        x, lengths = self.core(x, lengths)
        if self.steps is not None:
            x = nn.functional.silu(self.steps(x))  # padding is no longer zero, but pools ignore it
        x, lengths = self.pool(x, lengths)
        return self.head(x), lengths

    def run_from(self, x: Tensor, lengths: Tensor, states: Any) -> tuple[Tensor, Tensor, Any]:
        """Return scores (B, T, S), the core's outputs (B, T, H) and its states after the last step.

        For a language model with a recurrent core of one direction; see `cells.Stack.run_from`.
        """
        x, lengths = self.frontend(x, lengths)
        h, states = cast(Stack, self.core).run_from(self.dropout(x), lengths, states)
        x = h if self.steps is None else nn.functional.silu(self.steps(h))
        return self.head(x), h, states


def build_frontend(recipe: config.Frontend, given: Sequence[Any] = ()) -> Any:
    """Return the front end of a recipe; see `build_model` for errors and `given`."""
    if isinstance(recipe, config.Adapted):
        with Budget.lifted():  # its language model is no part of a model folder
            return FRONTENDS[recipe.name](recipe)
    if not isinstance(recipe, config.LanguageModel | config.Trained):
        return FRONTENDS[recipe.name](recipe)
    if recipe.path is not None and not given:
        raise ConfigError(f"front end '{recipe.name}': is for proteins: tasks regression and tagging")
    if isinstance(recipe, config.Trained):
        return Trained(recipe, given or [_stored_told(**part) for part in recipe.parts])
    stored = zip(recipe.parts, recipe.tokenisers, strict=True)
    return HiddenStates(recipe, given or [_stored_part(*part) for part in stored])


def _stored_part(part: dict[str, Any], tokeniser: dict[str, Any]) -> Part:
    made = config.Model.model_validate(part)
    if not isinstance(made.frontend, config.Tokens):
        raise ConfigError(f"found a part with front end {made.frontend.name}; expected tokens")
    return Part(made, tokeniser, build_model(made, Tokeniser.from_dict(tokeniser).size, stored=True))


def _stored_told(recipe: dict[str, Any], facts: dict[str, Any]) -> Told:
    made = Recipe.model_validate(recipe)
    if made.task not in ("tagging", "language") or isinstance(getattr(made.model, "frontend", None), config.Trained):
        raise ConfigError(f"found a part of task {made.task}; expected tagging or language, of residues alone")
    return Told(build(made, facts), recipe, facts)


def build_model(recipe: config.Model, outputs: int, stored: bool = False, given: Sequence[Any] = ()) -> SequenceModel:
    """Return the model of a recipe with `outputs` targets or symbols.

    Parameters
    ----------
    stored : bool: the weights will be loaded from a model folder, so a front end of values from a file needs no file.
    given : the trained models that the front end names, as `store.models_of` loads them.

    Raises
    ------
    ConfigError: a pooled head without a pool, or a head for each step with one; the recipe of a model folder without
        its weights; or a model of more than `MOST` elements.
    """
    if not stored and getattr(recipe.frontend, "path", "") is None:
        raise ConfigError(
            f"frontend '{recipe.frontend.name}': is as a model folder keeps it, with its values in the weights; to "
            "train, give 'path' in place of its shape"
        )
    pooled = HEADS[recipe.head.name].pooled
    if pooled != bool(recipe.pool):
        wants = "at least one entry in 'pool'" if pooled else "an empty 'pool'"
        raise ConfigError(f"head '{recipe.head.name}' needs {wants}; found {recipe.pool}")
    if isinstance(recipe.frontend, config.Tokens) and recipe.frontend.size != outputs:
        raise ConfigError(
            "front end 'tokens': is for task language, whose tokeniser gives its size; found "
            f"{recipe.frontend.size} for {outputs} outputs"
        )
    with Budget(MOST, "recipe"):
        frontend = build_frontend(recipe.frontend, given)
        core = build_core(frontend.width, recipe.core)
        width, directions = (recipe.steps, "f") if recipe.steps else (core.width, core.directions)
        pool = Pool(list(recipe.pool), width, directions) if recipe.pool else Keep(width)
        head = HEADS[recipe.head.name](pool.width, outputs, recipe.head)  # type: ignore[arg-type]
        steps = nn.Linear(core.width, recipe.steps) if recipe.steps else None
        if getattr(recipe.frontend, "tied", False):
            _tie(frontend, head, recipe.head.hidden or pool.width)
    model = SequenceModel(frontend, nn.Dropout(recipe.input_dropout), core, pool, head, steps)
    if recipe.locked_dropout:
        lock(model)
    return model


def _tie(frontend: nn.Module, head: nn.Module, width: int) -> None:
    if not isinstance(head, Tokens):
        raise ConfigError("front end 'tokens': tied needs head 'tokens', which predicts symbols")
    if frontend.width != width:
        raise ConfigError(
            f"front end 'tokens': tied: its width is {frontend.width}, and {width} features reach the head's last "
            "layer; they must be the same: set model.head.hidden or model.frontend.width"
        )
    head.tie(frontend.learned)  # type: ignore[arg-type]


def build(recipe: Recipe, facts: dict[str, Any]) -> nn.Module:
    """Return the untrained model of a recipe, to be filled with the weights of a model folder.

    Parameters
    ----------
    recipe : Recipe: of one model, or of an ensemble with all members inline.
    facts : dict: "outputs" is the number of targets or symbols (default 1); of an ensemble, "members" lists the facts
        in which each member differs.

    Raises
    ------
    ConfigError: the parts of the recipe do not fit together, or a member is not inline.
    """
    outputs = int(facts.get("outputs", 1))
    if recipe.members is None:
        if isinstance(recipe.model, GaussianProcess):  # imported here: networks, which are most, need neither
            from biorrn.nn.gaussian.model import build_gaussian

            return build_gaussian(recipe.model, facts)
        if isinstance(recipe.model, Forest):
            from biorrn.nn.forest import build_forest

            return build_forest(recipe.model.trees, facts)
        assert recipe.model is not None  # as every checked recipe
        return build_model(recipe.model, outputs, stored=True)
    own = facts.get("members") or [{}] * len(recipe.members)
    if len(own) != len(recipe.members):
        raise ConfigError(f"recipe '{recipe.name}': {len(recipe.members)} members, but facts of {len(own)}")
    models = []
    for member, more in zip(recipe.members, own, strict=True):
        if isinstance(member.recipe, str):
            raise ConfigError(f"recipe '{recipe.name}': member '{member.recipe}' is not inline")
        models.append(build(member.recipe, facts | more))
    return ensemble_for(facts)(models, outputs, recipe.calibrate == "monotone", neighbours(recipe, facts))


def neighbours(recipe: Recipe, facts: dict[str, Any]) -> Neighbours | None:
    """Return the `Neighbours` of an ensemble, of the size in the facts; None where the recipe has none."""
    asked = recipe.neighbours
    if asked is None:
        return None
    rows, longest = (int(size) for size in facts["neighbours"])
    return Neighbours(rows, longest, int(facts.get("outputs", 1)), asked.mismatches, asked.noise, asked.decay)


def settle(recipe: Recipe, model: nn.Module) -> Recipe:
    """Return the recipe for the model folder, without paths: values read from files are in the weights.

    A front end that read a file has the recipe to store in its attribute `settled`. What the model learned from a
    teacher is in its weights too.
    """
    if recipe.training.teacher is not None:
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"teacher": None})})
    if recipe.members is not None:
        parts: Any = getattr(model, "members", [])
        members = [
            member.model_copy(update={"recipe": settle(member.recipe, part)})
            for member, part in zip(recipe.members, parts, strict=True)
            if not isinstance(member.recipe, str)  # as all are once trained
        ]
        return recipe.model_copy(update={"members": members})
    if isinstance(recipe.model, GaussianProcess):
        kernel = getattr(model.targets[0][0].kernel, "settled", recipe.model.kernel)  # type: ignore[index,union-attr]
        return recipe.model_copy(update={"model": recipe.model.model_copy(update={"kernel": kernel})})
    settled = getattr(getattr(model, "frontend", None), "settled", None)
    if recipe.model is None or settled is None:
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"frontend": settled})})


class Stepper:
    """Runs a language model symbol by symbol; the scores equal those of the model on the whole sequence.

    A recurrent core carries its state on. Any other core, such as causal self-attention, is run over all symbols again
    at each step. A backward model takes its symbols from the end.

    Parameters
    ----------
    model : in evaluation mode.

    Raises
    ------
    ConfigError: not a language model, or its core runs in both directions.
    """

    def __init__(self, model: nn.Module) -> None:
        if not isinstance(model, SequenceModel) or not isinstance(model.head, Tokens):
            raise ConfigError("is not a language model: its head does not predict symbols")
        self.model, self.recurrent = model, carries(model)
        directions = getattr(model.core, "directions", "f")
        if len(directions) != 1 or (directions == "b" and not self.recurrent):
            raise ConfigError("its core does not run in one direction, so it cannot predict symbol by symbol")

    def start(self, batch: int) -> Any:
        """Return the state of `batch` sequences before their first symbol."""
        device = next(self.model.parameters()).device
        return None if self.recurrent else torch.zeros(batch, 0, dtype=torch.long, device=device)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
        """Return scores of the next symbol (B, S), the core's output (B, H), and the state after `tokens`.

        Parameters
        ----------
        tokens : int64 tensor (B,): one id for each sequence.
        state : from `start` or from the step before.
        """
        x = tokens[:, None]
        if self.recurrent:
            scores, hidden, state = self.model.run_from(x, torch.ones_like(tokens), state)
            return scores[:, -1], hidden[:, -1], state
        seen = torch.cat([state, x], 1)
        lengths = torch.full_like(tokens, seen.shape[1])
        features, _ = self.model.frontend(seen, lengths)
        hidden, _ = self.model.core(self.model.dropout(features), lengths)
        scores, _ = self.model(seen, lengths)
        return scores[:, -1], hidden[:, -1], seen


def carries(model: SequenceModel) -> bool:
    """Return whether a core can carry its state on: it is recurrent, and all layers run in one direction."""
    core = model.core
    return isinstance(core, Stack) and {layer.directions for layer in core.layers} in ({"f"}, {"b"})


def next_states(states: Any, carried: Tensor) -> Any:
    """Return the states for the next window, detached, and zero in rows that start a new sequence.

    Parameters
    ----------
    states : of `SequenceModel.run_from`, tensors (1, B, H); or None.
    carried : bool tensor (B,): rows that continue.
    """
    if states is None:
        return None
    keep = carried[None, :, None]
    return tree_map(lambda state: torch.where(keep, state.detach(), torch.zeros_like(state)), states)
