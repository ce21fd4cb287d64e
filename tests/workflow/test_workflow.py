"""The workflow: every example configuration plans its jobs, and the tiny one runs."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from biorrn.proteins.baselines.fit import BASELINES

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted(path.parent.name for path in (ROOT / "tests/workflow").glob("*/config.yaml"))


def folder_for(path: Path) -> Path:
    """Make a folder that a workflow can run in, apart from the project's own results and locks."""
    path.mkdir(exist_ok=True)
    for name in ("data", "config", "tests"):
        if not (path / name).exists():
            (path / name).symlink_to(ROOT / name)
    return path


def snakemake(folder: Path, *words: str | Path, snakefile: str = "Snakefile", **environment: str) -> tuple[int, str]:
    """Run snakemake and return its exit code and what it said."""
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / snakefile, "--directory", folder, "--cores", "2"]
    command += ["--workflow-profile", "none", *words]
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def planned(text: str) -> dict[str, int]:
    """Return the table of a dry run: rule -> jobs."""
    table = text.rpartition("Job stats:")[2]
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def config_of(case: str) -> Path:
    return ROOT / "tests/workflow" / case / "config.yaml"


DEMO = {"predict_sample": 3, "tag_sample": 1, "scan_sample": 1, "basecall": 1, "qc": 1, "map": 1, "report": 1, "all": 1}
DEMO |= {"prepare_tested_protein": 1, "train": 1, "predict": 1, "evaluate_regression": 1, "total": 14}
JOBS = {
    "tiny": {"prepare_protein": 1, "prepare_signal": 1, "train": 2, "predict": 2, "basecall": 1, "qc": 1}
    | {"evaluate_regression": 1, "evaluate_basecalls": 1, "report": 1, "all": 1, "total": 12},
    "proteins": {"prepare_protein": 1, "train": 2, "predict": 4, "evaluate_regression": 2}
    | {"report": 1, "all": 1, "total": 11},
    "signal": {"prepare_signal": 1, "train": 1, "basecall": 1, "qc": 1, "evaluate_basecalls": 1}
    | {"report": 1, "all": 1, "total": 7},
    "joined": {"prepare_protein": 1, "train": 1, "predict": 1, "evaluate_regression": 1}
    | {"report": 1, "all": 1, "total": 6},
    "tagging": {"prepare_tags": 1, "train": 1, "predict": 1, "evaluate_tagging": 1}
    | {"report": 1, "all": 1, "total": 6},
    "classes": {"prepare_protein": 1, "train": 1, "predict": 1, "evaluate_classification": 1}
    | {"report": 1, "all": 1, "total": 6},
    "samples": {"basecall": 1, "list_reads": 1, "basecall_shard": 3, "merge_basecalls": 1, "qc": 2, "map": 1}
    | {"assemble": 2, "predict_sample": 1, "report": 1, "all": 1, "total": 14},
    "sweep": {"prepare_protein": 1, "train": 7, "predict": 7, "evaluate_regression": 7, "sweep": 2}
    | {"report": 1, "all": 1, "total": 26},
}


@pytest.mark.parametrize("case", CASES)
def test_dry_run(case: str, tmp_path: Path) -> None:
    code, text = snakemake(folder_for(tmp_path), "-n", "--quiet", "rules", "--configfile", config_of(case))
    assert code == 0, text
    assert planned(text) == JOBS[case]


def test_the_demo_plans_its_jobs(tmp_path: Path) -> None:
    words = ("--configfile", ROOT / "config/demo.yaml")
    code, text = snakemake(folder_for(tmp_path), "-n", "--quiet", "rules", *words)
    assert code == 0, text
    assert planned(text) == DEMO


def test_both_snakefiles_list_the_same_jobs(tmp_path: Path) -> None:
    found = []
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        code, text = snakemake(folder_for(tmp_path), "-n", "--quiet", "rules", snakefile=snakefile)
        assert code == 0, text
        found.append(planned(text))
    assert found[0] == found[1] == JOBS["tiny"]


def test_a_pool_is_sorted_and_counted_by_its_aliases(tmp_path: Path) -> None:
    folder = folder_for(tmp_path)
    (folder / "aliases.csv").write_text("barcode;alias\n1;liver\n")
    (folder / "samples.csv").write_text(
        "name,kind,input,kit,aliases\npool,signal,data/simulated_reads/simulated.pod5,EXP-NBD104,aliases.csv\n"
    )
    words = ("-n", "-p", "--config", "samples=samples.csv", "data=[]", "runs=[]")
    code, text = snakemake(folder, *words)
    assert code == 0, text
    commands = [line for line in text.splitlines() if "--sample-sheet aliases.csv" in line]
    assert sorted(line.partition("biorrn ")[2].split()[0] for line in commands) == ["demux", "qc"]


def test_real_data_is_named_once(shared_data: Path, tmp_path: Path) -> None:
    """The environment variable is enough, and the configuration key goes before it."""
    words = ("-n", "--quiet", "rules", "--configfile", ROOT / "config/real.yaml")
    folder = folder_for(tmp_path)
    code, text = snakemake(folder, *words, BIORRN_SHARED_DATA=str(shared_data))
    assert code == 0, text
    assert planned(text)["train"] == 2
    code, text = snakemake(folder, *words, "--config", "real_data=nowhere", BIORRN_SHARED_DATA=str(shared_data))
    assert code == 1
    assert "no real data at nowhere" in text


