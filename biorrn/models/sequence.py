"""The one model: front end, recurrent core, pool, head, put together from a recipe."""

from __future__ import annotations

from torch import Tensor, nn

from biorrn import config
from biorrn.errors import ConfigError
from biorrn.models.frontends import FRONTENDS
from biorrn.models.heads import HEADS, Keep, Pool
from biorrn.models.recurrent import Stack


class SequenceModel(nn.Module):
    """Maps `(x, lengths)` to `(outputs, lengths)`.

    A pooled head gives (B, K) and the lengths as they came; a head a step gives (B, T', S) and lengths in steps.
    `stride` is how many input steps one output step stands for.
    """

    def __init__(self, frontend: nn.Module, dropout: nn.Module, core: nn.Module, pool: nn.Module, head: nn.Module):
        super().__init__()
        self.frontend, self.dropout, self.core, self.pool, self.head = frontend, dropout, core, pool, head
        self.stride = int(getattr(frontend, "stride", 1))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.frontend(x, lengths)
        x, lengths = self.core(self.dropout(x), lengths)
        x, lengths = self.pool(x, lengths)
        return self.head(x), lengths


def build_model(recipe: config.Model, outputs: int) -> SequenceModel:
    """Return the model of a recipe with `outputs` targets or symbols.

    Raises
    ------
    ConfigError: a pooled head without a pool, or a head a step with one.
    """
    pooled = HEADS[recipe.head.name].pooled
    if pooled != bool(recipe.pool):
        wants = "at least one entry in 'pool'" if pooled else "an empty 'pool'"
        raise ConfigError(f"head '{recipe.head.name}' needs {wants}; found {recipe.pool}")
    frontend = FRONTENDS[recipe.frontend.name](recipe.frontend)
    core = Stack(frontend.width, recipe.core)
    pool = Pool(list(recipe.pool), core.width, core.directions) if recipe.pool else Keep(core.width)
    head = HEADS[recipe.head.name](pool.width, outputs, recipe.head)  # type: ignore[arg-type]  # its own kind
    return SequenceModel(frontend, nn.Dropout(recipe.input_dropout), core, pool, head)
