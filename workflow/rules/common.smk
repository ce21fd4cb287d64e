"""Shared by all rules: the checked configuration, and functions of it."""

import itertools
import os
import re
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError

from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.base.errors import BiorrnError
from biorrn.base.lookup import lookup, nearest

# jobs find `biorrn` in the folder of snakemake, after those of an active environment
os.environ.update(
    PATH=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
)

KINDS = {
    "regression": "protein",
    "classification": "protein",
    "basecalling": "signal",
    "tagging": "tags",
}  # task of a run -> kind of its data
SWEPT = (
    "seed",
    "recipe",
    "data",
)  # keys of a sweep that belong to the run; all others belong to the recipe
SWEEP_PART = re.compile(r"[A-Za-z0-9_.+-]+")  # values allowed in file names
REAL_DATA = "../shared/data"  # default of config key real_data and environment variable BIORRN_SHARED_DATA


def check_config(settings, schema):
    """Check the configuration against the schema, names and recipes; return data sets, runs and sweeps by name."""
    faults = sorted(
        Draft202012Validator(schema).iter_errors(settings),
        key=lambda fault: list(map(str, fault.path)),
    )
    if faults:
        raise WorkflowError(f"configuration: {explain_fault(faults[0])}")
    try:
        for kind in ("data", "runs", "sweeps"):
            names = [entry["name"] for entry in settings.get(kind) or []]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise WorkflowError(
                    f"configuration: key '{kind}': name '{twice[0]}' occurs twice; names are unique"
                )
        data = {entry["name"]: entry for entry in settings.get("data") or []}
        runs = {entry["name"]: entry for entry in settings.get("runs") or []}
        sweeps = {
            sweep["name"]: expand_sweep(sweep) for sweep in settings.get("sweeps") or []
        }
        for members in sweeps.values():
            runs |= {run["name"]: run for run in members}
        for run in runs.values():
            check_run(run, data)
        if not runs and not settings.get("samples"):
            raise WorkflowError(
                "configuration: there is nothing to do; allowed is an entry of runs or sweeps, or a sheet of samples"
            )
    except BiorrnError as error:
        raise WorkflowError(f"configuration: {error}") from None
    return data, runs, sweeps


def expand_sweep(sweep):
    """Return the runs of a sweep: one for each row of its table or point of its grid."""
    import pandas
    from snakemake.utils import Paramspace

    if "table" in sweep:
        try:
            frame = pandas.read_csv(sweep["table"], sep="\t", dtype=str)
        except (OSError, ValueError) as error:
            raise WorkflowError(
                f"configuration: sweep '{sweep['name']}': {sweep['table']}: cannot be read: {error}"
            ) from None
    else:
        points = itertools.product(*sweep["grid"].values())
        frame = pandas.DataFrame(list(points), columns=list(sweep["grid"]), dtype=str)
    if frame.empty or frame.isna().any(axis=None) or frame.duplicated().any():
        raise WorkflowError(
            f"configuration: sweep '{sweep['name']}': found a table without rows, with an empty cell, "
            "or with the same row twice; allowed is a value in each cell"
        )
    for value in set(frame.to_numpy().ravel()):
        if not SWEEP_PART.fullmatch(value):
            raise WorkflowError(
                f"configuration: sweep '{sweep['name']}': value '{value}' cannot be part of file names; "
                "allowed are letters, digits and _ . + -"
            )
    last = [column.rpartition(".")[2] for column in frame]
    short = {
        column: name if last.count(name) == 1 else column.replace(".", "_")
        for column, name in zip(frame, last)
    }
    space = Paramspace(frame.rename(columns=short), filename_params="*")
    shared = {
        key: value for key, value in sweep.items() if key not in ("grid", "table")
    }
    runs = []
    for pattern, row in zip(space.instance_patterns, frame.to_dict("records")):
        own = {key: row[key] for key in SWEPT if key in row}
        if not own.get("seed", "0").isdecimal():
            raise WorkflowError(
                f"configuration: sweep '{sweep['name']}': found seed '{own['seed']}'; allowed is 0 or more"
            )
        if "seed" in own:
            own["seed"] = int(own["seed"])
        changes = [f"{key}={value}" for key, value in row.items() if key not in SWEPT]
        name = f"{sweep['name']}.{pattern}"
        runs.append(
            {
                **shared,
                **own,
                "name": name,
                "set": [*sweep.get("set", []), *changes],
                "swept": row,
            }
        )
    return runs


def check_run(run, data):
    """Raise if the data set or recipe of a run is unknown or belongs to another task."""
    kind = KINDS[run["task"]]
    found = lookup(data, run["data"], f"run '{run['name']}': data set")["kind"]
    if found != kind:
        raise WorkflowError(
            f"configuration: run '{run['name']}': task {run['task']} needs data of kind {kind}; "
            f"'{run['data']}' is of kind {found}"
        )
    recipe = change_recipe(load_recipe(run["recipe"]), run.get("set", []))
    if recipe.task != run["task"]:
        raise WorkflowError(
            f"configuration: run '{run['name']}': recipe '{run['recipe']}' is of task {recipe.task}, not {run['task']}"
        )


