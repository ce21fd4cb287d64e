"""A model folder that somebody else made: it is data, it names no file, and it is no larger than it says."""

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.sequence import Budget, build, build_model
from biorrn.nn.store import load_facts, load_model, save_model
from biorrn.proteins.predict import predict
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tokenisers import residue_tokeniser

LM = {"frontend": {"name": "tokens", "size": 24}, "core": {"direction": "forward"}, "head": {"name": "tokens"}}
FACTS: dict[str, Any] = {"task": "regression", "outputs": 1, "targets": [{"name": "y", "unit": ""}]}
SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "blosum62"}, "core": {"hidden": 2, "layers": 1}, "pool": ["mean"]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = parse_recipe(SMALL)
    save_model(tmp_path, build(recipe, FACTS), recipe, FACTS)
    return tmp_path


def rewrite(folder: Path, facts: Any = None, **tensors: torch.Tensor) -> None:
    stored = load_model(folder)
    metadata = {"biorrn": facts if isinstance(facts, str) else json.dumps(facts or stored.facts)}
    save_file({**stored.model.state_dict(), **tensors}, folder / "weights.safetensors", metadata=metadata)


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_no_pickle_is_ever_opened(kind: str, folder: Path, tmp_path: Path) -> None:
    harm = Harm(tmp_path / "harmed")
    if kind == "pickle":
        (folder / "weights.safetensors").write_bytes(pickle.dumps(harm))
    else:
        torch.save({"x": harm}, folder / "weights.safetensors")
    for name in ("model.pkl", "pytorch_model.bin", "last.ckpt"):
        (folder / name).write_bytes(pickle.dumps(harm))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(folder)
    assert not harm.path.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"core": {"hidden": 50_000, "layers": 900}}, "asks for a model of more than"),
        ({"core": {"hidden": 10**9}}, "less than or equal to 65536"),
        ({"frontend": {"name": "table", "k": 3, "rows": 2**31, "width": 65536}}, "asks for a model of more than"),
        (
            {"frontend": {"name": "embedding", "width": 65536, "layers": [{"width": 65536, "kernel": 65535}]}},
            "more than",
        ),
        ({"core": {"hidden": 3, "layers": 1}}, "has shape"),
        ({"steps": 5}, "tensor"),
        ({"frontend": {"name": "table", "path": "/etc/passwd"}}, "names the file '/etc/passwd'"),
        ({"frontend": {"name": "language_model", "path": "."}}, "names the file '.'"),
        (
            {
                "frontend": {
                    "name": "language_model",
                    "parts": [{"frontend": {"name": "table", "path": "/x"}}],
                    "tokenisers": [{}],
                }
            },
            "file '/x'",
        ),
        ({"frontend": {"name": "language_model", "parts": [{"x": 1}]}}, "found 1 parts and 0 tokenisers"),
        ({"frontend": {"name": "language_model", "parts": [{"x": 1}], "tokenisers": [{}]}}, "does not match the facts"),
        (
            {"frontend": {"name": "language_model", "parts": [LM], "tokenisers": [{"name": "words"}]}},
            "found name 'words'",
        ),
        (
            {
                "frontend": {
                    "name": "language_model",
                    "parts": [{**LM, "frontend": {"name": "onehot"}}],
                    "tokenisers": [residue_tokeniser().to_dict()],
                }
            },
            "found a part with front end onehot",
        ),
        ({"frontend": {"name": "variant", "reference": "MK1"}}, "residue '1'"),
    ],
)
def test_recipes_that_ask_for_more(changes: dict[str, Any], said: str, folder: Path) -> None:
    content = {**SMALL, "model": {**SMALL["model"], **changes}}  # type: ignore[dict-item]
    (folder / "recipe.yaml").write_text(json.dumps(content))
    with pytest.raises(BiorrnError) as caught:
        load_model(folder)
    assert said in str(caught.value)


def test_a_recipe_to_be_trained_has_a_largest_size() -> None:
    asked = {"frontend": {"name": "onehot"}, "core": {"hidden": 60_000}, "pool": ["mean"]}
    with pytest.raises(ConfigError, match=r"asks for a model of more than 1,073,741,824 numbers"):
        build_model(parse_recipe({**SMALL, "model": asked}).network, 1)


@pytest.mark.parametrize("make", [lambda: torch.zeros((500, 3)), lambda: torch.zeros(500, 3), lambda: torch.eye(40)])
def test_the_budget_counts_before_it_allows(make: Any) -> None:
    with pytest.raises(ConfigError, match="more than 1,000 numbers"), Budget(1000, "x"):
        make()
    with Budget(1600, "x"):
        make()


