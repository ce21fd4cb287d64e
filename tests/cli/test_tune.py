"""`train-table --tune lora` on a tiny language model with random weights: competes, ships, predicts; wrong inputs."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from biorrn.nn import hub
from biorrn.proteins.train_table import tune
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import STANDARD

pytest.importorskip("peft", reason="needs the extra plm")
Run = Callable[..., int]
QUICK = ("--device", "cpu", "--threads", "1", "--max-minutes", "0.02")


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test look for language models as a process of its own would."""
    monkeypatch.setattr(hub, "_OFFERED", {})
    yield
    embeddings.release()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with t.csv of 90 proteins, their share of leucine and a class of it, and x.fasta of six."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("tuned")
    with open(path / "t.csv", "w") as stream, open(path / "x.fasta", "w") as fasta:
        stream.write("id,sequence,leucine,kind\n")
        for row in range(90):
            text = "".join(rng.choice([*STANDARD, *"L" * int(rng.integers(0, 30))], rng.integers(12, 25)))
            share = 100 * text.count("L") / len(text)
            stream.write(f"p{row},{text},{share:.2f},{'rich' if share > 40 else 'poor'}\n")
            if row < 6:
                fasta.write(f">p{row}\n{text}\n")
    return path


def test_adapters_compete_and_the_model_is_like_any_other(
    folder: Path,
    tiny_esm: Path,
    tmp_path: Path,
    run_cli: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tune, "LEAST", 0.0)
    monkeypatch.setattr("biorrn.proteins.train_table.choice.FEWEST", 1)  # however slow the machine
    words = ("train-table", folder / "t.csv", "--target", "kind", "--embeddings", tiny_esm, "--tune", "lora")
    run = tmp_path / "run"
    assert run_cli(*words, *QUICK, "-o", run) == 0
    out = capsys.readouterr().out
    assert "tiny_esm with adapters: about" in out
    assert f"--embeddings {tiny_esm} -o" in out
    line = next(line for line in out.splitlines() if line.startswith("validation score that selects the"))
    assert "own_plm_classes" in line
    assert "own_plm_lora" in line
    assert line in (run / "report.html").read_text()
    stored = load_file(run / "weights.safetensors")
    assert any("lora" in name for name in stored)
    assert not any("base_layer" in name or "embeddings." in name for name in stored)
    assert run_cli(*words, *QUICK, "-o", run) == 0
    assert "this run is finished" in capsys.readouterr().out
    assert run_cli("models", "show", run) == 0
    assert "adapters of: the language model tiny_esm (weights" in capsys.readouterr().out
    predict = ("predict", run, folder / "x.fasta", "--device", "cpu", "-o", tmp_path / "p.tsv")
    hub._OFFERED.clear()
    assert run_cli(*predict) == 2
    err = capsys.readouterr().err
    assert "the model was trained on the language model tiny_esm" in err
    assert err.count("\n") == 1
    found = []
    for more in ((), ("--batch-size", "1")):
        assert run_cli(*predict, "--embeddings", tiny_esm, *more) == 0
        with open(tmp_path / "p.tsv") as stream:
            found.append([float(row["kind_probability"]) for row in csv.DictReader(stream, delimiter="\t")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert len(set(found[0])) == 6


def test_explain_and_suggest_find_the_language_model_as_predict_does(
    folder: Path, tiny_esm: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    from biorrn.config.recipe import dump_recipe, parse_recipe

    model = {"frontend": {"name": "plm", "path": str(tiny_esm), "rank": 2}, "core": {"layers": 0}, "pool": ["mean"]}
    own = {"name": "tuned", "task": "regression", "model": model, "training": {"epochs": 1}}
    (tmp_path / "tuned.yaml").write_text(dump_recipe(parse_recipe(own)))
    run, data, more = tmp_path / "run", tmp_path / "t.h5", ("--target", "leucine", "--split", "random")
    assert run_cli("prepare", "protein", folder / "t.csv", *more, "-o", data) == 0
    assert run_cli("train", tmp_path / "tuned.yaml", data, "-o", run, "--device", "cpu") == 0
    wild = "MKLLNNSTLLGGA"
    (tmp_path / "one.fasta").write_text(f">one\n{wild}\n")
    explain = ("explain", run, tmp_path / "one.fasta", "--device", "cpu", "-o", tmp_path / "e.tsv")
    suggest = ("suggest", run, "--wild-type", wild, "-n", "3", "--positions", "2", "--acquisition", "greedy")
    for words in (explain, (*suggest, "--device", "cpu", "-o", tmp_path / "next.csv")):
        hub._OFFERED.clear()
        assert run_cli(*words) == 2
        assert "the model was trained on the language model tiny_esm" in capsys.readouterr().err
        assert run_cli(*words, "--embeddings", tiny_esm) == 0, capsys.readouterr().err
    assert (tmp_path / "e.tsv").read_text().count("\n") == len(wild) + 1
    assert (tmp_path / "next.csv").read_text().count("\n") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tune", "lora"), "--tune lora: needs a language model with --embeddings; found none"),
        (
            ("--tune", "lora", "--embeddings", "e.h5"),
            "--tune lora: needs a language model with --embeddings; found e.h5",
        ),
        (("--tune", "lorra", "--embeddings", "x"), "did you mean 'lora'"),
    ],
)
def test_wrong_inputs_are_one_line(
    words: tuple[str, ...], message: str, folder: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("train-table", folder / "t.csv", "--target", "leucine", *words, "-o", tmp_path / "run") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_folds_of_classes_are_refused_before_a_language_model_runs(
    folder: Path, tiny_esm: Path, tmp_path: Path, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train-table", folder / "t.csv", "--target", "kind", "--embeddings", tiny_esm, "--folds", "3")
    assert run_cli(*words, "-o", tmp_path / "run") == 2
    assert "--folds: is for numbers; 'kind' holds classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_too_little_memory_is_one_line_before_anything_is_trained(
    folder: Path,
    tiny_esm: Path,
    tmp_path: Path,
    run_cli: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from biorrn.proteins.train_table import run as own

    read, readings = own.read_table, list[object]()
    monkeypatch.setattr(own, "read_table", lambda columns: readings.append(columns) or read(columns))
    monkeypatch.setattr("biorrn.nn.lora.free_memory", lambda device: 1000)
    words = ("train-table", folder / "t.csv", "--target", "leucine", "--embeddings", tiny_esm, "--tune", "lora")
    assert run_cli(*words, "-o", tmp_path / "run", *QUICK) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert "--tune lora: tiny_esm needs about" in err
    assert "cpu has 1e-06 GB free" in err
    assert len(readings) == 1  # to embed and to choose
    assert not (tmp_path / "run" / "measured").exists()
