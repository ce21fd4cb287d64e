"""Property models by the kernels: the same values as torch, whatever stands beside a row."""

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import ConvLayer, Recipe, parse_recipe
from biorrn.kernels.lstm.layers import BFLOAT, FLOAT, INT16, kinds
from biorrn.nn import engine as property_engine
from biorrn.nn.engine import EnsembleEngine, PropertyEngine, unsupported
from biorrn.nn.ensemble import Accelerated, Ensemble, accelerated
from biorrn.nn.forward import values_and_spread
from biorrn.nn.sequence import SequenceModel, build, build_model

CONV = [ConvLayer(width=20, kernel=5)]
MODELS = {
    "shipped": {"core": {"layers": 1}, "steps": 18, "pool": ["max", "mean"], "frontend": {"layers": CONV}},
    "no steps": {"core": {"layers": 1}, "pool": ["mean", "sum"], "frontend": {"layers": CONV}},
    "no convolution": {"core": {"layers": 1}, "steps": 7, "pool": ["max"], "frontend": {}},
    "two layers, hidden head": {
        "core": {"layers": 2, "direction": "alternating"},
        "pool": ["max"],
        "frontend": {"layers": CONV, "table": "none"},
        "head": {"name": "regression", "hidden": 9},
    },
    "two layers both ways": {"core": {"layers": 2}, "steps": 16, "pool": ["mean"], "frontend": {}},
}
LENGTHS = [9, 1, 30, 17, 30, 2, 25]


def recipe(name: str, **core: object) -> Recipe:
    parts = MODELS[name]
    table = {"name": "embedding", "width": 6, "table": "blosum62+scales", **parts["frontend"]}  # type: ignore[dict-item]
    settings = {"cell": "lstm", "hidden": 10, **parts["core"], **core}  # type: ignore[dict-item]
    network = {**parts, "frontend": table, "core": settings}
    return parse_recipe({"name": "tiny", "task": "regression", "model": network})


def model(asked: Recipe) -> SequenceModel:
    torch.manual_seed(1)
    made = build_model(asked.network, 2).eval()
    made.head.scale.fill_(2.0)  # type: ignore[operator, union-attr]
    made.head.shift.fill_(-1.0)  # type: ignore[operator, union-attr]
    return made


def engine(asked: Recipe, kind: np.dtype) -> PropertyEngine:
    return PropertyEngine(
        asked.network, {name: value.numpy() for name, value in model(asked).state_dict().items()}, kind
    )


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(1, 22, (len(LENGTHS), 30), generator=generator)
    for row, length in enumerate(LENGTHS):
        x[row, length:] = 0
    return x, torch.tensor(LENGTHS)


APART = {FLOAT: 1e-5, INT16: 4e-3, BFLOAT: 3e-2}
KINDS = [(kind, APART[kind]) for kind in kinds() if kind in APART]


