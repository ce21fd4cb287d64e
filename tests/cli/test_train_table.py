"""`biorrn train-table`: from a table to a model, its report, and its comparison with baselines."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from Bio.SeqUtils import seq3

from biorrn.nn.store import load_facts, load_model

SMALL = ["--model", "gru", "--max-minutes", "0.5", "--threads", "1", "--device", "cpu"]
SMALL += ["--set", "training.epochs=2", "--set", "model.core.hidden=8", "--set", "training.max_minutes=null"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of 90 made-up proteins in 15 families; y is the share of leucine, z is missing in some rows."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("own") / "mine.csv"
    lines = ["name,sequence,y,z,w,family"]
    for number in range(90):
        letters = list("ACDEFGHIKLMNPQRSTVWY") + ["L"] * int(rng.integers(0, 30))
        text = "".join(rng.choice(letters, rng.integers(15, 40)))
        share = text.count("L") / len(text)
        lines.append(f"n{number},{text},{share:.4f},{'' if number % 4 else 1 - share:.4},1,f{number % 15}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def few_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit only baselines that take no time: the others have tests of their own."""
    from biorrn.proteins.baselines import fit as baselines
    from biorrn.proteins.train_table import folds as own_folds
    from biorrn.proteins.train_table import run

    fast = {name: baselines.BASELINES[name] for name in ("mean", "length")}
    monkeypatch.setattr(baselines, "BASELINES", fast)
    monkeypatch.setitem(baselines.SETS, "all", tuple(fast))
    monkeypatch.setattr(own_folds, "COMPARED", tuple(fast))
    monkeypatch.setattr(own_folds, "CROSS_FOLDS", (3, 3))
    monkeypatch.setattr(run, "SHARE", 0.0)  # no time to measure new positions


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(biorrn, table: Path, tmp_path: Path) -> None:
    code, out, _ = biorrn("train", "protein", table, "--target", "y", "--dry-run", "--threads", 1)
    assert code == 0
    assert "90 proteins" in out
    assert "split: train" in out
    assert "model: " in out
    assert not list(tmp_path.iterdir())


WILD = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"


@pytest.mark.parametrize("layout", ["mutant", "hgvs_pro"])
def test_a_table_of_mutations_is_trained_on_with_its_wild_type(biorrn, tmp_path: Path, layout: str) -> None:
    """One line proposes --wild-type, and with it the table is read."""
    cells = [f"{letter}{place}{'A' if letter != 'A' else 'G'}" for place, letter in enumerate(WILD, 1)]
    if layout == "hgvs_pro":
        cells = [f"p.{seq3(cell[0])}{cell[1:-1]}{seq3(cell[-1])}" for cell in cells]
    rows = "".join(f"x#{number},NA,{cell},{number % 7}\n" for number, cell in enumerate([*cells, "A24*"]))
    path = tmp_path / "scan.csv"
    path.write_text(f"accession,hgvs_nt,{layout},score\n{rows}")
    words = ["train", "protein", path, "--target", "score", "--dry-run", "--threads", 1]
    code, out, err = biorrn(*words)
    assert (code, out) == (2, "")
    assert f"column '{layout}' holds mutations" in err
    assert "--wild-type FASTA|SEQUENCE" in err
    code, out, _ = biorrn(*words, "--wild-type", WILD)
    assert code == 0
    assert "56 variants, at most 1 mutation in one; 1 left out" in out
    assert "mutation 'A24*': stop codon" in out
    assert ("layout: that of MaveDB" in out) == (layout == "hgvs_pro")
    code, out, err = biorrn(*words, "--wild-type", "G" + WILD)
    assert (code, out) == (2, "")
    assert "with --offset -1 all 56 residues that they name match" in err
    assert biorrn(*words, "--wild-type", "G" + WILD, "--offset", -1)[0] == 0
    assert biorrn(*words, "--wild-type", WILD, "--strict")[0] == 2
    code, out, _ = biorrn(
        *("prepare", "protein", path, "--target", "score", "--wild-type", WILD, "--split", "random:0.8,0.1,0.1"),
        *("-o", tmp_path / "scan.h5"),
    )
    assert code == 0
    assert "kept: 56" in out


