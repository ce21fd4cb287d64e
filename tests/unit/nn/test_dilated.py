"""The dilated front end: how far it looks, what its dropout leaves, and the same with another memory layout."""

import torch

from biorrn.config import recipe as config
from biorrn.nn.convolutions import Along, ByteDropout
from biorrn.nn.frontends import FRONTENDS


def test_it_looks_as_far_as_its_dilations_say() -> None:
    torch.manual_seed(0)
    frontend = FRONTENDS["dilated"](config.Dilated(embedding=4, width=6, first=3, kernel=3, dilations=[1, 4])).eval()
    reach = 1 + 1 + 4
    x = torch.randint(1, 21, (1, 41))
    changed = x.clone()
    changed[0, 20] = 1 + x[0, 20] % 20
    lengths = torch.tensor([41])
    moved = (frontend(x, lengths)[0] - frontend(changed, lengths)[0]).abs().amax(-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == list(range(20 - reach, 20 + reach + 1))


def test_a_convolution_along_the_steps_is_that_of_torch() -> None:
    torch.manual_seed(1)
    along = Along(5, 7, 3, dilation=2)
    x = torch.randn(2, 11, 5)
    plain = torch.nn.functional.conv1d(x.transpose(1, 2), along.weight[:, :, 0], along.bias, padding=2, dilation=2)
    assert torch.allclose(along(x), plain.transpose(1, 2), atol=1e-6)


def test_dropout_by_bytes_drops_its_share_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(2)
    dropout = ByteDropout(0.25)
    x = torch.ones(3, 1001, 33)
    found = dropout(x)
    values = found.unique().tolist()
    assert values[0] == 0
    assert len(values) == 2
    assert abs(float((found == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(found.mean()) - 1) < 0.015
    assert torch.equal(dropout.eval()(x), x)
    assert torch.equal(ByteDropout(0.0)(x), x)


def test_the_same_seed_drops_the_same() -> None:
    x = torch.ones(5, 7, 3)
    torch.manual_seed(3)
    first = ByteDropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(first, ByteDropout(0.5)(x))
