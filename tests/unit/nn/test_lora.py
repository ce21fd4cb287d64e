"""Adapters of tiny language models with random weights, in the layout of the hub."""

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from biorrn.base.errors import ConfigError
from biorrn.base.files import VARIABLE
from biorrn.config.recipe import Adapted as Recipe
from biorrn.config.recipe import parse_recipe
from biorrn.nn import hub, lora
from biorrn.nn.forward import BatchLimit
from biorrn.nn.hub import LanguageModel, embedded
from biorrn.nn.lora import Adapted
from biorrn.nn.store import load_model, save_model
from biorrn.sequences.alphabets import STANDARD, tokens
from biorrn.training.batches import pad_tokens
from biorrn.training.task import load_task
from biorrn.training.train import train

pytest.importorskip("peft", reason="needs the extra plm")
RNG = np.random.default_rng(0)
TEXTS = ["".join(RNG.choice(list(STANDARD), length)) for length in (5, 1, 40, 33, 12, 40)]
CPU = torch.device("cpu")


@pytest.fixture(params=["esm", "t5"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(f"tiny_{request.param}"))


@pytest.fixture(autouse=True)
def nothing_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_OFFERED", {})
    monkeypatch.delenv(VARIABLE, raising=False)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return pad_tokens([tokens(text) for text in TEXTS])


def changed(part: Adapted) -> Adapted:
    """Give the second matrices, which are zero at first, random values."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, value in part.named_parameters():
            if "lora_B" in name:
                value.normal_()
    return part


def recipe_of(folder: Path, **more: Any) -> Any:
    model = {"frontend": {"name": "plm", "path": str(folder), "rank": 2}, "core": {"layers": 0}, "pool": ["mean"]}
    training = {"epochs": 3, "batch_size": 16, "lr": 1e-2} | more
    return parse_recipe({"name": "tuned", "task": "regression", "model": model, "training": training})


def test_at_first_the_states_are_those_of_the_language_model(folder: Path) -> None:
    part = Adapted(Recipe(path=str(folder))).eval()
    states, _ = part(*batch())
    for text, found, wanted in zip(TEXTS, states, LanguageModel.load(str(folder)).states(TEXTS), strict=True):
        normal = torch.nn.functional.layer_norm(torch.from_numpy(wanted), (16,))
        assert torch.allclose(found[: len(text)], normal, atol=1e-4)
        assert (found[len(text) :] == 0).all()


def test_gradients_reach_adapters_alone_and_these_alone_are_kept(folder: Path) -> None:
    part = changed(Adapted(Recipe(path=str(folder))))
    part(*batch())[0].square().sum().backward()
    learned = {name for name, value in part.named_parameters() if value.grad is not None}
    kinds = ("q", "k", "v", "o") if "t5" in folder.name else ("query", "key", "value", "dense")
    matrices = 2 * 2 * len(kinds)  # two layers, two matrices each
    assert learned == set(part.state_dict()) == part.own
    assert len(learned) == matrices + 2
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in learned if "lora" in name} == set(kinds)
    with torch.no_grad():
        other = Adapted(Recipe(path=str(folder))).eval()
        assert not torch.allclose(part.eval()(*batch())[0], other(*batch())[0])
        assert not any(other.load_state_dict(part.state_dict()))
        assert torch.equal(part(*batch())[0], other(*batch())[0])


def test_a_copy_shares_the_language_model_and_not_the_adapters(tiny_esm: Path) -> None:
    part = Adapted(Recipe(path=str(tiny_esm)))
    twin, another = copy.deepcopy(part), Adapted(Recipe(path=str(tiny_esm)))
    for name, value in part.named_parameters():
        for other in (twin, another):
            assert (other.get_parameter(name).data_ptr() == value.data_ptr()) == (name not in part.own), name
    twin.double()
    assert {value.dtype for value in part.parameters()} == {torch.float32}


def test_batches_in_parts_are_those_in_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, (x, lengths) = changed(Adapted(Recipe(path=str(folder)))).eval(), batch()
    whole, _ = part(x, lengths)
    monkeypatch.setattr(lora, "RESIDUES", {"cpu": 80, "cuda": 80})
    with torch.no_grad():
        assert torch.allclose(part(x, lengths)[0], whole, atol=1e-5)


def test_a_long_protein_is_cut_as_for_embeddings(tiny_esm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "WINDOW", 20)
    for module in (lora, hub):
        monkeypatch.setattr(module, "OVERLAP", 8)
    part = Adapted(Recipe(path=str(tiny_esm))).eval()
    states, _ = part(*batch())
    model = LanguageModel.load(str(tiny_esm))
    for row, values in embedded(model, TEXTS, 20, False, BatchLimit(64)):
        normal = torch.nn.functional.layer_norm(torch.from_numpy(values), (16,))
        assert torch.allclose(states[row, : len(TEXTS[row])], normal, atol=1e-4)


def test_activations_computed_again_give_the_same_gradient(folder: Path) -> None:
    torch.manual_seed(0)
    plain = changed(Adapted(Recipe(path=str(folder), rank=2)))
    again = Adapted(Recipe(path=str(folder), rank=2, checkpointing=True))
    again.load_state_dict(plain.state_dict())
    found = []
    for part in (plain, again):
        torch.manual_seed(5)  # of dropout in the language model
        part.train()(*batch())[0].square().sum().backward()
        found.append({name: value.grad for name, value in part.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], rtol=1e-3, atol=1e-4), name


def test_half_the_memory_gives_nearly_the_same_states(folder: Path) -> None:
    plain = changed(Adapted(Recipe(path=str(folder)))).eval()
    half = Adapted(Recipe(path=str(folder), half=True)).eval()
    half.load_state_dict(plain.state_dict())
    kinds = {name in half.own: value.dtype for name, value in half.named_parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    with torch.no_grad():
        (one, lengths), (other, _) = plain(*batch()), half(*batch())
    assert one.dtype == other.dtype == torch.float32
    for row, length in enumerate(lengths.tolist()):
        assert torch.corrcoef(torch.stack([one[row, :length].flatten(), other[row, :length].flatten()]))[0, 1] > 0.95


def test_a_model_folder_finds_its_language_model_by_checksum(
    tiny_esm: Path, tmp_path: Path, tiny_proteins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, task = recipe_of(tiny_esm), load_task("regression")
    torch.manual_seed(0)
    model = task.make_model(recipe, task.open_data(tiny_proteins, recipe)).eval()
    changed(model.frontend)  # type: ignore[arg-type]
    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "leucine", "unit": ""}]}
    save_model(tmp_path / "model", model, recipe, facts)
    assert str(tiny_esm) not in (tmp_path / "model" / "recipe.yaml").read_text()
    stored = load_file(tmp_path / "model" / "weights.safetensors")
    assert set(stored) == set(model.state_dict())
    assert all("lora_" in name or name.startswith(("head.", "frontend.norm.")) for name in stored)
    with pytest.raises(ConfigError, match=r"language model tiny_esm \(weights \w{12}\): it is not on this machine"):
        load_model(tmp_path / "model")
    weights = Path(shutil.copytree(tiny_esm, tmp_path / "models" / "tiny_esm")) / "model.safetensors"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "models"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"found .*tiny_esm with other weights"):
        load_model(tmp_path / "model")
    weights.write_bytes(whole)
    found = load_model(tmp_path / "model").model
    with torch.no_grad():
        assert torch.equal(found(*batch())[0], model(*batch())[0])
    monkeypatch.delenv(VARIABLE)
    hub.offer(str(tiny_esm))
    load_model(tmp_path / "model")


def test_a_resumed_training_is_an_uninterrupted_one(tiny_esm: Path, tiny_proteins: Path, tmp_path: Path) -> None:
    recipe, task = recipe_of(tiny_esm), load_task("regression")
    hub.offer(str(tiny_esm))
    train(recipe, tiny_proteins, tmp_path / "whole", task, device="cpu", threads=1)
    train(recipe, tiny_proteins, tmp_path / "parts", task, device="cpu", threads=1, stop=1)
    checkpoint = torch.load(tmp_path / "parts" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert not any("base_layer" in name for name in checkpoint)
    for name in ("weights.safetensors", "provenance.json"):
        (tmp_path / "parts" / name).unlink()
    train(recipe, tiny_proteins, tmp_path / "parts", task, device="cpu", threads=1)
    one, other = (load_file(tmp_path / run / "weights.safetensors") for run in ("whole", "parts"))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    history = (tmp_path / "whole" / "history.tsv").read_text().splitlines()
    losses = [float(line.split("\t")[history[0].split("\t").index("train_loss")]) for line in history[1:]]
    assert losses[-1] < losses[0]


def test_the_estimate_counts_what_is_kept(tiny_esm: Path, tmp_path: Path) -> None:
    wide = Path(shutil.copytree(tiny_esm, tmp_path / "wide"))
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    recipe = Recipe(path=str(wide))
    found = lora.need(recipe, 300)
    with hub.transformers_library() as library:
        own = library.AutoConfig.from_pretrained(wide)
        whole = lora.with_adapters(library.AutoModel.from_config(own, add_pooling_layer=False), recipe, "wide")
    kept = lora._kept_bytes(whole, 300)
    assert found.kept == pytest.approx(kept * 6 / 5, rel=0.03)  # with the gradients of one layer of five
    assert found.recomputed < found.kept / 2
    assert found.weights == 4 * sum(value.numel() for value in whole.parameters() if not value.requires_grad)
    twice = lora.need(recipe, 2 * hub.WINDOW)
    assert twice.kept == pytest.approx(3 * lora.need(recipe, hub.WINDOW).kept, rel=0.01)  # three windows


def test_what_does_not_fit_is_made_smaller_and_then_refused(tiny_esm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lora.Need(weights=1000, adapters=10, kept=200, recomputed=50)
    assert asked.total(8, False, True, "cuda:1") == 1010 + 8 * 62
    monkeypatch.setattr(lora, "need", lambda *given: asked)
    monkeypatch.setattr(lora, "has_bfloat16", lambda device: True)

    def fit(free: float) -> tuple[bool, bool, int]:
        monkeypatch.setattr(lora, "free_memory", lambda device: int(free / lora.SHARE) + 1)
        recipe, rows, line = lora.fitted(str(tiny_esm), 300, CPU)
        assert recipe.sha256 == hub.checksum(tiny_esm)
        assert f"batches of {rows}" in line
        assert ("bfloat16" in line, "computed again" in line) == (recipe.half, recipe.checkpointing)
        return recipe.half, recipe.checkpointing, rows

    assert fit(1010 + 8 * 400) == (False, False, 8)
    assert fit(1010 + 8 * 400 - 10) == (False, True, 8)
    assert fit(1010 + 8 * 250 - 10) == (True, True, 8)
    assert fit(510 + 8 * 250 - 10) == (True, True, 4)
    assert fit(510 + 250) == (True, True, 1)
    with pytest.raises(ConfigError, match=r"--tune lora: tiny_esm needs about .* one protein of 300 residues") as no:
        fit(510 + 240)
    assert "\n" not in str(no.value)


def test_other_weights_than_the_recipe_says_are_refused(tiny_esm: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny_esm: has weights \w{12}; the recipe asks for 000000000000"):
        Adapted(Recipe(path=str(tiny_esm), sha256="0" * 64))


@pytest.mark.parametrize("name", ["../away", "/etc", "a/b/c", "..", "a/.."])
def test_a_model_folder_names_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Recipe(model=name, sha256="0" * 64)


def test_without_the_package_one_line_says_how_to_install_it(tiny_esm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"need the package peft: pip install 'biorrn\[plm\]'"):
        Adapted(Recipe(path=str(tiny_esm)))
