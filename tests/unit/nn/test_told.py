"""What a model of effects tells of each substitution of a protein."""

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.nn.store import load_model
from biorrn.nn.told import told
from biorrn.proteins.effects import tables
from biorrn.sequences.alphabets import N_TOKENS, tokens

WILD = tokens("MKVLAAGIVGLCAKRTEDFYWHNQSPMKTEXA")


def test_the_first_feature_is_the_effect_and_own_residues_have_none() -> None:
    import torch

    found = told("ddg", WILD)
    length = len(WILD)
    assert found.shape[:2] == (length, N_TOKENS)
    assert np.isfinite(found).all()
    assert (found[np.arange(length), WILD] == 0).all()
    model = load_model("ddg").model.eval()
    with torch.inference_mode():
        table = tables(model, torch.from_numpy(WILD).long()[None], torch.tensor([length]))[0][0].numpy()
    other = np.arange(1, 21) != WILD[:, None]
    assert np.corrcoef(found[:, 1:21, 0][other], table[other])[0, 1] == pytest.approx(1, abs=1e-6)
    assert found[:, 1:21][other].std(0) == pytest.approx(1, abs=0.05)
    assert found[3, 0, 0] == pytest.approx(found[3, 1:21, 0].sum() / 20, rel=0.1)  # a deletion is as the mean


def test_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="effects: stability is a model for regression; expected one such as ddg"):
        told("stability", WILD)


def test_a_protein_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Gaussian process and the forest of one table ask for the same."""
    from biorrn.nn import told as module

    loads: list[str] = []
    monkeypatch.setattr(module, "load_model", lambda name: loads.append(name) or load_model(name))
    other = WILD[::-1].copy()
    first = told("ddg", other)
    kept = first.copy()
    first += 1  # a caller may change what it got
    assert (told("ddg", other) == kept).all()
    assert (told("ddg", other.astype(np.int64)) == kept).all()
    assert loads == ["ddg"]
