"""Compiling where nothing can be kept, and sharing rows among threads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biorrn.base import compute
from biorrn.base.compute import FIRST, device_name, each_row, jit
from biorrn.base.errors import BiorrnError

ROOT = Path(__file__).resolve().parents[3]


def test_a_function_that_numba_cannot_keep_is_compiled_all_the_same() -> None:
    space: dict = {}
    exec(compile("def twice(x):\n    return 2 * x\n", "<nowhere>", "exec"), space)  # no file, so no place for a cache
    assert jit()(space["twice"])(21) == 42


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_each_row_is_done_once(threads: int) -> None:
    done: list[int] = []
    before = threading.active_count()
    each_row(done.append, list(range(5)), threads)
    assert sorted(done) == list(range(5))
    assert threading.active_count() == before


def test_no_row_is_no_work() -> None:
    each_row(lambda row: pytest.fail("called"), [], 4)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_fault_of_a_row_reaches_the_caller(threads: int) -> None:
    def work(row: int) -> None:
        if row == 2:
            raise ValueError("row 2")

    with pytest.raises(ValueError, match="row 2"):
        each_row(work, list(range(6)), threads)


PROGRAM = """
import sys
from biorrn.base.compute import compiling_told
with compiling_told(lambda line: print("told:", line)):
    import kernel
    for _ in range(2):
        kernel.twice(21), kernel.thrice(1.5)
"""
KERNEL = """
from biorrn.base.compute import jit
@jit()
def twice(x):
    return 2 * x
@jit()
def thrice(x):
    return twice(x) + x
"""


def test_compiling_is_told_of_once_and_only_where_there_is_any(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert said == [f"told: {FIRST}\n", ""]


@pytest.mark.parametrize("name", ["tpu", "cuda0", ""])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(BiorrnError, match=f"--device: found '{name}'; allowed is one of auto, cpu, cuda, mps"):
        device_name(name)


def test_without_a_driver_there_is_only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "may_accelerate", lambda: False)
    assert device_name() == "cpu"
    monkeypatch.setattr(compute, "may_accelerate", lambda: True)
    assert device_name() in ("cpu", "cuda", "mps")  # as torch finds
    assert device_name("cpu") == "cpu"


@pytest.mark.parametrize(("files", "may"), [([], False), (["/dev/nvidia0"], True), (["/dev/kfd"], True)])
def test_device_files_of_drivers(files: list[str], may: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.sys, "platform", "linux")
    monkeypatch.setattr(compute.glob, "glob", lambda pattern: [f for f in files if f.startswith(pattern.rstrip("*"))])
    assert compute.may_accelerate() == may
    monkeypatch.setattr(compute.sys, "platform", "darwin")
    assert compute.may_accelerate()


THREADS = """
import sys
from biorrn.base.compute import apply_threads, choose_device, device_name, set_threads, threads_restored
with threads_restored():
    assert set_threads(3) == 3 and device_name("cpu") == "cpu"
    assert "torch" not in sys.modules
    {early}
    choose_device("cpu")
    import torch
    assert torch.get_num_threads() == 3
    set_threads(2)
    assert torch.get_num_threads() == 2
assert torch.get_num_threads() == 1, torch.get_num_threads()
set_threads(2)
with threads_restored():
    set_threads(3)
assert torch.get_num_threads() == 2
"""


@pytest.mark.parametrize("early", ["", "import torch"])
def test_torch_gets_its_threads_when_it_is_imported(early: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", THREADS.format(early=early)], env=env, check=True)
