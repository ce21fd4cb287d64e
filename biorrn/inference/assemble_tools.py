"""The programs that assemble: found on PATH, run with their words in a log, their failure one line."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from biorrn.errors import BiorrnError

# program -> arguments that make it say its version
TOOLS: dict[str, tuple[str, ...]] = {"minimap2": ("--version",), "miniasm": ("-V",), "racon": ("--version",)}


def absent() -> list[str]:
    """Return the names of `TOOLS` that are not on PATH."""
    return [name for name in TOOLS if shutil.which(name) is None]


def versions() -> dict[str, str]:
    """Return program -> version of those of `TOOLS` that are on PATH; "" where one does not say it."""
    found = {}
    for name, words in TOOLS.items():
        if shutil.which(name) is None:
            continue
        try:
            done = subprocess.run([name, *words], capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            found[name] = ""
            continue
        said = (done.stdout + done.stderr).split()
        found[name] = said[-1] if said and not done.returncode else ""
    return found


class Tools:
    """Runs programs; what they say goes to a log, how long each step took to `seconds`.

    Parameters
    ----------
    log : Path: written anew.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.seconds: dict[str, float] = {}
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("")
        except OSError as error:
            raise BiorrnError(f"{log}: cannot be written: {error.strerror}") from error

    def run(self, step: str, words: Sequence[str | Path], output: Path) -> None:
        """Run a program with its standard output in a file.

        Raises
        ------
        BiorrnError: it cannot be started, or ends with another exit code than 0.
        """
        started = time.monotonic()
        name = str(words[0])
        with open(self.log, "a") as log, open(output, "wb") as out:
            print(f"# {step}: {' '.join(map(str, words))}", file=log, flush=True)
            try:
                done = subprocess.run([str(word) for word in words], stdout=out, stderr=log, stdin=subprocess.DEVNULL,
                                      check=False)  # fmt: skip
            except OSError as error:
                raise BiorrnError(f"{name}: cannot be started: {error.strerror}") from error
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        if done.returncode:
            raise BiorrnError(f"{name}: {_ending(done.returncode)} in the step '{step}'; what it said is in {self.log}")


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was ended by {name}" + (", perhaps for want of memory," if name == "SIGKILL" else "")
