"""The workflow with everything in a bucket: inputs, outputs and logs on an S3 server that runs here."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

pytest.importorskip("snakemake_storage_plugin_s3", reason="pip install snakemake-storage-plugin-s3")
server = pytest.importorskip("moto.server", reason="pip install 'moto[s3]' flask flask-cors")
boto3 = pytest.importorskip("boto3")

ROOT = Path(__file__).resolve().parents[2]
SIMULATED = "data/simulated_reads"
INPUTS = (
    "data/synthetic_stability.csv",
    "data/proteins.fasta",
    *(f"{SIMULATED}/{name}" for name in ("simulated.pod5", "truth.tsv", "reference.fasta")),
)
STORAGE = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://archive")
TINY = ("--workflow-profile", "none", "--cores", "2", "--configfile", "tests/workflow/tiny/config.yaml")


class Bucket:
    """A bucket with the example data in it, and what Snakemake needs to know to reach it."""

    def __init__(self, host: str, port: int) -> None:
        url, key, secret = f"http://{host}:{port}", "biorrn", "of no worth"
        variables = {"ENDPOINT_URL": url, "ACCESS_KEY": key, "SECRET_KEY": secret}
        self.environment = {f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in variables.items()}
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
        )
        self.client.create_bucket(Bucket="archive")
        for path in INPUTS:
            self.client.upload_file(str(ROOT / path), "archive", path)

    def files(self) -> dict[str, int]:
        """Return the bytes of each file, by its key."""
        listed = self.client.list_objects_v2(Bucket="archive")
        return {entry["Key"]: entry["Size"] for entry in listed["Contents"]}

    def read(self, key: str) -> str:
        """Return what is in a file."""
        return self.client.get_object(Bucket="archive", Key=key)["Body"].read().decode()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return a bucket on a server that ends with the test."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        yield Bucket(*running.get_host_and_port())
    finally:
        running.stop()


@pytest.fixture
def far_place(place: Path) -> Path:
    """Return a folder without the example data: what is read comes out of the bucket."""
    (place / "data").unlink()
    return place


def test_outputs_go_to_the_bucket(
    bucket: Bucket, run_workflow: Callable[..., tuple[int, str]], far_place: Path
) -> None:
    """From table to predictions, with no result beside the bucket's; then nothing is left to do."""
    words = (*TINY, *STORAGE, "--show-failed-logs", "--", "out/predictions/stability/famous.tsv")
    code, text = run_workflow(*words, **bucket.environment)
    assert code == 0, text
    files = bucket.files()
    for key in ("data/proteins.h5", "runs/stability/weights.safetensors", "logs/train/stability.log"):
        assert files[f"out/{key}"] > 0, key
    table = bucket.read("out/predictions/stability/famous.tsv").splitlines()
    assert [line.split("\t")[0] for line in table[1:3]] == ["UBIQ_HUMAN", "GB1"]
    assert not (far_place / "out/runs").exists()

    code, text = run_workflow(*words, **bucket.environment)
    assert code == 0, text
    assert "Nothing to be done" in text


def test_every_rule_takes_a_bucket(
    bucket: Bucket, run_workflow: Callable[..., tuple[int, str]], far_place: Path
) -> None:
    """The plan on a bucket is the plan on files, and no command names a result by its place on a disk."""
    code, text = run_workflow(*TINY, *STORAGE, "--dry-run", "--printshellcmds", **bucket.environment)
    assert code == 0, text
    assert re.search(r"^evaluate_basecalls +1$", text, re.MULTILINE), text
    commands = re.findall(r"^Shell command: (.*)$", text, re.MULTILINE)
    assert len(commands) >= 10
    assert [found for command in commands for found in re.findall(r"(?<!archive/)\bout/\S+", command)] == []
