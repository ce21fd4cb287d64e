import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import dump_recipe, load_recipe, parse_recipe, recipe_names
from biorrn.nn.sequence import build, build_model, settle
from biorrn.nn.store import load_facts, load_model, models_of, save_model, update_facts
from biorrn.sequences.tokenisers import residue_tokeniser

OUTPUTS = {
    "regression": 3,
    "classification": 3,
    "basecalling": 5,
    "language": 24,
    "tagging": 3,
    "translation": 22,
    "signal_decoder": 5,
}
TARGETS = [{"name": "y", "unit": ""}, {"name": "z", "unit": "kcal/mol"}]
FACTS = {"task": "regression", "outputs": 2, "targets": TARGETS}
GAUSSIAN = {"reference": "M" * 60, "positions": [39, 40, 41, 54], "rows": [9, 9, 9]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = load_recipe("stability_gru")
    save_model(tmp_path, build_model(recipe.model, 2), recipe, FACTS)
    return tmp_path


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    # what only training data says is filled in
    text = dump_recipe(load_recipe(name)).replace("reference: null", "reference: MKV").replace("size: 0", "size: 24")
    recipe = parse_recipe(yaml.safe_load(text))
    if recipe.members is not None:  # each is written and read on its own, too
        plain = [
            one for one in recipe.members if getattr(getattr(one.recipe.model, "frontend", None), "path", None) is None
        ]
        recipe = recipe.model_copy(update={"members": plain})
    facts = {
        "task": recipe.task,
        "outputs": OUTPUTS.get(name, OUTPUTS[recipe.task]),
        "gaussian": GAUSSIAN,
        "neighbours": [5, 7],
    }
    frontend = getattr(recipe.model, "frontend", None)
    if getattr(frontend, "path", None):  # what other models tell, which come with shipped ones
        model: Any = build_model(recipe.network, facts["outputs"], given=models_of(frontend))
        recipe = settle(recipe, model)
    else:
        model = build(recipe, facts)
    if recipe.task == "basecalling":
        facts |= {"normaliser": "medmad", "sample_rate": 4000.0, "stride": model.stride}
    if recipe.task == "regression":
        facts["targets"] = [{"name": name, "unit": ""} for name in "abc"]
    if recipe.task == "classification":
        facts |= {"name": "family", "classes": list("abc")}
    if recipe.task == "tagging":
        facts |= {"kind": "states", "states": "HEC", "state_names": ["helix", "strand", "coil"], "alphabet": "ACGTN"}
        if getattr(getattr(recipe.model, "head", None), "name", "") == "values":
            facts |= {"kind": "values", "targets": [{"name": name, "unit": ""} for name in "abc"]}
    if recipe.task == "translation":
        signal = {"source": "signal", "target": "bases", "normaliser": "medmad", "stride": 5, "symbols_a_step": 0.1}
        pairs = {"source": "codons", "target": "residues", "symbols_a_step": 1.1}
        facts |= signal if name == "signal_decoder" else pairs
    if recipe.task == "language":
        facts["tokeniser"] = residue_tokeniser().to_dict()
    save_model(tmp_path, model, recipe, facts)
    stored = load_model(tmp_path)
    assert stored.recipe == recipe
    assert stored.facts == facts
    assert not stored.model.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(stored.model.state_dict()[key], tensor)


def test_unknown_name_says_what_is_shipped() -> None:
    with pytest.raises(ConfigError, match="not a folder nor a shipped model"):
        load_model("no_such_model")


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.safetensors is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize("cut", [0, 4, 100, 5000])
def test_damaged_weights(folder: Path, cut: int) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(folder)


def test_weights_of_another_recipe(folder: Path) -> None:
    recipe = load_recipe("stability_gru")
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace(f"hidden: {recipe.model.core.hidden}\n", "hidden: 12\n", 1))
    with pytest.raises(InputError, match="has shape"):
        load_model(folder)


def test_a_tensor_too_many(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "odd": torch.zeros(1)}, weights, metadata={"biorrn": json.dumps(FACTS)})
    with pytest.raises(InputError, match="tensor 'odd' is unexpected"):
        load_model(folder)


def test_weights_of_another_program(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    save_file(load_file(weights), weights)
    with pytest.raises(BiorrnError, match="no facts"):
        load_model(folder)


def test_facts_are_set_and_all_else_stays(folder: Path) -> None:
    before, recipe = load_file(folder / "weights.safetensors"), (folder / "recipe.yaml").read_bytes()
    update_facts(folder, qscore={"slope": 0.5, "shift": 3.0})
    assert load_model(folder).facts == {**FACTS, "qscore": {"slope": 0.5, "shift": 3.0}}
    after = load_file(folder / "weights.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (folder / "recipe.yaml").read_bytes() == recipe
    assert sorted(path.name for path in folder.iterdir()) == ["recipe.yaml", "weights.safetensors"]


def test_facts_that_cannot_be_written_leave_the_model_as_it_was(folder: Path) -> None:
    before = (folder / "weights.safetensors").read_bytes()
    with pytest.raises(TypeError):
        update_facts(folder, qscore=object())
    assert (folder / "weights.safetensors").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("read", [load_model, load_facts])
@pytest.mark.parametrize("file", ["choice.json", "run.json", ""])
def test_a_folder_without_weights_says_why(read: Any, file: str, tmp_path: Path) -> None:
    if file:
        (tmp_path / file).write_text("{}")
    why = "holds a training that has not finished; give the command" if file else "weights.safetensors is missing"
    with pytest.raises(InputError, match=why):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text"])
def test_facts_of_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="is not a readable safetensors file"):
        update_facts(tmp_path, qscore=1)
