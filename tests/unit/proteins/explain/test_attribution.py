"""Attributions add up to what they explain, and are exact where the model is linear."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.nn import gradients as module
from biorrn.nn.ensemble import Ensemble
from biorrn.nn.gradients import COMPLETE
from biorrn.nn.heads import Attention
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import Stored
from biorrn.proteins.explain.attribution import Attribution, attention_of, attribute
from biorrn.proteins.predict import predict
from biorrn.sequences.alphabets import STANDARD, tokens
from biorrn.sequences.records import ProteinRecord

PROTEIN = ProteinRecord("p", "MAKGWLEXACDEFGHIKLMNPQRSTVWY", unknown=1)
FACTS = {"task": "regression", "targets": [{"name": "a", "unit": ""}, {"name": "b", "unit": ""}], "outputs": 2}
CURVED: dict[str, Any] = {
    "frontend": {"name": "embedding", "width": 8, "table": "scales"},
    "core": {"cell": "lstm", "hidden": 8, "layers": 2, "direction": "alternating"},
    "pool": ["attention", "max"],
    "head": {"name": "regression", "hidden": 8},
}
SMOOTH = CURVED | {"pool": ["attention"]}  # no maximum: the integral needs few steps
LINEAR: dict[str, Any] = {"frontend": {"name": "blosum62"}, "core": {"layers": 0}, "pool": ["sum"]}


class Counter(nn.Module):
    """A model that is no network: counts of tryptophan, and of tryptophan times two."""

    stride = 1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        count = (x == int(tokens("W")[0])).sum(1).float()
        return torch.stack([count, 2 * count], dim=1), lengths


def network(seed: int, model: dict[str, Any] = CURVED) -> SequenceModel:
    torch.manual_seed(seed)
    recipe = parse_recipe({"name": "tiny", "task": "regression", "model": model})
    return build_model(recipe.network, 2).eval()


def stored(model: nn.Module) -> Stored:
    recipe = {"name": "tiny", "task": "regression", "model": CURVED}
    if isinstance(model, Ensemble):
        members = [{"recipe": recipe, "seed": seed} for seed in range(len(model.members))]
        recipe = {"name": "several", "task": "regression", "members": members}
    return Stored.of(model.eval(), parse_recipe(recipe), FACTS, Path("tiny"))


def ensemble(calibrated: bool = False, model: dict[str, Any] = CURVED) -> Ensemble:
    made = Ensemble([network(seed, model) for seed in range(3)], 2, calibrated)
    made.weights[:] = torch.tensor([[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]])
    if made.calibration is not None:
        made.calibration.x[:] = torch.linspace(-1, 1, made.calibration.x.shape[1])
        made.calibration.y[:] = made.calibration.x**3
    return made


def explain(model: nn.Module, record: ProteinRecord = PROTEIN, **options: Any) -> Attribution:
    return next(attribute(stored(model), [record], **options))


@pytest.mark.parametrize("baseline", ["mean", "X"])
@pytest.mark.parametrize(
    "make",
    [lambda: network(3), lambda: network(3, {**CURVED, "steps": 7}), ensemble, lambda: ensemble(True)],
    ids=["one", "a layer a step", "mean", "curved"],
)
def test_gradients_are_complete(make: Any, baseline: str) -> None:
    model = make()
    found = explain(model, baseline=baseline)
    assert found.method == "gradients"
    assert found.scores.shape == (len(PROTEIN.sequence), 2)
    assert (found.gap <= COMPLETE).all()
    expected = next(predict(stored(model), [PROTEIN])).values
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
    if baseline == "X":
        unknown = next(predict(stored(model), [ProteinRecord("x", "X" * len(PROTEIN.sequence))]))
        np.testing.assert_allclose(found.baseline, unknown.values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("baseline", ["mean", "X"])
def test_a_linear_model_is_explained_exactly(baseline: str) -> None:
    """Each residue adds its own term, whichever way it is found."""
    model = network(5, LINEAR)
    by_gradients = explain(model, baseline=baseline)
    by_occlusion = explain(model, baseline=baseline, method="occlusion")
    single = {one.id: one.values for one in predict(stored(model), [ProteinRecord(r, r) for r in STANDARD + "X"])}
    plain = np.mean([single[r] for r in STANDARD], axis=0) if baseline == "mean" else single["X"]
    expected = np.array([single[r] - plain for r in PROTEIN.sequence])
    np.testing.assert_allclose(by_gradients.scores, expected, atol=1e-5)
    np.testing.assert_allclose(by_occlusion.scores, expected, atol=1e-5)


def test_an_ensemble_is_the_weighted_mean_of_its_members() -> None:
    model = ensemble(model=SMOOTH)
    alone = [explain(member).scores for member in model.members]  # (M, T, K)
    found = explain(model)
    assert found.spread is not None
    weighted = np.einsum("mk,mtk->tk", model.weights.numpy(), np.array(alone))
    np.testing.assert_allclose(found.scores, weighted, atol=1e-5)
    np.testing.assert_allclose(found.spread, np.std(alone, axis=0), atol=1e-5)
    assert explain(model.members[0]).spread is None


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_attention_is_that_of_the_pool(method: str) -> None:
    model = network(3)
    x = torch.from_numpy(tokens(PROTEIN.sequence)).long()[None]
    lengths = torch.tensor([x.shape[1]])
    with torch.no_grad():
        pool = next(part for part in model.modules() if isinstance(part, Attention))
        expected = pool.weights(*model.core(*model.frontend(x, lengths)))[0]
    found = explain(model, method=method).attention
    assert found is not None
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    assert found.sum() == pytest.approx(1)
    assert attention_of(network(5, LINEAR), x, lengths) is None


def test_the_model_is_left_as_it_was() -> None:
    model = network(3)
    explain(model)
    explain(model, method="occlusion")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in model.modules())


def test_models_without_gradients_are_occluded() -> None:
    for model, spread in ((Counter(), False), (Ensemble([Counter(), Counter()], 2), True)):
        found = explain(model)
        assert found.method == "occlusion"
        assert (found.spread is not None) == spread
        assert found.attention is None
        expected = np.array([(letter == "W") - 1 / 20 for letter in PROTEIN.sequence])  # one in twenty is tryptophan
        np.testing.assert_allclose(found.scores, expected[:, None] * [1, 2], atol=1e-6)
        with pytest.raises(ConfigError, match="tiny: a model of this kind has no gradients by residue"):
            explain(model, method="gradients")


def test_long_proteins_are_worked_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explain(network(3, SMOOTH))
    monkeypatch.setattr(module, "TOKENS", 3 * len(PROTEIN.sequence))
    np.testing.assert_allclose(explain(network(3, SMOOTH)).scores, whole.scores, atol=1e-5)
    assert explain(network(3, SMOOTH), ProteinRecord("one", "W")).scores.shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gradient"}, "--method 'gradient' is unknown; did you mean 'gradients'?"),
        ({"baseline": "zero"}, "--baseline: found 'zero'; allowed is one of mean, X"),
    ],
)
def test_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        explain(network(3), **options)
    assert message in str(caught.value)


def test_a_model_of_variants_is_occluded() -> None:
    """Its features are one a position of a reference: none for a residue put in between."""
    model = {
        "frontend": {"name": "variant", "width": 4, "reference": "MAKGWLE"},
        "core": {"layers": 0},
        "pool": ["sum"],
    }
    same, longer = ProteinRecord("s", "MAKGFLE"), ProteinRecord("l", "MAKGWWLE")
    for record in (same, longer):
        assert explain(network(2, model), record).method == "occlusion"
    found = explain(network(2, model), same, method="gradients")
    assert (found.gap <= COMPLETE).all()
    with pytest.raises(BiorrnError, match="record 'l': the model's features are not one a residue"):
        explain(network(2, model), longer, method="gradients")
