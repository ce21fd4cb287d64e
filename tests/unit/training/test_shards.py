"""Rows on several threads: what one pass gives, outputs and gradients."""

import pytest
import torch

from biorrn.config.recipe import load_recipe
from biorrn.nn.sequence import build_model
from biorrn.training.parallel import FEWEST, Shards, separable


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(load_recipe("fast").model, 5)


@pytest.mark.parametrize("rows", [2 * FEWEST, 3 * FEWEST + 5, FEWEST])
@pytest.mark.parametrize("workers", [2, 3])
def test_is_what_one_pass_gives(model, rows: int, workers: int) -> None:
    x, lengths = torch.randn(rows, 60, 1), torch.randint(1, 61, (rows,))
    shards = Shards(model, workers)
    outputs, frames = model(x, lengths)
    weights = torch.randn_like(outputs)
    wanted = torch.autograd.grad((outputs * weights).sum(), shards.parameters)
    found, found_frames = shards(x, lengths)
    assert torch.equal(frames, found_frames)
    torch.testing.assert_close(found, outputs)
    for one, other in zip(torch.autograd.grad((found * weights).sum(), shards.parameters), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_autocast_reaches_the_threads(model) -> None:
    x, lengths = torch.randn(2 * FEWEST, 60, 1), torch.full((2 * FEWEST,), 60)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one, _ = model(x, lengths)
        other, _ = Shards(model, 2)(x, lengths)
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, model(x, lengths)[0])


def test_an_error_of_a_thread_is_raised(model) -> None:
    with pytest.raises(RuntimeError):
        Shards(model, 2)(torch.randn(2 * FEWEST, 60, 3), torch.full((2 * FEWEST,), 60))


@pytest.mark.parametrize(("name", "expected"), [("fast", True), ("stability_gru", False), ("quartz", False)])
def test_dropout_and_batch_norm_need_the_batch_whole(name: str, expected: bool) -> None:
    assert separable(build_model(load_recipe(name).model, 5 if name != "stability_gru" else 1)) is expected
