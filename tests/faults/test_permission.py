"""No right to write or to read, no home: one line that says so, and nothing left behind."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_folder_may_not_be_written(server: Any, case: Any, left: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        run = server.run(*case.words, folder=folder, bound=True)
    finally:
        folder.chmod(0o755)
    assert run.code == 2, run.error
    assert "Traceback" not in run.error
    last = run.error.splitlines()[-1]
    assert re.fullmatch(r"biorrn: error: \S+: cannot be written: (Permission denied|the folder is not writable)", last)
    assert left(folder) == {}


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        (("predict", "{in}/stability", "secret", "-o", "p.tsv"), "p.fasta"),
        (("prepare", "protein", "secret", "--target", "y", "--split", "random:0.8,0.1,0.1", "-o", "p.h5"), "p.tsv"),
        (("train", "demo_stability", "secret", "-o", "run"), "p.h5"),
        (("basecall", "secret", "--model", "{in}/caller", "-o", "c.fastq"), "reads.blow5"),
        (("merge", "secret", "-o", "m.fastq"), "c.fastq"),
        (("report", "secret", "-o", "r.html"), "e.json"),
    ],
)
def test_the_input_may_not_be_read(
    server: Any, inputs: Path, left: Any, tmp_path: Path, words: tuple[str, ...], secret: str
) -> None:
    name = f"secret{Path(secret).suffix}"
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / name
    path.write_bytes((inputs / secret).read_bytes())
    path.chmod(0)
    filled = [name if word == "secret" else word.replace("{in}", str(inputs)) for word in words]
    run = server.run(*filled, folder=folder, bound=True)
    assert run.code == 2, run.error
    assert "Traceback" not in run.error
    assert name in run.error
    assert re.search("[Pp]ermission|cannot be read|cannot be opened|not readable", run.error), run.error
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert list(left(folder)) == [name]


@pytest.mark.parametrize("name", ["evaluate"])
def test_no_home_and_no_place_for_caches(case_of: Any, left: Any, tmp_path: Path, name: str) -> None:
    """As on a cluster's node; a process of its own, since libraries look for such places when they are loaded."""
    case, folder = case_of(name), tmp_path / "run"
    folder.mkdir()
    nowhere = "/proc/nowhere"  # nobody can make it, root neither
    names = {"HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "biorrn", *case.words],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert left(folder) == case.whole
