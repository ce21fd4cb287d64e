"""Several classes a protein, and classes from embeddings, from a table to a report."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.nn.store import load_facts
from biorrn.proteins.train_table.run import Wish, train_own
from biorrn.proteins.train_table.table import Columns
from biorrn.report.page import write_report

Run = Callable[..., tuple[int, str, str]]
MOTIFS = {"kinase": "WWHWCW", "channel": "CPPCWP", "globin": "HKHKHK"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of proteins with the motifs of none, one or two of three classes; `rare` is in two of them."""
    rng, rows = np.random.default_rng(0), ["id,sequence,site,set"]
    for number in range(330):
        own = [name for name in MOTIFS if rng.random() < 0.4][:2]
        parts = ["".join(rng.choice(list("ADEGILNQST"), 7)) for _ in range(3)]
        text = parts[0] + "".join(MOTIFS[one] + part for one, part in zip(own, parts[1:], strict=False))
        cell = "|".join([*own, *(["rare"] if own and number in (5, 8, 12, 30) else [])]) or "{}"
        rows.append(f"p{number},{text},{cell},{('train', 'valid', 'test')[(number >= 180) + (number >= 260)]}")
    path = tmp_path_factory.mktemp("labels") / "sites.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a run of train-table on it, and what it printed."""
    out, said = tmp_path_factory.mktemp("runs") / "run", list[str]()
    wish = Wish(
        Columns(str(table), ("site",)),
        out,
        split="column:set",
        minutes=0.5,
        changes=("training.epochs=12", "training.lr=0.01", "training.max_minutes=null"),
    )
    train_own(wish, device="cpu", threads=1, say=said.append, report=write_report)
    return out, "\n".join(said)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def listed(cell: str) -> set[str]:
    return set() if cell == "." else set(cell.split(";"))


def test_train_table_learns_sets(run: tuple[Path, str]) -> None:
    out, shown = run
    assert "sets of 4 classes (words), separated by ; or |" in shown
    assert "site: sets of classes: 3 classes of" in shown
    assert "not learned in sets: 1 class with fewer than 5 proteins (rare (" in shown
    facts = load_facts(out)
    assert (facts["classes"], facts["sets"]) == (["channel", "globin", "kinase"], True)
    assert len(facts["class_calibration"]["shifts"]) == 3
    content = json.loads((out / "evaluation.json").read_text())
    assert content["metrics"]["site"]["f_max"]["value"] > 0.8
    assert list(content["metrics"]["site"]) == ["f_max", "macro_ap", "micro_f1", "macro_f1", "subset_accuracy"]
    assert set(content["baselines"]["site"]) == {"majority", "neighbour", "kmer", "onehot"}
    assert content["sets"]["value"] > 0.75
    assert set(content["by_class"]) == {"channel", "globin", "kinase"}
    assert {Path(one["path"]).stem for one in content["figures"]} == {"confidence", "baselines_site"}
    assert "F-max" in (out / "report.html").read_text()
    assert "hold on average" in shown


def test_predictions_are_sets_with_probabilities(
    biorrn: Run, run: tuple[Path, str], table: Path, tmp_path: Path
) -> None:
    code, _, err = biorrn("predict", run[0], table, "--level", 0.8, "-o", tmp_path / "p.tsv")
    assert code == 0, err
    rows = rows_of(tmp_path / "p.tsv")
    assert list(rows[0])[:6] == ["id", "length", "site", "site_probabilities", "site_set", "flags"]
    right = 0
    for row in rows:
        pairs = [one.split("=") for one in row["site_probabilities"].split(";") if "=" in one]
        sure = [float(number) for _, number in pairs]
        assert sure == sorted(sure, reverse=True)
        assert all(0.01 <= one <= 1 for one in sure)
        assert listed(row["site"]) <= {name for name, _ in pairs}
        truth = set(row["input_site"].split("|")) - {"rare", "{}"}
        right += listed(row["site"]) == truth
    assert right > 0.7 * len(rows)
    code, _, err = biorrn("predict", run[0], table, "--resume", "-o", tmp_path / "q.tsv", "--level", 0.8)
    assert code == 0, err
    assert (tmp_path / "p.tsv").read_bytes() == (tmp_path / "q.tsv").read_bytes()
    (tmp_path / "bad.fasta").write_text(">bad\nMK1\n>good\nADEGILNWWHWCWADEG\n")
    code, _, _ = biorrn("predict", run[0], tmp_path / "bad.fasta", "-o", tmp_path / "b.tsv")
    assert code == 0
    bad, good = rows_of(tmp_path / "b.tsv")
    assert (bad["site"], bad["site_probabilities"], bad["flags"][:8]) == ("", "", "left_out")
    assert "kinase" in listed(good["site"])


