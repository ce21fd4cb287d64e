"""Training as a whole: it can overfit, it repeats, and a killed run ends where an unbroken one does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nn.store import load_model
from biorrn.training.task import TASKS, load_task
from biorrn.training.train import train

CONV = {"name": "conv", "layers": [{"width": 8, "kernel": 5}, {"width": 24, "kernel": 9, "stride": 2}]}
MODELS = {
    "regression": {
        "frontend": {"name": "embedding", "width": 8},
        "core": {"cell": "gru", "hidden": 16, "layers": 1},
        "pool": ["mean", "attention"],
    },
    "basecalling": {
        "frontend": CONV,
        "core": {"cell": "lstm", "hidden": 24, "layers": 2, "direction": "alternating", "dropout": 0.1},
        "head": {"name": "ctc"},
    },
    "classification": {
        "frontend": {"name": "embedding", "width": 8},
        "core": {"cell": "gru", "hidden": 16, "layers": 1, "dropout": 0.1},
        "pool": ["max", "mean"],
        "head": {"name": "classes", "dropout": 0.1},
    },
    "language": {
        "frontend": {"name": "tokens", "width": 8},
        "core": {"cell": "gru", "hidden": 16, "layers": 1, "direction": "forward", "dropout": 0.1},
        "head": {"name": "tokens"},
    },
    "tagging": {
        "frontend": {"name": "embedding", "width": 8},
        "core": {"cell": "gru", "hidden": 8, "layers": 1, "dropout": 0.1},
        "head": {"name": "tags_crf", "dropout": 0.1},
    },
    "translation": {
        "frontend": {"name": "embedding", "width": 6, "symbols": 65},
        "core": {"cell": "gru", "hidden": 8, "layers": 1, "dropout": 0.1},
        "head": {"name": "decoder", "hidden": 12, "embedding": 4, "attention_width": 6, "dropout": 0.1},
    },
}
LOSS = {"regression": "mse", "basecalling": "ctc", "language": "cross_entropy", "tagging": "crf"}
LOSS |= {"translation": "cross_entropy", "classification": "cross_entropy"}


# a run that kills itself as it tells of its third epoch: from outside, a busy machine would come too late
KILLED = """
import os, signal
from biorrn.training import loop as callbacks

write = callbacks.write_history

def write_and_die(folder, history):
    write(folder, history)
    if len(history) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

callbacks.write_history = write_and_die
from biorrn.cli.main import main
main()
"""


def recipe(task: str, epochs: int, **training: object) -> Recipe:
    settings = {"batch_size": 16, "epochs": epochs, "lr": 0.01, "loss": LOSS[task], "ema": 0.9, **training}
    content = {"name": "tiny", "task": task, "model": MODELS[task], "training": settings}
    if task == "basecalling":
        content["chunks"] = {"samples": 240, "overlap": 40, "epoch": 64 if epochs < 20 else 320}
    return parse_recipe(content)


@pytest.fixture
def data(request: pytest.FixtureRequest) -> dict[str, Path]:
    return {
        "regression": request.getfixturevalue("tiny_proteins"),
        "classification": request.getfixturevalue("tiny_classes"),
        "basecalling": request.getfixturevalue("tiny_signal"),
        "language": request.getfixturevalue("tiny_proteins"),
        "tagging": request.getfixturevalue("tagged_proteins"),
        "translation": request.getfixturevalue("tiny_pairs"),
    }


@pytest.mark.parametrize(("task", "epochs"), [("regression", 30), ("classification", 30), ("basecalling", 25)])
def test_it_can_overfit_a_tiny_set(task: str, epochs: int, data: dict[str, Path], tmp_path: Path) -> None:
    folder = train(recipe(task, epochs), data[task], tmp_path / "run", load_task(task), threads=1)
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["best"]["value"] > 0.9
    assert set(facts["data"].values())
    assert facts["versions"]["torch"]
    assert load_model(folder).facts["task"] == task
    rows = (folder / "history.tsv").read_text().splitlines()
    assert len(rows) == epochs + 1


@pytest.mark.parametrize("task", list(TASKS))
def test_same_seed_same_weights_other_seed_others(task: str, data: dict[str, Path], tmp_path: Path) -> None:
    made = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder = train(recipe(task, 2), data[task], tmp_path / name, load_task(task), seed=seed, threads=1)
        made[name] = load_file(folder / "weights.safetensors")
    assert all(torch.equal(made["a"][key], made["b"][key]) for key in made["a"])
    assert not all(torch.equal(made["a"][key], made["c"][key]) for key in made["a"])


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_killed_and_resumed_equals_unbroken(
    task: str, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 in mid-run, move the folder, run again: the same weights, and the same history but for the clock."""
    settings = recipe(task, 12)
    text = tmp_path / "tiny.yaml"
    text.write_text(json.dumps(settings.model_dump(mode="json")))
    train(settings, data[task], tmp_path / "whole", load_task(task), threads=1)
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, "train", str(text), str(data[task]), "--threads", "1", "-o", str(killed)]
    run = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert not (killed / "weights.safetensors").exists(), "the run ended before it could be killed"
    killed = killed.rename(tmp_path / "moved")
    capsys.readouterr()
    train(settings, data[task], killed, load_task(task), threads=1)
    shown = capsys.readouterr().err
    assert "resumed from its last complete epoch" in shown
    first = min(int(line.split("/")[0].removeprefix("epoch ")) for line in shown.splitlines() if line[:6] == "epoch ")
    assert first >= 3  # three epochs were validated, so at least two of them were saved, better than before or not
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "moved"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    columns = [
        [[field for place, field in enumerate(row.split("\t")) if place != 2] for row in path.read_text().splitlines()]
        for path in (tmp_path / "whole" / "history.tsv", killed / "history.tsv")
    ]
    assert columns[0] == columns[1]
    train(settings, data[task], killed, load_task(task), threads=1)
    assert "nothing to train" in capsys.readouterr().err