@pytest.mark.parametrize(("kind", "apart"), KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_values_are_those_of_torch(name: str, kind: np.dtype, apart: float) -> None:
    asked = recipe(name)
    assert unsupported(asked) is None
    x, lengths = inputs()
    with torch.inference_mode():
        wanted = model(asked)(x, lengths)[0].double().numpy()
    found = engine(asked, kind)(x.numpy(), lengths.numpy())
    assert np.abs(found - wanted).max() < apart * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize(("kind", "apart"), KINDS)
def test_a_row_is_the_same_alone_and_in_company(kind: np.dtype, apart: float) -> None:
    made = engine(recipe("shipped"), kind)
    x, lengths = (part.numpy() for part in inputs())
    together = made(x, lengths)
    for row, length in enumerate(LENGTHS):
        alone = made(x[row : row + 1, :length], lengths[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_what_the_kernels_do_not_know_is_left_to_torch() -> None:
    recipes = recipe("shipped", cell="gru"), recipe("shipped")
    gru, lstm = map(model, recipes)
    assert "LSTM" in str(unsupported(recipes[0]))
    assert accelerated(gru, recipes[0], FLOAT) is gru
    both = Ensemble([gru, lstm], 2).eval()
    members = [{"recipe": each.model_dump()} for each in recipes]
    fast = accelerated(both, parse_recipe({"name": "two", "task": "regression", "members": members}), FLOAT)
    assert isinstance(fast, Ensemble)
    assert fast.members[0] is gru
    assert isinstance(fast.members[1], Accelerated)
    with torch.inference_mode():
        assert torch.allclose(fast(*inputs())[0].float(), both(*inputs())[0], atol=1e-5)
    assert both.members[1] is lstm


@pytest.mark.parametrize("present", [[BFLOAT, INT16, FLOAT], [INT16, FLOAT], [FLOAT]])
def test_precision_follows_the_processor(present: list[np.dtype], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(property_engine, "kinds", lambda: present)
    assert property_engine.chosen_kind("auto") == (INT16 if INT16 in present else FLOAT)
    assert property_engine.chosen_kind("32") == FLOAT
    if BFLOAT in present:
        assert property_engine.chosen_kind("bf16") == BFLOAT
    else:
        with pytest.raises(ConfigError, match="this processor has no bfloat16 arithmetic; allowed here is 32"):
            property_engine.chosen_kind("bf16")


@pytest.mark.skipif(INT16 not in kinds(), reason="this processor has no kernels for integers")
def test_integers_are_used_where_they_suffice() -> None:
    asked = recipe("shipped")
    tensors = {name: value.numpy().copy() for name, value in model(asked).state_dict().items()}
    assert PropertyEngine.of(asked.network, tensors, INT16).pools.kind == INT16
    tensors["frontend.layers.0.weight"][0] *= 3e5  # its outputs leave no bits for the others
    assert PropertyEngine.of(asked.network, tensors, INT16).pools.kind == FLOAT


@pytest.mark.parametrize("calibrate", ["none", "monotone"])
def test_an_ensemble_without_torch_is_that_of_torch(calibrate: str) -> None:
    both = [recipe("shipped"), recipe("no steps")]
    asked = parse_recipe(
        {
            "name": "two",
            "task": "regression",
            "members": [{"recipe": each.model_dump(), "seed": seed} for seed, each in enumerate(both)],
            "calibrate": calibrate,
            "neighbours": {"mismatches": 3, "noise": 0.5},
        }
    )
    made = build(asked, {"outputs": 2, "neighbours": [5, 30]}).eval()
    assert isinstance(made, Ensemble)
    x, lengths = inputs()
    made.weights[:] = torch.tensor([[0.7, 0.2], [0.3, 0.8]])
    memory = made.neighbours
    memory.tokens[:], memory.residuals[:] = x[:5], torch.randn(5, 2)
    if made.calibration is not None:
        made.calibration.x[:] = torch.linspace(-0.4, 0.3, made.calibration.x.shape[1])
        made.calibration.y[:] = made.calibration.x**3
    tensors = {name: value.numpy() for name, value in made.state_dict().items()}
    fast = EnsembleEngine.of(asked, lambda: tensors, FLOAT)
    assert fast is not None
    values, spread = fast(x.numpy().astype(np.uint8), lengths.numpy())
    with torch.inference_mode():
        wanted, apart = values_and_spread(accelerated(made, asked, FLOAT), x, lengths)
    assert apart is not None
    np.testing.assert_array_equal(values, wanted.numpy())
    np.testing.assert_array_equal(spread, apart.numpy())


def test_an_ensemble_with_a_member_for_torch_has_no_engine() -> None:
    members = [{"recipe": recipe("shipped", cell=cell).model_dump()} for cell in ("lstm", "gru")]
    asked = parse_recipe({"name": "two", "task": "regression", "members": members})
    assert EnsembleEngine.of(asked, dict, FLOAT) is None
