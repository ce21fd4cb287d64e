"""The process that trains one member of an ensemble: `python -m biorrn.training.member`, started by `ensemble`.

Its job comes as one line of JSON on standard input, which then stays open for as long as the parent lives.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from typing import Any

import biorrn.device  # noqa: F401  # before torch
from biorrn.command import note
from biorrn.errors import BiorrnError


def main() -> None:
    """Train what the job says; a fault of the user is one line and exit code 2."""
    job = _read_job()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    note(job["words"])  # the command that provenance tells of
    try:
        train_member(job)
    except BiorrnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def train_member(job: dict[str, Any]) -> None:
    """Train what the job says, in this process."""
    import yaml

    from biorrn.config import parse_recipe
    from biorrn.training.train import train

    recipe = parse_recipe(yaml.safe_load(job["recipe"]), job["folder"])
    task = importlib.import_module(job["task"])
    # a parent that was killed leaves members that end a moment after it
    train(recipe, job["data"], job["folder"], task, wait=60.0, **job["options"])  # type: ignore[arg-type]


def _read_job() -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):  # not through sys.stdin, whose lock a waiting thread would hold at exit
        part = os.read(0, 1 << 16)
        if not part:
            raise SystemExit(1)
        line += part
    return json.loads(line)  # type: ignore[no-any-return]


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # a parent that was killed must not leave a child that writes to the folder of the next


if __name__ == "__main__":
    main()
