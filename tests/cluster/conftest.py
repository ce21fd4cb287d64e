"""The workflow in a folder of its own, run by the profiles of clusters."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900  # s before a workflow that hangs is ended; far above what the slowest machine needs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder that the workflow can run in, apart from the project's own results and locks."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("data", "config", "tests", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def run_workflow(place: Path) -> Callable[..., tuple[int, str]]:
    """Return a function of command-line words and environment variables that gives the exit code and what was said."""

    def run(*words: str | Path, **environment: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", place, *words]
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=place,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            said += f"\nended by the test after {PATIENCE} s"
        return process.returncode, said

    return run


@pytest.fixture(scope="session")
def run_command() -> Callable[..., str]:
    """Return a function that runs a script of the project and gives what it printed."""

    def run(script: str, *words: str, **environment: str) -> str:
        return subprocess.run(
            [ROOT / script, *words], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        ).stdout.strip()

    return run
