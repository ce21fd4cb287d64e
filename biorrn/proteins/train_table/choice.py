"""Model choice for a user's table: candidates by kind of data, sized to the time budget.

Several candidates become one ensemble whose weights are stacked on the validation rows, so that a useless candidate
gets weight 0.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Recipe, change_recipe, load_recipe, parse_recipe
from biorrn.nn.sequence import build
from biorrn.proteins.train_table.table import Look, Table
from biorrn.training.batches import pad_tokens
from biorrn.training.ensemble import LEAST

STEPS = 1200  # batches that a network is trained for, about
EPOCHS = (5, 60)  # fewest and most, where time allows
FEWEST = 3  # epochs; a network for which there is less time is left out where there is another candidate
SEEDS = 3  # members of a network with different seeds
USED = 0.8  # part of the time that training may plan with; the rest is evaluation
KERNEL_ROWS = 6000  # training rows up to which a Gaussian process is a candidate
FOREST_ROWS = 50_000  # training rows up to which a forest is
SITES = 8  # varied positions up to which their interactions are modelled one by one
EFFECTS = "ddg"  # shipped model whose effects of substitutions are features for variants
WIDTHS = (128, 96, 64, 48, 32)  # units a direction of a recurrent layer, widest first

# seconds that one epoch of a recipe takes here
Speed = Callable[[Recipe], float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model to be tried.

    Attributes
    ----------
    recipe, why : the recipe, and the reason for the user.
    network : bool: it takes epochs and several seeds.
    most : int: training rows up to which it is tried.
    seeds : int: members, at most.
    """

    recipe: Recipe
    why: str
    network: bool = True
    most: int = sys.maxsize
    seeds: int = SEEDS


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe, of one model or of an ensemble, and the lines printed about the choice."""

    recipe: Recipe
    lines: list[str]


def plan(
    seen: Look,
    rows: int,
    minutes: float,
    speed: Speed,
    *,
    model: str | None = None,
    changes: list[str] | None = None,
    seeds: int = SEEDS,
    repeats: int = 1,
) -> Plan:
    """Choose the model and its size.

    Parameters
    ----------
    seen : the summary of the table, from `table.look`.
    rows : int: training rows.
    minutes : float: of the whole run.
    speed : seconds that one epoch of a recipe takes.
    model : an entry of CANDIDATES, a recipe of the package or a path; None chooses by the kind of data.
    changes : KEY=VALUE, as for `config.recipe.change_recipe`, of each network.
    seeds : int: most members of one network.
    repeats : int: how often the plan is carried out (folds); the time is shared among them.

    Raises
    ------
    ConfigError: no such candidate or recipe, or a change that cannot be.
    """
    if model is not None and model not in CANDIDATES:
        recipe = change_recipe(load_recipe(model), changes or [])
        return Plan(_within(recipe, minutes / repeats), [f"model: recipe {recipe.name}, as asked for"])
    if any("classes" in target for target in seen.targets):
        kinds = EMBEDDED_KINDS if seen.embeddings else KINDS["classes"]
    else:
        kinds = KINDS[seen.kind] + (EMBEDDED if seen.embeddings else [])
    kinds = kinds + ([TUNED_NAME] if seen.tuned else [])
    names = [model] if model is not None else kinds
    candidates = []
    for name in names:
        made = lookup(CANDIDATES, name, "--model")(seen, rows)
        if made is not None and (model is not None or rows <= made.most):
            candidates.append(made)
    lines: list[str] = []
    members: list[dict[str, Any]] = []
    if model == TUNED_NAME and not seen.tuned:
        raise ConfigError(f"--model {model}: needs --tune lora, and a language model with --embeddings")
    if model in EMBEDDED + EMBEDDED_KINDS and not seen.embeddings:
        raise ConfigError(f"--model {model}: reads embeddings; give their file with --embeddings")
    if not candidates:
        raise ConfigError(f"--model {model}: does not fit this data or is not in this version")
    each = USED * 60 * minutes / repeats / max(1, sum(entry.network for entry in candidates))  # seconds
    for entry in candidates:
        recipe, number = entry.recipe, 1
        if entry.network:
            recipe, number, said = fit_time(entry.recipe, rows, each, speed, min(seeds, entry.seeds))
            if recipe.training.epochs < FEWEST and len(candidates) > 1:
                lines.append(f"model: {recipe.name} is left out: the time allows {said}")
                continue
            lines.append(f"model: {recipe.name}: {entry.why}; {said}")
        else:
            lines.append(f"model: {recipe.name}: {entry.why}")
        if entry.network or len(candidates) == 1:  # --set applies to networks, and to a sole candidate
            recipe = change_recipe(recipe, changes or [])
        members += [{"recipe": recipe.model_dump(mode="json"), "seed": seed} for seed in range(number)]
    if len(members) == 1:
        chosen = parse_recipe(members[0]["recipe"])
    else:
        task = candidates[0].recipe.task
        different = len({member["recipe"]["name"] for member in members})
        # of classes, probabilities are averaged, unless the validation rows have to tell whether adapters pay
        combine = "stack" if different > 1 and (task == "regression" or seen.tuned) else "mean"
        chosen = parse_recipe({"name": "own", "task": task, "members": members, "combine": combine})
        how = "their plain mean"
        if combine == "stack":
            how = f"weighted by the validation rows where these are {LEAST * different} or more"
        lines.append(f"{len(members)} members are one ensemble, {how}")
    return Plan(chosen, lines)


def fit_time(recipe: Recipe, rows: int, seconds: float, speed: Speed, seeds: int) -> tuple[Recipe, int, str]:
    """Return width, epochs and seeds of a network that fit the time: its recipe, seeds, and a line about them."""
    content = recipe.model_dump(mode="json")
    batch = content["training"]["batch_size"]
    wanted = min(max(EPOCHS[0], -(-STEPS * batch // max(1, rows))), EPOCHS[1])
    core = content["model"]["core"]
    widths = [width for width in WIDTHS if width <= core["hidden"]] if core["layers"] else [core["hidden"]]
    fits, number, an_epoch = 0, 1, 0.0
    for width in widths or [core["hidden"]]:
        core["hidden"] = width
        an_epoch = max(speed(parse_recipe(content, recipe.name)), 1e-3)
        fits = int(seconds / an_epoch)
        if fits >= max(3, wanted // 3):
            break
    for number in range(seeds, 0, -1):
        if fits // number >= wanted or number == 1:
            break
    epochs = max(1, min(wanted, fits // number))
    content["training"] |= {
        "epochs": epochs,
        "patience": max(3, epochs // 2),
        "max_minutes": max(round(1.25 * seconds / 60 / number, 3), 0.05),
    }
    text = f"{epochs} epochs of about {an_epoch:.2g} s, {number} seed{'s' * (number > 1)}"
    if core["layers"]:
        text = f"{core['hidden']} units, {text}"
    if epochs < wanted:
        text += f" (a larger --max-minutes allows up to {wanted} epochs)"
    return parse_recipe(content, recipe.name), number, text


def _within(recipe: Recipe, minutes: float) -> Recipe:
    """Return a recipe with max_minutes set, if it is a network without its own."""
    if recipe.members is not None or getattr(recipe.model, "core", None) is None or recipe.training.max_minutes:
        return recipe
    return change_recipe(recipe, [f"training.max_minutes={USED * minutes:.3g}"])


def _batch(rows: int) -> int:
    """Return proteins a batch: about fifty batches an epoch, a power of two from 16 to 256.

    >>> _batch(240), _batch(4000), _batch(50_000)
    (16, 128, 256)
    """
    size = 16
    while size < 256 and size * 50 < rows:
        size *= 2
    return size


def _gru(seen: Look, rows: int) -> Candidate:
    content = copy.deepcopy(GRU)
    content["training"]["batch_size"] = _batch(rows)
    if rows < 1500:  # fewer rows: a smaller network, more dropout
        content["model"]["core"] |= {"hidden": 64, "dropout": 0.3}
        content["model"]["head"] |= {"hidden": 32, "dropout": 0.3}
    return Candidate(parse_recipe(content), "a recurrent network reads proteins of any length")


def _variant(seen: Look, rows: int) -> Candidate | None:
    if seen.kind != "variants":
        return None
    content = copy.deepcopy(VARIANT)
    content["training"]["batch_size"] = _batch(rows)
    return Candidate(parse_recipe(content), "effects of substitutions that add up on a curved scale")


def _head(seen: Look) -> str:
    """Return the head for the classes of a table: of one a protein, or of several."""
    return "labels" if any(target.get("sets") for target in seen.targets) else "classes"


def _classes(seen: Look, rows: int) -> Candidate | None:
    if not any("classes" in target for target in seen.targets):
        return None
    content, why = copy.deepcopy(CLASSES), "a convolution finds the motifs of a class anywhere in a protein"
    content["training"]["batch_size"] = min(_batch(rows), 32)
    if seen.kind == "variants":
        content["model"] = copy.deepcopy(VARIANT["model"]) | {"head": {"hidden": 32, "dropout": 0.1}}
        why = "effects of substitutions add up to the scores of the classes"
    content["model"]["head"]["name"] = _head(seen)
    return Candidate(parse_recipe(content), why)


def _gaussian(seen: Look, rows: int) -> Candidate | None:
    if seen.kind == "variants" and seen.positions <= SITES:
        kernel, why = "sites", f"{seen.positions} positions vary together, and a Gaussian process sees all their terms"
    elif seen.kind == "variants":
        kernel, why = (
            "substitutions",
            f"a Gaussian process, with {EFFECTS} in its mean, is strong where variants are few",
        )
    else:
        kernel, why = (
            "proteins",
            "a Gaussian process on what a protein is made of works well with few dissimilar proteins",
        )
    own = {"effects": EFFECTS} if kernel == "substitutions" else {}
    model = {"name": "gaussian_process", "kernel": {"name": kernel, **own}, **SETTINGS.get(kernel, {})}
    recipe = parse_recipe({"name": f"own_{kernel}", "task": "regression", "model": model})
    return Candidate(recipe, why, network=False, most=KERNEL_ROWS)


def _forest(seen: Look, rows: int) -> Candidate | None:
    if seen.kind != "variants":
        return None
    recipe = parse_recipe({"name": "own_forest", "task": "regression", "model": {"name": "forest", "effects": EFFECTS}})
    why = f"a forest on substitutions, means of sites and {EFFECTS} is strong where most sites were measured"
    return Candidate(recipe, why, network=False, most=FOREST_ROWS)


def _embedded_gaussian(seen: Look, rows: int) -> Candidate | None:
    if not seen.embeddings:
        return None
    kernel = {"name": "embeddings", "path": seen.embeddings}
    model = {"name": "gaussian_process", "kernel": kernel, "warp": "clip", "steps": 40, "lr": 0.15}
    recipe = parse_recipe({"name": "own_plm_gaussian", "task": "regression", "model": model})
    why = "a Gaussian process on the embeddings, whose linear part is ridge regression"
    return Candidate(recipe, why, network=False, most=KERNEL_ROWS)


def _embedded_network(seen: Look, rows: int) -> Candidate | None:
    if not seen.embeddings:
        return None
    content = copy.deepcopy(EMBEDDED_NETWORK)
    content["model"]["frontend"]["path"] = seen.embeddings
    content["training"]["batch_size"] = _batch(rows)
    return Candidate(parse_recipe(content), "a network of one hidden layer on the mean embedding of a protein")


def _embedded_classes(seen: Look, rows: int) -> Candidate | None:
    if not seen.embeddings or not any("classes" in target for target in seen.targets):
        return None
    content = copy.deepcopy(EMBEDDED_NETWORK) | {"name": "own_plm_classes", "task": "classification"}
    content["model"]["frontend"]["path"] = seen.embeddings
    content["model"]["head"] = {"name": _head(seen), "hidden": 128, "dropout": 0.3}
    content["training"] |= {"loss": "cross_entropy", "batch_size": min(_batch(rows), 32)}
    return Candidate(parse_recipe(content), "a network of one hidden layer on the mean embedding of a protein")


def _tuned(seen: Look, rows: int) -> Candidate | None:
    if not seen.tuned:
        return None
    content = copy.deepcopy(TUNED)
    content["model"]["frontend"] = seen.tuned["frontend"]
    content["training"]["batch_size"] = seen.tuned["batch_size"]
    if any("classes" in target for target in seen.targets):
        content |= {"task": "classification"}
        content["model"]["head"]["name"], content["training"]["loss"] = _head(seen), "cross_entropy"
    return Candidate(parse_recipe(content), "low-rank adapters of the language model, and a head on its mean", seeds=1)


def _embedded_linear(seen: Look, rows: int) -> Candidate | None:
    made = _embedded_classes(seen, rows)
    if made is None:
        return None
    # the hidden layer finds classes of several groups; with few rows it misses what weak directions of the embeddings
    # tell, which a linear layer without dropout reads as logistic regression does
    content = made.recipe.model_dump(mode="json") | {"name": "own_plm_linear"}
    content["model"] |= {"input_dropout": 0.0, "head": {"name": _head(seen)}}
    return Candidate(parse_recipe(content), "a linear layer on the mean embedding of a protein, as logistic regression")


# of a kernel, where the defaults are not what its recipe in the package found
SETTINGS: dict[str, dict[str, Any]] = {"proteins": {"warp": "clip", "steps": 40, "rows": 800, "lr": 0.15}}
GRU: dict[str, Any] = {
    "name": "own_gru",
    "task": "regression",
    "model": {
        "frontend": {"name": "embedding", "width": 32, "table": "blosum62+scales"},
        "input_dropout": 0.1,
        "core": {"cell": "gru", "hidden": 128, "layers": 2, "direction": "alternating", "dropout": 0.2},
        "pool": ["attention", "max", "mean"],
        "head": {"name": "regression", "hidden": 64, "dropout": 0.2},
    },
    "training": {"lr": 3e-3, "weight_decay": 0.01, "ema": 0.99, "loss": "huber"},
}
VARIANT: dict[str, Any] = {
    "name": "own_variant",
    "task": "regression",
    "model": {
        "frontend": {"name": "variant", "width": 16, "hidden": 32},
        "core": {"layers": 0},
        "pool": ["sum"],
        "head": {"name": "regression", "hidden": 32, "dropout": 0.1},
    },
    "training": {"lr": 5e-3, "weight_decay": 0.02, "ema": 0.99, "loss": "huber"},
}

# as recipe protein_classes
CLASSES: dict[str, Any] = {
    "name": "own_classes",
    "task": "classification",
    "model": {
        "frontend": {
            "name": "embedding",
            "width": 16,
            "table": "blosum62+scales",
            "layers": [{"width": 512, "kernel": 9}],
        },
        "input_dropout": 0.1,
        "core": {"layers": 0},
        "pool": ["max"],
        "head": {"name": "classes", "dropout": 0.5},
    },
    "training": {"lr": 2e-3, "weight_decay": 0.01, "ema": 0.99, "loss": "cross_entropy"},
}

EMBEDDED_NETWORK: dict[str, Any] = {
    "name": "own_plm_network",
    "task": "regression",
    "model": {
        "frontend": {"name": "embeddings", "per": "mean"},
        "input_dropout": 0.1,
        "core": {"layers": 0},
        "pool": ["mean"],
        "head": {"name": "regression", "hidden": 128, "dropout": 0.3},
    },
    "training": {"lr": 2e-3, "weight_decay": 0.05, "ema": 0.99, "loss": "huber"},
}

# rate and batches as in the notebooks of Schmirler et al. 2024, Nature Communications 15:7407
TUNED: dict[str, Any] = {
    "name": "own_plm_lora",
    "task": "regression",
    "model": {
        "frontend": {},
        "core": {"layers": 0},
        "pool": ["mean"],
        "head": {"name": "regression", "hidden": 64, "dropout": 0.1},
    },
    "training": {"lr": 3e-4, "weight_decay": 0.01, "loss": "huber", "precision": "auto"},
}

# name -> f(look, training rows) -> what is tried, None where it does not fit the data
CANDIDATES: dict[str, Callable[[Look, int], Candidate | None]] = {
    "gaussian": _gaussian,
    "forest": _forest,
    "variant": _variant,
    "gru": _gru,
    "classes": _classes,
    "plm_gaussian": _embedded_gaussian,
    "plm_network": _embedded_network,
    "plm_classes": _embedded_classes,
    "plm_lora": _tuned,
    "plm_linear": _embedded_linear,
}
EMBEDDED = ["plm_gaussian", "plm_network"]  # tried beside the others where there are embeddings
EMBEDDED_KINDS = ["plm_classes", "plm_linear"]  # tried in place of the others, of classes
TUNED_NAME = "plm_lora"  # tried beside the others with --tune lora
# kind of data -> the candidates, in order
KINDS: dict[str, list[str]] = {
    "variants": ["gaussian", "forest", "variant"],
    "designs": ["gaussian", "gru"],
    "natural": ["gaussian", "gru"],
    "classes": ["classes"],
}


SPENT = 1.0  # seconds of timing after which no further batch is taken
BATCHES = 3
RESIDUES = 60_000  # in a timed batch at most


def seconds_an_epoch(recipe: Recipe, table: Table, device: torch.device, reference: str = "", seed: int = 0) -> float:
    """Return the seconds that one pass of training over a table would take.

    Parameters
    ----------
    recipe : Recipe of one network.
    table : the rows; batches of them, of median length, are timed.
    reference : str: of a variant front end that names none.
    """
    facts = {"outputs": len(table.classes) or table.targets.shape[1]}
    model = build(with_reference(recipe, reference), facts).to(device).train()
    rng = np.random.default_rng(seed)
    order = np.argsort(table.lengths, kind="stable")
    size = max(1, min(recipe.training.batch_size, len(table), RESIDUES // max(1, int(np.median(table.lengths)))))
    middle = max(0, len(order) // 2 - size // 2)
    rows = rng.permutation(order[middle : middle + size])
    x, lengths = (part.to(device) for part in pad_tokens([table.sequence(row) for row in rows]))
    times, start = [], time.perf_counter()
    state = torch.random.get_rng_state()
    for _ in range(BATCHES):
        before = time.perf_counter()
        outputs, _ = model(x, lengths)
        outputs.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - before)
        if time.perf_counter() - start > SPENT and len(times) > 1:
            break
    torch.random.set_rng_state(state)
    # the first one builds kernels
    return min(times[1:]) * float(table.lengths.sum()) / float(x.numel())


def with_reference(recipe: Recipe, reference: str) -> Recipe:
    """Return a recipe whose variant front end, where it has one without a reference, names this one."""
    frontend = getattr(recipe.model, "frontend", None)
    if not reference or recipe.model is None or getattr(frontend, "name", "") != "variant":
        return recipe
    if frontend.reference is not None:  # type: ignore[union-attr]
        return recipe
    settled = frontend.model_copy(update={"reference": reference})  # type: ignore[union-attr]
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"frontend": settled})})
