"""-log p of every symbol: windows = whole sequences, forward and backward, and each at its own place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.language import evaluate as likelihood
from biorrn.language.evaluate import symbol_nats, symbols_of
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import DNA, base_tokens, tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.tokenisers import BOS, EOS, UNK, make_tokeniser
from biorrn.training.batches import ProteinDataset

PROTEINS = ["MKVLXAC", "A", "ACDEFGHIKLMNPQRSTVWY" * 2, "XX", "LLLLLLLLLL"]
ATTENTION = {"name": "self_attention", "width": 8, "heads": 2, "causal": True, "feed_forward": 8}


@pytest.fixture
def rows(tmp_path: Path) -> ProteinDataset:
    with protein_writer(tmp_path / "p.h5", []) as writer:
        for number, protein in enumerate(PROTEINS):
            writer.add(f"p{number}", tokens(protein), [])
    return ProteinDataset(tmp_path / "p.h5", None)


def stored(rows: ProteinDataset, core: dict[str, Any], name: str = "residue") -> Stored:
    offsets = np.concatenate([[0], np.cumsum(rows.lengths)])
    tokeniser = make_tokeniser(name, 2, 4, rows.alphabet, rows.flat, offsets)
    parts = {"frontend": {"name": "tokens", "size": tokeniser.size}, "core": core, "head": {"name": "tokens"}}
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    torch.manual_seed(1)
    model = build_model(recipe.network, tokeniser.size).eval()
    return Stored(model, recipe, {"task": "language", "tokeniser": tokeniser.to_dict()}, Path("lm"))


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
    other = Stored(made.model, made.recipe, {"task": "regression"}, Path("lm"))
    with pytest.raises(ConfigError, match="is a model for regression; expected one for language"):
        symbols_of(other, rows)
