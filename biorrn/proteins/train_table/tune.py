"""Choice between a language model as it is and one with adapters (`biorrn train-table --tune lora`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.config.recipe import Recipe, adapted, dump_recipe, parse_recipe
from biorrn.nn.store import load_facts
from biorrn.proteins.train_table.outputs import DATA, Session
from biorrn.proteins.train_table.refit import MEASURED, keep_state
from biorrn.stats.metrics import NAMES
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.task import load_task
from biorrn.training.train import train

LEAST = 0.05  # weight below which adapters do not pay for a pass of their language model


def choose_adapters(recipe: Recipe, run: Session, state: dict[str, Any]) -> Recipe:
    """Train the measured model, and leave its adapters out if the validation rows give them hardly any weight.

    Parameters
    ----------
    state : dict: of the run. "tuned" is set to lines for the report, and "recipe" to what is returned; a resumed run
        keeps both.

    Returns
    -------
    Recipe: of what the run goes on with; without adapters, the model needs no language model to predict with them.
    """
    measured = run.folder / MEASURED
    options: dict[str, Any] = {"seed": run.seed, **run.options}
    if "tuned" not in state:
        train(recipe, run.folder / DATA, measured, load_task(recipe.task), **options)
        state["tuned"], kept = _without_idle(recipe, measured)
        state["recipe"] = dump_recipe(kept)
        keep_state(run.folder, state)
        if kept == recipe:
            return recipe
        recipe = kept
    # the members are trained; they are weighed again
    train(recipe, run.folder / DATA, measured, load_task(recipe.task), replace=True, **options)
    return recipe


def _without_idle(recipe: Recipe, measured: Path) -> tuple[list[str], Recipe]:
    """Return a line with validation score and weight of each kind of member, and the recipe without idle adapters."""
    if recipe.members is None or not adapted(recipe):
        return [], recipe
    provenance = json.loads((measured / PROVENANCE).read_text(encoding="utf-8"))
    weights = np.mean(load_facts(measured)["weights"], axis=1)  # (M, K) -> (M,)
    told: dict[str, list[tuple[float, float]]] = {}
    for own, weight in zip(provenance["members"].values(), weights, strict=True):
        told.setdefault(own["recipe"], []).append((own["best"]["value"], float(weight)))
    shown = [
        f"{name} {np.mean([score for score, _ in pairs]):.3f} (weight {sum(weight for _, weight in pairs):.2f})"
        for name, pairs in told.items()
    ]
    metric = next(iter(provenance["members"].values()))["best"]["metric"]
    metric = metric.replace("valid_", "validation ").replace("selection", NAMES["selection"])
    line = f"{metric} of the members, and their weight: {', '.join(shown)}"
    if recipe.combine == "stack" and np.ptp([sum(weight for _, weight in pairs) for pairs in told.values()]) < 1e-6:
        line += "; each kind counts the same, as there are fewer than two validation rows a kind"
    content = recipe.model_dump(mode="json")
    tuned = [isinstance(member.recipe, Recipe) and bool(adapted(member.recipe)) for member in recipe.members]
    if sum(weight for weight, own in zip(weights, tuned, strict=True) if own) >= LEAST:
        return [line], recipe
    content["members"] = [member for member, own in zip(content["members"], tuned, strict=True) if not own]
    if len({member["recipe"]["name"] for member in content["members"]}) == 1:
        content["combine"] = "mean"
    return [f"{line}; the adapters are left out"], parse_recipe(content, recipe.name)
