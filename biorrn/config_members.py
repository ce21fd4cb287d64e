"""The part of a recipe that makes it an ensemble; `config` shows these names as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag, field_validator

from biorrn.config_frontends import LONGEST, MANY, Closed

if TYPE_CHECKING:
    from biorrn.config import Recipe

ENSEMBLE_KEYS = ("members", "combine", "calibrate", "neighbours")  # of a recipe, and only of one with members
MODEL_KEYS = ("model", "chunks", "training")  # of a recipe, and only of one without


def _kind(value: Any) -> str:
    return "name" if isinstance(value, str) else "inline"


class Member(Closed):
    """One model of an ensemble."""

    # a recipe of the package, by name; a path to a .yaml file, relative to the file it stands in; or the recipe itself
    recipe: Annotated[Annotated[str, Tag("name")] | Annotated[Recipe, Tag("inline")], Discriminator(_kind)]
    seed: int = Field(0, ge=0, le=LONGEST)  # the member is trained with this seed + 1000 * the run's seed
    # in the mean, relative to the other members; or a list with one weight a target
    weight: float | list[float] = 1.0

    @field_validator("weight")
    @classmethod
    def counts(cls, weight: float | list[float]) -> float | list[float]:
        """Check that a number is above 0, and that none of a list is below."""
        if weight == [] or not (min(weight) >= 0 if isinstance(weight, list) else weight > 0):
            raise ValueError("allowed is a number above 0, or one a target, 0 or more")
        return weight


class Neighbours(Closed):
    """Residuals of training rows that a protein differs from in few residues are added, by kriging."""

    mismatches: int = Field(3, ge=0, le=MANY)  # residues, at most
    noise: float = Field(1.0, gt=0)  # variance of a residual's own noise over that which neighbours share
    decay: float = Field(0.1, ge=0)  # what two rows share falls by exp(-decay) a mismatch


def check_members(recipe: Recipe) -> None:
    """Check what no key says alone.

    Raises
    ------
    ValueError: neither a model nor members, or both; members that cannot be one model; keys of the other kind.
    """
    if recipe.members is None:
        if recipe.model is None:
            raise ValueError("key 'model' is missing; a recipe has either 'model' or 'members'")
        own = sorted(recipe.model_fields_set.intersection(ENSEMBLE_KEYS) - {"members"})
        if own:
            raise ValueError(f"key '{own[0]}' is only for a recipe with 'members'")
        return
    others = sorted(recipe.model_fields_set.intersection(MODEL_KEYS))
    if others:
        raise ValueError(f"key '{others[0]}' stands beside 'members'; in an ensemble each member's recipe has its own")
    if recipe.task not in ("regression", "tagging"):
        raise ValueError(f"'members' are for task regression and tagging; found task '{recipe.task}'")
    lists = {len(member.weight) for member in recipe.members if isinstance(member.weight, list)}
    if lists and (len(lists) > 1 or not all(isinstance(member.weight, list) for member in recipe.members)):
        raise ValueError("key 'weight' of the members: either each has one number, or each a list of one length")
    if lists and not all(any(column) for column in zip(*(member.weight for member in recipe.members), strict=True)):  # type: ignore[arg-type]
        raise ValueError("key 'weight' of the members: a target for which every member has weight 0")
    plain = {"combine": recipe.combine == "mean", "calibrate": recipe.calibrate == "none"}
    for key, fine in (plain | {"neighbours": recipe.neighbours is None}).items():
        if recipe.task == "tagging" and not fine:
            raise ValueError(f"key '{key}' is for task regression; an ensemble of taggers is the mean of its members")
    seen: list[tuple[object, int]] = []
    for place, member in enumerate(recipe.members):
        own_recipe = member.recipe
        if not isinstance(own_recipe, str):
            if own_recipe.members is not None:
                raise ValueError(f"member {place} is an ensemble; members are single models")
            if own_recipe.task != recipe.task:
                raise ValueError(f"member {place} is for task '{own_recipe.task}'; the ensemble is for '{recipe.task}'")
        if (own_recipe, member.seed) in seen:
            raise ValueError(
                f"members {seen.index((own_recipe, member.seed))} and {place} have the same recipe and seed"
            )
        seen.append((own_recipe, member.seed))
