"""Training of an ensemble: a run for each member, in processes, then weights, neighbours and calibration."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.terminal import plural, words
from biorrn.config.recipe import Recipe, dump_recipe
from biorrn.nn.ensemble import KNOTS, Ensemble, ensemble_for
from biorrn.nn.sequence import neighbours
from biorrn.nn.store import WEIGHTS, Stored, load_model, save_model
from biorrn.training.checkpoint import MEMBERS, PROVENANCE, remove_run, write_history, write_provenance
from biorrn.training.learner import count_parameters
from biorrn.training.loop import Begun
from biorrn.training.task import Data, Task

# -P: do not import a torch.py of the working directory
COMMAND = (sys.executable, "-P", "-m", "biorrn.training.train")


class MemberFailed(BiorrnError):
    """The process of a member failed."""


def run_members(work: list[dict[str, Any]], jobs: int) -> None:
    """Run `training.train` for each job, `jobs` at a time; its lines go to standard error with a prefix.

    Parameters
    ----------
    work : list of dict: arguments of `train.train_member`; "folder" is the member's run folder.

    Raises
    ------
    BiorrnError: a member could not be trained. The other running members are stopped and can be resumed.
    """
    children: list[subprocess.Popen[str]] = []
    lock, stopped = threading.Lock(), threading.Event()

    def run(job: dict[str, Any]) -> None:
        with lock:  # no start after the stop
            if stopped.is_set():
                return
            child = _start()
            children.append(child)
        _follow(child, job, stopped)

    pool = ThreadPoolExecutor(jobs, "member")
    try:
        futures = [pool.submit(run, job) for job in work]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            print(f"{done} of {len(work)} members are trained", file=sys.stderr, flush=True)
    finally:
        with lock:
            stopped.set()
        for child in children:
            child.kill()
        pool.shutdown(cancel_futures=True)


def _start() -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": path},
    )


def _follow(child: subprocess.Popen[str], job: dict[str, Any], stopped: threading.Event) -> None:
    """Send a child its job, print its lines, and wait for its end."""
    name, last = Path(job["folder"]).name, ""
    with child:
        assert child.stdin is not None
        assert child.stderr is not None
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()  # and stays open: the child ends when it is closed
        except BrokenPipeError:
            pass  # it has failed; its lines say why
        for line in child.stderr:
            last = line.strip() or last
            print(f"[{name}] {line.rstrip()}", file=sys.stderr, flush=True)
        code = child.wait()
    if code and not stopped.is_set():
        raise MemberFailed(f"member {name}: {last.removeprefix('error: ') or f'ended with code {code}'}")


PULL = 4.0  # rows, of the weights of a stack towards equal ones
LEAST = 2  # measured rows a kind of member, below which all kinds have the same weight
STRAIGHT = 0.05  # share of a straight line in a calibration, which makes it strictly rising
FEWEST = 2 * KNOTS  # least measured rows of a calibration


def kinds_of(recipe: Recipe) -> np.ndarray:
    """Return the kind of each member of an ensemble, int64 (M,): members of one recipe, by seeds, are one kind."""
    recipes = [member.recipe for member in recipe.members or []]
    return np.unique([recipes.index(own) for own in recipes], return_inverse=True)[1]


def stacked_weights(values: np.ndarray, true: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return the non-negative weights with sum one of the best mean of the members (stacking, Breiman 1996).

    Members of one kind share the weight of their mean: they differ by chance alone, and fewer weights need fewer rows.
    A ridge pulls the kinds towards equal weights, as strongly as `PULL` rows on which they differ by one standard
    deviation of the target: with a few dozen rows the difference of two good kinds is mostly chance.

    Parameters
    ----------
    values : float array (M, N): prediction of each member for each row.
    true : float array (N,): measured values; rows that are not finite are ignored.
    kinds : int array (M,): kind of each member, numbered from 0; see `kinds_of`.

    Returns
    -------
    float64 array (M,): equal weights of the kinds if there are fewer than `LEAST` measured rows a kind.
    """
    from scipy.optimize import nnls

    there = np.isfinite(true)
    own = np.eye(kinds.max() + 1)[kinds]
    own /= own.sum(0)  # (M, kinds): share of each member in its kind
    members = own.shape[1]
    if there.sum() < LEAST * members:
        return own.mean(1)
    columns, wanted = values[:, there].T.astype(np.float64) @ own, true[there].astype(np.float64)
    # the heavy last row sets the sum of the weights to one; values are centred, which does not change the weights
    middle, spread = wanted.mean(), max(wanted.std(), 1e-12)
    heavy = 1e3 * np.sqrt(len(wanted))
    rows = [(columns - middle) / spread, np.sqrt(PULL) * np.eye(members), np.full((1, members), heavy)]
    found, _ = nnls(
        np.vstack(rows),
        np.concatenate([(wanted - middle) / spread, np.full(members, np.sqrt(PULL) / members), [heavy]]),
    )
    return own @ (found / found.sum())


