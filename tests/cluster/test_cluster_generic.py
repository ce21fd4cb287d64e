"""The workflow through profiles/cluster-generic, with three scripts that answer as a batch system's commands do."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

pytest.importorskip("snakemake_executor_plugin_cluster_generic")

ROOT = Path(__file__).resolve().parents[2]
# each job has a folder, whose name is its id: what it was asked with, and its exit code when it has ended
SBATCH = """\
#!/bin/bash
id=1
while ! mkdir "{jobs}/$id" 2>/dev/null; do id=$((id + 1)); done
echo "$*" > "{jobs}/$id/words"
(
    bash "${{@: -1}}" > "{jobs}/$id/log" 2>&1
    echo $? > "{jobs}/$id/part"
    mv "{jobs}/$id/part" "{jobs}/$id/code"
) > /dev/null 2>&1 &
echo $id
"""
SCONTROL = """\
#!/bin/bash
id="${{@: -1}}"
state=RUNNING
[ -e "{jobs}/$id/code" ] && state=COMPLETED && [ "$(cat "{jobs}/$id/code")" != 0 ] && state=FAILED
echo "JobId=$id JobName=job JobState=$state Reason=None"
"""


@pytest.fixture
def batch(tmp_path: Path) -> tuple[Path, str]:
    """Return the folder of the jobs of a batch system, and the path on which its commands are."""
    jobs, commands = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    commands.mkdir()
    for name, script in {"sbatch": SBATCH, "scontrol": SCONTROL, "scancel": "#!/bin/sh\n"}.items():
        (commands / name).write_text(script.format(jobs=jobs))
        (commands / name).chmod(0o755)
    return jobs, f"{commands}{os.pathsep}{os.environ['PATH']}"


def test_jobs_are_submitted_and_waited_for(
    batch: tuple[Path, str], run_workflow: Callable[..., tuple[int, str]], place: Path
) -> None:
    """Each job with what its rule asks for."""
    jobs, path = batch
    code, text = run_workflow(
        *("--workflow-profile", "profiles/cluster-generic", "--configfile", "tests/workflow/tiny/config.yaml"),
        *("--set-resources", "prepare_signal:gpu=1", "--seconds-between-status-checks", "1"),
        *("--", "out/data/proteins.h5", "out/data/reads.h5"),
        PATH=path,
    )
    assert code == 0, text
    assert (place / "out/data/proteins.h5").stat().st_size > 0
    assert (place / "out/data/reads.h5").stat().st_size > 0
    protein, signal = sorted((job / "words").read_text() for job in jobs.iterdir())
    assert "--job-name=prepare_protein " in protein
    assert "--cpus-per-task=1 --mem=2000 --time=30 --gres=gpu:0 " in protein
    assert "--job-name=prepare_signal " in signal
    assert "--cpus-per-task=1 --mem=2000 --time=60 --gres=gpu:1 " in signal


def test_a_job_that_fails_is_told_with_its_reason(
    batch: tuple[Path, str], run_workflow: Callable[..., tuple[int, str]], place: Path
) -> None:
    jobs, path = batch
    settings = yaml.safe_load((ROOT / "tests/workflow/tiny/config.yaml").read_text())
    (place / "bad.csv").write_text("id,sequence,stability,set\np1,ACDJ,1.0,train\np2,ACD,oops,valid\n")
    settings["data"][0]["input"] = "bad.csv"
    (place / "bad.yaml").write_text(yaml.safe_dump(settings))
    code, text = run_workflow(
        *("--workflow-profile", "profiles/cluster-generic", "--configfile", "bad.yaml", "--retries", "0"),
        *("--seconds-between-status-checks", "1", "--", "out/data/proteins.h5"),
        PATH=path,
    )
    assert code == 1
    assert (jobs / "1/code").read_text() != "0\n"
    assert re.search(r"Error in rule prepare_protein", text)
    assert "bad.csv" in (place / "out/logs/prepare_protein/proteins.log").read_text()
    assert "oops" in text
    assert not (place / "out/data/proteins.h5").exists()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("JobId=7 JobState=COMPLETED Reason=None", "success"),
        ("JobId=7 JobState=PENDING Reason=Resources", "running"),
        ("JobId=7 JobState=RUNNING Reason=None", "running"),
        ("JobId=7 JobState=COMPLETING Reason=None", "running"),
        ("JobId=7 JobState=TIMEOUT Reason=TimeLimit", "failed"),
        ("JobId=7 JobState=OUT_OF_MEMORY Reason=None", "failed"),
        ("JobId=7 JobState=CANCELLED Reason=None", "failed"),
    ],
)
def test_status(answer: str, word: str, tmp_path: Path, run_command: Callable[..., str]) -> None:
    """What Slurm says of a job, in the words that Snakemake asks for."""
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (tmp_path / "scontrol").chmod(0o755)
    assert run_command("profiles/cluster-generic/slurm-status.sh", "7", PATH=f"{tmp_path}:{os.environ['PATH']}") == word


def test_status_of_a_job_that_the_controller_forgot(tmp_path: Path, run_command: Callable[..., str]) -> None:
    """The accounts say; `CANCELLED by 0` is one of their words."""
    (tmp_path / "scontrol").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n"
    )
    (tmp_path / "sacct").write_text("#!/bin/sh\necho 'CANCELLED by 0'\n")
    for name in ("scontrol", "sacct"):
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert run_command("profiles/cluster-generic/slurm-status.sh", "7", PATH=path) == "failed"
