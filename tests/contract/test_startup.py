"""Commands that run on compiled kernels import no library that takes long to start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READS = ROOT / "data" / "simulated_reads"
# of the libraries that the package uses: each takes a tenth of a second or more, or much memory
SLOW = ("torch", "lightning", "numba", "pandas", "scipy", "sklearn", "matplotlib", "pod5", "pyarrow", "h5py", "pysam",
        "mappy", "Bio")  # fmt: skip
ALSO = {".fast5": {"h5py"}, ".pod5": {"pod5", "pyarrow", "h5py", "pandas"}}  # what the reader of a format needs
PROGRAM = """
import json, sys
from biorrn.cli.main import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported(*words: object) -> set[str]:
    """Run a command; return the top-level names of what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(names)


@pytest.mark.parametrize("suffix", [".blow5", ".fast5", ".pod5"])
@pytest.mark.parametrize("output", ["calls.fastq", "calls.sam"])
def test_basecalling_on_a_cpu_imports_what_it_needs(suffix: str, output: str, tmp_path: Path) -> None:
    from biorrn.kernels.lstm.layers import kinds

    if not kinds():
        pytest.skip("no compiled kernels")
    reads = READS / f"simulated{suffix}"
    names = imported("basecall", reads, "--device", "cpu", "--max-reads", 1, "-o", tmp_path / output)
    assert not names & (set(SLOW) - ALSO.get(suffix, set()))