def test_model_table_and_python_agree(biorrn: Run, run: tuple[Path, str], table: Path, tmp_path: Path) -> None:
    import pandas as pd

    import biorrn as package

    assert biorrn("predict", run[0], table, "-o", tmp_path / "p.tsv")[0] == 0
    results = []
    for name, source in (("model", run[0]), ("table", tmp_path / "p.tsv")):
        words = ("evaluate", "classification", source, table, "--split", "test", "--baselines", "fast")
        code, shown, err = biorrn(*words, "-o", tmp_path / f"{name}.json", "--figures", tmp_path / "figures")
        assert code == 0, err
        assert "F-max" in shown
        results.append(json.loads((tmp_path / f"{name}.json").read_text()))
    first, second = results
    for name, entry in first["metrics"]["site"].items():  # the table has three digits, and 0.01 at the least
        assert entry["value"] == pytest.approx(second["metrics"]["site"][name]["value"], abs=0.02)
    assert first["sets"] == second["sets"]
    frame = pd.read_csv(table)
    found = package.predict(str(run[0]), frame)
    assert found["site"].tolist() == [row["site"] for row in rows_of(tmp_path / "p.tsv")]
    scores = package.evaluate(found, frame[frame["set"] == "test"], baselines="none").metrics
    assert scores["metric"].tolist()[0] == "f_max"
    page = tmp_path / "report.html"
    code, _, err = biorrn("report", tmp_path / "model.json", "--run", run[0], "-o", page)
    assert code == 0, err


def test_one_class_a_row_is_a_set_of_one(biorrn: Run, run: tuple[Path, str], tmp_path: Path) -> None:
    rows = [f"p{n},ADEGILN{MOTIFS[name]}ADEG{'ADEGILNQST'[n]},{name}" for n, name in enumerate([*MOTIFS] * 3)]
    (tmp_path / "one.csv").write_text("\n".join(["id,sequence,site", *rows]) + "\n")
    out = tmp_path / "one.json"
    words = ("evaluate", "classification", run[0], tmp_path / "one.csv", "--baselines", "none", "-o", out)
    code, _, err = biorrn(*words)
    assert code == 0, err
    assert json.loads(out.read_text())["counts"]["classes a protein"] == 1


def test_calibrate_and_prepare(biorrn: Run, run: tuple[Path, str], table: Path, tmp_path: Path) -> None:
    words = ("prepare", "protein", table, "--target", "site", "--split", "column:set", "-o", tmp_path / "s.h5")
    code, _, err = biorrn(*words, "--report", tmp_path / "s.json")
    assert code == 0, err
    told = json.loads((tmp_path / "s.json").read_text())["targets"]["site"]["statistics"]["train"]
    assert told["classes"] == 4
    assert 0.5 < told["classes_a_row"] < 1.5
    code, out, err = biorrn("calibrate", run[0], tmp_path / "s.h5", "--split", "test", "--dry-run")
    assert code == 0, err
    assert "; called from 0." in out
    code, _, err = biorrn("train", "protein_motifs", tmp_path / "s.h5", "-o", tmp_path / "run")
    assert code == 2
    assert "needs head 'labels' for sets of classes" in err
    assert "--set model.head.name=labels" in err


def test_a_model_of_one_class_and_a_file_of_sets_are_told(
    biorrn: Run, tiny_classes: Path, table: Path, tmp_path: Path
) -> None:
    words = ("train-table", tiny_classes.parent / "x.csv", "--target", "family", "-o", tmp_path / "run")
    code, _, err = biorrn(*words, "--max-minutes", 0.05, "--set", "training.epochs=1", "--threads", 1)
    assert code == 0, err
    words = (
        "evaluate",
        "classification",
        tmp_path / "run",
        table,
        "--target",
        "family=site",
        "-o",
        tmp_path / "e.json",
    )
    code, _, err = biorrn(*words)
    assert code == 2
    assert "holds sets of classes of 'family'; the predictions are one class a protein" in err


