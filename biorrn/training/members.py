"""Processes that train the members of an ensemble, several at a time, and what they say while they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import biorrn
from biorrn.errors import BiorrnError

# -P: a file named torch.py where the user stands is not imported
COMMAND = (sys.executable, "-P", "-m", "biorrn.training.train")


class MemberFailed(BiorrnError):
    """The process of a member has ended with an error."""


def run_members(work: list[dict[str, Any]], jobs: int) -> None:
    """Run `training.train` for each piece of work, `jobs` at a time; their lines go to standard error, with a prefix.

    Parameters
    ----------
    work : list of dict: what `train.train_member` is told; "folder" is where the member's run goes.

    Raises
    ------
    BiorrnError: a member could not be trained. The others that were running are stopped; they can be taken up again.
    """
    children: list[subprocess.Popen[str]] = []
    lock, stopped = threading.Lock(), threading.Event()

    def run(job: dict[str, Any]) -> None:
        with lock:  # none is started once all are being stopped
            if stopped.is_set():
                return
            child = _start()
            children.append(child)
        _follow(child, job, stopped)

    pool = ThreadPoolExecutor(jobs, "member")
    try:
        futures = [pool.submit(run, job) for job in work]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            print(f"{done} of {len(work)} members are trained", file=sys.stderr, flush=True)
    finally:
        with lock:
            stopped.set()
        for child in children:
            child.kill()
        pool.shutdown(cancel_futures=True)


def _start() -> subprocess.Popen[str]:
    root = str(Path(biorrn.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": path},
    )


def _follow(child: subprocess.Popen[str], job: dict[str, Any], stopped: threading.Event) -> None:
    """Give a child its job, pass on what it says, and wait for its end."""
    name, last = Path(job["folder"]).name, ""
    with child:
        assert child.stdin is not None
        assert child.stderr is not None
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()  # and stays open: its end tells the child that nobody waits for it
        except BrokenPipeError:
            pass  # it ended before; its lines say why
        for line in child.stderr:
            last = line.strip() or last
            print(f"[{name}] {line.rstrip()}", file=sys.stderr, flush=True)
        code = child.wait()
    if code and not stopped.is_set():
        raise MemberFailed(f"member {name}: {last.removeprefix('error: ') or f'ended with code {code}'}")
