"""Which precision a run uses, on processors with and without bfloat16."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from biorrn.base import compute as device
from biorrn.config.recipe import Recipe
from biorrn.nn.store import load_model
from biorrn.training import loop as precision
from biorrn.training.task import load_task
from biorrn.training.train import train

CPU = torch.device("cpu")
# what a processor with AVX2 and no more reports; each library has its own switch
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def recipe(asked: str) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "task": "regression",
            "model": {
                "frontend": {"name": "embedding", "width": 4},
                "core": {"cell": "lstm", "hidden": 4, "layers": 1},
                "pool": ["mean"],
            },
            "training": {"epochs": 1, "loss": "mse", "precision": asked},
        }
    )


@pytest.mark.parametrize("present", [True, False])
def test_bfloat16_is_used_only_where_it_is(present: bool, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda where: present)
    assert precision.possible("bf16", CPU) == ("bf16" if present else "32")
    assert capsys.readouterr().err.count("does not support bf16; using float32") == (not present)
    for other in ("32", "16"):
        assert precision.possible(other, CPU) == other


@pytest.mark.parametrize("asked", ["bf16", "auto"])
def test_a_processor_without_bfloat16_trains_in_float32(
    asked: str, tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda where: False)
    monkeypatch.setattr(precision, "_time", lambda *args: pytest.fail("timed where nothing is to choose"))
    folders = [
        train(recipe(given), tiny_proteins, tmp_path / given, load_task("regression"), threads=1)
        for given in ("32", asked)
    ]
    plain, other = (load_file(folder / "weights.safetensors") for folder in folders)
    assert all(torch.equal(plain[key], other[key]) for key in plain)
    assert capsys.readouterr().err.count("does not support bf16; using float32") == (asked == "bf16")


def test_detection_leaves_random_numbers_alone() -> None:
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    device._runs_bfloat16.cache_clear()
    device.has_bfloat16()
    assert torch.equal(torch.rand(1), first)


@pytest.mark.skipif(sys.platform != "linux", reason="the switches are those of x86 Linux builds")
def test_detection_follows_the_cpu_library() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from biorrn.base.compute import has_bfloat16; print(has_bfloat16())"],
        env={**os.environ, **AVX2},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_the_best_epoch_so_far_is_a_model(tiny_proteins: Path, tmp_path: Path) -> None:
    several = recipe("32").model_copy(update={"training": recipe("32").training.model_copy(update={"epochs": 3})})
    folder = train(several, tiny_proteins, tmp_path / "run", load_task("regression"), threads=1)
    last, best = (load_file(path / "weights.safetensors") for path in (folder, folder / precision.SNAPSHOT))
    assert all(torch.equal(last[key], best[key]) for key in last)
    assert load_model(folder / precision.SNAPSHOT).recipe.task == "regression"


def test_a_log_has_few_lines_of_short_epochs(tiny_proteins: Path, tmp_path: Path, capsys) -> None:
    """The first, each tenth and the last, also where the run is stopped before its last epoch."""
    many = recipe("32").model_copy(update={"training": recipe("32").training.model_copy(update={"epochs": 40})})
    train(many, tiny_proteins, tmp_path / "run", load_task("regression"), threads=1, stop=30)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert [line.split("/")[0] for line in lines[:3]] == ["epoch 1", "epoch 3", "epoch 6"]
    assert lines[-1].startswith("epoch 30/30: ")
    assert len(lines) == 11
    assert len((tmp_path / "run" / "history.tsv").read_text().splitlines()) == 31


def test_an_interruption_is_one_and_the_run_resumes(
    tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Lightning turns it into an exit with code 1, and ignores every later one."""
    several = recipe("32").model_copy(update={"training": recipe("32").training.model_copy(update={"epochs": 3})})
    given = tiny_proteins, tmp_path / "run", load_task("regression")
    handler = signal.default_int_handler  # a job in the background has none
    before = signal.signal(signal.SIGINT, handler)
    with monkeypatch.context() as patch:
        patch.setattr(precision.Snapshot, "on_validation_end", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(several, *given, threads=1)
    assert signal.signal(signal.SIGINT, before) is handler
    assert "the same command resumes from the last complete epoch" in capsys.readouterr().err
    assert (train(several, *given, threads=1) / "weights.safetensors").is_file()
    assert "nan" not in capsys.readouterr().err
