"""What is added to the facts of a trained basecaller: how early its bases come, a calibration of its Q-scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import Recipe, change_recipe, load_recipe, parse_recipe
from biorrn.kernels.crf.loss import posteriors
from biorrn.nanopore import task as basecalling
from biorrn.nanopore.task import SignalData, frames_early, teacher_of, windows_fit
from biorrn.nn.layout import stride
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_model, save_model
from biorrn.rerun import read_plan, trained_reads
from biorrn.sequences.prepared.files import signal_writer
from biorrn.training.task import complete, load_task
from biorrn.training.train import train

STRIDE, DWELL, SPREAD = 5, 20, 0.35


class Sure(nn.Module):
    """Reads the level of each base off the signal and says the base some frames before it begins."""

    def __init__(self, early: int) -> None:
        super().__init__()
        self.early = early

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        levels = x[:, ::STRIDE, 0].round().long()  # 1 to 4 for the base, (B, T')
        new = torch.ones_like(levels, dtype=torch.bool)
        new[:, 1:] = levels[:, 1:] != levels[:, :-1]
        said = torch.where(new, levels, 0)  # CTC: a base in its first frame, blanks behind it
        said = torch.roll(said, -self.early, 1)
        return 20.0 * torch.nn.functional.one_hot(said, 5).float(), -(-lengths // STRIDE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("early") / "levels.h5"
    rng = np.random.default_rng(0)
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for number in range(4):
            bases = rng.integers(1, 5, 400)
            bases = np.array([b for a, b in zip([0, *bases], bases, strict=False) if a != b], np.uint8)
            signal = np.repeat(bases.astype(np.float32), DWELL)
            writer.add(f"r{number}", signal, bases, np.arange(len(bases)) * DWELL, split=int(number > 0))
    return path


class Doubting(nn.Module):
    """Takes each change of the level for a base, and is as sure of it as the spread of the levels allows."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        levels = x[:, ::STRIDE, 0]
        new = torch.ones_like(levels, dtype=torch.bool)
        new[:, 1:] = levels[:, 1:] != levels[:, :-1]
        scores = -((levels[:, :, None] - torch.arange(1, 5)) ** 2) / (2 * SPREAD**2)
        blank = torch.where(new, scores.amax(2) - 20, scores.amax(2) + 20)
        return torch.cat([blank[:, :, None], scores], 2), -(-lengths // STRIDE)


def made_recipe() -> Recipe:
    network = {
        "frontend": {"name": "conv", "layers": [{"width": 4, "kernel": 5}]},
        "core": {"cell": "lstm", "hidden": 4, "layers": 1},
        "head": {"name": "ctc"},
    }
    chunks = {"samples": 2000, "overlap": 100}
    return parse_recipe({"name": "sure", "task": "basecalling", "model": network, "chunks": chunks})


def test_a_training_goes_on_from_a_model_of_the_same_signal(tmp_path: Path) -> None:
    from biorrn.base.errors import ConfigError
    from biorrn.nanopore.task import continue_from, open_data

    def data(name: str, normaliser: str, rna: bool = False) -> basecalling.SignalData:
        bases = np.tile(np.arange(1, 5, dtype=np.uint8), 100)
        with signal_writer(tmp_path / name, normaliser, 4000.0, "truth", rna=rna) as writer:
            for number in range(2):
                writer.add(f"r{number}", np.zeros(4000), bases, np.arange(400) * 10, split=number)
        return open_data(tmp_path / name, made_recipe())

    dna, rna = data("dna.h5", "picoampere(91.9, 22.7)"), data("rna.h5", "medmad", rna=True)
    assert "reversed" not in dna.facts
    assert rna.facts["reversed"] is True
    facts = {"task": "basecalling", "normaliser": "picoampere(91.9, 22.7)", "licence": "theirs", "origin": "hac@v9"}
    continue_from(dna, facts, "hac@v9")
    assert (dna.facts["licence"], dna.facts["origin"]) == ("theirs", "hac@v9")
    with pytest.raises(ConfigError, match=r"--init m: is for signal by picoampere\(.*; the prepared file is by medmad: "
                       "prepare the reads with biorrn prepare signal --model m"):  # fmt: skip
        continue_from(rna, facts, "m")
    with pytest.raises(ConfigError, match="--init m: is a model of DNA; the prepared file is of RNA"):
        continue_from(rna, facts | {"normaliser": "medmad"}, "m")
    with pytest.raises(ConfigError, match="--init m: is a model of RNA; the prepared file is of DNA"):
        continue_from(dna, facts | {"reversed": True}, "m")
    continue_from(dna, {"task": "translation"}, "m")  # which gives its front end


@pytest.mark.parametrize("early", [0, 1, 3])
def test_frames_early_are_those_of_the_model(early: int, prepared: Path) -> None:
    recipe = made_recipe()
    found, seen = frames_early(Stored.of(Sure(early), recipe, {"stride": STRIDE}, Path("sure")), prepared, device="cpu")
    assert found == early
    assert seen > 500


def doubting(prepared: Path) -> Stored:
    facts = {"task": "basecalling", "outputs": 5, "stride": STRIDE, "sample_rate": 4000.0, "normaliser": "picoampere"}
    return Stored.of(Doubting(), made_recipe(), facts, prepared)


def test_qualities_are_calibrated_on_validation_windows(tmp_path: Path) -> None:
    path = tmp_path / "noisy.h5"
    rng = np.random.default_rng(0)
    with signal_writer(path, "picoampere", 4000.0, "truth") as writer:
        for number in range(40):
            bases = rng.integers(1, 5, 400).astype(np.uint8)
            signal = np.repeat((bases + rng.normal(0, SPREAD, len(bases))).astype(np.float32), DWELL)
            writer.add(f"r{number}", signal, bases, np.arange(len(bases)) * DWELL, split=int(number > 0))
    fit = windows_fit(doubting(path), path, device="cpu")
    assert fit.reads > 100
    assert fit.noise > 10
    assert fit.after["q_gap"] < 2.5  # this model takes noise for bases like any, so that those are believed less
    assert fit.after["calibration_error"] < 0.1


def test_without_errors_there_is_no_calibration(prepared: Path) -> None:
    with pytest.raises(BiorrnError, match="expected 5 reads and 100 wrong bases"):
        windows_fit(doubting(prepared), prepared, device="cpu")


def test_a_model_without_a_calibration_says_how_to_make_one(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, kept = doubting(prepared), {}
    stored.facts["early"] = 0
    monkeypatch.setattr(basecalling, "load_model", lambda folder: stored)
    monkeypatch.setattr(basecalling, "update_facts", lambda folder, **entries: kept.update(entries))
    complete("basecalling", "run", prepared, device="cpu")
    assert kept == {}
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no calibration of Q-scores" in said
    assert "biorrn evaluate calibrate run READS --reference GENOME makes one" in said


def test_reads_that_trained_a_model_are_known(prepared: Path, tmp_path: Path) -> None:
    assert trained_reads(tmp_path) == set()
    (tmp_path / "provenance.json").write_text(json.dumps({"data": {str(prepared): "sha"}}))
    assert trained_reads(tmp_path) == {"r0"}
    (tmp_path / "provenance.json").write_text(json.dumps({"data": {str(tmp_path / "gone.h5"): "sha"}}))
    assert trained_reads(tmp_path) == set()


SMALL = ["model.core.hidden=16", "model.frontend.layers.2.width=16", "model.core.layers=2", "model.head.state_len=2",
         "chunks.samples=400", "chunks.epoch=8", "training.batch_size=4"]  # fmt: skip


def teach(folder: Path, prepared: Path, *changes: str, normaliser: str = "medmad") -> Recipe:
    """Write an untrained teacher, and return the recipe of a narrower model that learns from it."""
    torch.manual_seed(0)
    recipe = change_recipe(load_recipe("fast"), [*SMALL, *changes])
    facts = {"task": "basecalling", "outputs": 5, "sample_rate": 4000.0, "normaliser": normaliser}
    facts["stride"] = stride(recipe)
    save_model(folder, build_model(recipe.network, 5), recipe, facts)
    return change_recipe(load_recipe("fast"), [*SMALL, "model.core.hidden=8", f"training.teacher={folder}"])


def test_the_teacher_says_what_its_network_does(prepared: Path, tmp_path: Path) -> None:
    recipe = teach(tmp_path / "teacher", prepared)
    network = load_model(tmp_path / "teacher").model
    for batch in SignalData(prepared, recipe).train(0, 0):
        scores, frames = network(batch.x, batch.lengths)
        said = teacher_of(recipe)(batch)
        # the kernels of a CPU may calculate with fewer digits
        assert (said - posteriors(scores, frames)).abs().max() < 0.05
        torch.testing.assert_close(said.sum((1, 2)), frames.float())


def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(prepared: Path, tmp_path: Path) -> None:
    recipe = change_recipe(teach(tmp_path / "teacher", prepared), ["training.teacher_share=1.0"])
    batch = next(SignalData(prepared, recipe).train(0, 0))
    grown: dict[str, float] = {}
    models = {"itself": load_model(tmp_path / "teacher").model, "another": build_model(recipe.network, 5)}
    for name, model in models.items():
        scores, frames = model(batch.x, batch.lengths)
        scores.retain_grad()
        basecalling.loss(model, scores, frames, batch, recipe).backward()
        grown[name] = float(scores.grad.abs().sum())
    assert grown["itself"] < 0.1 * grown["another"]


def test_validation_knows_no_teacher(prepared: Path, tmp_path: Path) -> None:
    recipe = teach(tmp_path / "teacher", prepared)
    without = change_recipe(recipe, ["training.teacher=null"])
    data = SignalData(prepared, recipe)
    model = basecalling.make_model(recipe, data)
    batch = next(iter(data.valid()))
    with torch.no_grad():
        scores, frames = model(batch.x, batch.lengths)
        losses = [basecalling.loss(model, scores, frames, batch, one) for one in (recipe, without)]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("changes", "normaliser", "message"),
    [
        (["model.head.state_len=3"], "medmad", "found state_len 3; allowed is that of the recipe and the data, 2"),
        (
            ["model.frontend.layers.2.stride=4"],
            "medmad",
            "found stride 4; allowed is that of the recipe and the data, 5",
        ),
        ([], "quantile", "found normaliser quantile; allowed is that of the recipe and the data, medmad"),
    ],
)
def test_a_teacher_of_another_kind_is_refused(
    changes: list[str], normaliser: str, message: str, prepared: Path, tmp_path: Path
) -> None:
    recipe = teach(tmp_path / "teacher", prepared, *changes, normaliser=normaliser)
    with pytest.raises(ConfigError, match=message):
        basecalling.make_model(recipe, SignalData(prepared, recipe))


def test_a_teacher_is_of_no_other_task(prepared: Path) -> None:
    recipe = change_recipe(load_recipe("fast"), [*SMALL, "training.teacher=stability"])
    with pytest.raises(ConfigError, match="teacher=stability: found task regression"):
        basecalling.make_model(recipe, SignalData(prepared, recipe))
    with pytest.raises(ConfigError, match=r"'training\.teacher' is for loss crf; found loss 'huber"):
        change_recipe(load_recipe("stability_gru"), ["training.teacher=stability"])


def test_a_taught_model_forgets_its_teacher_and_the_run_does_not(prepared: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    recipe = change_recipe(teach(teacher, prepared), ["training.epochs=2", "training.precision='32'"])
    run = train(recipe, prepared, tmp_path / "run", load_task("basecalling"), threads=1)
    assert load_model(run).recipe.training.teacher is None
    plan = read_plan(run)
    assert plan.recipe.training.teacher == str(teacher)
    again = train(plan.recipe, prepared, tmp_path / "again", load_task("basecalling"), threads=1)
    assert (run / "weights.safetensors").read_bytes() == (again / "weights.safetensors").read_bytes()
    tuned = change_recipe(load_model(run).recipe, ["training.epochs=1"])
    assert train(tuned, prepared, tmp_path / "tuned", load_task("basecalling"), threads=1, init=run).is_dir()
    teach(teacher, prepared, "model.core.hidden=12")
    with pytest.raises(InputError, match="is not the file of the run"):
        read_plan(run)


def test_a_model_folder_that_names_a_teacher_is_refused(prepared: Path, tmp_path: Path) -> None:
    teach(tmp_path / "model", prepared)
    text = (tmp_path / "model" / "recipe.yaml").read_text()
    (tmp_path / "model" / "recipe.yaml").write_text(text.replace("teacher: null", "teacher: /elsewhere"))
    with pytest.raises(InputError, match="names the file '/elsewhere'"):
        load_model(tmp_path / "model")
