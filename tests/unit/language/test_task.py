"""The language task, and the front ends whose values come from a file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from biorrn.base.errors import ConfigError, InputError
from biorrn.config import recipe as config
from biorrn.config.recipe import Recipe, change_recipe, load_recipe, parse_recipe
from biorrn.language import task as language
from biorrn.nn.frontends import KmerTable
from biorrn.nn.sequence import build_frontend, build_model, settle
from biorrn.nn.store import load_model, models_of, save_model
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.tokenisers import BOS, EOS, Tokeniser
from biorrn.sequences.vectors import Vectors, write_vectors
from biorrn.training.task import load_task
from biorrn.training.train import train


def lm(direction: str = "forward", epochs: int = 2, **model: Any) -> Recipe:
    parts: dict[str, Any] = {
        "frontend": {"name": "tokens", "width": 8},
        "core": {"cell": "gru", "hidden": 12, "layers": 1, "direction": direction},
        "head": {"name": "tokens"},
    }
    training = {"batch_size": 16, "epochs": epochs, "lr": 0.02, "loss": "cross_entropy"}
    return parse_recipe({"name": "lm", "task": "language", "model": parts | model, "training": training})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return runs of a language model each way on proteins that count through the alphabet."""
    root = tmp_path_factory.mktemp("language")
    with protein_writer(root / "p.h5", []) as writer:
        for number in range(24):
            writer.add(
                f"p{number}", tokens(("ACDEFGHIKLMNPQRSTVWY" * 3)[number : number + 25]), [], split=int(number > 18)
            )
    return {
        way: train(lm(way, 25), root / "p.h5", root / way, load_task("language"), threads=1)
        for way in ("forward", "backward")
    }


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_it_learns_what_follows(way: str, folders: dict[str, Path]) -> None:
    stored = load_model(folders[way])
    last = (folders[way] / "history.tsv").read_text().splitlines()
    history = dict(zip(last[0].split("\t"), map(float, last[-1].split("\t")), strict=True))
    assert history["valid_perplexity"] < 3
    assert math.isclose(history["valid_log2_likelihood"], -math.log2(history["valid_perplexity"]), rel_tol=1e-3)
    tokeniser = Tokeniser.from_dict(stored.facts["tokeniser"])
    x = torch.from_numpy(np.concatenate([[BOS], tokeniser.encode("ACDE"), [EOS]]))[None]
    with torch.no_grad():
        likeliest = stored.model(x, torch.tensor([6]))[0].argmax(-1)[0]
    assert tokeniser.decode(likeliest[2:5]) == ("DEF" if way == "forward" else "ACD")


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_no_step_has_seen_what_it_is_to_tell(way: str) -> None:
    model = build_model(lm(way, frontend={"name": "tokens", "size": 24}).network, 24).eval()
    x, lengths = torch.randint(4, 24, (1, 9)), torch.tensor([9])
    changed = x.clone()
    changed[0, 5] = 4 + (x[0, 5] - 3) % 20
    with torch.no_grad():
        same = (model(x, lengths)[0] == model(changed, lengths)[0]).all(-1)[0].tolist()
    assert same == ([True] * 5 + [False] * 4 if way == "forward" else [False] * 6 + [True] * 3)