def test_the_budget_is_of_all_tensors_together() -> None:
    with Budget(1000, "x"):
        torch.nn.Linear(30, 30)
        with pytest.raises(ConfigError):
            torch.nn.LSTM(10, 10)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("[" * 5000, "not JSON"),
        ('{"outputs": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "no facts"),
        ({**FACTS, "outputs": 10**9}, "fact 'outputs'"),
        ({**FACTS, "outputs": "1"}, "fact 'outputs'"),
        ({**FACTS, "outputs": 2}, "names 1 targets for 2 outputs"),
        ({**FACTS, "targets": "y"}, "fact 'targets'"),
        ({**FACTS, "targets": [{"name": 3}]}, "fact 'targets.0.name'"),
        ({"task": "regression"}, "fact 'targets' is missing"),
        ({**FACTS, "min_length": "short"}, "fact 'min_length'"),
        ({**FACTS, "conformal": {"y": {"quantiles": [0.1]}}}, "fact 'conformal.y.quantiles'"),
        ({**FACTS, "conformal": [1]}, "fact 'conformal'"),
        ({**FACTS, "novelty": {"mean": [1.0]}}, "fact 'novelty.unit'"),
        ({**FACTS, "gaussian": {"reference": "../x", "positions": [], "rows": []}}, "fact 'gaussian.reference'"),
        ({"task": "basecalling", "outputs": 5}, "the recipe in its folder is for regression"),
    ],
)
def test_facts_of_another_type(facts: Any, said: str, folder: Path) -> None:
    rewrite(folder, facts)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert said in str(caught.value)


def test_novelty_of_another_size_is_one_line(folder: Path) -> None:
    rewrite(folder, {**FACTS, "novelty": {"mean": [0.0], "unit": [1.0], "root": [1.0], "threshold": 1.0}})
    with pytest.raises(BiorrnError, match="novelty"):
        list(predict(load_model(folder), [ProteinRecord("p", "MKV")]))


def test_facts_that_this_version_does_not_know_stay(folder: Path) -> None:
    rewrite(folder, {**FACTS, "later": {"x": [1]}})
    assert load_facts(folder)["later"] == {"x": [1]}


@pytest.mark.parametrize("change", ["nan", "type"])
def test_weights_that_are_no_numbers(change: str, folder: Path) -> None:
    name, tensor = next(iter(load_model(folder).model.state_dict().items()))
    rewrite(folder, **{name: torch.full_like(tensor, torch.nan) if change == "nan" else tensor.to(torch.int32)})
    with pytest.raises(InputError, match=f"tensor '{name}'"):
        load_model(folder)


@pytest.mark.parametrize("name", ["pivots", "support", "kernel.positions", "kernel.reference"])
@pytest.mark.parametrize("index", [-1, 2**40])
def test_indices_beyond_what_they_count(name: str, index: int, tmp_path: Path) -> None:
    facts = {**FACTS, "gaussian": {"reference": "MKVA", "positions": [1, 3], "rows": [4]}}
    recipe = parse_recipe({**SMALL, "model": {"name": "gaussian_process", "kernel": {"name": "sites"}}})
    save_model(tmp_path, build(recipe, facts), recipe, facts)
    key = next(key for key in load_model(tmp_path).model.state_dict() if key.endswith(name))
    tensor = load_model(tmp_path).model.state_dict()[key]
    rewrite(tmp_path, **{key: torch.full_like(tensor, index % 256 if tensor.dtype == torch.uint8 else index)})
    if tensor.dtype == torch.uint8 and index > 0:
        assert load_model(tmp_path)
        return
    with pytest.raises(InputError, match=f"tensor '.*{name}' holds an index beyond 0 to"):
        load_model(tmp_path)


@pytest.mark.parametrize("claim", [1 << 20, 1 << 40, 1 << 63])
def test_headers_that_claim_more_than_the_file_has(claim: int, folder: Path) -> None:
    weights = folder / "weights.safetensors"
    sound = weights.read_bytes()
    (size,) = struct.unpack("<Q", sound[:8])
    header = json.loads(sound[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[name] |= {"shape": [claim], "data_offsets": [0, 4 * claim]}
    written = json.dumps(header).encode()
    for content in (
        struct.pack("<Q", len(written)) + written + sound[8 + size :],
        struct.pack("<Q", claim) + sound[8:],
    ):
        weights.write_bytes(content)
        with pytest.raises(InputError, match="not a readable safetensors file"):
            load_model(folder)
