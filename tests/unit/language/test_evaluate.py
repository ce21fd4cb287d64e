"""Evaluation of language models: likelihood, perplexity, n-grams."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.language import evaluate as likelihood
from biorrn.language.evaluate import evaluate_language, ngram_nats, symbol_nats, symbols_of
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, save_model
from biorrn.sequences.alphabets import DNA, base_tokens, tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.tokenisers import BOS, EOS, UNK, make_tokeniser
from biorrn.training.batches import ProteinDataset

PROTEINS = [("AAC", 0), ("AX", 0), ("AC", 2), ("XCA", 2), ("ACDEF" * 20, 2)]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    with protein_writer(tmp_path / "p.h5", []) as writer:
        for number, (protein, split) in enumerate(PROTEINS):
            writer.add(f"p{number}", tokens(protein), [], split=split)
    return tmp_path / "p.h5"


def lm(prepared: Path, folder: Path, name: str = "residue") -> Path:
    """Write a model whose scores are all 0: every symbol is as likely as any."""
    rows = ProteinDataset(prepared, "train")
    tokeniser = make_tokeniser(name, 2, 1, rows.alphabet, rows.flat, np.concatenate([[0], np.cumsum(rows.lengths)]))
    parts = {
        "frontend": {"name": "tokens", "size": tokeniser.size},
        "core": {"hidden": 3, "layers": 1, "direction": "forward"},
        "head": {"name": "tokens"},
    }
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    model = build_model(recipe.network, tokeniser.size)
    with torch.no_grad():
        for parameter in model.head.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    facts = {"task": "language", "outputs": tokeniser.size, "tokeniser": tokeniser.to_dict()}
    save_model(folder, model, recipe, facts)
    return folder


def test_counts_of_letters(prepared: Path) -> None:
    train, test = ProteinDataset(prepared, "train"), ProteinDataset(prepared, "test")
    # in training A 3, C 1, ends 2, and the X that is not told; 20 letters and the end
    a, c = math.log(27 / 4), math.log(27 / 2)
    assert np.allclose(ngram_nats(train, test, 1)[:5], [a, c, math.nan, c, a], equal_nan=True)
    # both begin with A; after A: A, C, and X; after X the end, after C the end
    first, after_a = math.log(23 / 3), math.log(23 / 2)
    assert np.allclose(
        ngram_nats(train, test, 2)[:5], [first, after_a, math.nan, math.log(22), math.log(22)], equal_nan=True
    )
    # after begin and A: A, and X that is not told
    assert np.allclose(ngram_nats(train, test, 3)[:2], [first, math.log(22)])
    assert np.allclose(ngram_nats(train, test, 0)[:3], [math.log(20), math.log(20), math.nan], equal_nan=True)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_counts_make_a_distribution(order: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACDX"), 9)) for _ in range(9)]
    with protein_writer(tmp_path / "p.h5", []) as writer:
        for number, text in enumerate(texts):
            writer.add(f"t{number}", tokens(text), [])
        for letter in "ACDEFGHIKLMNPQRSTVWY":  # every letter after the same context
            writer.add(letter, tokens("AC" + letter), [], split=2)
    found = ngram_nats(ProteinDataset(tmp_path / "p.h5", "train"), ProteinDataset(tmp_path / "p.h5", "test"), order)
    total = np.exp(-found[2::3]).sum()
    assert 0.5 < total < 1  # the rest is the end's


@pytest.mark.parametrize("name", ["residue", "kmer", "pairs"])
def test_perplexity_is_that_of_a_letter(name: str, prepared: Path, tmp_path: Path) -> None:
    content, told = evaluate_language(str(lm(prepared, tmp_path / "lm", name)), prepared, name="x", split="test")
    metrics, counts = content["metrics"]["residues"], content["counts"]
    size = content["tokeniser"]["symbols"]
    assert (counts["residues"], counts["residues_unknown"], counts["sequences"]) == (104, 1, 3)
    assert math.isclose(metrics["perplexity"]["value"], size ** (counts["symbols"] / 104), rel_tol=1e-5)
    assert math.isclose(metrics["log2_likelihood"]["value"], -math.log2(metrics["perplexity"]["value"]), rel_tol=1e-6)
    assert told.letters.tolist() == [2, 2, 100]
    assert len(told.by_letter) == 105
    assert sum(row["letters"] for row in content["positions"]) == 104
    bounds = metrics["perplexity"]
    assert bounds["low"] <= bounds["value"] <= bounds["high"]
    baselines = content["baselines"]["residues"]
    assert math.isclose(baselines["uniform"]["metrics"]["perplexity"]["value"], 20, rel_tol=1e-9)
    assert list(baselines) == ["uniform", "unigram", "bigram", "trigram"]


SEQUENCES = ["MKVLXAC", "A", "ACDEFGHIKLMNPQRSTVWY" * 2, "XX", "LLLLLLLLLL"]
ATTENTION = {"name": "self_attention", "width": 8, "heads": 2, "causal": True, "feed_forward": 8}


@pytest.fixture
def rows(tmp_path: Path) -> ProteinDataset:
    with protein_writer(tmp_path / "p.h5", []) as writer:
        for number, protein in enumerate(SEQUENCES):
            writer.add(f"p{number}", tokens(protein), [])
    return ProteinDataset(tmp_path / "p.h5", None)


def stored(rows: ProteinDataset, core: dict[str, Any], name: str = "residue") -> Stored:
    offsets = np.concatenate([[0], np.cumsum(rows.lengths)])
    tokeniser = make_tokeniser(name, 2, 4, rows.alphabet, rows.flat, offsets)
    parts = {"frontend": {"name": "tokens", "size": tokeniser.size}, "core": core, "head": {"name": "tokens"}}
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    torch.manual_seed(1)
    model = build_model(recipe.network, tokeniser.size).eval()
    return Stored.of(model, recipe, {"task": "language", "tokeniser": tokeniser.to_dict()}, Path("lm"))


@pytest.mark.parametrize("name", ["residue", "kmer", "pairs"])
@pytest.mark.parametrize("way", ["forward", "backward", "attention"])
def test_every_symbol_has_the_likelihood_of_its_sequence_alone(
    way: str, name: str, rows: ProteinDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = ATTENTION if way == "attention" else {"cell": "gru", "hidden": 9, "layers": 2, "direction": way}
    made = stored(rows, core, name)
    data = symbols_of(made, rows)
    monkeypatch.setattr(likelihood, "STEPS", 8)
    monkeypatch.setattr(likelihood, "ROWS", 2)
    found = symbol_nats(made.model, data)  # type: ignore[arg-type]
    first = EOS if way == "backward" else BOS
    assert np.array_equal(np.isnan(found), np.isin(data.flat, [first, UNK]))
    for start, end in zip(data.offsets[:-1], data.offsets[1:], strict=True):
        ids = torch.from_numpy(data.flat[start:end])[None]
        read = ids[:, 1:] if way == "backward" else ids[:, :-1]
        told = ids[0, :-1] if way == "backward" else ids[0, 1:]
        with torch.no_grad():
            nats = -made.model(read, torch.tensor([read.shape[1]]))[0][0].log_softmax(-1)
        wanted = nats[torch.arange(len(told)), told].numpy()
        place = slice(start, end - 1) if way == "backward" else slice(start + 1, end)
        known = told.numpy() != UNK
        assert np.allclose(found[place][known], wanted[known], atol=1e-5)


def test_rows_of_other_letters_are_refused(rows: ProteinDataset, tmp_path: Path) -> None:
    made = stored(rows, {"hidden": 3, "layers": 1, "direction": "forward"})
    with protein_writer(tmp_path / "d.h5", [], DNA) as writer:
        writer.add("r", base_tokens("ACGTN"), [])
    with pytest.raises(ConfigError, match="is a model of letters ACDEFGHIKLMNPQRSTVWYX; the rows have ACGTN"):
        symbols_of(made, ProteinDataset(tmp_path / "d.h5", None))
    other = Stored.of(made.model, made.recipe, {"task": "regression"}, Path("lm"))
    with pytest.raises(ConfigError, match="is a model for regression; expected one for language"):
        symbols_of(other, rows)
