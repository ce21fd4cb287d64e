"""Two processes with one output: the second is told who has it, or waits; a killed one holds nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# waits, when it has the lock, until a file is there
PAUSE = """
import os, time
import biorrn.{module} as module
found = module.{name}
def waiting(*words, **options):
    open({here!r}, "w").close()
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    return found(*words, **options)
module.{name} = waiting
"""


def paused(server: Any, case: Any, folder: Path, tmp_path: Path) -> tuple[Any, Path]:
    """Start a command that holds its output, and waits there until a file appears."""
    here, go = tmp_path / "here", tmp_path / "go"
    trains = case.name.startswith("train")
    module, name = ("training.checkpoint", "usable") if trains else ("nanopore.basecall.output", "CallOutput")
    before = PAUSE.format(module=module, name=name, here=str(here), go=str(go))
    run = server.start(*case.words, folder=folder, before=before)
    while run.poll() is None and not here.exists():
        time.sleep(0.005)
    assert run.poll() is None, run.error
    return run, go


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train protein", r"another process \(pid {pid} on .+\) is training in run; wait for its end, or end it"),
        ("basecall fastq.gz", r"c\.fastq\.gz\.partial: another process( \(pid \d+\))? is writing it; wait for .*"),
    ],
)
def test_the_second_is_refused_or_waits(
    server: Any, case_of: Any, left: Any, tmp_path: Path, name: str, said: str
) -> None:
    case, folder = case_of(name), tmp_path / "run"
    folder.mkdir()
    first, go = paused(server, case, folder, tmp_path)
    second = server.run(*case.words, folder=folder)
    assert second.code == 2, second.error
    assert re.fullmatch(f"biorrn: error: {said.format(pid=first.pid)}\n", second.error), second.error
    third = server.start(*case.words, "--wait", folder=folder)
    while third.poll() is None and "waiting for its end" not in third.error:
        time.sleep(0.005)
    assert third.poll() is None
    go.touch()
    assert first.wait() == 0, first.error
    assert third.wait() == 0, third.error
    assert left(folder) == case.whole


@pytest.mark.parametrize("name", ["basecall fastq.gz"])  # training: test_kill.py
def test_a_killed_process_holds_nothing(server: Any, case_of: Any, left: Any, tmp_path: Path, name: str) -> None:
    case, folder = case_of(name), tmp_path / "run"
    folder.mkdir()
    first, _ = paused(server, case, folder, tmp_path)
    assert first.kill() == -signal.SIGKILL
    again = server.run(*case.words, folder=folder)
    assert again.code == 0, again.error
    assert left(folder) == case.whole


# in place of biorrn: the first time it says that it is here, and waits to be killed
STAND_IN = """#!/bin/sh
if [ ! -e {here} ]; then echo $$ > {here}.part; mv {here}.part {here}; exec sleep 3600; fi
exec {python} -m biorrn "$@"
"""


@pytest.mark.slow
def test_two_workflows_in_one_folder_and_a_killed_one(server: Any, case_of: Any, inputs: Path, tmp_path: Path) -> None:
    """Snakemake's own lock; it outlives a kill, so the user says --unlock, and the half-made job is made again."""
    here, tools, folder = tmp_path / "here", tmp_path / "tools", tmp_path / "run"
    for path in (tools, folder):
        path.mkdir()
    (tools / "biorrn").write_text(STAND_IN.format(here=here, python=sys.executable))
    (tools / "biorrn").chmod(0o755)
    for name in ("data", "config", "tests"):
        (folder / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(ROOT / "tests/workflow/tiny/config.yaml"), "--cores", "1"]
    command += ["--workflow-profile", "none", "--rerun-incomplete"]
    wanted = "out/data/proteins.h5"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], cwd=folder, env=environment, text=True, capture_output=True, check=False
        )

    with open(tmp_path / "said", "w") as said:
        first = subprocess.Popen([*command, wanted], cwd=folder, env=environment, stdout=said, stderr=said)
    try:
        while first.poll() is None and not here.exists():
            time.sleep(0.01)
        assert first.poll() is None, (tmp_path / "said").read_text()
        second = run(wanted)
        assert second.returncode == 1
        assert "cannot be locked" in second.stderr + second.stdout
    finally:
        first.kill()
        first.wait()
        if here.exists():
            os.kill(int(here.read_text()), signal.SIGKILL)
    assert run("--unlock").returncode == 0
    third = run(wanted)
    assert third.returncode == 0, third.stderr
    names = {path.name for path in (folder / "out/data").iterdir()}
    assert names == {"proteins.h5", "proteins.json", "proteins.valid.fasta"}
