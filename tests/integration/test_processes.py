"""Training in several processes: the result of one, bit for bit the same twice, and one that is killed goes on.

Processes are forked from a server that has imported all there is to import, which takes longer than the training.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.config.recipe import parse_recipe
from biorrn.nn.store import save_model
from biorrn.rerun import compare
from biorrn.training import ensemble
from biorrn.training import processes as launch
from biorrn.training.runs import read_history
from biorrn.training.task import load_task

pytestmark = pytest.mark.slow

CONV = {"name": "conv", "layers": [{"width": 8, "kernel": 5}, {"width": 16, "kernel": 9, "stride": 2}]}
BLOCKS = [{"width": 8, "kernel": 5, "stride": 2}, {"width": 16, "kernel": 9, "residual": True}]
CORE = {"cell": "gru", "hidden": 12, "layers": 2, "dropout": 0.2}
PROTEIN = {"frontend": {"name": "embedding", "width": 8}, "core": CORE, "input_dropout": 0.1, "pool": ["mean", "last"]}
NETWORKS: dict[str, dict[str, Any]] = {
    "regression": {"task": "regression", "model": PROTEIN, "training": {"loss": "mse", "ema": 0.9}},
    "pairs": {"task": "regression", "model": PROTEIN, "training": {"loss": "huber+rank", "batch_size": 22}},
    "bf16": {"task": "regression", "model": PROTEIN, "training": {"loss": "huber", "precision": "bf16"}},
    "language": {
        "task": "language",
        "model": {
            **PROTEIN,
            "frontend": {"name": "tokens", "width": 12, "dropout": 0.1, "tied": True},
            "core": {**CORE, "direction": "forward", "weight_drop": 0.2},
            "pool": [],
            "head": {"name": "tokens"},
            "locked_dropout": True,
        },
        "training": {"loss": "cross_entropy", "bptt": 8, "activation": 0.5, "activation_change": 0.5},
    },
    "basecalling": {
        "task": "basecalling",
        "model": {"frontend": CONV, "core": {**CORE, "cell": "lstm"}, "head": {"name": "ctc"}},
        "training": {"loss": "ctc"},
    },
    "batch norm": {
        "task": "basecalling",
        "model": {"frontend": {"name": "separable", "blocks": BLOCKS}, "core": {"layers": 0}, "head": {"name": "ctc"}},
        "training": {"loss": "ctc"},
    },
    "crf": {  # 64 rows: of one process two threads take shards
        "task": "basecalling",
        "model": {"frontend": CONV, "core": {"hidden": 8, "layers": 1}, "head": {"name": "crf", "state_len": 2}},
        "training": {"loss": "crf", "batch_size": 64},
    },
    "taught": {
        "task": "basecalling",
        "model": {"frontend": CONV, "core": {"hidden": 8, "layers": 1}, "head": {"name": "crf", "state_len": 2}},
        "training": {"loss": "crf", "batch_size": 64, "teacher": "TEACHER"},
    },
}
MEMBER = {"task": "regression", "model": PROTEIN, "training": {"epochs": 1, "batch_size": 16}}
OTHERS: dict[str, dict[str, Any]] = {
    "gaussian": {
        "task": "regression",
        "model": {"name": "gaussian_process", "kernel": {"name": "descriptors"}, "steps": 5, "learn_from": 10},
    },
    "ensemble": {
        "task": "regression",
        "members": [{"recipe": {"name": "one", **MEMBER}, "seed": seed} for seed in (0, 1)],
        "combine": "stack",
        "calibrate": "monotone",
    },
}
# which runs -> what is trained twice so
TWICE = {
    "one": ["regression", "bf16", "language", "basecalling", "batch norm", *OTHERS],
    "threads": ["crf", "taught", "gaussian"],
    "two": ["regression", "bf16", "crf", "taught"],
}


def recipe(name: str, teacher: str = "") -> Any:
    content = json.loads(json.dumps({"name": name, **{**NETWORKS, **OTHERS}[name]}))
    if "members" not in content:
        content.setdefault("training", {})
        content["training"] = {"batch_size": 16, "epochs": 2, "lr": 0.01, **content["training"]}
    if content["task"] == "basecalling":
        content["chunks"] = {"samples": 240, "overlap": 40, "epoch": 128}
        if "teacher" in content["training"]:
            content["training"]["teacher"] = teacher
    return parse_recipe(content)


def train_all(places: dict[str, str], names: list[str], files: dict[str, str], folder: str, threads: int) -> None:
    """Train each of these recipes, in a process that is forked; `places` are the variables that torchrun sets."""
    os.environ.update(places)
    from biorrn.training.train import train

    def here(work: list[dict[str, Any]], jobs: int) -> None:
        import yaml

        for job in work:
            own = parse_recipe(yaml.safe_load(job["recipe"]))
            train(own, job["data"], job["folder"], load_task(own.task), **job["options"])

    ensemble.run_members = here  # type: ignore[assignment]  # processes of their own take seconds to import
    for name in names:
        if places:
            os.environ[launch.RENDEZVOUS] = f"{folder}/{name}.rendezvous"
        own = recipe(name, files["teacher"])
        train(own, files[own.task], f"{folder}/{name}", load_task(own.task), threads=threads, seed=3)


@pytest.fixture(scope="module")
def files(tiny_proteins: Path, tiny_signal: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    teacher, own = tmp_path_factory.mktemp("teacher"), recipe("crf")
    data = load_task("basecalling").open_data(tiny_signal, own)
    save_model(teacher, load_task("basecalling").make_model(own, data), own, data.facts)
    found = {"regression": tiny_proteins, "language": tiny_proteins, "basecalling": tiny_signal, "teacher": teacher}
    return {name: str(path) for name, path in found.items()}


@pytest.fixture(scope="module")
def runs(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of the same runs, each trained in processes of its own: which one -> folder."""
    root = tmp_path_factory.mktemp("runs")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biorrn.training.loop", "biorrn.training.ensemble", "biorrn.proteins.task"])

    def start(which: str, names: list[str], threads: int, size: int = 1) -> list[Any]:
        (root / which).mkdir()
        common = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
        if sys.platform == "linux":
            common["GLOO_SOCKET_IFNAME"] = "lo"
        places = [common | {"RANK": str(r), "LOCAL_RANK": str(r)} if size > 1 else {} for r in range(size)]
        arguments = [(place, names, files, str(root / which), threads) for place in places]
        started = [context.Process(target=train_all, args=each) for each in arguments]
        for process in started:
            process.start()
        return started

    for which, names, threads, size in (
        ("one", [*NETWORKS, *OTHERS], 1, 1),
        ("one again", TWICE["one"], 1, 1),
        ("threads", TWICE["threads"], 2, 1),
        ("threads again", TWICE["threads"], 2, 1),
        ("two", list(NETWORKS), 2, 2),
        ("two again", TWICE["two"], 2, 2),
    ):
        for process in start(which, names, threads, size):
            process.join(300)
            assert process.exitcode == 0, which
    return {path.name: path for path in root.iterdir()}