@pytest.mark.parametrize("several", [False, True])
def test_classes_from_embeddings(several: bool, biorrn: Run, tmp_path: Path) -> None:
    """A linear rule among strong directions that tell nothing: as logistic regression finds it."""
    rng, letters = np.random.default_rng(0), list("ACDEFGHIKLMNPQRSTVWY")
    labels = rng.random((240, 3)) < 0.5
    kinds = labels[:, :2] @ [1, 2]
    hidden = rng.normal(0, 1, (240, 12))
    if several:
        hidden[:, 6:9] += 3.0 * labels
    else:
        hidden[:, 6:9] += rng.normal(0, 3, (4, 3))[kinds]
    strong = np.exp(-np.arange(12) / 3)
    values = (hidden * strong) @ rng.normal(0, 1, (12, 64)) + 0.01 * rng.normal(0, 1, (240, 64))
    texts = ["".join(rng.choice(letters, 30)) for _ in range(240)]
    cells = (
        [";".join(np.array(["x", "y", "z"])[row]) or "{}" for row in labels] if several else [f"k{k}" for k in kinds]
    )
    rows = [f"p{n},{text},{cell}" for n, (text, cell) in enumerate(zip(texts, cells, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(["id,sequence,kind", *rows]) + "\n")
    np.savez(tmp_path / "e.npz", ids=[f"p{n}" for n in range(240)], embeddings=values.astype(np.float32))
    out = tmp_path / "run"
    words = ("train-table", tmp_path / "t.csv", "--target", "kind", "--embeddings", tmp_path / "e.npz", "-o", out)
    code, _, err = biorrn(*words, "--max-minutes", 1, "--threads", 1)
    assert code == 0, err
    content = json.loads((out / "evaluation.json").read_text())
    metric = "macro_ap" if several else "accuracy"
    ours = content["metrics"]["kind"][metric]["value"]
    assert {"plm_logistic", "plm_neighbour"} <= set(content["baselines"]["kind"])
    assert ours > content["baselines"]["kind"]["plm_logistic"]["metrics"][metric]["value"] - 0.1
    assert ours > 0.8
    words = ("evaluate", "classification", out, out / "data.h5", "--split", "test", "-o", tmp_path / "e.json")
    code, _, err = biorrn(*words, "--embeddings", tmp_path / "e.npz", "--baselines", "plm_logistic,majority")
    assert code == 0, err
    assert set(json.loads((tmp_path / "e.json").read_text())["baselines"]["kind"]) == {"plm_logistic", "majority"}
    code, _, err = biorrn(*words)
    assert code == 2
    assert "give their file with --embeddings" in err
    words = ("evaluate", "classification", out / "predictions.tsv", *words[3:])
    code, _, err = biorrn(*words, "--baselines", "plm_neighbour")
    assert code == 2
    assert "--baselines plm_neighbour: reads embeddings; give their file with --embeddings" in err
    code, _, err = biorrn(*words, "--baselines", "plm_neighbour", "--embeddings", tmp_path / "e.npz")
    assert code == 0, err


def test_too_few_rows_of_each_class(biorrn: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"p{n},{''.join(rng.choice(list('ACDEFGHIKL'), 40))},k{n // 3 if n > 9 else 0}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["id,sequence,kind", *rows]) + "\n")
    code, _, err = biorrn("train-table", tmp_path / "t.csv", "--target", "kind", "-o", tmp_path / "run")
    assert code == 2
    line = err.strip().splitlines()[-1]
    assert "column 'kind': 1 of 18 classes has 5 proteins or more (the largest: k0 (10), k" in line
    assert line.endswith("allowed are two or more such classes")


def test_names_are_no_classes_and_the_message_says_what_would_be(biorrn: Run, tmp_path: Path) -> None:
    rows = [f"p{n},ACDEFGHIKL{'ACDEFGHIKL'[n % 10]},k{n // 2 if n < 10 else n}" for n in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["id,sequence,kind", *rows]) + "\n")
    code, _, err = biorrn("train-table", tmp_path / "t.csv", "--target", "kind", "-o", tmp_path / "run")
    assert code == 2
    assert "35 different words in 40 rows, which hardly repeat; --target-type class takes them for classes" in err
    code, _, err = biorrn(
        "train-table", tmp_path / "t.csv", "--target", "kind", "--target-type", "class", "-o", tmp_path / "run"
    )
    assert code == 2
    assert "column 'kind': 0 of 35 classes have 5 proteins or more" in err
