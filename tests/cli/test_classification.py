"""A class for each protein, from a table to a report: prepare, train, predict, evaluate, calibrate, train-table."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from biorrn.nn.store import load_facts, update_facts

Run = Callable[..., tuple[int, str, str]]
SMALL = {
    "name": "small",
    "task": "classification",
    "model": {
        "frontend": {"name": "embedding", "width": 8, "layers": [{"width": 32, "kernel": 7}]},
        "core": {"layers": 0},
        "pool": ["max"],
        "head": {"name": "classes"},
    },
    "training": {"epochs": 12, "batch_size": 16, "lr": 0.02, "loss": "cross_entropy"},
}


@pytest.fixture(scope="module")
def trained(tiny_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of two small networks, in an ensemble."""
    from biorrn.config.recipe import parse_recipe
    from biorrn.training.task import complete, load_task
    from biorrn.training.train import train

    members = [{"recipe": SMALL, "seed": seed} for seed in (0, 1)]
    recipe = parse_recipe({"name": "two", "task": "classification", "members": members})
    folder = tmp_path_factory.mktemp("runs") / "two"
    train(recipe, tiny_classes, folder, load_task("classification"), threads=1, inside=True)
    complete("classification", folder, tiny_classes, device="cpu")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_prepare_tells_the_classes_and_keeps_their_names(biorrn: Run, tiny_classes: Path, tmp_path: Path) -> None:
    from biorrn.sequences.prepared.files import ProteinFile

    table, out = tiny_classes.parent / "x.csv", tmp_path / "p.h5"
    words = ("prepare", "protein", table, "--target", "family", "--split", "column:set", "-o", out)
    code, _, err = biorrn(*words, "--report", tmp_path / "p.json")
    assert code == 0
    assert "classes of column 'family': 3 classes (words): kinase (60), channel (60), globin (60)" in err
    with ProteinFile(out) as file:
        assert file.targets == [{"name": "family", "unit": "", "classes": ["channel", "globin", "kinase"]}]
    told = json.loads((tmp_path / "p.json").read_text())["targets"]["family"]["statistics"]["train"]
    assert (told["n"], told["classes"]) == (90, 3)
    code, _, err = biorrn(*words[:5], "--target-type", "number", *words[5:])
    assert code == 2
    assert "cells are no numbers" in err


