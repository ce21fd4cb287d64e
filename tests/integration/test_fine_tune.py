"""Fine-tuning of another program's model folder: prepare -> train -> basecall -> export, on simulated reads."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from biorrn.nn.store import Stored, load_facts, load_model
from biorrn.sequences.records import SignalRecord

CHEMISTRY = "dna_r10.4.1_e8.2_400bps_4khz"
NAME = "dna_r10.4.1_e8.2_400bps_tiny@v4.1.0"
Cli = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Dorado folder of a small untrained network, whose scores are spread enough to call bases."""
    from biorrn.config.recipe import change_recipe, load_recipe
    from biorrn.nanopore.models.exports import export
    from biorrn.nn.sequence import build

    changes = ["model.core.hidden=8", "model.frontend.layers.2.width=8"]
    recipe = change_recipe(load_recipe("fast"), changes)
    facts = {"task": "basecalling", "outputs": 5, "normaliser": "picoampere(90.0, 16.0)", "sample_rate": 4000.0,
             "stride": 5, "chemistry": [CHEMISTRY], "licence": "their own", "origin": NAME}  # fmt: skip
    torch.manual_seed(3)
    model = build(recipe, facts)
    with torch.no_grad():
        model.head.output[-1].weight.mul_(30)
    place = tmp_path_factory.mktemp("theirs") / NAME
    export(Stored.of(model, recipe, facts, place), place, "dorado")
    return place


@pytest.fixture(scope="module")
def reads(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the simulated reads, which then state the flow cell and kit of R10.4.1."""
    from biorrn.nanopore.chemistry import chemistry_tags
    from biorrn.nanopore.readers.files import read_signal
    from biorrn.nanopore.simulate.writers import open_signal

    def all_reads() -> Iterator[SignalRecord]:
        for record in read_signal(root / "data/simulated_reads/simulated.blow5"):
            yield replace(record, run_tags=chemistry_tags(CHEMISTRY), kit="")

    path = tmp_path_factory.mktemp("reads") / "r10.blow5"
    with open_signal(path) as write:
        for record in all_reads():
            write(record)
    return path


def test_a_folder_of_another_program_is_fine_tuned(
    run_cli: Cli,
    capsys: pytest.CaptureFixture[str],
    root: Path,
    folder: Path,
    reads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared, run, calls = tmp_path / "own.h5", tmp_path / "models" / "own", tmp_path / "calls.sam"
    labels = ("--labels", "truth", "--truth", root / "data/simulated_reads/truth.tsv")
    split = ("--split", "reference:simulated_reference:0-3000=valid")
    assert run_cli("prepare", "signal", reads, *labels, *split, "--model", folder, "-o", prepared) == 0
    with h5py.File(prepared) as file:
        assert file.attrs["normaliser"] == "picoampere(90.0, 16.0)"
        segment = file["signal"][: int(file["signal_offsets"][1])].astype(np.float32)
    assert abs(float(segment.mean())) < 1  # picoamperes less 90, in units of 16

    monkeypatch.setenv("BIORRN_MODELS", str(folder.parent))
    short = ("--set", "training.epochs=1", "--set", "chunks.epoch=128", "--threads", 1, "--device", "cpu")
    capsys.readouterr()
    assert run_cli("train", NAME, prepared, "-o", run, *short) == 0  # by its name
    err = capsys.readouterr().err
    given, own = load_model(folder), load_model(run)
    assert f"{len(given.tensors)} tensors from {folder}" in err
    assert own.recipe.network == given.recipe.network
    assert own.facts["normaliser"] == given.facts["normaliser"]
    assert (own.facts["chemistry"], own.facts["sample_rate"]) == ([CHEMISTRY], 4000.0)
    assert (own.facts["licence"], own.facts["origin"]) == ("their own", NAME)
    changed = [name for name, array in own.tensors.items() if not np.array_equal(array, given.tensors[name])]
    assert changed, "it was trained"

    monkeypatch.delenv("BIORRN_MODELS")
    options = ("--min-length", 1, "--threads", 1, "--device", "cpu", "--allow-empty")
    assert run_cli("basecall", reads, "--models-dir", run.parent, "-o", calls, *options) == 0
    err = capsys.readouterr().err
    assert f"model own ({run.parent})" in err
    assert "licence of the weights: their own" in err
    bases = [line.split("\t")[9] for line in calls.read_text().splitlines() if not line.startswith("@")]

    for kind in ("dorado", "bonito"):
        place = tmp_path / kind / NAME
        assert run_cli("models", "export", run, "--to", kind, "-o", place) == 0
        again = tmp_path / f"{kind}.sam"
        assert run_cli("basecall", reads, "--model", place, "-o", again, *options) == 0
        found = [line.split("\t")[9] for line in again.read_text().splitlines() if not line.startswith("@")]
        assert found == bases


def test_signal_that_is_not_for_the_model_is_refused(
    run_cli: Cli, capsys: pytest.CaptureFixture[str], root: Path, folder: Path, tmp_path: Path
) -> None:
    prepared = tmp_path / "own.h5"
    words = ("prepare", "signal", root / "data/simulated_reads/simulated.blow5", "--labels", "truth", "--truth",
             root / "data/simulated_reads/truth.tsv", "--split", "random:0.6,0.4,0", "-o", prepared)  # fmt: skip
    assert run_cli(*words, "--model", folder) == 2
    assert f"{NAME} is for R10.4.1 DNA at 4000 Hz" in capsys.readouterr().err
    assert run_cli(*words, "--model", folder, "--force", "--normaliser", "quantile") == 0
    assert run_cli("train", folder, prepared, "-o", tmp_path / "run") == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err == (
        f"biorrn: error: --init {folder}: is for signal by picoampere(90.0, 16.0); the prepared file is by quantile: "
        f"prepare the reads with biorrn prepare signal --model {folder}"
    )
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_shipped_model_or_a_run_is_trained_further(run_cli: Cli, root: Path, tmp_path: Path) -> None:
    prepared, run = tmp_path / "own.h5", tmp_path / "run"
    labels = ("--labels", "truth", "--truth", root / "data/simulated_reads/truth.tsv", "--split", "random:0.6,0.4,0")
    data = root / "data/simulated_reads/simulated.blow5"
    assert run_cli("prepare", "signal", data, *labels, "--model", "dna_r9.4.1_fast", "-o", prepared) == 0
    short = ("--set", "training.epochs=1", "--set", "chunks.epoch=64", "--threads", 1, "--device", "cpu")
    assert run_cli("train", "dna_r9.4.1_fast", prepared, "-o", run, *short) == 0
    assert load_facts(run)["licence"] == "MIT"
    assert run_cli("train", run, prepared, "-o", tmp_path / "again", *short) == 0
    assert load_model(tmp_path / "again").recipe.network == load_model(run).recipe.network
    assert run_cli("rerun", tmp_path / "again", "-o", tmp_path / "third", "--check") == 0