@pytest.mark.parametrize("name", NETWORKS)
def test_two_processes_give_what_one_gives(name: str, runs: dict[str, Path]) -> None:
    one, two = (read_history(runs[which] / name / "history.tsv") for which in ("one", "two"))
    assert list(one) == list(two)
    for column in one:
        if column != "seconds":
            # bfloat16 rounds to 3 digits, and a sum in another order may round otherwise
            wide = 2e-2 if name == "bf16" else 2e-4
            np.testing.assert_allclose(two[column], one[column], rtol=wide, atol=wide, err_msg=column)


@pytest.mark.parametrize(("which", "name"), [(which, name) for which, names in TWICE.items() for name in names])
def test_the_same_bits_twice(which: str, name: str, runs: dict[str, Path]) -> None:
    first, second = (runs[run] / name for run in (which, f"{which} again"))
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    assert compare(first, second).identical


def test_what_two_processes_tell(runs: dict[str, Path]) -> None:
    told = json.loads((runs["two"] / "regression" / "provenance.json").read_text())
    assert (told["processes"], told["threads"]) == (2, 2)
    found = compare(runs["one"] / "regression", runs["two"] / "regression")
    assert not found.identical
    assert found.lines[0].startswith("different: ")
    assert {"threads: 1 then, 2 now", "processes: 1 then, 2 now"} <= set(found.lines)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes by /proc")
def test_one_of_two_is_killed_and_one_process_goes_on(files: dict[str, str], tmp_path: Path) -> None:
    """By the command line: all end, the message says why, and what is left goes on as in an unbroken run."""
    content = recipe("regression").model_dump(mode="json")
    # however fast the machine, it is killed before; a low rate keeps a sum's last bits from growing, however slow it is
    content["training"] |= {"epochs": 1000, "lr": 1e-4}
    text = tmp_path / "long.yaml"
    text.write_text(json.dumps(content))
    words = ["train", str(text), files["regression"], "-o", str(tmp_path / "run"), "--device", "cpu", "--seed", "3"]
    command = [sys.executable, "-m", "biorrn", *words, "--processes", "2", "--threads", "2"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run" / "history.tsv"
    deadline = time.monotonic() + 240
    second = None
    while time.monotonic() < deadline and run.poll() is None and second is None:
        time.sleep(0.02)
        if history.is_file() and len(history.read_text().splitlines()) >= 3:
            second = _child(run.pid, "RANK=1")
    assert second is not None
    os.kill(second, signal.SIGKILL)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 2, said
    assert "biorrn: error: process 2 of 2 was ended by SIGKILL" in said
    assert not (tmp_path / "run" / "provenance.json").exists()
    stop = len(history.read_text().splitlines()) + 1  # epochs, two more than there are
    context = multiprocessing.get_context("forkserver")
    for folder in ("run", "whole"):
        process = context.Process(target=train_file, args=(str(text), files, str(tmp_path / folder), stop))
        process.start()
        process.join(240)
        assert process.exitcode == 0
    broken, whole = (read_history(tmp_path / folder / "history.tsv") for folder in ("run", "whole"))
    assert broken["epoch"].tolist() == list(range(stop))
    np.testing.assert_allclose(broken["train_loss"], whole["train_loss"], rtol=1e-3)


def train_file(path: str, files: dict[str, str], folder: str, stop: int) -> None:
    """Train a recipe for so many epochs, or go on with it."""
    from biorrn.config.recipe import load_recipe
    from biorrn.training.task import load_task
    from biorrn.training.train import train

    own = load_recipe(path)
    train(own, files[own.task], folder, load_task(own.task), threads=1, seed=3, device="cpu", stop=stop)


def _child(parent: int, variable: str) -> int | None:
    """Return the child process that has a variable of the environment."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and variable.encode() in (path / "environ").read_bytes().split(b"\0"):
                return int(path.name)
        except OSError:
            continue
    return None