def test_train_from_a_recipe_on_the_command_line(biorrn: Run, tiny_classes: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    code, _, err = biorrn("train", tmp_path / "small.yaml", tiny_classes, "-o", tmp_path / "run", "--threads", 1)
    assert code == 0, err
    assert ", macro f1 0." in err
    assert "selection" not in err
    facts = load_facts(tmp_path / "run")
    assert facts["classes"] == ["channel", "globin", "kinase"]
    assert facts["class_calibration"]["rows"] == 25  # half of the validation rows
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["best"]["value"] > 0.9
    code, out, _ = biorrn("models", "show", tmp_path / "run")
    assert "classes of family: 3: channel, globin, kinase" in out


def test_predict_writes_class_probability_set_and_flags(
    biorrn: Run, trained: Path, tiny_classes: Path, tmp_path: Path
) -> None:
    code, _, err = biorrn("predict", trained, tiny_classes.parent / "x.csv", "-o", tmp_path / "p.tsv")
    assert code == 0, err
    rows = rows_of(tmp_path / "p.tsv")
    assert list(rows[0])[:6] == ["id", "length", "family", "family_probability", "family_set", "flags"]
    assert sum(row["family"] == row["input_family"] for row in rows) > 0.9 * len(rows)
    for row in rows:
        listed = [] if row["family_set"] == "." else row["family_set"].split(";")
        assert listed[:1] in ([], [row["family"]])  # the most probable first
        assert 1 / 3 - 1e-4 <= float(row["family_probability"]) <= 1
    # another input, order and batch: the same rows
    fasta = "".join(
        f">{row['id']}\n{one}\n" for row, one in zip(rows[::-1], sequences(tiny_classes)[::-1], strict=True)
    )
    (tmp_path / "p.fasta").write_text(f">bad\nMK1\n{fasta}")
    code, _, _ = biorrn("predict", trained, tmp_path / "p.fasta", "--batch-size", 7, "-o", tmp_path / "q.tsv")
    assert code == 0
    bad, *others = rows_of(tmp_path / "q.tsv")
    assert (bad["family"], bad["family_probability"], bad["family_set"]) == ("", "", "")
    assert bad["flags"].startswith("left_out")
    kept = [name for name in rows[0] if not name.startswith("input_") and name != "set"]
    assert [[row[name] for name in kept] for row in others] == [[row[name] for name in kept] for row in rows[::-1]]


def test_classes_are_no_numbers_to_evaluate(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("id\tfamily\tfamily_probability\tflags\na\tx\t0.9\t.\n")
    (tmp_path / "t.csv").write_text("id,sequence,family\na,MKVLAWT,x\n")
    code, _, err = biorrn("evaluate", "regression", tmp_path / "p.tsv", tmp_path / "t.csv", "-o", tmp_path / "e.json")
    assert code == 2
    assert "column 'family' holds classes; biorrn evaluate classification compares these" in err


def test_rows_that_were_trained_on_are_told(biorrn: Run, trained: Path, tiny_classes: Path, tmp_path: Path) -> None:
    words = ("evaluate", "classification", trained, tiny_classes.parent / "x.csv", "--split", "all")
    code, out, err = biorrn(*words, "-o", tmp_path / "e.json", "--baselines", "none")
    assert code == 0, err
    assert out.count("these numbers do not measure performance on new rows") == 1


def sequences(tiny_classes: Path) -> list[str]:
    with (tiny_classes.parent / "x.csv").open(newline="") as stream:
        return [row["sequence"] for row in csv.DictReader(stream)]


def test_resumed_predictions_are_the_same(biorrn: Run, trained: Path, tiny_classes: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ("--resume",))):
        code, _, err = biorrn("predict", trained, tiny_classes.parent / "x.csv", "-o", tmp_path / f"{name}.tsv", *more)
        assert code == 0, err
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()


def test_what_has_no_class_is_flagged_more_often(biorrn: Run, trained: Path, tmp_path: Path) -> None:
    import numpy as np

    from biorrn.sequences.alphabets import RESIDUES

    rng = np.random.default_rng(5)
    records = [f">r{n}\n{''.join(rng.choice(list(RESIDUES[:-1]), 28))}\n" for n in range(60)]
    (tmp_path / "r.fasta").write_text("".join(records))
    code, _, err = biorrn("predict", trained, tmp_path / "r.fasta", "-o", tmp_path / "r.tsv")
    assert code == 0
    flagged = sum("of_no_known_class" in row["flags"] for row in rows_of(tmp_path / "r.tsv"))
    assert flagged > 30  # of rows with a motif, one in ten is
    assert "are unlike what" in err


def test_evaluate_model_and_table_agree_and_the_report_shows_them(
    biorrn: Run, trained: Path, tiny_classes: Path, tmp_path: Path
) -> None:
    table = tiny_classes.parent / "x.csv"
    assert biorrn("predict", trained, table, "-o", tmp_path / "p.tsv")[0] == 0
    results = []
    for name, source in (("model", trained), ("table", tmp_path / "p.tsv")):
        out = tmp_path / f"{name}.json"
        words = ("evaluate", "classification", source, tiny_classes, "--split", "test", "-o", out)
        code, shown, err = biorrn(*words, "--figures", tmp_path / "figures")
        assert code == 0, err
        results.append(json.loads(out.read_text()))
        assert "sets for 90 % hold the class of" in shown
        assert "flagged as unlike training" in shown
    first, second = results
    assert first["metrics"] == second["metrics"]
    assert first["sets"] == second["sets"]
    assert first["metrics"]["family"]["accuracy"]["value"] > 0.9
    assert first["baselines"]["family"]["majority"]["beats"]
    assert set(first["baselines"]["family"]) == {"majority", "neighbour", "kmer", "onehot"}
    assert {Path(one["path"]).stem for one in first["figures"]} == {"confusion", "confidence", "baselines_family"}
    page = tmp_path / "report.html"
    code, _, err = biorrn("report", tmp_path / "model.json", "--run", trained, "-o", page)
    assert code == 0, err
    text = page.read_text()
    assert "Macro F1" in text
    assert "by class" in text


def test_classes_that_were_not_trained_count_for_the_flag_alone(
    biorrn: Run, trained: Path, tmp_path: Path, tiny_classes: Path
) -> None:
    rows = (tiny_classes.parent / "x.csv").read_text().splitlines()
    strange = [f"s{n},{'QNPSQNPSTSGQ' * 2}{'ACDEFGHIKL'[n]},other,test" for n in range(10)]
    (tmp_path / "y.csv").write_text("\n".join([*rows, *strange]) + "\n")
    out = tmp_path / "y.json"
    code, shown, err = biorrn("evaluate", "classification", trained, tmp_path / "y.csv", "--split", "test", "-o", out)
    assert code == 0, err
    found = json.loads(out.read_text())
    assert found["metrics"]["family"]["accuracy"]["n"] == 40
    assert found["counts"]["of classes not trained"] == 10
    assert found["flagged"]["other classes"]["n"] == 10
    assert "of 10 proteins of other classes" in shown


def test_calibrate_on_other_rows(biorrn: Run, trained: Path, tiny_classes: Path) -> None:
    before = load_facts(trained)["class_calibration"]
    code, out, err = biorrn("calibrate", trained, tiny_classes, "--split", "test", "--dry-run")
    assert code == 0, err
    assert out.startswith("40 rows; temperature ")
    assert load_facts(trained)["class_calibration"] == before
    code, _, err = biorrn("calibrate", trained, tiny_classes, "--split", "train")
    assert code == 2
    assert "these rows" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("scan {m} {f} -o {d}/s.tsv", "is a model for classification; needed here is one for regression"),
        ("explain {m} {f} -o {d}/s.tsv", "is a model for classification; needed here is one for regression"),
        ("evaluate classification {m} {h} --split tset -o {d}/e.json", "found 'tset'; allowed is one of train"),
        ("evaluate classification {m} {n} -o {d}/e.json", "has the targets leucine"),
        ("evaluate classification stability {h} -o {d}/e.json", "is a model for regression"),
        ("train stability_gru {h} -o {d}/run", "holds classes of 'family'; task regression needs numbers"),
        ("train protein_motifs {n} -o {d}/run", "has the targets leucine; task classification needs one of classes"),
        ("predict {m} {f} --level 0.2 -o {d}/s.tsv", "--level: found 0.2; allowed is 0.5 to 0.99"),
        ("predict {m} {f} --format fasta -o {d}/s.tsv", "--format: needs a tagging model"),
        ("train-table {t} --target family --folds 3 -o {d}/run", "--folds: is for numbers; 'family' holds classes"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: str, message: str, biorrn: Run, trained: Path, tiny_classes: Path, tiny_proteins: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.fasta").write_text(">p\nMKTAYIAKQRQISFVKSHFSRQ\n")
    places = {"m": trained, "f": tmp_path / "p.fasta", "h": tiny_classes, "n": tiny_proteins, "d": tmp_path}
    places["t"] = tiny_classes.parent / "x.csv"
    code, _, err = biorrn(*words.format(**places).split())
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_train_table_sees_the_class_by_itself(biorrn: Run, tiny_classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train-table", tiny_classes.parent / "x.csv", "--target", "family", "-o", out, "--threads", 1)
    small = ("--max-minutes", 0.5, "--set", "training.epochs=8", "--set", "training.lr=0.01")
    code, shown, err = biorrn(*words, *small, "--set", "training.max_minutes=null")
    assert code == 0, err
    assert "family: a class: 3 classes of 60 proteins" in shown
    facts = load_facts(out)
    assert facts["task"] == "classification"
    assert facts["class_calibration"] == load_facts(out / "measured")["class_calibration"]
    content = json.loads((out / "evaluation.json").read_text())
    assert content["kind"] == "classification"
    assert content["metrics"]["family"]["macro_f1"]["value"] > 0.8
    assert "refitted" in content["cautions"][-1]
    assert "Macro F1" in (out / "report.html").read_text()
    assert rows_of(out / "predictions.tsv")[0]["family"] in facts["classes"]
    assert "biorrn scan" not in shown


def test_few_whole_numbers_are_a_class_in_train_table_unless_told(biorrn: Run, tmp_path: Path) -> None:
    import numpy as np

    from biorrn.sequences.alphabets import RESIDUES

    rng = np.random.default_rng(2)
    lines = [f"p{n},{''.join(rng.choice(list(RESIDUES[:-1]), 30))},{n % 2}" for n in range(60)]
    (tmp_path / "z.csv").write_text("id,sequence,active\n" + "\n".join(lines) + "\n")
    words = ("train-table", tmp_path / "z.csv", "--target", "active", "--dry-run", "--threads", 1)
    code, shown, _ = biorrn(*words)
    assert code == 0
    assert "2 classes (whole numbers): 0 (30), 1 (30); --target-type number learns a number instead" in shown
    code, shown, _ = biorrn(*words, "--target-type", "number")
    assert code == 0
    assert "60 values" in shown


def test_python_predicts_and_evaluates_as_the_command_line_does(
    biorrn: Run, trained: Path, tiny_classes: Path, tmp_path: Path
) -> None:
    import pandas as pd

    import biorrn as package

    table = pd.read_csv(tiny_classes.parent / "x.csv")
    found = package.predict(package.load_model(trained), table)
    assert biorrn("predict", trained, tiny_classes.parent / "x.csv", "-o", tmp_path / "p.tsv")[0] == 0
    rows = rows_of(tmp_path / "p.tsv")
    assert found["family"].tolist() == [row["family"] for row in rows]
    assert found["family_set"].tolist() == [row["family_set"] for row in rows]
    scores = [package.evaluate(given, table, baselines="none").metrics for given in (trained, found)]
    assert scores[0].equals(scores[1])
    assert scores[0]["metric"].tolist() == ["macro_f1", "accuracy", "mcc"]


def test_classes_of_mutations_are_evaluated_with_their_wild_type(biorrn: Run, trained: Path, tmp_path: Path) -> None:
    import biorrn as package

    wild, classes = "MKTAYIAKQRQISFVKSHFSRQ", load_facts(trained)["classes"]
    cells = [f"{wild[place]}{place + 1}W,{classes[place % 2]}" for place in range(8)]
    (tmp_path / "scan.csv").write_text("mutant,family\n" + "\n".join(cells) + "\n")
    words = ("evaluate", "classification", trained, tmp_path / "scan.csv", "-o", tmp_path / "e.json")
    assert "--wild-type" in biorrn(*words)[2]
    code, out, err = biorrn(*words, "--wild-type", wild)
    assert code == 0, err
    found = package.evaluate(trained, tmp_path / "scan.csv", wild_type=wild, baselines="none")
    assert f"{found.metrics['value'][1]:.4f}" in out
    assert found.metrics["n"].tolist() == [8, 8, 8]
    knows = shutil.copytree(trained, tmp_path / "knows")
    update_facts(knows, wild_type=wild)  # as a run on mutations has it
    code, again, err = biorrn(*words[:2], knows, *words[3:])
    assert (code, again) == (0, out), err


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"classes": ["a", "a", "b"]}, "names 2 classes for 3 outputs"),
        ({"classes": []}, "fact 'classes' is missing; a model for classification needs it"),
        ({"class_calibration": {"rows": 9, "temperature": -1}}, "fact 'class_calibration.temperature': found -1"),
        ({"class_calibration": {"rows": 9, "temperature": 1.0, "doubt": 0.5}}, "fact 'class_calibration.quantiles'"),
    ],
)
def test_damaged_facts_are_one_line(
    facts: dict[str, object], message: str, biorrn: Run, trained: Path, tmp_path: Path
) -> None:
    import shutil

    from biorrn.nn.store import update_facts

    shutil.copytree(trained, tmp_path / "copy")
    update_facts(tmp_path / "copy", **facts)
    (tmp_path / "p.fasta").write_text(">p\nMKTAYIAKQRQISFVKSHFSRQ\n")
    code, _, err = biorrn("predict", tmp_path / "copy", tmp_path / "p.fasta", "-o", tmp_path / "p.tsv")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("classes", "values", "message"),
    [
        (["a"], [0], "does not name the classes of y"),
        ([1, 2], [0], "does not name the classes of y"),
        (["a", "b"], [2], "y holds a value that is no index of its 2 classes"),
        (["a", "b"], [0.5], "y holds a value that is no index of its 2 classes"),
    ],
)
def test_a_damaged_prepared_file_is_one_line(
    classes: list[object], values: list[float], message: str, biorrn: Run, tmp_path: Path
) -> None:
    from biorrn.sequences.alphabets import tokens
    from biorrn.sequences.prepared.files import protein_writer

    with protein_writer(tmp_path / "y.h5", [{"name": "y", "unit": "", "classes": classes}]) as writer:
        for number, value in enumerate(values):
            writer.add(f"p{number}", tokens("ACDEF"), [value])
    code, _, err = biorrn("train", "protein_motifs", tmp_path / "y.h5", "-o", tmp_path / "run")
    assert code == 2
    assert message in err