def test_perplexity_of_a_model_that_knows_nothing() -> None:
    batch = language.Batch(
        x=torch.zeros(2, 8, dtype=torch.long),
        lengths=torch.tensor([8, 3]),
        targets=torch.tensor([[4, 5, 6, 7, 8, 9, 10, EOS], [6, -1, EOS, -1, -1, -1, -1, -1]]),
        target_lengths=torch.tensor([14, 2]),
    )
    collected = [language.collect(torch.zeros(2, 8, 24), batch.lengths, batch)]
    assert collected[0][[0, 3]].tolist() == [16, 8]  # ends, padding and X do not count
    # 8 symbols of 2 letters each: the perplexity of a letter is the square root
    assert math.isclose(language.score(collected)["perplexity"], math.sqrt(24), rel_tol=1e-6)
    assert language.size(batch) == 11


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"core": {"direction": "bidirectional"}}, "allowed in task language is forward or backward"),
        ({"head": {"name": "ctc"}}, "needs head 'tokens'; found 'ctc'"),
        ({"frontend": {"name": "embedding"}}, "found embedding; allowed in task language is tokens"),
        ({"frontend": {"name": "tokens", "tokens": {"name": "base"}}}, "holds letters ACDEF.*; expected ACGTN"),
        ({"frontend": {"name": "tokens", "tokens": {"name": "kmer", "k": 4}}}, "found 4; allowed is 2 to 3"),
        ({"frontend": {"name": "tokens", "tied": True, "width": 9}}, "its width is 9, and 12 features reach"),
        ({"core": {"name": "self_attention", "causal": True}}, "training.bptt: found 8; allowed is 0 for this core"),
        ({"core": {"layers": 0, "direction": "forward"}}, "training.bptt: found 8; allowed is 0 for this core"),
    ],
)
def test_recipes_that_cannot_be_are_refused(model: dict[str, Any], fault: str, tiny_proteins: Path) -> None:
    recipe = change_recipe(lm(**model), ["training.bptt=8"])
    with pytest.raises(ConfigError, match=fault):
        language.make_model(recipe, language.open_data(tiny_proteins, recipe))


def test_shipped_recipe_is_one_of_this_task(tiny_proteins: Path) -> None:
    recipe = load_recipe("residue_lm")
    assert language.make_model(recipe, language.open_data(tiny_proteins, recipe)).head


REGULARISED = {
    "frontend": {"name": "tokens", "width": 12, "dropout": 0.2, "tied": True},
    "input_dropout": 0.2,
    "core": {"cell": "lstm", "hidden": 12, "layers": 2, "direction": "forward", "dropout": 0.2, "weight_drop": 0.3},
    "head": {"name": "tokens", "dropout": 0.2},
    "locked_dropout": True,
}
CHANGES = ["training.bptt=8", "training.activation=1", "training.activation_change=1"]


def test_training_in_windows_goes_on_after_a_stop_as_if_there_was_none(tiny_proteins: Path, tmp_path: Path) -> None:
    recipe, task = change_recipe(lm(epochs=3, **REGULARISED), CHANGES), load_task("language")
    train(recipe, tiny_proteins, tmp_path / "once", task, threads=1)
    train(recipe, tiny_proteins, tmp_path / "twice", task, threads=1, stop=2)
    (tmp_path / "twice" / "provenance.json").unlink()
    train(recipe, tiny_proteins, tmp_path / "twice", task, threads=1)
    once, twice = (load_model(tmp_path / name).model.state_dict() for name in ("once", "twice"))
    assert all(torch.equal(once[name], twice[name]) for name in once)


@pytest.mark.parametrize("bptt", [0, 8])
def test_activations_count_in_the_loss_of_training_alone(bptt: int, tiny_proteins: Path) -> None:
    recipe = change_recipe(lm(), [f"training.bptt={bptt}", *CHANGES[1:]])
    data = language.open_data(tiny_proteins, recipe)
    model = language.make_model(recipe, data)
    batch = next(iter(data.train(0, 0)))
    assert batch.targets is not None
    outputs, lengths = model.train()(batch.x, batch.lengths)
    plain = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=-1)
    h = model.core(*model.frontend(batch.x, batch.lengths))[0]  # (B, T, 12), zero in padding
    told = (batch.targets != -1).sum() * 12
    inside = (torch.arange(1, h.shape[1])[None] < batch.lengths[:, None])[:, :, None]
    wanted = plain + h.square().sum() / told + ((h[:, 1:] - h[:, :-1]) * inside).square().sum() / told
    assert torch.allclose(language.loss(model, outputs, lengths, batch, recipe), wanted, rtol=1e-5)
    outputs, lengths = model.eval()(batch.x, batch.lengths)
    assert torch.allclose(language.loss(model, outputs, lengths, batch, recipe), plain, rtol=1e-5)


