"""Deep convolutional front ends: batch statistics without padding, shapes of the papers, no sample passed over."""

import pytest
import torch
from torch import nn

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.config.recipe import load_recipe
from biorrn.nn.batch import valid
from biorrn.nn.cells import Stack
from biorrn.nn.convolutions import Blocks, MaskedBatchNorm, residual, separable
from biorrn.nn.sequence import build_model

BLOCKS = {
    "residual": lambda: residual(
        config.Residual(blocks=[config.ConvLayer(width=6, kernel=5, stride=4), config.ConvLayer(width=7, kernel=3)])
    ),
    "separable": lambda: separable(
        config.Separable(
            blocks=[
                config.SeparableBlock(width=6, kernel=5, stride=3, separable=False),
                config.SeparableBlock(width=8, kernel=9, repeat=3, residual=True, stride=2),
            ]
        )
    ),
}


def made(name: str) -> Blocks:
    torch.manual_seed(0)
    return BLOCKS[name]()


def test_batch_norm_of_a_full_batch_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    mask = torch.ones(3, 1, 20)
    for _ in range(3):
        x = 3 * torch.randn(3, 5, 20) + 2
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        found, expected = ours(a, mask), theirs(b)
        assert torch.allclose(found, expected, atol=1e-5)
        weights = torch.randn_like(x)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(ours.mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.variance, theirs.running_var, atol=1e-5)
    x = torch.randn(3, 5, 20)
    assert torch.allclose(ours.eval()(x, mask), theirs.eval()(x), atol=1e-5)


@pytest.mark.parametrize("lengths", [[20, 7, 0], [20, 20, 20], [5, 1, 0]])
def test_batch_norm_counts_valid_steps_alone(lengths: list[int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 20) + 4
    mask = valid(torch.tensor(lengths), 20)[:, None, :].float()
    ours, theirs = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    found = ours(x, mask)
    frames = x.transpose(1, 2)[mask[:, 0].bool()]  # (N, C)
    expected = theirs(frames)
    assert torch.allclose(found.transpose(1, 2)[mask[:, 0].bool()], expected, atol=1e-4)
    assert (found.transpose(1, 2)[~mask[:, 0].bool()] == 0).all()
    assert torch.allclose(ours.mean, theirs.running_mean, atol=1e-5)
    assert torch.allclose(ours.variance, theirs.running_var, atol=1e-4)


def test_batch_norm_of_nothing_changes_nothing() -> None:
    norm = MaskedBatchNorm(4)
    out = norm(torch.randn(2, 4, 6), torch.zeros(2, 1, 6))
    out.sum().backward()
    assert (out == 0).all()
    assert norm.mean.tolist() == [0.0] * 4
    assert norm.variance.tolist() == [1.0] * 4
    assert norm.scale.grad.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_in_half_precision_loses_no_offset(training: bool) -> None:
    torch.manual_seed(0)
    x = (torch.randn(4, 5, 50) + 30).to(torch.bfloat16)
    norm = MaskedBatchNorm(5).train(training)
    norm.mean.fill_(30.0)
    out = norm(x, torch.ones(4, 1, 50))
    expected = x.float() - 30
    if training:
        expected = nn.functional.batch_norm(x.float(), None, None, training=True)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), expected, atol=0.02)


@pytest.mark.parametrize("name", BLOCKS)
def test_training_does_not_see_padding(name: str) -> None:
    """The same rows with more padding, of other values: same features, same running statistics, same gradients."""
    lengths = torch.tensor([23, 1, 12, 0])
    x = torch.randn(4, 30, 1, generator=torch.Generator().manual_seed(1))
    more = torch.cat([x, 9 * torch.ones(4, 17, 1)], dim=1)
    more[~valid(lengths, 47)] = -5
    found = []
    for given in (x, more):
        front = made(name).train()
        out, after = front(given, lengths)
        out.square().sum().backward()
        found.append((front, out, after))
    (few, out, after), (many, padded, _) = found
    steps = out.shape[1]
    assert torch.allclose(out, padded[:, :steps], atol=1e-5)
    assert (out[~valid(after, steps)] == 0).all()
    assert (padded[:, steps:] == 0).all()
    for (key, one), other in zip(few.state_dict().items(), many.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-5), key
    for (key, one), other in zip(few.named_parameters(), many.parameters(), strict=True):
        assert one.grad.isfinite().all(), key
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-4), key


@pytest.mark.parametrize("name", BLOCKS)
def test_every_sample_is_seen(name: str) -> None:
    front = made(name).eval()
    x = torch.randn(32, 48, 1, requires_grad=True)  # many rows: a ReLU may be shut in one
    front(x, torch.full((32,), 48))[0].sum().backward()
    inside = 48 - front.stride  # past the centre of the last frame a narrow kernel ends before the signal does
    assert (x.grad.abs().amax(0)[:inside] > 0).all()


@pytest.mark.parametrize("stride", [1, 2, 4, 5])
def test_residual_block_is_the_papers_but_for_the_stride(stride: int) -> None:
    (block,) = residual(config.Residual(blocks=[config.ConvLayer(width=256, kernel=3, stride=stride)])).blocks
    kernels = [part.conv.kernel_size[0] for part in (block.first, block.middle, block.last)]
    assert kernels == [1, 3, 1]
    assert stride <= block.shortcut.conv.kernel_size[0] <= stride + 1
    assert all(part.conv.bias is None for part in (block.first, block.middle, block.last, block.shortcut))


def test_no_layers_is_no_core() -> None:
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 2])
    core = Stack(3, config.Core(layers=0))
    out, after = core(x, lengths)
    assert (core.width, after, list(core.parameters())) == (3, lengths, [])
    assert torch.equal(out[0], x[0])
    assert torch.equal(out[1, :2], x[1, :2])
    assert (out[1, 2:] == 0).all()


@pytest.mark.parametrize("pool", ["last", "mean", "max", "attention"])
def test_a_pool_needs_no_core(pool: str) -> None:
    recipe = config.Model(frontend=config.OneHot(), core=config.Core(layers=0), pool=[pool])
    out, _ = build_model(recipe, 2)(torch.ones(3, 4, dtype=torch.int64), torch.tensor([4, 2, 1]))
    assert out.shape == (3, 2)


def test_chiron_has_the_papers_widths() -> None:
    model = build_model(load_recipe("chiron").model, 5)
    square = 256 * 256
    first = 256 + 9 * square + square + 5 * 256  # 1x1 from one channel, 9 wide, 1x1, shortcut over the stride
    others = 4 * (square + 3 * square + square + square)
    norms = 5 * 4 * 2 * 256
    layers = sum(2 * 4 * 200 * (inputs + 200 + 2) for inputs in (256, 400, 400))
    assert sum(weight.numel() for weight in model.parameters()) == first + others + norms + layers + 5 * 401
    assert model.stride == 5


def test_quartz_has_no_recurrent_core() -> None:
    model = build_model(load_recipe("quartz").model, 5)
    assert not any(isinstance(part, nn.RNNBase) for part in model.modules())
    assert model.stride == 5


@pytest.mark.parametrize("name", ["chiron", "quartz"])
def test_even_kernel_is_refused(name: str) -> None:
    content = load_recipe(name).model_dump(mode="json")
    content["model"]["frontend"]["blocks"][1]["kernel"] = 4
    with pytest.raises(ConfigError, match="kernel 4 is even"):
        config.parse_recipe(content)
