"""Kill processes of a running workflow at random, start it again as a user would, and compare with an unbroken run.

    python tests/faults/kill_workflow.py --kills 20 --seed 0
    python tests/faults/kill_workflow.py --kills 20 --seed 1 --config config/config.yaml

Each kill is SIGKILL of one process of the tree, drawn by chance: Snakemake itself, a job's shell, or biorrn. When the
workflow is done before all kills are, its outputs are compared, removed, and it begins anew. The exit code is 0 where
every file was there once, with the content of the unbroken run.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
CLOCK = {"seconds", "wall_seconds", "rate", "minutes", "samples_per_second", "timings", "created", "started", "machine"}
NOT_COMPARED = ("logs", "benchmarks")  # parts of a path: times, and what was said
TIMED = ("report.html", "log.txt")  # files that hold times: they must be there
ATTEMPTS = 60  # of one round, before it is given up
FAULTS = (
    "rounds that did not come to their end",
    "files lost",
    "files left over",
    "files that differ",
    "reads doubled",
)
LINES = re.compile(r"resumed: \d+ reads|resumed from its last complete epoch")


def folder_for(path: Path) -> Path:
    """Make a folder that a workflow can run in."""
    path.mkdir(parents=True)
    for name in ("data", "config", "tests"):
        (path / name).symlink_to(ROOT / name)
    return path


def snakemake(folder: Path, config: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start snakemake in a folder, with what it says in `said.txt`."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "2", "--workflow-profile", "none", "--rerun-incomplete", "--keep-going"]
    command += ["--configfile", str(config), *words]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    binaries = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PATH": binaries}
    with open(folder / "said.txt", "ab") as said:
        return subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment)


def finish(folder: Path, config: Path, *words: str) -> int:
    """Run snakemake to its end."""
    return snakemake(folder, config, *words).wait()


def name_of(process: psutil.Process) -> str:
    """Return what a process is: snakemake, shell, or `biorrn` with its subcommand."""
    words = process.cmdline()
    for place, word in enumerate(words):
        if Path(word).name == "biorrn" and len(words) > place + 1 and "-c" not in words:
            return f"biorrn {words[place + 1]}"
    if "-c" in words and words and Path(words[0]).name in ("bash", "sh"):
        return "shell of a job"
    return "snakemake" if "snakemake" in words else Path(words[0]).name if words else "?"


def kill_one(root: subprocess.Popen[bytes], rng: random.Random) -> str | None:
    """Kill a process of the tree and return what it was; None where there was none."""
    for _ in range(20):  # one may end between being seen and being killed
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(root.pid)
            kinds: dict[str, list[psutil.Process]] = {}
            for process in (top, *top.children(recursive=True)):
                if process.status() != psutil.STATUS_ZOMBIE:
                    kinds.setdefault(name_of(process).split()[0], []).append(process)
            # kinds are alike in chance, so that snakemake, its shells and the commands each get their share
            victim = rng.choice(kinds[rng.choice(sorted(kinds))])
            name = name_of(victim)
            victim.send_signal(signal.SIGKILL)
            return name
        if root.poll() is not None:
            return None
    return None


def plain(value: Any) -> Any:
    """Return JSON without what the clock says."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if key not in CLOCK}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def content(path: Path) -> bytes:
    """Return what must be equal of a file."""
    data = path.read_bytes()
    if path.name[0] == ".":
        return data  # what a kill has left
    if path.name in TIMED:
        return b""
    if path.suffix == ".json":
        return json.dumps(plain(json.loads(data)), sort_keys=True).encode()
    if path.name == "history.tsv":
        rows = [line.split("\t") for line in data.decode().splitlines()]
        clock = [place for place, name in enumerate(rows[0]) if name in CLOCK]
        return repr([[cell for place, cell in enumerate(row) if place not in clock] for row in rows]).encode()
    if path.suffix == ".pod5":  # has a random number of its own
        import pod5

        with pod5.Reader(path) as reader:
            return repr([(str(read.read_id), read.signal.tobytes()) for read in reader.reads()]).encode()
    if path.suffix == ".ckpt":
        return b""  # holds the seconds of the run
    return data


def out_of(folder: Path) -> Path:
    """Return the output folder: the one that is no link and not Snakemake's own."""
    return next(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != ".")