# -- front ends with values from a file ------------------------------------------------------------------------------
WORDS = ["ACD", "CDE", "DEF"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.safetensors"
    vectors = np.array([[1, 0], [2, 0], [3, 0]], np.float32)
    write_vectors(path, Vectors(WORDS, vectors, np.array([9, 9], np.float32)))
    return path


def test_a_residue_has_the_vector_of_the_kmer_around_it(table: Path) -> None:
    frontend = KmerTable(config.Vectors(path=str(table)))
    x = torch.zeros(2, 8, dtype=torch.long)
    for row, protein in enumerate(("ACDEF", "CDX")):
        x[row, : len(protein)] = torch.from_numpy(tokens(protein).astype(np.int64))
    found, _ = frontend(x, torch.tensor([5, 3]))
    assert found[:, :, 0].tolist() == [[9, 1, 2, 3, 9, 0, 0, 0], [9, 9, 9, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_kmers_of_any_length_are_found(k: int, tmp_path: Path) -> None:
    protein = "ACDEFGHIKL"
    words = sorted(protein[start : start + k] for start in range(len(protein) - k + 1))
    write_vectors(
        tmp_path / "t.npz", Vectors(words, np.arange(1, len(words) + 1, dtype="f")[:, None], np.zeros(1, "f"))
    )
    x = torch.from_numpy(tokens(protein).astype(np.int64))[None]
    found = KmerTable(config.Vectors(path=str(tmp_path / "t.npz")))(x, torch.tensor([10]))[0][0, :, 0].tolist()
    left = (k - 1) // 2
    assert found == [0] * left + list(range(1, len(words) + 1)) + [0] * (k - 1 - left)


def frontends(table: Path, folders: dict[str, Path]) -> dict[str, dict[str, str]]:
    return {
        "table": {"path": str(table)},
        "language_model": {"path": str(folders["forward"]), "backward": str(folders["backward"])},
    }


@pytest.mark.parametrize("tune", [False, True])
@pytest.mark.parametrize("name", ["table", "language_model"])
def test_a_trained_folder_needs_no_file(
    name: str, tune: bool, table: Path, folders: dict[str, Path], tiny_proteins: Path, tmp_path: Path
) -> None:
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "regression",
            "model": {
                "frontend": {"name": name, "tune": tune, **frontends(table, folders)[name]},
                "core": {"hidden": 6, "layers": 1},
                "pool": ["mean"],
            },
            "training": {"epochs": 2, "lr": 0.05, "ema": 0.5},
        }
    )
    frontend = recipe.network.frontend
    before = build_frontend(frontend, models_of(frontend)).state_dict()
    folder = train(recipe, tiny_proteins, tmp_path / "run", load_task("regression"), threads=1)
    table.unlink()
    stored = load_model(folder)
    after = stored.model.frontend.state_dict()  # type: ignore[union-attr]
    same = [torch.equal(before[key], after[key]) for key in before]
    assert all(same) if not tune else not all(same)
    kept = yaml.safe_load((folder / "recipe.yaml").read_text())["model"]["frontend"]
    assert kept["path"] is None
    assert str(folders["forward"].parent) not in str(kept)
    assert str(tmp_path) not in str(kept)
    assert settle(stored.recipe, stored.model) == stored.recipe
    x, lengths = torch.randint(1, 21, (2, 16)), torch.tensor([16, 9])
    with torch.no_grad():
        values = stored.model(x, lengths)[0]
    save_model(tmp_path / "again", stored.model, stored.recipe, stored.facts)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "again").model(x, lengths)[0], values)
    with pytest.raises(ConfigError, match="give 'path' in place of its shape"):
        train(stored.recipe, tiny_proteins, tmp_path / "other", load_task("regression"), threads=1)


def test_hidden_states_are_those_of_the_models(folders: dict[str, Path]) -> None:
    named = config.LanguageModel(path=str(folders["forward"]), backward=str(folders["backward"]))
    both = build_frontend(named, models_of(named))
    x, lengths = torch.tensor([[1, 2, 3, 4, 5, 0, 0]]), torch.tensor([5])
    found, _ = both(x, lengths)
    bounded = torch.tensor([[BOS, 4, 5, 6, 7, 8, EOS]])
    for place, way in enumerate(("forward", "backward")):
        model = load_model(folders[way]).model
        with torch.no_grad():
            states = model.core(*model.frontend(bounded, lengths + 2))[0][:, 1:6]  # type: ignore[union-attr,operator]
        assert torch.equal(found[:, :5, 12 * place : 12 * (place + 1)], states)
    assert (found[:, 5:] == 0).all()
    assert not found.requires_grad
    assert not both.train().readers[0].training


