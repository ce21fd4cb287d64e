"""What can be wrong with a configuration, and the sentence that says so; no snakemake is started."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from biorrn.proteins.baselines.fit import BASELINES, SETS
from biorrn.proteins.classes.baselines import BASELINES as CLASS_BASELINES
from biorrn.proteins.classes.baselines import SETS as CLASS_SETS
from biorrn.tagging.baselines import BASELINES as TAG_BASELINES
from biorrn.tagging.baselines import VALUE_BASELINES

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "workflow/rules"
EXAMPLES = [*sorted((ROOT / "config").glob("*.yaml")), *sorted((ROOT / "tests/workflow").glob("*/config.yaml"))]


def load(config: dict[str, Any]) -> dict[str, Any]:
    """Run the two files without rules, which are plain Python, on a configuration and return their names."""
    names = {"config": config, "workflow": SimpleNamespace(source_path=lambda path: RULES / path)}
    for name in ("common.smk", "calls.smk"):
        exec(compile((RULES / name).read_text(), str(RULES / name), "exec"), names)
    return names


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def set_key(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = config
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value


SWEEP = {"name": "width", "task": "regression", "data": "synthetic_stability", "recipe": "demo_stability"}

# change of the demo's configuration (None: the key is taken away) -> part of the message
FAULTS = [
    ("outptu", "x", "key 'outptu' is unknown; did you mean 'output'?"),
    ("output", None, "key 'output' is missing"),
    ("output", 3, "key 'output': 3 is not of type 'string'"),
    ("runs", [], "there is nothing to do; allowed is an entry of runs or sweeps, or a sheet of samples"),
    ("steps", ["qc", "mop"], "key 'steps[1]': 'mop' is not one of"),
    ("shards", 0, "key 'shards'"),
    ("shard_gb", 0, "key 'shard_gb'"),
    ("sweeps", [{**SWEEP, "grid": {"seed": [0]}, "table": "x"}], "key 'sweeps[0]'"),
    ("sweeps", [SWEEP], "key 'sweeps[0]'"),
    ("sweeps", [{**SWEEP, "grid": {"seed": [0]}}] * 2, "key 'sweeps': name 'width' occurs twice"),
    ("sweeps", [{**SWEEP, "grid": {"seed": []}}], "key 'sweeps[0].grid.seed': [] should be non-empty"),
    ("sweeps", [{**SWEEP, "grid": {"seed": ["x"]}}], "sweep 'width': found seed 'x'; allowed is 0 or more"),
    ("sweeps", [{**SWEEP, "grid": {"seed": [0, 0]}}], "sweep 'width': found a table without rows"),
    ("sweeps", [{**SWEEP, "grid": {"model.core.hiden": [8]}}], "key 'model.core.hiden' is unknown"),
    ("sweeps", [{**SWEEP, "grid": {"training.lr": ["a b"]}}], "value 'a b' cannot be part of file names"),
    ("sweeps", [{**SWEEP, "table": "no/such.tsv"}], "sweep 'width': no/such.tsv: cannot be read"),
    ("runs", {"stability": {}}, "key 'runs'"),
    ("runs/0/recpie", "x", "key 'runs[0]': key 'recpie' is unknown; did you mean 'recipe'?"),
    ("runs/0/recipe", None, "key 'runs[0]': key 'recipe' is missing"),
    ("runs/0/recipe", "demo_stabilty", "recipe 'demo_stabilty' is unknown; did you mean 'demo_stability'?"),
    ("runs/0/recipe", "no/such.yaml", "no/such.yaml: cannot be read"),
    ("runs/0/recipe", "demo_basecall", "recipe 'demo_basecall' is of task basecalling, not regression"),
    ("runs/0/set", ["training.epcohs=3"], "key 'training.epcohs' is unknown; did you mean 'epochs'?"),
    ("runs/0/set", ["training.epochs=0"], "key 'training.epochs'"),
    ("runs/0/data", "synthetic_stabilty", "did you mean 'synthetic_stability'?"),
    ("runs/0/data", "simulated_reads", "task regression needs data of kind protein"),
    ("runs/0/task", "regresion", "'regresion' is not one of"),
    ("runs/0/seed", -1, "key 'runs[0].seed': -1 is less than the minimum of 0"),
    ("runs/0/decoder", "beam", "key 'runs[0].decoder': does not belong here"),
    ("runs/0/force", True, "key 'runs[0].force': does not belong here"),
    ("force", "yes", "key 'force': 'yes' is not of type 'boolean'"),
    ("runs/0/name", "a b", "key 'runs[0].name': 'a b' does not match"),
    ("runs/1/name", "stability", "key 'runs': name 'stability' occurs twice"),
    ("runs/0/baselines", "rigde", "key 'runs[0].baselines': 'rigde' does not match"),
    ("runs/0/baselines", "all,ridge", "key 'runs[0].baselines'"),
    ("runs/0/baselines", "ridge,", "key 'runs[0].baselines'"),
    ("runs/1/baselines", "fast", "key 'runs[1].baselines': does not belong here"),
    ("runs/1/predict", [], "key 'runs[1].predict': does not belong here"),
    ("runs/0/predict/0/name", "valid", "key 'runs[0].predict[0].name'"),
    ("runs/0/predict/0/fsata", "x", "did you mean 'fasta'?"),
    ("data/0/kind", None, "key 'data[0]': key 'kind' is missing"),
    ("data/0/targets", None, "key 'data[0]': key 'targets' is missing"),
    ("data/0/reads", ["x"], "key 'data[0].reads': does not belong here"),
    ("data/1/truth", None, "key 'data[1]': key 'truth' is missing"),
    ("data/1/reference", None, "key 'data[1]': key 'reference' is missing"),
    ("data/1/region", "chr1", "key 'data[1].region'"),
    ("data/1/name", "synthetic_stability", "key 'data': name 'synthetic_stability' occurs twice"),
]


@pytest.mark.parametrize("names", [*SETS, *BASELINES, ",".join(BASELINES)])
def test_every_baseline_can_be_asked_for(config: dict[str, Any], names: str) -> None:
    set_key(config, "runs/0/baselines", names)
    load(config)


@pytest.mark.parametrize("names", [*CLASS_SETS, *CLASS_BASELINES, ",".join(CLASS_BASELINES)])
def test_every_baseline_of_classes_can_be_asked_for(names: str) -> None:
    config = yaml.safe_load((ROOT / "tests/workflow/classes/config.yaml").read_text())
    set_key(config, "runs/0/baselines", names)
    load(config)


@pytest.mark.parametrize("names", ["all", "none", *TAG_BASELINES, *VALUE_BASELINES, ",".join(TAG_BASELINES)])
def test_every_baseline_of_tags_can_be_asked_for(names: str) -> None:
    config = yaml.safe_load((ROOT / "tests/workflow/tagging/config.yaml").read_text())
    set_key(config, "runs/0/baselines", names)
    load(config)


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    [
        ("runs/0/baselines", "fast", "key 'runs[0].baselines': 'fast' does not match"),
        ("runs/0/decoder", "beam", "key 'runs[0].decoder': does not belong here"),
        ("runs/0/recipe", "demo_stability", "recipe 'demo_stability' is of task regression, not tagging"),
        ("data/0/targets", ["x"], "key 'data[0].targets': does not belong here"),
        ("data/0/states", 3, "key 'data[0].states': 3 is not of type 'string'"),
        ("data/0/kind", "protein", "key 'data[0]"),
    ],
)
def test_fault_of_tags_is_named(path: str, value: Any, fragment: str) -> None:
    config = yaml.safe_load((ROOT / "tests/workflow/tagging/config.yaml").read_text())
    set_key(config, path, value)
    with pytest.raises(WorkflowError) as raised:
        load(config)
    assert fragment in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("path", "value", "fragment"), FAULTS, ids=lambda part: str(part)[:40])
def test_fault_is_named(config: dict[str, Any], path: str, value: Any, fragment: str) -> None:
    set_key(config, path, value)
    with pytest.raises(WorkflowError) as raised:
        load(config)
    message = str(raised.value)
    assert message.startswith("configuration: ")
    assert fragment in message
    assert "\n" not in message


def test_force_is_an_option_without_a_value(config: dict[str, Any]) -> None:
    for value, words in ((True, ["--force"]), (False, [])):
        config["runs"][1]["force"] = value
        names = load(copy.deepcopy(config))
        assert names["options"](names["CALLS"]["basecaller"], decoder="--decoder", force="--force") == words


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_example_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BIORRN_SHARED_DATA", str(ROOT))  # any folder: no file is opened
    names = load(yaml.safe_load(path.read_text()))
    assert names["RUNS"] or names["SAMPLES"]
    assert "{real_data}" not in str(names["DATA"])


def test_every_key_of_the_schema_is_explained() -> None:
    """config/config.yaml is the manual: a key that it does not show is hidden."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    manual = (ROOT / "config/config.yaml").read_text() + (ROOT / "config/real.yaml").read_text()
    keys = {*schema["properties"], *(key for kind in schema["$defs"].values() for key in kind.get("properties", ()))}
    assert not [key for key in keys if f"{key}:" not in manual]


