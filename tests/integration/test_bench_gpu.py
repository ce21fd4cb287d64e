"""The benchmark for a GPU runs to its end where there is none, in its tiny form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def ran(root: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "benchmarks" / "bench_gpu.py"), "-o", str(out), "--dry-run-cpu", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_entry_runs_on_the_cpu(root: Path, tmp_path: Path) -> None:
    done = ran(root, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "results.json").read_text())
    assert rows == [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert not [row for row in rows if "failed" in row]
    assert list(dict.fromkeys(row["entry"] for row in rows)) == [
        *("versions", "tests", "loss", "decode", "calling", "training", "process", "proteins"),
    ]
    assert [row["exit code"] for row in rows if row["entry"] == "tests" and "exit code" in row] == [0]
    assert len((tmp_path / "results.txt").read_text().splitlines()) == len(rows)


@pytest.mark.slow
def test_an_entry_that_is_too_slow_leaves_what_it_has(root: Path, tmp_path: Path) -> None:
    done = ran(root, tmp_path, "--entries", "versions", "proteins", "--seconds", "1.2")  # ten times that in a dry run
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["entry"] for row in rows} == {"versions", "proteins"}