def test_a_first_sheet_that_holds_other_columns_is_told_with_the_other_sheets(biorrn, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    for row in (["date", "remark"], ["2024-01-01", "ok"]):
        book.active.append(row)
    data = book.create_sheet("Data")
    data.append(["mutant", "score"])
    for place, letter in enumerate(WILD, 1):
        data.append([f"{letter}{place}{'A' if letter != 'A' else 'G'}", place % 7])
    path, predictions = tmp_path / "plate.xlsx", tmp_path / "predictions.tsv"
    book.save(path)
    predictions.write_text("id\tscore\tflags\nT2A\t1\t.\n")
    sheets = "; the sheet is 'Notes', the first of 2: Notes, Data (--sheet)"
    words = ("train-table", path, "--wild-type", WILD, "--dry-run")
    for wrong in ((*words, "--target", "score"), words):
        code, _, err = biorrn(*wrong)
        assert (code, err.count("\n")) == (2, 1)
        assert sheets in err
    assert biorrn(*words, "--target", "score", "--sheet", "Data")[0] == 0
    code, _, err = biorrn("evaluate", "regression", predictions, path, "-o", tmp_path / "e.json")
    assert (code, "the first of 2: Notes, Data (only the first is read)" in err) == (2, True)


def test_one_command_gives_a_model_that_predict_takes(biorrn, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "protein", table, "--target", "y", "--target", "z", "--weight", "w", "--groups", "family"]
    words += ["--id-column", "name", "-o", run, *SMALL]
    code, out, err = biorrn(*words)
    assert code == 0, err
    assert "biorrn predict" in out
    assert "biorrn scan" in out
    assert "biorrn explain" in out
    for name in ("report.html", "weights.safetensors", "recipe.yaml", "evaluation.json", "predictions.tsv"):
        assert (run / name).is_file(), name
    result = json.loads((run / "evaluation.json").read_text())
    assert result["split"] == "test"
    assert set(result["metrics"]) == {"y", "z"}
    assert set(result["baselines"]["y"]) == {"mean", "length"}
    # the intervals come from rows that each fold's model saw nothing of; whole families are in one fold
    entry = load_facts(run)["conformal"]["y"]
    with open(run / "out_of_fold.tsv") as stream:
        folds = {int(row["id"][1:]): row["fold"] for row in csv.DictReader(stream, delimiter="\t")}
    assert entry["rows"] == len(folds) == 90 - len((run / "predictions.tsv").read_text().splitlines()[1:])
    assert len(set(folds.values())) == 3
    assert all(len({fold for row, fold in folds.items() if row % 15 == family}) <= 1 for family in range(15))
    assert not (run / "calibration").exists()
    choice = json.loads((run / "choice.json").read_text())
    assert any("15 groups" in line for line in choice["lines"])

    (tmp_path / "p.fa").write_text(">a\nMKVLLLAAGG\n>b\nMKVLCCAAGG\n")
    code, out, err = biorrn("predict", run, tmp_path / "p.fa")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert {"y", "z"} <= set(rows[0])

    # a finished run is left as it is; one of another wish is not overwritten
    before = (run / "weights.safetensors").read_bytes()
    assert "nothing to do" in biorrn(*words)[1]
    code, _, err = biorrn(*words, "--seed", 3)
    assert code == 2
    assert "holds a run with other settings: --seed was 0 and is now 3;" in err
    assert (run / "weights.safetensors").read_bytes() == before


def test_rows_held_out_are_fitted_in_the_end(biorrn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A substitution that only held-out rows have is unknown to the measured model and known to the final one."""
    from biorrn.proteins.train_table import refit as own_refit
    from biorrn.proteins.train_table.outputs import predicted
    from biorrn.rerun import read_plan
    from biorrn.sequences.splits import FRACTIONS, shares

    groups = np.repeat(np.arange(10), 12)
    codes = shares(groups, FRACTIONS, 0)
    rng = np.random.default_rng(1)

    def variant(special: bool) -> tuple[str, float]:
        letters = list(WILD)
        place = int(rng.integers(20, 50))
        letters[place] = "AGSLW"[int(rng.integers(5))]
        letters[9] = "W" if special else letters[9]
        return "".join(letters), 5.0 * special + 0.1 * place

    rows = [variant(code == 2) for code in codes]
    text = "".join(f"{seq},{y:.3f},g{group}\n" for (seq, y), group in zip(rows, groups, strict=True))
    (tmp_path / "t.csv").write_text("sequence,y,family\n" + text)
    words = ["train", "protein", tmp_path / "t.csv", "--target", "y", "--groups", "family", "--max-minutes", 30]
    words += ["--threads", 1, "--device", "cpu", "--set", "training.epochs=3", "--set", "training.max_minutes=null"]
    run = tmp_path / "run"
    code, out, err = biorrn(*words, "-o", run)
    assert code == 0, err
    line = "measured on 12 held-out rows by the model before it was refitted on all 120 rows"
    assert line in out
    assert line in (run / "report.html").read_text()
    assert line in json.loads((run / "evaluation.json").read_text())["cautions"]
    assert f"measured: {line.removeprefix('measured ')}" in biorrn("models", "show", run)[1]

    from biorrn.proteins.predictions import read_prepared

    held = read_prepared(run / "data.h5").rows.select(codes == 2)
    before, after = (np.array([row.values[0] for row in predicted(path, held)]) for path in (run / "measured", run))
    assert np.abs(before - held.targets[:, 0]).mean() > 4
    assert np.abs(after - held.targets[:, 0]).mean() < 2
    # figures are those before the refit; what was chosen and the intervals stay
    with open(run / "predictions.tsv") as stream:
        given = [float(row["y"]) for row in csv.DictReader(stream, delimiter="\t")]
    assert given == pytest.approx(before, rel=1e-4)
    old, new = load_facts(run / "measured"), load_facts(run)
    assert new["conformal"] == old["conformal"]
    assert new["weights"] == pytest.approx(np.array(old["weights"]))
    told = json.loads((run / "provenance.json").read_text())
    assert told["measured"]["split"] == "test"
    best = json.loads((run / "measured" / "provenance.json").read_text())["members"]
    assert {k: m["epochs"] for k, m in told["members"].items() if m["epochs"]} == {
        k: m["best"]["epoch"] + 1 for k, m in best.items() if m["epochs"]
    }
    # rerun takes as many epochs, and the weights, from what the run tells
    plan = read_plan(run)
    assert (plan.recipe.fitted, plan.recipe.combine) == (None, "mean")
    assert plan.options["stop"] == {k: m["epochs"] for k, m in told["members"].items() if m["epochs"]}
    # these rows have trained it
    code, _, err = biorrn("calibrate", run, run / "data.h5", "--split", "test")
    assert (code, err.count("--split test: these rows of")) == (2, 1)
    assert "was trained on 12 of these 12 rows" in biorrn("compare", run, run / "measured", "--split", "test")[1]

    # without the time the model ships as it was measured, with the same figures
    monkeypatch.setattr(own_refit, "seconds_needed", lambda *_: 1e9)
    code, out, err = biorrn(*words, "-o", tmp_path / "short")
    assert code == 0, err
    assert "no refit on all rows: it takes about 1000000000 s, and --max-minutes leaves" in out
    assert predicted(tmp_path / "short", held)[0].values == pytest.approx(before[:1])
    first, second = (json.loads((path / "evaluation.json").read_text()) for path in (run, tmp_path / "short"))
    assert first["metrics"] == second["metrics"]
    assert load_model(tmp_path / "short").recipe.fitted == "train"


def test_a_refit_that_was_killed_goes_on_and_can_be_repeated(
    biorrn, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from biorrn.proteins.train_table import refit as own_refit

    words = ["train", "protein", table, "--target", "y", "--model", "gaussian", "--max-minutes", 30, "--threads", 1]
    assert biorrn(*words, "-o", tmp_path / "whole")[0] == 0
    run = tmp_path / "run"
    for name in ("train", "complete", "measured_line"):
        with monkeypatch.context() as patch:
            patch.setattr(own_refit, name, lambda *_, **__: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                biorrn(*words, "-o", run)
        assert not (run / "report.html").exists()
    # what was decided stays, however little time is left
    monkeypatch.setattr(own_refit, "seconds_needed", lambda *_: 1e9)
    code, out, err = biorrn(*words, "-o", run)
    assert code == 0, err
    assert "before it was refitted on all 90 rows" in out
    assert (run / "weights.safetensors").read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()
    code, out, err = biorrn("rerun", run, "--check", "-o", tmp_path / "again")
    assert (code, out[:10]) == (0, "identical:"), err
    assert load_facts(tmp_path / "again")["conformal"] == load_facts(run)["conformal"]


def test_the_test_rows_of_a_column_never_train(biorrn, table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    sets = ["set", *(["train"] * 7 + ["valid", "test", "test"]) * 9]
    (tmp_path / "t.csv").write_text("".join(f"{line},{name}\n" for line, name in zip(lines, sets, strict=True)))
    run = tmp_path / "run"
    words = ["--target", "y", "--split", "column:set", "--model", "gaussian", "--max-minutes", 30, "--threads", 1]
    code, out, err = biorrn("train", "protein", tmp_path / "t.csv", *words, "-o", run)
    assert code == 0, err
    assert "refitted on all 72 rows but those of the table's own test" in out
    assert load_facts(run)["gaussian"]["rows"] == [72]
    assert biorrn("calibrate", run, run / "data.h5", "--split", "valid")[0] == 2
    assert "No verdict" not in biorrn("compare", run, run / "measured", "--split", "test")[1]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(biorrn, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    from biorrn.proteins.train_table import run as own_property

    words = ["train", "protein", table, "--target", "y", "-o", tmp_path / "run", *SMALL, "--search", 2]
    with monkeypatch.context() as patch:
        patch.setattr(own_property, "evaluate_run", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            biorrn(*words)
    trials = (tmp_path / "run" / "trials.tsv").read_text()
    assert len(trials.splitlines()) == 3
    code, _, err = biorrn(*words)
    assert code == 0, err
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "trials.tsv").read_text() == trials


def test_folds_predict_every_row_once_and_are_one_model(biorrn, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "protein", table, "--target", "y", "--groups", "family", "--folds", 3, "-o", run, *SMALL]
    code, out, err = biorrn(*words)
    assert code == 0, err
    assert "mean Spearman over 3 folds" in out
    with open(run / "out_of_fold.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len({row["id"] for row in rows}) == len(rows) == 90
    families = [number % 15 for number in range(90)]
    folds = {
        family: {row["fold"] for row, own in zip(rows, families, strict=True) if own == family} for family in range(15)
    }
    assert all(len(found) == 1 for found in folds.values())

    import torch

    from biorrn.nn.ensemble import Ensemble

    stored = load_model(run)
    assert isinstance(stored.model, Ensemble)
    assert torch.allclose(stored.model.weights.sum(0), torch.ones(1))
    assert stored.facts["conformal"]["y"]["rows"] == 90
    x, lengths = torch.randint(1, 21, (4, 20)), torch.full((4,), 20)
    members = [load_model(run / "folds" / str(k)).model(x, lengths)[0] for k in (1, 2, 3)]
    assert torch.allclose(stored.model(x, lengths)[0], torch.stack(members).mean(0), atol=1e-5)

    # rows that one side was trained on are no test of it
    code, out, err = biorrn(
        "compare", run, run / "folds" / "1", "--data", run / "folds" / "1" / "data.h5", "--split", "test"
    )
    assert code == 0, err
    assert out.count("No verdict") == 1  # though both sides were
    assert "caution: A: " in out


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three mutants of each position; an effect is that of the position, and a little of the residue."""
    rng = np.random.default_rng(0)
    lines = ["mutant,score,batch", "WT,0,b0"]
    for place, letter in enumerate(WILD, 1):
        effect = rng.normal()
        for new in [one for one in "GWKD" if one != letter][:3]:
            lines.append(f"{letter}{place}{new},{effect + 0.1 * rng.normal() + 0.3 * (new == 'W'):.3f},b{place % 4}")
    path = tmp_path_factory.mktemp("scan") / "scan.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


FOREST = ["--target", "score", "--wild-type", WILD, "--model", "forest", "--threads", 1, "--device", "cpu"]
FOREST += ["--set", "model.trees=20"]


@pytest.mark.parametrize("kind", ["position:3", "contiguous:3"])
def test_folds_of_positions_say_how_far_scores_fall(
    biorrn, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Where a position decides the effect, rows at random are predicted well, and new positions not at all."""
    from biorrn.proteins.train_table import run

    monkeypatch.setattr(run, "SHARE", 0.1)
    code, out, err = biorrn("train", "protein", scan, *FOREST, "--folds", kind, "-o", tmp_path / "run")
    assert code == 0, err
    assert "fold 3 of 3: " in out
    assert "1 of 169 rows are tested in no fold" in out  # the wild type
    name = kind.partition(":")[0]
    with open(tmp_path / "run" / "out_of_fold.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    places = {int(row["id"][1:-1]): row["fold"] for row in rows}
    assert len(rows) == 168
    assert all(places[int(row["id"][1:-1])] == row["fold"] for row in rows)
    wanted = np.arange(56) % 3 if name == "position" else np.repeat([0, 1, 2], [19, 19, 18])
    assert [int(places[place]) - 1 for place in range(1, 57)] == wanted.tolist()
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert result["folds"]["score"]["folds"] == 3
    measured = result["positions"]["score"]
    assert {entry["rows"] for entry in measured.values()} == {168}
    assert measured["random"]["spearman"] > 0.5 > measured[name]["spearman"] + 0.2
    # the mean of the other folds ranks nothing, though over all folds it is low where values are high
    baseline = result["baselines"]["score"]["mean"]
    assert baseline["metrics"]["spearman"]["value"] is None
    assert baseline["difference"]["spearman"]["value"] == result["metrics"]["score"]["spearman"]["value"]
    assert baseline["metrics"]["rmse"]["value"] > 0
    assert "at random" in out
    assert "at random" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "run" / "positions").exists()
    # the model is one of all rows, not the mean of three of which one knows nothing of a position
    assert f"split: 3 folds of the rows, {'whole' if name == 'position' else 'stretches'}" in out
    assert "the model itself was then refitted on all rows" in out
    assert load_model(tmp_path / "run").recipe.members is None
    assert load_facts(tmp_path / "run")["conformal"]["score"]["rows"] == 168
    code, _, err = biorrn("rerun", tmp_path / "run", "--check", "-o", tmp_path / "again")
    assert code == 0, err
    assert biorrn("predict", tmp_path / "run", "--wild-type", WILD, "--mutations", "A24W")[0] == 0


def test_a_run_on_variants_measures_new_positions_or_warns(
    biorrn, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from biorrn.proteins.train_table import positions, run

    monkeypatch.setattr(run, "SHARE", 0.1)
    code, out, err = biorrn("train", "protein", scan, *FOREST, "-o", tmp_path / "run")
    assert code == 0, err
    assert "score: at new positions Spearman is " in out
    assert positions.WARNING not in out
    monkeypatch.setattr(run, "SHARE", 0.0)
    code, out, err = biorrn("train", "protein", scan, *FOREST, "--folds", "random:3", "-o", tmp_path / "short")
    assert code == 0, err
    assert out.count(positions.WARNING) == 1
    # rows of groups, or of a split of the user's own, are not at random
    groups = ["--groups", "batch", "--folds", "group:3", "-o", tmp_path / "groups"]
    code, out, err = biorrn("train", "protein", scan, *FOREST, *groups)
    assert code == 0, err
    assert "rows at random" not in out
    assert "positions" not in json.loads((tmp_path / "short" / "evaluation.json").read_text())


def test_the_order_of_mutations_is_one_split(biorrn, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    cells = []
    for number in [1] * 60 + [2] * 60 + [3] * 30:
        places = np.sort(rng.choice(len(WILD), number, replace=False))
        new = ["W" if WILD[place] != "W" else "G" for place in places]
        cells.append(
            (":".join(f"{WILD[p]}{p + 1}{letter}" for p, letter in zip(places, new, strict=True)), places.sum())
        )
    (tmp_path / "t.csv").write_text(
        "mutant,score\n" + "".join(f"{cell},{value}\n" for cell, value in dict(cells).items())
    )
    code, out, err = biorrn("train", "protein", tmp_path / "t.csv", *FOREST, "--folds", "order", "-o", tmp_path / "run")
    assert code == 0, err
    assert "Trained on rows of at most 2 mutations, tested on rows of more." in out
    assert out.count("intervals for 90 %") == 1
    assert "lie in their" not in out
    with open(tmp_path / "run" / "predictions.tsv") as stream:
        assert {row["id"].count(":") for row in csv.DictReader(stream, delimiter="\t")} == {2}
    assert f"refitted on all {len(dict(cells)):,} rows" in out
    one = biorrn("train", "protein", tmp_path / "t.csv", *FOREST, "--folds", "order:1", "--dry-run")[1]
    assert "rows with more than 1 mutation are test" in one


def test_a_kind_of_folds_alone_makes_no_more_than_there_are_groups(biorrn, scan: Path, tmp_path: Path) -> None:
    words = ["train", "protein", scan, *FOREST, "--groups", "batch", "--folds"]
    code, out, err = biorrn(*words, "group", "-o", tmp_path / "run")
    assert code == 0, err
    assert "split: 4 folds of the rows" in out
    assert "fold 4 of 4: " in out
    code, _, err = biorrn(*words, "group:5", "--dry-run")
    assert (code, "--folds: found 5; allowed is 2 to 4, the groups of the rows" in err) == (2, True)
    few = tmp_path / "few.csv"
    rows = scan.read_text().splitlines()
    few.write_text("\n".join(rows[:14]) + "\n")  # the wild type and four positions
    code, out, err = biorrn("train", "protein", few, *FOREST, "--folds", "position", "--dry-run")
    assert "4 folds of the rows, whole positions" in out, err
    for last, message in (
        (2, "fold leaves one of 2 groups"),
        (1, "all rows are of one group; expected 2 groups or more"),
    ):
        few.write_text("\n".join([rows[0], *(f"{row[:-1]}{k % last}" for k, row in enumerate(rows[1:40]))]) + "\n")
        code, _, err = biorrn("train", "protein", few, *words[3:], "group", "--dry-run")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "170"], "--folds: found 170; allowed is 2 to 169, the distinct proteins"),
        (["--folds", "group"], "--folds group: variants of one protein are a single family; name a column"),
        (["--folds", "position", "--groups", "batch"], "--folds position: not with --groups; --folds group keeps"),
        (["--folds", "position", "--split", "random"], "--folds position: not with --split random"),
        (["--folds", "order"], "169 of 169 rows have at most 2 mutations, the most is 1"),
        (["--folds", "order:1"], "169 of 169 rows have at most 1 mutation, the most is 1"),
        (["--folds", "position:57"], "--folds position: found 57; allowed is 2 to 56, the mutated positions"),
        (["--folds", "positon"], "--folds 'positon' is unknown; did you mean 'position'?"),
        (["--folds", "position", "--search", "3"], "--search: not with --folds"),
    ],
)
def test_folds_that_do_not_fit_are_one_line(biorrn, scan: Path, tmp_path: Path, words: list[str], message: str) -> None:
    code, out, err = biorrn("train", "protein", scan, *FOREST, *words, "-o", tmp_path / "run")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert biorrn("train", "protein", scan, *FOREST, *words, "--dry-run")[0] == 2


def test_folds_of_positions_need_one_protein(biorrn, table: Path) -> None:
    code, _, err = biorrn("train", "protein", table, "--target", "y", "--folds", "position", "--dry-run")
    assert (code, "the rows are not variants of one protein" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "protein", "{t}", "-o", "{o}"], "--target: found none"),
        (["train", "protein", "{t}", "--target", "y"], "Missing option '--output'"),
        (["train", "stability_gru", "{t}"], "Missing option '--output'"),
        (["train", "stability_gru", "{t}", "-o", "{o}", "--folds", "3"], "--folds: belongs to 'biorrn train-table"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--init", "x"], "--init: belongs to 'biorrn train'"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--folds", "1"], "--folds: found 1"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--folds", "99"], "--folds: found 99"),
        (["train", "protein", "{t}", "--target", "x", "-o", "{o}"], "column 'x' is missing"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--max-minutes", "0"], "--max-minutes: found 0"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--split", "colum:x"], "did you mean 'column'"),
        (
            ["train", "protein", "{t}", "--target", "y", "-o", "{o}", "--folds", "3", "--search", "3"],
            "--search: not with --folds",
        ),
        (["train", "protein", "-", "--target", "y", "-o", "{o}"], "found standard input"),
        (["train", "protein", "{t}", "--target", "y", "-o", "{o}.txt"], "run.txt: is a file; a run is a folder"),
    ],
)
def test_bad_wishes_are_one_line(biorrn, table: Path, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "run.txt").write_text("notes")
    code, _, err = biorrn(*(word.format(t=table, o=tmp_path / "run") for word in words))
    assert code == 2
    assert message in err
    assert err.startswith("biorrn: error: ")
    assert err.count("\n") == 1
