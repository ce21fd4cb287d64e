"""The protein benchmark: what it plans, and the tables that its first step makes."""

import csv
import gzip
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from biorrn.config.recipe import load_recipe
from biorrn.proteins.baselines.fit import SETS
from biorrn.proteins.benchmark import HIGHER_IS_BETTER, read_published

ROOT = Path(__file__).resolve().parents[2]


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


SETTINGS = yaml.safe_load((ROOT / "workflow/benchmark_proteins.yaml").read_text())
TABLE = module(ROOT / "workflow/scripts/split_table.py")
RUN = module(ROOT / "tests/workflow/test_workflow.py")  # the same way to start snakemake


def plan(folder: Path, *words: str | Path, **options: str) -> tuple[int, str]:
    return RUN.snakemake(RUN.folder_for(folder), "-n", "benchmark_proteins", "--quiet", "rules", *words, **options)


def real_data(folder: Path) -> Path:
    """Make the files that the sets name, empty: a dry run opens none."""
    for entry in SETTINGS["sets"].values():
        for source in entry["sources"]:
            path = folder / source.partition("!")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


@pytest.mark.parametrize("name", SETTINGS["sets"])
def test_every_set_can_be_run(name: str) -> None:
    entry = SETTINGS["sets"][name]
    known = {"recipe", "sources", "target", "judge", "hold_out", "chance", "metric", "note"}
    assert not entry.keys() - known
    assert load_recipe(entry["recipe"]).task == "regression"
    assert entry["judge"] in ("valid", "test")
    assert entry.get("metric", "spearman") in HIGHER_IS_BETTER


def test_settings_and_published_figures_fit() -> None:
    published = read_published(ROOT / "workflow/published.tsv")
    assert {figure.set for figure in published} <= SETTINGS["sets"].keys()
    assert all(figure.source and 0 < figure.score < 1 for figure in published)
    for figure in published:
        assert figure.metric == SETTINGS["sets"][figure.set].get("metric", "spearman")
    assert SETTINGS["seeds"] >= 3
    assert SETTINGS["baselines"] in SETS


def test_both_snakefiles_plan_every_set_and_seed(tmp_path: Path) -> None:
    sets = SETTINGS["sets"].values()
    seeds = sum(SETTINGS["seeds"] if entry.get("chance", True) else 1 for entry in sets)
    tables = sum(SETTINGS["seeds"] if "hold_out" in entry else 1 for entry in sets)
    jobs = {"benchmark_split": tables, "benchmark_prepare": tables, "benchmark_train": seeds}
    jobs |= {"benchmark_predict": seeds, "benchmark_evaluate": seeds, "benchmark_proteins": 1}
    data = str(real_data(tmp_path / "real"))
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        code, text = plan(tmp_path, snakefile=snakefile, BIORRN_SHARED_DATA=data)
        assert code == 0, text
        assert RUN.planned(text) == jobs | {"total": sum(jobs.values())}


def test_a_part_can_be_asked_for(tmp_path: Path) -> None:
    words = ("--config", "benchmark_seeds=2", "benchmark_sets=[solubility,gb1_two_vs_rest]")
    code, text = plan(tmp_path, *words, BIORRN_SHARED_DATA=str(real_data(tmp_path / "real")))
    assert code == 0, text
    jobs = RUN.planned(text)
    # solubility: two seeds with rows of their own; GB1: one, as chance plays no part
    assert (jobs["benchmark_train"], jobs["benchmark_prepare"]) == (3, 3)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ((), "configuration: no real data at nowhere; name its folder by config key real_data"),
        (("--config", "benchmark_sets=[gb1_sampeld]"), "benchmark_sets: set 'gb1_sampeld' is unknown; did you mean"),
        (("--config", "benchmark_sets=gb1_sampled"), "key 'benchmark_sets': 'gb1_sampled' is not of type"),
        (("--config", "benchmark_seeds=0"), "key 'benchmark_seeds': 0 is less than the minimum of 1"),
    ],
)
def test_fault_is_one_line(tmp_path: Path, words: tuple[str, ...], fragment: str) -> None:
    code, text = plan(tmp_path, *words, BIORRN_SHARED_DATA="nowhere")
    assert code == 1
    assert any(fragment in line for line in text.splitlines()), text


def read(path: Path) -> list[dict[str, str]]:
    with open(path) as stream:
        return list(csv.DictReader(stream))


def test_validation_column_chooses_among_training_rows(tmp_path: Path) -> None:
    text = "sequence,y,set,validation\nAAA,1,train,\nCCC,2,train,True\nDDD,3,test,\n"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/one.csv", text)
    TABLE.write_table([f"{tmp_path}/a.zip!in/one.csv"], "y", 0, 0, tmp_path / "out.csv")
    rows = read(tmp_path / "out.csv")
    assert [(row["sequence"], row["set"]) for row in rows] == [("AAA", "train"), ("CCC", "valid"), ("DDD", "test")]


def test_files_follow_one_another_and_keep_their_ids(tmp_path: Path) -> None:
    for name, part in (("b", "train"), ("c", "valid")):
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt") as stream:
            stream.write(f"id,sequence,y,z,set\n{name}1,AAA,1,9,{part}\n")
    TABLE.write_table([f"{tmp_path}/{name}.csv.gz" for name in "bc"], "y", 0, 0, tmp_path / "out.csv")
    assert read(tmp_path / "out.csv") == [
        {"id": "b1", "sequence": "AAA", "y": "1", "set": "train"},
        {"id": "c1", "sequence": "AAA", "y": "1", "set": "valid"},
    ]


def test_rows_held_out_are_of_the_seed_and_of_training(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    source.write_text(
        "sequence,y,set\n" + "".join(f"A{'C' * n},{n},{'train' if n < 50 else 'test'}\n" for n in range(60))
    )
    held = []
    for seed in (0, 0, 1):
        TABLE.write_table([str(source)], "y", 0.2, seed, tmp_path / "out.csv")
        rows = read(tmp_path / "out.csv")
        assert [row["set"] for row in rows[50:]] == ["test"] * 10
        held.append([row["y"] for row in rows if row["set"] == "valid"])
    assert len(held[0]) == 10
    assert held[0] == held[1] != held[2]


def test_a_missing_target_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("sequence,y\nAAA,1\n")
    with pytest.raises(ValueError, match="column 'z' is missing; it has sequence, y, set"):
        TABLE.write_table([str(tmp_path / "e.csv")], "z", 0, 0, tmp_path / "out.csv")
