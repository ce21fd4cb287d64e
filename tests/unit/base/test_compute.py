"""Compiling where nothing can be kept, and sharing rows among threads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biorrn.base.compute import FIRST, each_row, jit

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
