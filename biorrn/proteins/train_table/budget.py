"""Time budget of a cross-validation: what each fold may still train, from the time left and what folds have taken.

How fast an epoch is was measured once, before anything trained, and a machine that others use too does not keep the
pace. So each fold is planned when it begins. Networks, whose time is that of their epochs, are shortened first, then
left out where members are fitted at once; then fewer folds are trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from biorrn.base.files import read_json, write_text
from biorrn.config.recipe import Recipe, dump_recipe, parse_recipe
from biorrn.proteins.train_table.choice import FEWEST
from biorrn.training.checkpoint import PROVENANCE

LEAST_FOLDS = 2  # trained whatever time is left, since one tells nothing of how folds differ
LOG = "budget.json"  # in the folder of the folds: recipe and times of each, so that a resumed run decides the same


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of one training of a recipe.

    Attributes
    ----------
    seconds : float: of all, with predictions and baselines.
    members : {recipe name: (seconds, epochs)}: of the slowest member of each name; 0 epochs for one fitted at once.
    """

    seconds: float
    members: dict[str, tuple[float, int]] = field(default_factory=dict)

    @staticmethod
    def of(run: Path, seconds: float = 0.0) -> Cost:
        """Return the cost that a run folder tells of, and the seconds around it if they are more."""
        told = read_json(run / PROVENANCE)
        parts = told["members"].values() if "members" in told else [told]
        members: dict[str, tuple[float, int]] = {}
        for part in parts:
            own = (float(part["seconds"]), int(part.get("epochs") or 0))
            members[part["recipe"]] = max(own, members.get(part["recipe"], own))
        return Cost(max(seconds, sum(own for own, _ in members.values())), members)


