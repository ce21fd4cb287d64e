"""Muon: orthogonal steps of matrices, gate by gate; AdamW for the rest; a run goes on from its checkpoint."""

import copy

import torch
from torch import nn

from biorrn.config.recipe import load_recipe
from biorrn.nn.sequence import build_model
from biorrn.training.muon import NARROW, Muon, groups_of, orthogonal


def test_singular_vectors_stay_and_singular_values_become_about_one() -> None:
    draw = torch.Generator().manual_seed(0)
    for shape in ((2, 48, 48), (3, 40, 96), (1, 96, 40)):
        x = torch.randn(shape, generator=draw)
        found = orthogonal(x)
        u, _, v = torch.linalg.svd(x, full_matrices=False)
        values = torch.diagonal(u.mT @ found @ v.mT, dim1=1, dim2=2)
        assert found.shape == x.shape
        assert ((values > 0.3) & (values < 1.3)).all()  # those of the smallest ones rise last
        rest = u.mT @ found @ v.mT - torch.diag_embed(values)
        assert rest.abs().max() < 1e-3


def test_each_parameter_is_in_one_group_and_gates_are_matrices() -> None:
    model = build_model(load_recipe("fast").network, 5)
    groups = groups_of(model, 0.01)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0)
            if group["gates"]:
                assert min(parameter.flatten(1).shape) >= NARROW
    names = dict(model.named_parameters())
    gates = {id(parameter): group["gates"] for group in groups for parameter in group["params"]}
    assert gates[id(names["core.layers.0.cells.0.weight_hh_l0"])] == 4
    assert gates[id(names["frontend.layers.2.weight"])] == 1
    assert gates[id(names["head.output.1.weight"])] == 0


def test_a_step_turns_each_gate_by_itself_and_the_rest_is_adamw() -> None:
    torch.manual_seed(0)
    model = nn.LSTM(40, 40)
    like = copy.deepcopy(model)
    optimizer = Muon(groups_of(model, 0.0), lr=0.1)
    plain = torch.optim.AdamW([p for p in like.parameters() if p.ndim == 1], lr=0.1, weight_decay=0.0)
    x = torch.randn(5, 3, 40)
    for one in (model, like):
        one(x)[0].square().sum().backward()
    before = model.weight_hh_l0.detach().clone()
    optimizer.step()
    plain.step()
    torch.testing.assert_close(model.bias_hh_l0, like.bias_hh_l0)
    moved = (before - model.weight_hh_l0.detach()).reshape(4, 40, 40) / (0.1 * 0.2 * 40**0.5)
    gradient = like.weight_hh_l0.grad
    assert gradient is not None
    torch.testing.assert_close(moved, orthogonal(gradient.reshape(4, 40, 40)), rtol=1e-3, atol=1e-4)


def test_goes_on_from_its_state() -> None:
    def trained(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            optimizer.zero_grad()
            x = torch.randn(5, 3, 40, generator=torch.Generator().manual_seed(step))
            model(x)[0].square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = nn.LSTM(40, 40)
    half = copy.deepcopy(whole)
    trained(whole, Muon(groups_of(whole, 0.1), lr=0.01), 0, 6)
    first = Muon(groups_of(half, 0.1), lr=0.01)
    trained(half, first, 0, 3)
    second = Muon(groups_of(half, 0.1), lr=0.01)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    trained(half, second, 3, 6)
    for a, b in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(a, b)
