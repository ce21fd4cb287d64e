"""The one model: front end, core, pool, head, put together from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from biorrn import config
from biorrn.encoders.tokenisers import Tokeniser
from biorrn.errors import ConfigError
from biorrn.models.budget import MOST, Budget
from biorrn.models.cores import build_core
from biorrn.models.frontends import FRONTENDS
from biorrn.models.heads import HEADS, Keep, Pool, Tokens
from biorrn.models.hidden import HiddenStates, Part
from biorrn.models.recurrent import Stack
from biorrn.models.regularise import lock


class SequenceModel(nn.Module):
    """Maps `(x, lengths)` to `(outputs, lengths)`.

    A pooled head gives (B, K) and the lengths as they came; a head a step gives (B, T', S) and lengths in steps.
    `stride` is how many input steps one output step stands for.
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
        """Return outputs and lengths from what the front end gave, (B, T, F) and (B,)."""
        x, lengths = self.core(x, lengths)
        if self.steps is not None:
            x = nn.functional.silu(self.steps(x))  # the pools leave padding out
        x, lengths = self.pool(x, lengths)
        return self.head(x), lengths

    def go_on(self, x: Tensor, lengths: Tensor, states: Any) -> tuple[Tensor, Tensor, Any]:
        """Return scores (B, T, S), the core's outputs (B, T, H) and its states after the last step.

        For a language model with a recurrent core that runs one way; see `recurrent.Stack.go_on`.
        """
        x, lengths = self.frontend(x, lengths)
        h, states = cast(Stack, self.core).go_on(self.dropout(x), lengths, states)
        x = h if self.steps is None else nn.functional.silu(self.steps(h))
        return self.head(x), h, states


def build_frontend(recipe: config.Frontend, given: Sequence[Part] = ()) -> Any:
    """Return the front end of a recipe; see `build_model` for the errors and `given`."""
    if not isinstance(recipe, config.LanguageModel):
        return FRONTENDS[recipe.name](recipe)
    if recipe.path is not None and not given:
        raise ConfigError("front end 'language_model': is for proteins: tasks regression and tagging")
    stored = zip(recipe.parts, recipe.tokenisers, strict=True)
    return HiddenStates(recipe, given or [_stored_part(*part) for part in stored])


def _stored_part(part: dict[str, Any], tokeniser: dict[str, Any]) -> Part:
    made = config.Model.model_validate(part)
    if not isinstance(made.frontend, config.Tokens):
        raise ConfigError(f"found a part with front end {made.frontend.name}; expected tokens")
    return Part(made, tokeniser, build_model(made, Tokeniser.from_dict(tokeniser).size, stored=True))


def build_model(recipe: config.Model, outputs: int, stored: bool = False, given: Sequence[Part] = ()) -> SequenceModel:
    """Return the model of a recipe with `outputs` targets or symbols.

    Parameters
    ----------
    stored : bool: weights follow from a model folder, so that a front end with values from a file needs no file.
    given : the trained language models that the recipe names, as `store.language_models` loads them.

    Raises
    ------
    ConfigError: a pooled head without a pool, or a head a step with one; the recipe of a model folder without its
        weights; or a model of more than `budget.MOST` numbers.
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
        head = HEADS[recipe.head.name](pool.width, outputs, recipe.head)  # type: ignore[arg-type]  # its own kind
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