@dataclass(slots=True)
class Budget:
    """Plans the folds of a cross-validation, each when it begins.

    Parameters
    ----------
    folder : of the folds, where the plan is kept.
    number : int: of folds.
    left : returns the seconds left; infinite for no limit.
    say : takes a line where a plan changes.
    before : Cost, optional: of an earlier training of the recipe, by which the first fold is planned.
    more : int: trainings after the folds that the time is shared with.
    """

    folder: Path
    number: int
    left: Callable[[], float]
    say: Callable[[str], None]
    before: Cost | None = None
    more: int = 0
    plans: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the plans of an earlier part of a run."""
        if (self.folder / LOG).is_file():
            self.plans = read_json(self.folder / LOG)["folds"]

    @property
    def costs(self) -> list[Cost]:
        """Return what the folds so far have taken, before them the earlier training."""
        done = [Cost(plan["seconds"], {k: (v[0], v[1]) for k, v in plan["members"].items()}) for plan in self.ended]
        return [*([] if self.before is None else [self.before]), *done]

    @property
    def ended(self) -> list[dict[str, Any]]:
        """Return the plans of the folds that are trained."""
        return [plan for plan in self.plans if "seconds" in plan]

    def begin(self, place: int, recipe: Recipe) -> Recipe | None:
        """Return what fold `place`, from 1, trains; None if there is no time for it and those after it."""
        if place <= len(self.plans):
            kept = self.plans[place - 1]["recipe"]
            return None if kept is None else parse_recipe(yaml.safe_load(kept), str(self.folder / LOG))
        if self.plans:  # what was left out stays so
            recipe = parse_recipe(yaml.safe_load(self.plans[-1]["recipe"]), str(self.folder / LOG))
        made, said = self._fitting(place, recipe)
        if said and (not self.plans or self.plans[-1].get("said") != said):
            self.say(said)
        self._keep({"recipe": None if made is None else dump_recipe(made), "said": said})
        return made

    def end(self, place: int, run: Path, seconds: float) -> None:
        """Note what fold `place` has taken; `run` is its folder."""
        if "seconds" not in self.plans[place - 1]:
            cost = Cost.of(run, seconds)
            self.plans[place - 1] |= {"seconds": round(cost.seconds, 2), "members": cost.members}
            self._keep()

    def _keep(self, plan: dict[str, Any] | None = None) -> None:
        self.plans += [] if plan is None else [plan]
        self.folder.mkdir(parents=True, exist_ok=True)
        with write_text(self.folder / LOG) as stream:
            json.dump({"folds": self.plans}, stream, indent=1)

    def _fitting(self, place: int, recipe: Recipe) -> tuple[Recipe | None, str]:
        """Return the recipe that fits the time of a fold, None for no fold, and what is said of it."""
        left = self.left()
        if not self.costs or math.isinf(left):
            return recipe, ""
        share = left / (self.number - place + 1 + self.more)
        made, cost, said = fitted_to(recipe, self.costs, share)
        done = len(self.ended)
        if cost <= left - self.more * cost or cost <= share:
            return made, said
        if done >= LEAST_FOLDS:
            return None, (
                f"folds: {done} of {self.number} are trained: --max-minutes leaves {span(left)}, and a fold takes "
                f"about {span(cost)}"
            )
        fastest = fastest_of(made, self.costs)
        if fastest is made or fastest == made:
            return made, said
        return fastest, f"folds: {fastest.name} alone from here on: --max-minutes leaves {span(left)}"


def span(seconds: float) -> str:
    """Return a time as text, with two digits where it is short.

    >>> span(0.0213), span(4.0), span(1234.5), span(-3.0)
    ('0.021 s', '4 s', '1234 s', '0 s')
    """
    return f"{max(seconds, 0.0):.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def fitted_to(recipe: Recipe, costs: list[Cost], seconds: float) -> tuple[Recipe, float, str]:
    """Return a recipe whose networks fit so many seconds as far as they can, what it then takes, and what is said.

    Parameters
    ----------
    costs : list of Cost: what earlier trainings took; the mean counts, of each member that of the runs that had it.
    """
    names = parts_of(recipe)
    spent = {name: [cost.members[name] for cost in costs if name in cost.members] for name in names}
    beside = _mean([cost.seconds - sum(own for own, _ in cost.members.values()) for cost in costs])
    at_once = beside + sum(_mean([own for own, _ in runs]) for runs in spent.values() if runs and not runs[0][1])
    # a network may stop before its last epoch, so the most epochs that a run took are expected
    networks = {name: runs for name, runs in spent.items() if runs and runs[0][1]}
    pace = {name: sum(own for own, _ in runs) / sum(epochs for _, epochs in runs) for name, runs in networks.items()}
    asked = {name: names[name].training.epochs for name in networks}
    usual = {name: min(asked[name], max(epochs for _, epochs in runs)) for name, runs in networks.items()}
    whole = at_once + sum(pace[name] * usual[name] for name in networks)
    if not networks or whole <= seconds:
        return recipe, whole, ""
    each = (seconds - at_once) / len(networks)
    epochs = {name: min(asked[name], int(each / max(one, 1e-6))) for name, one in pace.items()}
    out = [name for name, fits in epochs.items() if fits < FEWEST]
    if len(out) == len(names):  # nothing else is there: the fewest epochs of the first, whatever they take
        out, epochs = out[1:], epochs | {out[0]: FEWEST}
    kept = {name: fits for name, fits in epochs.items() if name not in out}
    cost = at_once + sum(fits * pace[name] for name, fits in kept.items())
    reason = f"--max-minutes leaves {span(seconds)} a fold"
    said = [f"{', '.join(out)} {'is' if len(out) == 1 else 'are'} left out"] if out else []
    said += [f"{name} trains {fits} epochs, not {asked[name]}" for name, fits in kept.items() if fits < asked[name]]
    return _changed(recipe, kept, out), cost, f"folds: {'; '.join(said)}: {reason}" if said else ""


def parts_of(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe of each kind of member by its name, or the recipe itself."""
    if recipe.members is None:
        return {recipe.name: recipe}
    return {member.recipe.name: member.recipe for member in recipe.members if isinstance(member.recipe, Recipe)}


def fastest_of(recipe: Recipe, costs: list[Cost]) -> Recipe:
    """Return the recipe of the member that took the least time in the last training."""
    parts, last = parts_of(recipe), costs[-1].members
    return min(parts.values(), key=lambda part: last.get(part.name, (math.inf, 0))[0])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _changed(recipe: Recipe, epochs: dict[str, int], out: list[str]) -> Recipe:
    """Return a recipe with so many epochs of its networks, and without those of `out`."""

    def shortened(content: dict[str, Any]) -> dict[str, Any]:
        if (fits := epochs.get(content["name"])) is None or fits >= content["training"]["epochs"]:
            return content
        return content | {"training": content["training"] | {"epochs": fits, "patience": max(3, fits // 2)}}

    content = recipe.model_dump(mode="json")
    if recipe.members is None:
        return parse_recipe(shortened(content), recipe.name)
    members = [
        member | {"recipe": shortened(member["recipe"])}
        for member in content["members"]
        if member["recipe"]["name"] not in out
    ]
    if len(members) == 1:
        return parse_recipe(members[0]["recipe"], recipe.name)
    return parse_recipe(content | {"members": members}, recipe.name)