def test_schema_is_closed_at_every_level() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            # the keys of a grid are the recipe's, which checks them
            if node.get("type") == "object" and "minProperties" not in node:
                assert node.get("additionalProperties") is False, node
            for entry in node.values():
                walk(entry)
        elif isinstance(node, list):
            for entry in node:
                walk(entry)

    walk(yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text()))


def test_sweep_is_runs(config: dict[str, Any]) -> None:
    config["sweeps"] = [{**SWEEP, "set": ["training.epochs=1"], "grid": {"model.core.hidden": [8, 16], "seed": [0, 1]}}]
    names = load(config)
    assert list(names["RUNS"])[2:] == [f"width.hidden~{hidden}_seed~{seed}" for hidden in (8, 16) for seed in (0, 1)]
    last = names["RUNS"]["width.hidden~16_seed~1"]
    assert last["set"] == ["training.epochs=1", "model.core.hidden=16"]
    assert last["seed"] == 1
    assert last["swept"] == {"model.core.hidden": "16", "seed": "1"}


def test_table_of_a_sweep(config: dict[str, Any], tmp_path: Path) -> None:
    """Keys that end alike keep their whole names, so that two columns do not become one."""
    table = tmp_path / "points.tsv"
    table.write_text("seed\tmodel.core.dropout\tmodel.head.dropout\n0\t0.1\t0.2\n3\t0.5\t0.2\n")
    config["sweeps"] = [{**SWEEP, "table": str(table)}]
    last = load(config)["SWEEPS"]["width"][1]
    assert last["set"] == ["model.core.dropout=0.5", "model.head.dropout=0.2"]
    assert (last["seed"], last["name"]) == (3, "width.seed~3_model_core_dropout~0.5_model_head_dropout~0.2")


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("stability\tprotein\tx.fasta\tstability", "name 'stability' is taken by a run of the configuration"),
        ("a\tprotein\tx.fasta\tstabilty", "sample 'a': model 'stabilty' is unknown; did you mean 'stability'?"),
        ("a\tsignal\tx.pod5\tstability", "allowed is a run of task basecalling for kind signal"),
        ("a\tsignal", "line 2: found 2 cells; the first line names 4 columns"),
    ],
)
def test_fault_of_the_sample_sheet_is_named(config: dict[str, Any], tmp_path: Path, line: str, fragment: str) -> None:
    sheet = tmp_path / "samples.tsv"
    sheet.write_text(f"name\tkind\tinput\tmodel\n{line}\n")
    config["samples"] = str(sheet)
    with pytest.raises(WorkflowError) as raised:
        load(config)
    assert str(raised.value).startswith("sample sheet: ")
    assert fragment in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sample_may_name_a_model_of_the_users_folders(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name or by path, also where it is of another program; a shipped basecaller also by its size."""
    theirs = tmp_path / "models" / "dna_r9.4.1_e8_fast@v3.4"
    theirs.mkdir(parents=True)
    for name in ("config.toml", "0.conv.weight.tensor"):
        (theirs / name).write_text("")
    sheet = tmp_path / "samples.tsv"
    sheet.write_text(f"name\tkind\tinput\tmodel\na\tsignal\tx.pod5\t{theirs.name}\nb\tsignal\tx.pod5\t{theirs}\n"
                     "c\tsignal\tx.pod5\tfast\n")  # fmt: skip
    config |= {"samples": str(sheet), "shards": 1}
    with pytest.raises(WorkflowError, match=r"sample 'a': model 'dna_r9.4.1_e8_fast@v3.4' is unknown"):
        load(config)
    monkeypatch.setenv("BIORRN_MODELS", str(theirs.parent))
    loaded = load(config)
    files = [str(theirs / name) for name in ("0.conv.weight.tensor", "config.toml")]
    for name in ("a", "b"):
        assert loaded["model_files"](loaded["CALLS"][name]["model"]) == files
        assert loaded["folder_of"](files) == str(theirs)
        assert loaded["task_of"](name) == "basecalling"
    assert loaded["CALLS"]["c"]["model"] == "dna_r9.4.1_fast"


def test_a_pool_is_called_with_its_kit_and_sorted(config: dict[str, Any], tmp_path: Path) -> None:
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("name\tkind\tinput\tkit\npool\tsignal\tx.pod5\tSQK-RBK004\nalone\tsignal\ty.pod5\t\n")
    loaded = load(config | {"samples": str(sheet), "shards": 1})
    assert loaded["barcoded_samples"]() == ["pool"]
    assert [loaded["CALLS"][name]["kit"] for name in ("pool", "alone")] == ["SQK-RBK004", None]


@pytest.mark.parametrize(
    ("kit", "fragment"),
    [
        ("SQK-RBK9", "sample 'pool': --kit: 'SQK-RBK9' is unknown"),
        ("SQK-LSK109", "sample 'pool': --kit: SQK-LSK109 has no barcodes"),
        ("SQK-RBK004", "row 1: barcode '13': the kit has barcode01 to barcode12"),
    ],
)
def test_kit_and_aliases_are_checked_before_calling(
    config: dict[str, Any], tmp_path: Path, kit: str, fragment: str
) -> None:
    aliases, sheet = tmp_path / "aliases.csv", tmp_path / "samples.tsv"
    aliases.write_text("barcode,alias\n13,liver\n")
    sheet.write_text(f"name\tkind\tinput\tkit\taliases\npool\tsignal\treads\t{kit}\t{aliases}\n")
    with pytest.raises(WorkflowError) as raised:
        load(config | {"samples": str(sheet), "shards": 1})
    assert fragment in str(raised.value)


def test_shards_follow_the_size_of_the_files(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load(config)["CALLS"]["basecaller"]["shards"] == 1
    config["shard_gb"] = 1e-6
    assert load(config)["CALLS"]["basecaller"]["shards"] == 3  # not more than there are files
    config["shards"] = 7  # nothing is walked, so that empty ones may be among them
    assert load(config)["CALLS"]["basecaller"]["shards"] == 7
