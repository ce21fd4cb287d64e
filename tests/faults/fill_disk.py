"""Run every command on disks of random sizes that are too small for it, then give it room.

    python tests/faults/fill_disk.py --sizes 10 --seed 0

Each size is a tmpfs, which only root may mount; others get a limit of the size of a file instead (--limit does so too).
The exit code is 0 where every failure was one line with exit code 2, no file was half-written under its final name or
left lying about, and the command then came to its end with the outputs of an unbroken run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRESS = re.compile(r"run/(checkpoints/|history\.tsv|run\.json)|.*\.partial")  # what a run is taken up from
COLUMNS = ("sizes", "failed", "traceback", "unnamed", "half", "litter", "not done")


def beside(name: str) -> Any:
    """Load a file that stands beside this one."""
    spec = importlib.util.spec_from_file_location(f"faults_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def tried(server: Any, words: tuple[str, ...], folder: Path, size: int, mount: bool, whole: dict[str, bytes],
          files_of: Any) -> Counter[str]:  # fmt: skip
    """Run a command with too little room, then with enough, and count what went wrong."""
    folder.mkdir()
    if mount:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        run = server.run(*words, folder=folder, largest=None if mount else size)
        count = Counter({"sizes": 1, "failed": int(run.code != 0)})
        if run.code:
            last = (run.error.splitlines() or [""])[-1]
            named = re.fullmatch(r"biorrn: error: \S+: .*(No space left|File too large|its disk has).*", last)
            count["traceback"] += "Traceback" in run.error or run.code != 2
            count["unnamed"] += not named
            if not named:
                print(f"{' '.join(words[:2])} at {size}: {run.error[-500:]}")
        for name, content in files_of(folder).items():
            if name in whole and content != whole[name] and not PROGRESS.match(name):
                count["half"] += 1
            if name not in whole and not PROGRESS.match(name):
                count["litter"] += 1
        if mount:
            subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
        again = server.run(*words, folder=folder)
        if again.code or files_of(folder) != whole:
            count["not done"] += 1
            print(f"{' '.join(words[:2])} at {size}, again: {again.error[-500:]}")
    finally:
        if mount:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    return count


def main() -> int:
    """Return 0 where nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", action="store_true", help="a limit of the size of a file, in place of a small disk")
    parser.add_argument("--only", help="one of the commands, by its label")
    given = parser.parse_args()
    mount = os.geteuid() == 0 and not given.limit
    rng = random.Random(given.seed)
    cases, total = beside("conftest"), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="fill_disk.") as name:
        work = Path(name)
        for part in ("said", "inputs"):
            (work / part).mkdir()
        with beside("preloaded").Preloaded(work / "said") as server:
            cases.make_inputs(server, work / "inputs")
            print(f"{'':18}" + "".join(f"{column:>10}" for column in COLUMNS))
            for place, (label, words) in enumerate(cases.COMMANDS.items()):
                if given.only not in (None, label):
                    continue
                words = cases.filled(words, work / "inputs")
                unbroken = work / f"whole{place}"
                unbroken.mkdir()
                assert server.run(*words, folder=unbroken).code == 0, label
                whole = cases.files_of(unbroken)
                sizes = [(unbroken / file).stat().st_size for file in whole]
                most, count = sum(sizes) if mount else max(sizes), Counter[str]()
                for number in range(given.sizes):
                    size = max(4096 if mount else 1, int(rng.uniform(0, 1) * most))
                    folder = work / f"{place}-{number}"
                    count += tried(server, words, folder, size, mount, whole, cases.files_of)
                print(f"{label:18}" + "".join(f"{count[column]:10}" for column in COLUMNS), flush=True)
                total += count
    print(f"{'all':18}" + "".join(f"{total[column]:10}" for column in COLUMNS))
    return int(any(total[column] for column in COLUMNS[2:]))


if __name__ == "__main__":
    sys.exit(main())
