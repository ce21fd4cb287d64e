"""A Slurm of one node, started here and ended with the test: the workflow runs through profiles/slurm.

The node has one GPU that is none: Slurm counts the file /dev/null, which is enough to see what jobs ask for and get.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

pytest.importorskip("snakemake_executor_plugin_slurm")

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "sinfo", "scancel")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=2
GresTypes=gpu
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE
"""
SRUN = '#!/bin/sh\nSLURM_CONF={configuration} exec {srun} "$@"\n'


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ask(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm's in the environment of this cluster."""
    return subprocess.run(
        command, env={**os.environ, **environment}, text=True, capture_output=True, check=False, timeout=60
    )


def jobs(environment: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return what the controller has written down of each job, by the comment, in which the plugin puts the rule."""
    found = {}
    for line in ask(environment, "scontrol", "show", "job", "--details", "--oneliner").stdout.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        found[fields["Comment"]] = fields
    return found


def start(folder: Path) -> tuple[list[subprocess.Popen[bytes]], dict[str, str]]:
    """Start the three daemons with all their files in `folder`; return them and the environment to reach them by."""
    ports = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, control=ports[0], node=ports[1], folder=folder))
    (folder / "gres.conf").write_text("NodeName=node Name=gpu File=/dev/null\n")
    # the plugin's job takes SLURM_CONF, as all that begins with SLURM_, out of the environment of srun: on a cluster
    # the file lies where Slurm looks for it, here it does not
    srun = folder / "bin/srun"
    srun.write_text(SRUN.format(configuration=configuration, srun=shutil.which("srun")))
    srun.chmod(0o755)
    environment = {"SLURM_CONF": str(configuration), "PATH": f"{srun.parent}{os.pathsep}{os.environ['PATH']}"}

    munge = [
        f"--{name}={folder}/munge{suffix}"
        for name, suffix in (
            ("key-file", ".key"),
            ("socket", ".sock"),
            ("pid-file", ".pid"),
            ("log-file", "d.log"),
            ("seed-file", ".seed"),
        )
    ]
    commands = (
        ["munged", "--foreground", "--force", *munge],
        ["slurmctld", "-D", "-i", "-L", f"{folder}/slurmctld.log"],
        ["slurmd", "-D", "-N", "node", "-L", f"{folder}/slurmd.log"],
    )
    # the daemons end with this process, even where it is killed
    bound = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    started = []
    for command in commands:
        with (folder / f"{command[0]}.out").open("wb") as out:
            started.append(
                subprocess.Popen([*bound, *command], env={**os.environ, **environment}, stdout=out, stderr=out)
            )
        if command[0] == "munged":
            wait_for((folder / "munge.sock").exists)
    return started, environment


def wait_for(ready: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether something came true in time."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start Slurm, or skip where it cannot be; return the environment variables that lead to it."""
    absent = [name for name in (*DAEMONS, *COMMANDS) if not shutil.which(name)]
    if absent:
        pytest.skip(f"Slurm is not installed: no {', '.join(absent)} (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs as other users: it needs root")
    folder = tmp_path / "slurm"
    folder.mkdir()
    started, environment = start(folder)
    try:

        def idle() -> bool:
            return ask(environment, "sinfo", "--noheader", "--format=%T").stdout.strip() == "idle"

        if not wait_for(lambda: idle() or any(daemon.poll() is not None for daemon in started)) or not idle():
            last = [f"{log.name}: {log.read_text(errors='replace')[-300:]}" for log in sorted(folder.glob("*d.log"))]
            pytest.skip("Slurm did not start here: " + " | ".join(last))
        yield environment
    finally:
        with suppress(subprocess.TimeoutExpired):
            ask(environment, "scancel", "--user=root")
            wait_for(lambda: not ask(environment, "squeue", "--noheader").stdout.strip(), 20)
        for daemon in reversed(started):
            daemon.terminate()
        for daemon in reversed(started):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def test_workflow_through_slurm(
    slurm: dict[str, str], run_workflow: Callable[..., tuple[int, str]], place: Path
) -> None:
    """One run from table to evaluation: each job gets what its rule asks for, the training a GPU."""
    code, text = run_workflow(
        *("--workflow-profile", "profiles/slurm", "--configfile", "tests/workflow/tiny/config.yaml"),
        *("--set-resources", "train:gpu=1"),
        # two rules as one job, and answers as soon as they are there: the test is over sooner
        *("--groups", "predict=judge", "evaluate_regression=judge"),
        *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
        *("--", "out/evaluation/stability.json"),
        **slurm,
    )
    assert code == 0, text
    assert json.loads((place / "out/evaluation/stability.json").read_text())["name"] == "stability"

    found = jobs(slurm)
    prepare, train = found["rule_prepare_protein_wildcards_proteins"], found["rule_train_wildcards_stability"]
    (judge,) = (found[name] for name in found if name.startswith("rule_judge"))
    assert {name: job["JobState"] for name, job in found.items()} == dict.fromkeys(found, "COMPLETED")
    assert len(found) == 3
    assert train["JOB_GRES"] == "gpu:1"
    assert prepare["JOB_GRES"] == judge["JOB_GRES"] == "(null)"
    assert (train["NumCPUs"], train["TimeLimit"]) == ("1", "04:00:00")
    assert "mem=4000M" in train["TRES"]
    assert "mem=2000M" in prepare["TRES"]
    assert judge["NumCPUs"] == "1"  # as its run says


def test_gpus_are_counted(slurm: dict[str, str]) -> None:
    """The node has one: a job that wants two is refused, so that a job that got one did ask for it."""
    assert ask(slurm, "sbatch", "--test-only", "--gpus=1", "--wrap=true").returncode == 0
    refused = ask(slurm, "sbatch", "--test-only", "--gpus=2", "--wrap=true")
    assert refused.returncode != 0
    assert "not available" in refused.stderr
