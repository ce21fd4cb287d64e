"""From a recipe to its untrained model, whichever kind it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from biorrn.config import Forest, GaussianProcess, Recipe
from biorrn.errors import ConfigError
from biorrn.models.ensemble import ensemble_for
from biorrn.models.forest import build_forest
from biorrn.models.gaussian import build_gaussian
from biorrn.models.neighbours import Neighbours
from biorrn.models.sequence import build_model


def build(recipe: Recipe, facts: dict[str, Any]) -> nn.Module:
    """Return the model of a recipe, its weights to be filled from a model folder.

    Parameters
    ----------
    recipe : Recipe: of one model, or of an ensemble with all members inline.
    facts : dict: what the training data says: "outputs", how many targets or symbols (default 1). Those of an ensemble
        may hold "members", a list with what is different for each.

    Raises
    ------
    ConfigError: the parts of the recipe do not fit together, or a member is only named.
    """
    outputs = int(facts.get("outputs", 1))
    if recipe.members is None:
        if isinstance(recipe.model, GaussianProcess):
            return build_gaussian(recipe.model, facts)
        if isinstance(recipe.model, Forest):
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
    """Return the memory of training rows of an ensemble that has one; "neighbours" of the facts is its size."""
    asked = recipe.neighbours
    if asked is None:
        return None
    rows, longest = (int(size) for size in facts["neighbours"])
    return Neighbours(rows, longest, int(facts.get("outputs", 1)), asked.mismatches, asked.noise, asked.decay)


def settle(recipe: Recipe, model: nn.Module) -> Recipe:
    """Return the recipe as a model folder keeps it: a front end that took values from a file names no file any more.

    Its attribute `settled` says what it is instead; the values are in the weights.
    """
    if recipe.members is not None:
        parts: Any = getattr(model, "members", [])
        members = [
            member.model_copy(update={"recipe": settle(member.recipe, part)})
            for member, part in zip(recipe.members, parts, strict=True)
            if not isinstance(member.recipe, str)  # as all are once trained
        ]
        return recipe.model_copy(update={"members": members})
    settled = getattr(getattr(model, "frontend", None), "settled", None)
    if recipe.model is None or settled is None:
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"frontend": settled})})
