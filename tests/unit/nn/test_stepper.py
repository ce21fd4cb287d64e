"""One symbol at a time = all at once; dropout of weights, symbols and features is there in training alone."""

from typing import Any

import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Model, parse_recipe
from biorrn.nn.cells import CELLS, Layer, LockedDropout, SharedDropout
from biorrn.nn.sequence import SequenceModel, Stepper, build_model, next_states

SIZE = 13
ATTENTION = {"name": "self_attention", "width": 8, "heads": 2, "causal": True, "feed_forward": 8}


def model(core: dict[str, Any], **more: Any) -> SequenceModel:
    parts = {"frontend": {"name": "tokens", "size": SIZE, "width": 8}, "core": core, "head": {"name": "tokens"}, **more}
    torch.manual_seed(0)
    return build_model(Model.model_validate(parts), SIZE).double()


def lstm(**more: Any) -> dict[str, Any]:
    return {"cell": "lstm", "hidden": 8, "layers": 2, "direction": "forward", **more}


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("cell", [*CELLS, "self_attention"])
def test_a_symbol_at_a_time_is_all_at_once(cell: str, way: str) -> None:
    if cell == "self_attention" and way == "backward":
        pytest.skip("causal self-attention looks back")
    core = {"cell": cell, "hidden": 8, "layers": 2, "direction": way, "skip": True, "layer_norm": True}
    made = model(ATTENTION if cell == "self_attention" else core, locked_dropout=True, input_dropout=0.5).eval()
    x = torch.randint(1, SIZE, (3, 11))
    lengths = torch.full((3,), 11)
    with torch.no_grad():
        whole = made(x, lengths)[0]
        states = made.core(*made.frontend(x, lengths))[0]
        if way == "backward":
            x, whole, states = x.flip(1), whole.flip(1), states.flip(1)
        steps = Stepper(made)
        state = steps.start(3)
        for time in range(11):
            scores, hidden, state = steps.step(x[:, time], state)
            assert scores.shape == (3, SIZE)
            assert torch.allclose(scores.double(), whole[:, time].double(), atol=1e-6)
            assert torch.allclose(hidden, states[:, time], atol=1e-9)


@pytest.mark.parametrize(
    ("core", "more", "fault"),
    [
        (lstm(direction="bidirectional"), {}, "does not run in one direction"),
        (lstm(), {"head": {"name": "ctc"}}, "is not a language model"),
    ],
)
def test_other_models_have_no_steps(core: dict[str, Any], more: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Stepper(model(core, **more))


def test_state_is_handed_on_where_a_row_goes_on() -> None:
    states = [(torch.ones(1, 2, 3, requires_grad=True), torch.full((1, 2, 3), torch.nan)), torch.ones(1, 2, 3)]
    (h, c), other = next_states(states, torch.tensor([True, False]))
    assert not h.requires_grad
    assert h[0].tolist() == other[0].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert c[0, 1].tolist() == [0, 0, 0]  # what is not carried on is gone, numbers or not
    assert next_states(None, torch.tensor([False])) is None


# -- dropout ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "mingru"])  # which has no hidden-to-hidden weights
def test_weight_drop_is_in_training_alone(cell: str) -> None:
    layer = Layer(cell, 4, 6, "f", weight_drop=0.5).double()
    x, lengths = torch.randn(2, 9, 4).double(), torch.tensor([9, 9])
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    first, second = layer(x, lengths), layer(x, lengths)
    assert torch.allclose(first[:, 0], second[:, 0])  # from a state of zeros no weight of it matters
    assert not torch.allclose(first[:, 1:], second[:, 1:])
    first.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    layer.eval()
    assert torch.equal(layer(x, lengths), layer(x, lengths))
    assert torch.equal(layer(x, lengths), layer.cells[0](x)[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())


def test_weight_drop_scales_what_it_keeps() -> None:
    layer = Layer("rnn", 1, 40, "f", weight_drop=0.5)
    torch.manual_seed(3)
    mask = layer.weight_drop(torch.ones(40, 40))
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    cell, x = layer.cells[0], torch.randn(2, 5, 1)
    torch.manual_seed(3)
    found = layer(x, torch.tensor([5, 5]))
    with torch.no_grad():
        cell.weight_hh_l0 *= mask  # type: ignore[operator]
    assert torch.allclose(found, cell(x)[0], atol=1e-6)


def test_a_locked_mask_is_the_same_at_every_step() -> None:
    drop = LockedDropout(0.5)
    found = drop(torch.ones(4, 7, 30))
    assert (found == found[:, :1]).all()
    assert not (found[0] == found[1]).all()
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(drop.eval()(found), found)
    made = model(lstm(dropout=0.2), input_dropout=0.2, head={"name": "tokens", "dropout": 0.2}, locked_dropout=True)
    kinds = [type(module) for module in made.modules() if isinstance(module, torch.nn.Dropout | LockedDropout)]
    assert kinds.count(LockedDropout) == 3
    assert kinds.count(SharedDropout) == 3  # of the vectors, and of two layers' weights


def test_a_dropped_symbol_is_gone_everywhere() -> None:
    made = model(lstm())
    made.frontend.dropout.p = 0.5  # type: ignore[union-attr]
    x = torch.randint(1, SIZE, (4, 50))
    found = made.frontend(x, torch.full((4,), 50))[0]
    table = made.frontend.learned(x)  # type: ignore[union-attr,operator]
    for symbol in range(1, SIZE):
        here = found[x == symbol]
        assert (here == 0).all() or torch.allclose(here, 2 * table[x == symbol])
    assert torch.equal(made.eval().frontend(x, torch.full((4,), 50))[0], table)


def test_tied_vectors_are_one_tensor_that_learns_from_both_ends() -> None:
    tokens = {"name": "tokens", "size": SIZE, "width": 8}
    tied, free = (model(lstm(), frontend={**tokens, "tied": value}) for value in (True, False))
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == 8 * SIZE
    x = torch.tensor([[1, 2, 3]])
    tied(x, torch.tensor([3]))[0][0, 0, 7].backward()  # symbol 7 is in no input
    assert tied.frontend.learned.weight.grad[7].abs().sum() > 0  # type: ignore[union-attr,index,operator]
    assert "head.output.1.weight" not in tied.state_dict()


@pytest.mark.parametrize(
    ("frontend", "outputs", "fault"),
    [
        ({"size": 0}, 13, "its size comes from the tokeniser|found 0 for 13 outputs"),
        ({"size": 12}, 13, "found 12 for 13 outputs"),
        ({"size": 13, "tied": True, "width": 9}, 13, "its width is 9, and 8 features"),
    ],
)
def test_sizes_that_do_not_fit(frontend: dict[str, Any], outputs: int, fault: str) -> None:
    parts = {"frontend": {"name": "tokens", "width": 8, **frontend}, "core": lstm(), "head": {"name": "tokens"}}
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    with pytest.raises(ConfigError, match=fault):
        build_model(recipe.network, outputs)