def test_the_training_of_the_basecallers_plans_its_jobs(tmp_path: Path) -> None:
    """Without the data: labels, mixtures and four networks, two of which are calibrated and shipped."""
    words = ("-n", "--quiet", "rules", "--config", f"output={tmp_path}/a folder", "real_data=/no where")
    code, text = snakemake(folder_for(tmp_path), *words, snakefile=str(ROOT / "workflow/basecaller.smk"))
    assert code == 0, text
    wanted = {"events": 2, "labelled": 8, "walks": 2, "mix": 3, "train": 4, "calibrate": 2, "all": 1}
    assert planned(text) == {**wanted, "total": sum(wanted.values())}


def test_a_fault_of_the_configuration_is_one_line(tmp_path: Path) -> None:
    """`test_config.py` has the faults; this is how one looks from outside."""
    code, text = snakemake(folder_for(tmp_path), "-n", "--config", "outptu=x")
    assert code == 1
    assert "key 'outptu' is unknown; did you mean 'output'?" in text
    assert "Traceback" not in text


def test_lint_is_silent(tmp_path: Path) -> None:
    code, text = snakemake(folder_for(tmp_path), "--lint")
    assert code == 0, text
    assert "good condition" in text


@pytest.mark.slow
def test_pipeline(tmp_path: Path) -> None:
    """The whole of it, and then nothing is left to do."""
    folder = folder_for(tmp_path)
    words = ("--configfile", config_of("tiny"), "--show-failed-logs")
    code, text = snakemake(folder, *words, OMP_NUM_THREADS="1")
    assert code == 0, text
    out = folder / "out"
    assert "stability" in (out / "report.html").read_text(encoding="utf-8")
    famous = (out / "predictions/stability/famous.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in famous[1:3]] == ["UBIQ_HUMAN", "GB1"]
    assert len(famous) == 1 + (ROOT / "data/proteins.fasta").read_text().count(">")
    assert (out / "runs/caller/history.tsv").read_text().count("\n") == 2
    assert (out / "basecalls/caller.fastq.gz").stat().st_size > 0

    code, text = snakemake(folder, *words)
    assert code == 0, text
    assert "Nothing to be done" in text


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """The shipped models come first in the report, and the network beats every baseline on rows that it never saw."""
    folder = folder_for(tmp_path)
    code, text = snakemake(folder, "--configfile", ROOT / "config/demo.yaml", "--show-failed-logs", OMP_NUM_THREADS="1")
    assert code == 0, text
    page = (folder / "results/report.html").read_text(encoding="utf-8")
    assert page.index('id="results"') < page.index('id="overview"')
    for words in (
        "stability score of a designed mini-protein",
        "Scan of TEM1",
        "States of residues",
        "Mapping by sample",
    ):
        assert words in page
    content = json.loads((folder / "results/evaluation/motif.json").read_text())
    assert content["split"] == "test"
    compared = content["baselines"]["signal"]
    assert set(compared) == set(BASELINES)
    assert all(entry["beats"] for entry in compared.values())


@pytest.mark.slow
def test_scattered_calls_are_those_of_one_process(tmp_path: Path) -> None:
    """Byte for byte, and the table of reads too, but for the seconds that each took."""
    folder = folder_for(tmp_path)
    reads = ["data/simulated_reads/simulated.blow5", "data/simulated_reads/simulated.fast5"]
    calls, table = "out/basecalls/cut.fastq.gz", "out/basecalls/cut.summary.tsv.gz"
    code, text = snakemake(folder, calls, "--configfile", config_of("samples"), OMP_NUM_THREADS="1")
    assert code == 0, text
    assert text.count("Calling the reads of cut, part") == 3
    command = [sys.executable, "-m", "biorrn", "basecall", *reads, "--model", "fast"]  # as the sheet has it
    command += ["-o", "one.fastq.gz", "--summary", "one.tsv.gz"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / calls).read_bytes() == (folder / "one.fastq.gz").read_bytes()
    assert gzip.decompress((folder / table).read_bytes()) == gzip.decompress((folder / "one.tsv.gz").read_bytes())
    assert not (folder / "out/basecalls/cut.shards").exists()


OTHER = """
configfile: "config.yaml"

module biorrn:
    snakefile: {snakefile!r}
    config: config["biorrn"]

use rule * from biorrn as biorrn_*

rule mine:
    default_target: True
    input: "results/proteins/data/stability.json"
    output: "mine.txt"
    shell: "wc -c < {{input}} > {{output}}"
"""


@pytest.mark.slow
def test_as_a_module_of_another_workflow(tmp_path: Path) -> None:
    """Its own configuration under a key, its own rules beside ours; nothing of this repository but the Snakefile."""
    folder = folder_for(tmp_path / "other")
    (folder / "config").unlink()
    (folder / "Snakefile").write_text(OTHER.format(snakefile=str(ROOT / "workflow/Snakefile")))
    ours = yaml.safe_load(config_of("proteins").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({"biorrn": ours, "own_key": 3}))
    code, text = snakemake(folder, snakefile=str(folder / "Snakefile"))
    assert code == 0, text
    assert int((folder / "mine.txt").read_text()) > 100
    code, text = snakemake(folder, "biorrn_all", "-n", "--quiet", "rules", snakefile=str(folder / "Snakefile"))
    assert code == 0, text
    assert planned(text)["biorrn_train"] == 2
