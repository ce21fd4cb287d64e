"""Commands that are broken in one way or another, small inputs for them, and what an unbroken run of each gives."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def module(name: str) -> Any:
    """Load a file that stands beside this one."""
    spec = importlib.util.spec_from_file_location(f"faults_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


HARNESS = module("kill_workflow")
GENOME = "reference.fasta"
FIRST = ("--threads", "1")
TINY = ("--set", "training.epochs=3", "--set", "model.core.hidden=8", *FIRST)
TRUTH = ("--labels", "truth", "--truth", "{in}/truth.tsv", "--split", "random:0.7,0.3,0")
PREPARE = ("prepare", "protein", "{data}/synthetic_stability.csv", "--target", "stability", "--split", "column:set")
CALL = ("basecall", "{in}/reads.blow5", "--model", "{in}/caller", "--allow-empty", "--resume",
        "--min-length", "0", *FIRST)  # fmt: skip
ALSO = ("--export-fasta", "train=all.fasta")
FIGURES = ("--baselines", "none", "-o", "e.json", "--figures", "figures")
# name -> the words of a command that writes into the folder it runs in; {in} is the folder of inputs
COMMANDS: dict[str, tuple[str, ...]] = {
    "prepare protein": (*PREPARE, "-o", "p.h5", "--report", "p.json", "--export-fasta", "valid=p.fasta"),
    "prepare signal": ("prepare", "signal", "{in}/reads.blow5", *TRUTH, "-o", "s.h5", "--report", "s.json"),
    "train protein": ("train", "demo_stability", "{in}/p.h5", "-o", "run", *TINY),
    "train signal": ("train", "demo_basecall", "{in}/s.h5", "-o", "run", *TINY, "--set", "chunks.epoch=16"),
    "predict": ("predict", "{in}/stability", "{in}/all.fasta", "-o", "p.tsv", *FIRST),
    "predict parquet": ("predict", "{in}/stability", "{in}/all.fasta", "-o", "p.parquet", *FIRST),
    "basecall fastq.gz": (*CALL, "-o", "c.fastq.gz", "--summary", "c.tsv"),
    "basecall bam": (*CALL, "-o", "c.bam", "--summary", "c.tsv"),
    "evaluate": ("evaluate", "regression", "{in}/p.tsv", "{in}/p.h5", "--split", "valid", *FIGURES),
    "report": ("report", "{in}/e.json", "--run", "{in}/stability", "--prepare", "{in}/p.json", "-o", "r.html"),
    "merge": ("merge", "{in}/c.fastq", "{in}/more.fastq", "-o", "m.fastq.gz"),
    "qc": ("qc", "{in}/c.tsv", "-o", "q.json", "--figures", "figures"),
    "map": ("map", "{in}/c.fastq", "{in}/reference.fasta", "-o", "m.bam", "--stats", "m.json"),
    "simulate pod5": ("simulate", "{in}/reference.fasta", "--reads", "3", "-o", "x.pod5", "--truth", "x.tsv"),
    "simulate fast5": ("simulate", "{in}/reference.fasta", "--reads", "3", "-o", "x.fast5"),
}
# one of each way of writing; `fill_disk.py` takes them all
WAYS = ("prepare protein", "predict parquet", "basecall bam", "evaluate", "merge", "map", "simulate pod5")


@dataclass
class Case:
    """A command with all its words, and what an unbroken run of it leaves.

    Attributes
    ----------
    whole : name of a file -> what must be equal of it.
    sizes : name of a file -> its bytes.
    """

    name: str
    words: tuple[str, ...]
    whole: dict[str, bytes]
    sizes: dict[str, int]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what must be equal of every file below a folder, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): HARNESS.content(path) for path in files}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return what runs commands cheaply."""
    with module("preloaded").Preloaded(tmp_path_factory.mktemp("said")) as running:
        yield running


@pytest.fixture(scope="session")
def inputs(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an input for every command."""
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(server, folder)
    return folder


def make_inputs(server: Any, folder: Path) -> None:
    """Make an input for every command, by the commands themselves."""
    genome = ("--random-genome", "2000", "--reference", GENOME)
    steps: list[tuple[str, ...]] = [
        ("simulate", *genome, "--reads", "6", "--length-mean", "400", "-o", "reads.blow5", "--truth", "truth.tsv"),
        (*PREPARE, "-o", "p.h5", "--report", "p.json", "--export-fasta", "valid=p.fasta", *ALSO),
        ("prepare", "signal", "reads.blow5", *TRUTH, "-o", "s.h5"),
        ("train", "demo_stability", "p.h5", "-o", "stability", *TINY),
        ("train", "demo_basecall", "s.h5", "-o", "caller", *TINY, "--set", "chunks.epoch=16"),
        ("predict", "stability", "p.fasta", "-o", "p.tsv", *FIRST),
        ("basecall", "reads.blow5", "--allow-empty", "-o", "c.fastq", "--summary", "c.tsv", *FIRST),
        ("basecall", "{data}/simulated_reads/simulated.pod5", "--max-reads", "1", "-o", "more.fastq", *FIRST),
        ("evaluate", "regression", "p.tsv", "p.h5", "--split", "valid", *FIGURES),
    ]
    for words in steps:
        run = server.run(*filled(words, folder), folder=folder)
        assert run.code == 0, run.error


def filled(words: tuple[str, ...], inputs: Path) -> tuple[str, ...]:
    """Return the words with the places of the inputs."""
    return tuple(word.replace("{in}", str(inputs)).replace("{data}", str(ROOT / "data")) for word in words)


@pytest.fixture(scope="session")
def case_of(server: Any, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Return a function that gives a case by name; each command is run unbroken once."""
    made: dict[str, Case] = {}

    def make(name: str) -> Case:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            words = filled(COMMANDS[name], inputs)
            run = server.run(*words, folder=folder)
            assert run.code == 0, run.error
            sizes = {name: (folder / name).stat().st_size for name in files_of(folder)}
            made[name] = Case(name, words, files_of(folder), sizes)
            shutil.rmtree(folder)
        return made[name]

    return make


@pytest.fixture(params=WAYS)
def case(request: pytest.FixtureRequest, case_of: Callable[[str], Case]) -> Case:
    """Return a case for each way of writing in turn."""
    return case_of(request.param)


@pytest.fixture(params=list(COMMANDS))
def every(request: pytest.FixtureRequest, inputs: Path) -> tuple[str, ...]:
    """Return the words of each command in turn."""
    return filled(COMMANDS[request.param], inputs)


@pytest.fixture
def left() -> Callable[[Path], dict[str, bytes]]:
    """Return the function that says which files a folder holds, and what must be equal of them."""
    return files_of