def rising_knots(values: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the knots of a calibration: isotonic regression of measured on predicted values, at quantiles.

    Parameters
    ----------
    values, true : float arrays (N,): predicted and measured; rows that are not finite are ignored.

    Returns
    -------
    x, y : float32 arrays (`KNOTS`,), both strictly rising; y is x if there are too few rows to fit.
    """
    from scipy.optimize import isotonic_regression

    there = np.isfinite(true) & np.isfinite(values)
    values, true = values[there].astype(np.float64), true[there].astype(np.float64)
    rise = ((values - values.mean()) * (true - true.mean())).sum() if len(values) >= FEWEST else 0.0
    if not rise > 0:
        line = np.arange(KNOTS, dtype=np.float32)
        return line, line.copy()
    order = np.argsort(values, kind="stable")
    values, true = values[order], true[order]
    rising = isotonic_regression(true).x  # (N,), a step function
    x = np.quantile(values, np.linspace(0, 1, KNOTS))
    gap = (values[-1] - values[0]) / (100 * KNOTS)  # many equal predictions give equal quantiles
    x = _apart(x, gap)
    # the mean around a knot, since the value of a step function at one point depends on where the steps lie
    edges = np.concatenate([[-np.inf], (x[1:] + x[:-1]) / 2, [np.inf]])
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, KNOTS - 1)
    counts = np.bincount(bins, minlength=KNOTS)
    filled = counts > 0
    places = np.bincount(bins, values, KNOTS)[filled] / counts[filled]
    steps = np.interp(x, places, np.bincount(bins, rising, KNOTS)[filled] / counts[filled])
    slope, offset = np.polyfit(values, true, 1)
    y = (1 - STRAIGHT) * np.maximum.accumulate(steps) + STRAIGHT * (slope * x + offset)
    return x.astype(np.float32), y.astype(np.float32)


def _apart(x: np.ndarray, gap: float) -> np.ndarray:
    """Return rising numbers at least `gap` apart, each at or above the one given."""
    steps = np.arange(len(x)) * gap
    return np.maximum.accumulate(x - steps) + steps


def fit_neighbours(
    model: Ensemble, recipe: Recipe, data: Data, device: torch.device, facts: dict[str, Any]
) -> tuple[int, int]:
    """Set the `neighbours` of the model, and return their size: rows, and residues of the longest.

    The residuals are those of training rows, so they are smaller than on new rows; the recipe's `noise` is chosen for
    such residuals.
    """
    assert recipe.neighbours is not None
    tokens, residuals = [], []
    model = model.to(device)
    with torch.inference_mode():
        for batch in data.train(0, 0):  # each row once, in any order
            batch = batch.to(device)
            assert batch.targets is not None
            missing = (batch.targets - model(batch.x, batch.lengths)[0]).nan_to_num()
            kept = torch.ones(len(batch.x), dtype=torch.bool)
            if batch.weights is not None:
                kept = batch.weights.cpu() >= recipe.neighbours.weight
            residuals.append(missing.cpu()[kept].numpy().astype(np.float16))
            tokens.append(batch.x.cpu()[kept].numpy().astype(np.uint8))
    model.cpu()
    longest = max(int((part > 0).sum(1).max(initial=1)) for part in tokens)
    size = (sum(len(part) for part in tokens), longest)
    memory = neighbours(recipe, facts | {"neighbours": size})
    assert memory is not None
    memory.tokens.copy_(torch.from_numpy(np.concatenate([_widened(part, longest) for part in tokens])))
    memory.residuals.copy_(torch.from_numpy(np.concatenate(residuals)))
    model.neighbours = memory
    return size


def _widened(rows: np.ndarray, longest: int) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, max(0, longest - rows.shape[1]))))[:, :longest]


SEED_STEP = 1000  # members of runs with neighbouring seeds have different seeds


def run(
    begun: Begun,
    task: Task,
    train_member: Callable[[dict[str, Any]], object],
    *,
    replace: bool = False,
    jobs: int | None = None,
    inside: bool = False,
    stop: dict[str, int] | None = None,
) -> None:
    """Train the unfinished members, combine all, and write the model folder.

    Member i is a run in FOLDER/members/<i>_<recipe>_<seed>, with its own seed + 1000 * that of the ensemble. Weights
    and calibration are fitted to the validation rows, if the recipe has them. CPU threads are shared equally.

    Parameters
    ----------
    train_member : trains one member in this process; see `train.train_member`.
    inside : bool: train members in this process, one after the other.
    stop : dict, optional: folder name of a member -> epochs after which it ends.
    Others as in `train.train`.

    Raises
    ------
    BiorrnError: a member could not be trained; the trained ones are kept.
    """
    recipe, folder, data, where = begun.recipe, begun.folder, begun.data, begun.device
    assert recipe.members is not None
    started = time.monotonic()
    # from all members, not those left to train: the number of threads may change the last bits of a result
    jobs = min(len(recipe.members), jobs or (begun.threads if where.type == "cpu" else 1))
    share = max(1, begun.threads // jobs)
    options = {"device": str(where), "threads": share, "replace": replace}
    common = {"data": begun.source, "task": vars(task)["__name__"], "options": options}
    work = _work(begun, common, stop or {}, _first_weights(begun.init, len(recipe.members)))
    _only(folder / MEMBERS, {Path(job["folder"]).name for job in work})
    print(
        f"training {recipe.name}: {len(work)} members, {jobs} at a time with {share} threads each on {where}",
        file=sys.stderr,
    )
    if inside:
        for job in work:
            train_member(job)
    else:
        run_members(work, jobs)
    stored = [load_model(job["folder"]) for job in work]
    values, true = _validate(stored, data, task, where)
    facts = _facts(data.facts, stored)
    members = [one.model for one in stored]
    model = ensemble_for(facts)(members, values.shape[2], recipe.calibrate == "monotone").eval()
    _set_weights(model, recipe, values, true)
    if recipe.neighbours is not None:
        facts["neighbours"] = fit_neighbours(model, recipe, data, where, facts)
        assert model.neighbours is not None
        with torch.inference_mode():
            values = values + torch.cat([model.neighbours(one.x, one.lengths) for one in data.valid()]).numpy()
    _calibrate(model, values, true)
    facts["weights"] = model.weights.tolist()
    runs = [json.loads((one.path / PROVENANCE).read_text(encoding="utf-8")) for one in stored]
    history = _history(model, runs, values, true, task)
    write_history(folder, history)
    # the members' stored recipes, which have no paths
    pairs = zip(recipe.members, stored, strict=True)
    kept = recipe.model_copy(
        update={"members": [member.model_copy(update={"recipe": s.recipe}) for member, s in pairs]}
    )
    save_model(folder, model, kept, facts)
    keys = ("recipe", "seed", "seconds", "best", "precision", "epochs")
    write_provenance(
        folder,
        {
            **begun.facts(),
            "jobs": jobs,
            "parameters": sum(count_parameters(one.model) for one in stored),
            "seconds": round(sum(run["seconds"] for run in runs), 1),
            "wall_seconds": round(time.monotonic() - started, 1),  # since the run was last resumed
            "members": {
                one.path.name: {key: run.get(key) for key in keys} for one, run in zip(stored, runs, strict=True)
            },
            "best": {
                "epoch": max(int(row["epoch"]) for row in history),
                "metric": begun.metric(task),
                "value": history[-1][f"ensemble_{task.monitor}"],
            },
        },
    )


def _only(folder: Path, names: set[str]) -> None:
    """Remove the runs of members that the ensemble does not have, left by a run that was replaced."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names and path.is_dir():
            remove_run(path)
            with contextlib.suppress(OSError):  # it holds files of other names
                path.rmdir()


def _first_weights(init: str | Path | None, count: int) -> list[str | None]:
    """Return the model of the initial weights of each member.

    Raises
    ------
    ConfigError: an ensemble with another number of members, or without its members' runs; or no such model.
    """
    if init is None:
        return [None] * count
    given = load_model(init)
    if given.recipe.members is None:
        return [str(init)] * count
    runs = sorted(str(run) for run in (given.path / MEMBERS).glob("*") if (run / WEIGHTS).is_file())
    if len(runs) != count:
        raise ConfigError(f"--init {init}: is an ensemble with the runs of {len(runs)} members; expected {count}")
    return list(runs)


def member_names(recipe: Recipe, seed: int) -> list[str]:
    """Return the folder name of each member of an ensemble."""
    return [
        f"{place:02}_{re.sub('[^A-Za-z0-9.-]+', '_', member.recipe.name)}_{member.seed + SEED_STEP * seed}"
        for place, member in enumerate(recipe.members or [])
        if isinstance(member.recipe, Recipe)  # as `resolve` leaves them
    ]


def _work(begun: Begun, common: dict[str, Any], stop: dict[str, int], init: list[str | None]) -> list[dict[str, Any]]:
    """Return the job of each member."""
    work = []
    names = member_names(begun.recipe, begun.seed)
    for place, (name, member) in enumerate(zip(names, begun.recipe.members or [], strict=True)):
        own, own_seed = member.recipe, member.seed + SEED_STEP * begun.seed
        assert isinstance(own, Recipe)  # as `resolve` leaves them
        options = (
            common["options"] | {"seed": own_seed, "init": init[place]} | ({"stop": stop[name]} if name in stop else {})
        )
        text = dump_recipe(own)
        work.append(
            common
            | {"recipe": text, "folder": str(begun.folder / MEMBERS / name), "options": options, "words": words()}
        )
    return work


def _validate(stored: list[Stored], data: Data, task: Task, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return each member's predictions of the validation rows, float32 (M, N, K), and the measured values (N, K)."""
    values, true = [], np.zeros(0)
    with torch.inference_mode():
        for one in stored:
            model, parts = one.model.to(device), []
            for batch in data.valid():
                batch = batch.to(device)
                outputs, lengths = model(batch.x, batch.lengths)
                # some tasks average other values than the outputs
                own = getattr(task, "averaged", None)
                parts.append(own(model, outputs, lengths, batch) if own else task.collect(outputs, lengths, batch))
            one.model.cpu()
            predicted, true = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            values.append(predicted)
    return np.stack(values), true


def _facts(common: dict[str, Any], stored: list[Stored]) -> dict[str, Any]:
    """Return the facts of the ensemble: those of the data, and of each member those that differ."""
    own = [{key: value for key, value in one.facts.items() if common.get(key) != value} for one in stored]
    return dict(common) | ({"members": own} if any(own) else {})


def given_weights(recipe: Recipe, targets: int) -> np.ndarray:
    """Return the recipe's weights of the members, float64 (M, K), each column with sum 1.

    Raises
    ------
    ConfigError: weights for another number of targets.
    """
    given = [member.weight for member in recipe.members or []]
    if any(isinstance(weight, list) and len(weight) != targets for weight in given):
        raise ConfigError(f"recipe '{recipe.name}': weights of members: found one for another number of targets; "
                          f"the data has {targets}")  # fmt: skip
    shares = np.stack([np.broadcast_to(np.array(weight, float), targets) for weight in given])
    return shares / shares.sum(0)


def _set_weights(model: Ensemble, recipe: Recipe, values: np.ndarray, true: np.ndarray) -> None:
    """Set the weights of the members."""
    weights, kinds = given_weights(recipe, values.shape[2]), kinds_of(recipe)
    if recipe.combine == "stack" and true.ndim == 1:  # probabilities of classes, by the mean square of their errors
        hot = np.eye(values.shape[2])[true]  # (N, C)
        own = stacked_weights(values.reshape(len(values), -1), hot.reshape(-1), kinds)
        weights = np.repeat(own[:, None], values.shape[2], 1)
    elif recipe.combine == "stack":
        weights = np.stack([stacked_weights(values[:, :, k], true[:, k], kinds) for k in range(true.shape[1])], 1)
    if recipe.combine == "stack":
        print(_weights_line(recipe, weights, len(true)), file=sys.stderr)
    model.weights.copy_(torch.from_numpy(weights))


def _weights_line(recipe: Recipe, weights: np.ndarray, rows: int) -> str:
    """Return the weight of each kind of member, in the mean of the targets (M, K), as a line."""
    kinds, names = kinds_of(recipe), [member.recipe.name for member in recipe.members or []]  # type: ignore[union-attr]
    total = np.bincount(kinds, weights.mean(1))
    shown = ", ".join(f"{names[list(kinds).index(kind)]} {share:.2f}" for kind, share in enumerate(total))
    few = len(total) > 1 and np.ptp(total) < 1e-9
    why = f"fewer than {LEAST} validation rows for each" if few else f"from {plural(rows, 'validation row')}"
    return f"weights of the members: {shown} ({why})"


def _calibrate(model: Ensemble, values: np.ndarray, true: np.ndarray) -> None:
    """Fit the calibration of the members' mean, if the recipe has one."""
    if model.calibration is None:
        return
    mean = (values * model.weights.double().numpy()[:, None]).sum(0)  # (M, N, K) -> (N, K)
    for k in range(true.shape[1]):
        x, y = rising_knots(mean[:, k], true[:, k])
        model.calibration.x[k] = torch.from_numpy(x)
        model.calibration.y[k] = torch.from_numpy(y)


def _history(
    model: Ensemble, runs: list[dict[str, Any]], values: np.ndarray, true: np.ndarray, task: Task
) -> list[dict[str, float]]:
    """Return one row for each member: its best epoch and score, and the score of the mean of the members up to it.

    That of the last row is the ensemble's, with its weights.
    """
    name, rows = task.monitor, []
    for place, run in enumerate(runs):
        whole = place == len(runs) - 1
        mean = model.combine(torch.from_numpy(values)).numpy() if whole else values[: place + 1].mean(0)
        rows.append(
            {
                "member": place,
                "seed": run["seed"],
                "epoch": run["best"]["epoch"],
                "seconds": run["seconds"],
                f"member_{name}": task.score([(values[place], true)])[name],
                f"ensemble_{name}": task.score([(mean, true)])[name],
            }
        )
    return rows