def outputs(folder: Path) -> dict[str, str]:
    """Return the digest of every file below the output folder."""
    found = {}
    for path in sorted(out_of(folder).rglob("*")):
        name = path.relative_to(out_of(folder))
        if path.is_file() and not set(name.parts) & set(NOT_COMPARED):
            found[str(name)] = hashlib.sha256(content(path)).hexdigest()
    return found


def doubled(folder: Path) -> int:
    """Return how many reads stand twice in a FASTQ."""
    more = 0
    for path in out_of(folder).rglob("*.fastq.gz"):
        with gzip.open(path, "rt") as stream:
            ids = [line.split()[0] for place, line in enumerate(stream) if place % 4 == 0]
        more += len(ids) - len(set(ids))
    return more


def wait_for_orphans(folder: Path) -> None:
    """Wait for the jobs of a snakemake that was killed, so that a folder can be removed."""
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder):
            psutil.wait_procs([process], timeout=120)


def resumed(folder: Path) -> int:
    """Return how many logs tell of work that was taken up."""
    return sum(bool(LINES.search(path.read_text(errors="replace"))) for path in folder.glob("*/logs/**/*.log"))


def one_round(folder: Path, config: Path, left: int, span: float, rng: random.Random, count: Counter[str]) -> bool:
    """Run the workflow with up to `left` kills until it is done; return whether it came to its end."""
    for _ in range(ATTEMPTS):
        count["starts"] += 1
        run = snakemake(folder, config)
        victim = None
        if left:
            until = time.monotonic() + rng.uniform(0.05, 0.5) * span
            while run.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            victim = kill_one(run, rng) if run.poll() is None else None
            if victim is not None:
                count[f"killed: {victim}"] += 1
                count["kills"] += 1
                left -= 1
        code = run.wait()
        count["logs that tell of work taken up"] += resumed(folder)
        if code == 0:
            return True
        if code == -signal.SIGKILL:
            finish(folder, config, "--unlock")
        elif victim is None:
            count["starts that failed by themselves"] += 1
    return False


def main() -> int:
    """Return 0 where nothing was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, default=ROOT / "tests/workflow/tiny/config.yaml")
    parser.add_argument(
        "--folder", type=Path, help="where to work; default: a temporary folder, removed when all is well"
    )
    given = parser.parse_args()
    work = given.folder or Path(tempfile.mkdtemp(prefix="kill_workflow."))
    config = given.config.resolve()
    rng, count, faults = random.Random(given.seed), Counter[str](), Counter[str]()
    started = time.monotonic()
    whole = folder_for(work / "whole")
    if finish(whole, config):
        print((whole / "said.txt").read_text(errors="replace")[-3000:])
        return 1
    span = time.monotonic() - started
    expected = outputs(whole)
    rounds = 0
    while count["kills"] < given.kills:
        rounds += 1
        folder = folder_for(work / f"round{rounds}")
        ended = one_round(folder, config, given.kills - count["kills"], span, rng, count)
        wait_for_orphans(folder)
        found = outputs(folder)
        lost = sorted(expected.keys() - found.keys())
        more = sorted(found.keys() - expected.keys())
        differing = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
        again = finish(folder, config)
        nothing = "Nothing to be done" in (folder / "said.txt").read_text(errors="replace")[-3000:]
        faults.update(
            dict(
                zip(
                    FAULTS,
                    (not (ended and again == 0 and nothing), len(lost), len(more), len(differing), doubled(folder)),
                    strict=True,
                )
            )
        )
        for what, names in (("lost", lost), ("left over", more), ("differs", differing)):
            for name in names:
                print(f"round {rounds}: {what}: {name}", flush=True)
        print(f"round {rounds}: {count['kills']} kills so far, {count['starts']} starts", flush=True)
    print(f"\n{config}: unbroken run {span:.0f} s, {len(expected)} files compared, seed {given.seed}")
    print(f"{'rounds (workflows brought to their end)':48}{rounds:6}")
    for name, number in sorted(count.items()):
        print(f"{name:48}{number:6}")
    for name in FAULTS:
        print(f"{name:48}{faults[name]:6}")
    if not faults.total() and given.folder is None:
        shutil.rmtree(work)
    else:
        print(f"kept: {work}")
    return int(faults.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