def test_moved_run_keeps_its_best_epoch(tiny_proteins: Path, tmp_path: Path) -> None:
    """Finished, its outputs deleted (as a workflow does before a job), moved: the same weights come back."""
    settings = recipe("regression", 4, lr=0.5, ema=0.0)  # a rate so high that the best epoch is not the last
    for seed in range(8):  # which epoch is the best of such a run depends on the last bits of the processor
        folder = train(settings, tiny_proteins, tmp_path / f"run{seed}", load_task("regression"), seed=seed, threads=1)
        facts = json.loads((folder / "provenance.json").read_text())
        if facts["best"]["epoch"] < 3:
            break
    assert facts["best"]["epoch"] < 3
    before = load_file(folder / "weights.safetensors")
    for name in ("weights.safetensors", "recipe.yaml", "history.tsv", "provenance.json"):
        (folder / name).unlink()
    moved = folder.rename(tmp_path / "moved")
    folder = train(settings, tiny_proteins, moved, load_task("regression"), seed=seed, threads=1)
    after = load_file(folder / "weights.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (folder / "history.tsv").is_file()
    assert json.loads((folder / "provenance.json").read_text())["best"] == facts["best"]


def test_early_stopping_and_other_precisions(tiny_proteins: Path, tmp_path: Path) -> None:
    settings = recipe("regression", 200, lr=1e-9, patience=2, precision="bf16")
    folder = train(settings, tiny_proteins, tmp_path / "run", load_task("regression"), threads=1)
    assert len((folder / "history.tsv").read_text().splitlines()) < 20


def test_another_recipe_in_the_same_folder_is_refused(tiny_proteins: Path, tmp_path: Path) -> None:
    train(recipe("regression", 1), tiny_proteins, tmp_path, load_task("regression"), threads=1)
    with pytest.raises(ConfigError, match="another recipe"):
        train(recipe("regression", 2), tiny_proteins, tmp_path, load_task("regression"), threads=1)


def test_a_run_that_was_refused_does_not_hold_its_folder(tiny_proteins: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="loss 'ctc' is unknown"):
        train(recipe("regression", 1, loss="ctc"), tiny_proteins, tmp_path, load_task("regression"), threads=1)
    train(recipe("regression", 1), tiny_proteins, tmp_path, load_task("regression"), threads=1)
    assert (tmp_path / "weights.safetensors").is_file()


def test_data_of_another_kind_is_refused(tiny_signal: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.h5"):
        train(recipe("regression", 1), tiny_signal, tmp_path / "run", load_task("regression"), threads=1)


@pytest.mark.parametrize(("task", "loss"), [("regression", "ctc"), ("basecalling", "mse"), ("language", "mse")])
def test_loss_of_another_task_is_refused(task: str, loss: str, data: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"recipe 'tiny': loss '{loss}' is unknown"):
        train(recipe(task, 1, loss=loss), data[task], tmp_path / "run", load_task(task), threads=1)


def test_half_precision_without_a_gpu_is_refused(tiny_proteins: Path, tmp_path: Path) -> None:
    settings = recipe("regression", 1, precision="16")
    with pytest.raises(ConfigError, match="precision"):
        train(settings, tiny_proteins, tmp_path / "run", load_task("regression"), device="cpu", threads=1)


@pytest.mark.parametrize("task", list(TASKS))
def test_auto_precision_measures_and_leaves_the_weights_alone(task: str, data: dict[str, Path], tmp_path: Path) -> None:
    plain = train(recipe(task, 1), data[task], tmp_path / "plain", load_task(task), threads=1)
    auto = train(recipe(task, 1, precision="auto"), data[task], tmp_path / "auto", load_task(task), threads=1)
    chosen = json.loads((auto / "provenance.json").read_text())["precision"]
    assert chosen in ("32", "bf16")
    if chosen == "32":
        first, second = (load_file(folder / "weights.safetensors") for folder in (plain, auto))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_negative_seed_is_refused(tiny_proteins: Path, tmp_path: Path) -> None:
    with pytest.raises(BiorrnError, match="--seed"):
        train(recipe("regression", 1), tiny_proteins, tmp_path / "run", load_task("regression"), seed=-1)