def explain_fault(fault):
    """Return a schema error as one line that names the key; for an unknown key, also the nearest known one."""
    place = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path
    ).lstrip(".")
    where = f"key '{place}': " if place else ""
    if fault.validator == "additionalProperties":
        known = fault.schema["properties"]
        unknown = sorted(set(fault.instance) - set(known))[0]
        close = nearest(unknown, known)
        hint = f"; did you mean '{close}'?" if close else "."
        return f"{where}key '{unknown}' is unknown{hint} Known: {', '.join(known)}"
    if fault.validator == "not" and not fault.validator_value:
        return f"{where}does not belong here: see the kind of the data set, or the task of the run"
    if fault.validator == "not":
        return f"{where}'{fault.instance}' is taken; choose another"
    if fault.validator == "required":
        missing = next(
            key for key in fault.validator_value if key not in fault.instance
        )
        return f"{where}key '{missing}' is missing"
    return f"{where}{fault.message}"


def place_real_data(value):
    """Replace `{real_data}` in the paths of the configuration by the folder of the real data."""
    if isinstance(value, dict):
        return {key: place_real_data(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [place_real_data(entry) for entry in value]
    if isinstance(value, str) and "{real_data}" in value:
        folder = (
            config.get("real_data") or os.environ.get("BIORRN_SHARED_DATA") or REAL_DATA
        )
        if not Path(folder).is_dir():
            raise WorkflowError(
                f"configuration: no real data at {folder}; "
                "name its folder by config key real_data or environment variable BIORRN_SHARED_DATA"
            )
        return value.replace("{real_data}", str(folder))
    return value


def only(names):
    """Return a regular expression that matches exactly these names, for a wildcard."""
    return "|".join(map(re.escape, names)) or "(?!)"


def runs_of(task):
    """Return the names of the runs of a task."""
    return [name for name, run in RUNS.items() if run["task"] == task]


def data_of(kind):
    """Return the names of the data sets of a kind."""
    return [name for name, entry in DATA.items() if entry["kind"] == kind]


def run_data(wildcards):
    """Return the data set of a run."""
    return DATA[RUNS[wildcards.run]["data"]]


def members(sweep):
    """Return the names of the runs of a sweep."""
    return [run["name"] for run in SWEEPS[sweep]]


def label_reference(wildcards):
    """Return the reference if it provides the labels: calls are aligned to it."""
    entry = DATA[wildcards.data]
    return (
        entry["reference"] if entry["labels"] in ("bam", "calls", "bootstrap") else []
    )


def prepared(wildcards):
    """Return the prepared file of a run's data set."""
    return f"{OUT}/data/{RUNS[wildcards.run]['data']}.h5"


def recipe_file(wildcards):
    """Return the recipe of a run if it is a file, so that a change of it triggers the training."""
    recipe = RUNS[wildcards.run]["recipe"]
    return recipe if recipe.endswith((".yaml", ".yml")) else []


def fasta_of(wildcards):
    """Return the FASTA of a prediction: the evaluated rows of a run, or a file listed under `predict`."""
    run = RUNS[wildcards.run]
    if wildcards.fasta == judged(wildcards.run):
        return f"{OUT}/data/{run['data']}.{wildcards.fasta}.fasta"
    listed = {entry["name"]: entry["fasta"] for entry in run.get("predict", [])}
    return listed[wildcards.fasta]


def judged(run):
    """Return the split on which a run is evaluated."""
    return RUNS[run].get("judge", "valid")


def tested():
    """Return the protein data sets with a run that is evaluated on the test rows."""
    names = dict.fromkeys(RUNS[run]["data"] for run in RUNS if judged(run) == "test")
    return [name for name in names if DATA[name]["kind"] == "protein"]


def data_used():
    """Return the names of the data sets of all runs."""
    return list(dict.fromkeys(run["data"] for run in RUNS.values()))


def options(entry, **flags):
    """Return the command-line options for the keys of an entry; `flags` maps a key to its option.

    A list repeats the option; `true` is a flag without value.
    """
    words = []
    for key, flag in flags.items():
        value = entry.get(key)
        for item in value if isinstance(value, list) else [value]:
            if item is True:
                words.append(flag)
            elif item is not None and item is not False:
                words += [flag, str(item)]
    return words


def user_predictions():
    """Return the prediction table of each FASTA listed under `predict`."""
    return [
        f"{OUT}/predictions/{name}/{fasta['name']}.tsv"
        for name in PREDICTING
        for fasta in RUNS[name].get("predict", [])
    ]


with open(workflow.source_path("../schemas/config.schema.yaml")) as _schema:
    DATA, RUNS, SWEEPS = check_config(config, yaml.safe_load(_schema))
DATA, RUNS = place_real_data(DATA), place_real_data(RUNS)
PREDICTING = [
    name
    for task in ("regression", "classification", "tagging")
    for name in runs_of(task)
]
OUT = config["output"]
REPORT = f"{OUT}/report.html"
ENVIRONMENT = "../../environment.yml"