@pytest.mark.parametrize("name", ["kmer", "pairs"])
def test_every_residue_of_a_symbol_has_its_state(name: str, tiny_proteins: Path) -> None:
    recipe = lm(frontend={"name": "tokens", "tokens": {"name": name, "k": 2, "merges": 15}})
    data = language.open_data(tiny_proteins, recipe)
    model = language.make_model(recipe, data)
    part = recipe.network.model_copy(update={"frontend": model.frontend.settled}).model_dump(mode="json")
    made = config.LanguageModel(parts=[part], tokenisers=[data.facts["tokeniser"]])
    states = build_frontend(made).eval()
    texts = ["LLLLXLACLL", "M", "ACDEFGHIKLMNPQRSTVWY"]
    x = torch.zeros(3, 24, dtype=torch.long)
    for row, text in enumerate(texts):
        x[row, : len(text)] = torch.from_numpy(tokens(text).astype(np.int64))
    lengths = torch.tensor([len(text) for text in texts])
    found, _ = states(x, lengths)
    tokeniser = Tokeniser.from_dict(data.facts["tokeniser"])
    reader = states.readers[0]
    for row, text in enumerate(texts):
        ids = tokeniser.encode(text)
        bounded = torch.from_numpy(np.concatenate([[BOS], ids, [EOS]]))[None]
        with torch.no_grad():
            alone = reader.core(*reader.frontend(bounded, torch.tensor([len(ids) + 2])))[0][0, 1:-1]
        wanted = alone[np.repeat(np.arange(len(ids)), tokeniser.letters[ids])]
        assert torch.allclose(found[row, : len(text)], wanted, atol=1e-6)
        assert (found[row, len(text) :] == 0).all()


def test_a_table_of_another_shape_is_refused(table: Path, tmp_path: Path) -> None:
    model = {"frontend": {"name": "table", "path": str(table)}, "core": {"hidden": 4, "layers": 1}, "pool": ["mean"]}
    recipe = parse_recipe({"name": "t", "task": "regression", "model": model})
    save_model(tmp_path / "m", build_model(recipe.network, 1), recipe, {"outputs": 1})
    path = tmp_path / "m" / "recipe.yaml"
    path.write_text(path.read_text().replace("rows: 3", "rows: 4"))
    with pytest.raises(InputError, match=r"tensor 'frontend\.\w+' has shape"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("frontend", "fault"),
    [
        ({"name": "table"}, "key 'path' is missing"),
        ({"name": "table", "path": "a.tsv", "k": 3}, "its shape comes from 'path'"),
        ({"name": "language_model"}, "key 'path' is missing"),
        ({"name": "language_model", "backward": "runs/b"}, "key 'path' is missing beside 'backward'"),
        ({"name": "table", "pth": "a.tsv"}, "did you mean 'path'"),
    ],
)
def test_recipes_without_a_source_are_refused(frontend: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse_recipe({"name": "t", "task": "regression", "model": {"frontend": frontend, "pool": ["mean"]}})


def test_hidden_states_of_another_task_are_refused(table: Path, tmp_path: Path) -> None:
    model = {"frontend": {"name": "onehot"}, "core": {"hidden": 4, "layers": 1}, "pool": ["mean"]}
    recipe = parse_recipe({"name": "t", "task": "regression", "model": model})
    facts = {"outputs": 1, "task": "regression", "targets": [{"name": "y", "unit": ""}]}
    save_model(tmp_path, build_model(recipe.network, 1), recipe, facts)
    with pytest.raises(ConfigError, match="is a model for regression; expected one for language"):
        models_of(config.LanguageModel(path=str(tmp_path)))
