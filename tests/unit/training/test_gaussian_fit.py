"""The arithmetic of a Gaussian process: the scale of a target, what a kernel learns, which rows tell the variance."""

import numpy as np
import pytest
import torch

from biorrn.base.errors import InputError
from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import Setting
from biorrn.nn.gaussian.model import Unwarp, make_posterior
from biorrn.training.gaussian import _pivots, learn, set_unwarp, warp


def settings(**changes: object) -> config.GaussianProcess:
    return config.GaussianProcess(kernel=config.Sites(), **changes)  # type: ignore[arg-type]


TARGETS = {
    "spread": np.random.default_rng(0).gamma(2.0, 1.0, 200),
    "tied": np.repeat([0.0, 0.5, 3.0], [150, 30, 20]),
    "constant": np.full(5, 2.0),
    "two": np.array([0.0, 1.0]),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("name", ["none", "log", "rank"])
def test_a_scale_rises_and_leads_back(name: str, targets: np.ndarray) -> None:
    values, scale = warp(targets, settings(warp=name))
    order = np.argsort(targets, kind="stable")
    assert bool((np.diff(values[order]) >= 0).all())
    assert bool((np.diff(scale.values) > 0).all())
    module = Unwarp()
    set_unwarp(module, scale)
    back = module(torch.from_numpy(values))[0].numpy()
    reach = max(np.ptp(targets), 1e-4)
    assert np.abs(back - targets).max() < 0.2 * reach
    assert np.corrcoef(back, targets)[0, 1] > 0.97 if len(np.unique(targets)) > 1 else True
    beyond = module(torch.tensor([values.min() - 50.0, values.max() + 50.0]))[0].numpy()
    assert beyond[0] < targets.min()
    assert beyond[1] > targets.max()


def test_a_clipped_scale_stays_within_the_targets_and_no_surer_there() -> None:
    targets = np.array([0.0, 0.1, 0.7, 1.0, 1.0])
    values, scale = warp(targets, settings(warp="clip"))
    module = Unwarp(clip=True)
    set_unwarp(module, scale)
    found, slopes = module(torch.from_numpy(np.concatenate([values, [-50.0, 50.0]])))
    assert found.numpy() == pytest.approx([*targets, 0.0, 1.0], abs=0.01)
    assert slopes.numpy() == pytest.approx(targets.std(), rel=0.01)


def test_values_are_standardised() -> None:
    values, scale = warp(TARGETS["spread"], settings(warp="log"))
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)
    assert scale.forward(TARGETS["spread"][3]) == pytest.approx(values[3], abs=0.02)


def test_the_log_of_too_low_a_target_is_refused() -> None:
    with pytest.raises(InputError, match=r"found -0\.5; the log of target \+ 0\.1"):
        warp(np.array([-0.5, 1.0]), settings(warp="log"), "a.h5: target 't'")


def test_a_kernel_learns_which_position_matters() -> None:
    rng = np.random.default_rng(1)
    codes = torch.from_numpy(rng.integers(1, 21, (80, 2)))
    effect = torch.from_numpy(rng.standard_normal(22))
    values = effect[codes[:, 0]]
    values = (values - values.mean()) / values.std()
    setting = Setting(torch.ones(2, dtype=torch.int64), torch.arange(2))
    kernel = make_posterior(settings(), setting, 80).kernel
    _, first = learn(kernel, codes, values, torch.ones(80), settings(steps=1), 0)
    _, last = learn(kernel, codes, values, torch.ones(80), settings(steps=40), 0)
    assert last < first - 0.1
    assert kernel.amplitudes[0] > kernel.amplitudes[1] + 0.5
    assert not any(parameter.requires_grad for parameter in kernel.parameters())


def test_the_same_seed_learns_the_same() -> None:
    codes = torch.from_numpy(np.random.default_rng(1).integers(1, 21, (60, 2)))
    values = torch.linspace(-1, 1, 60, dtype=torch.float64)
    setting = Setting(torch.ones(2, dtype=torch.int64), torch.arange(2))
    found = []
    for seed in (3, 3, 4):
        kernel = make_posterior(settings(), setting, 60).kernel
        learn(kernel, codes, values, torch.ones(60), settings(steps=3, rows=20), seed)
        found.append(torch.cat([p.detach().flatten() for p in kernel.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_pivots_leave_out_what_others_tell() -> None:
    covariance = torch.eye(4, dtype=torch.float64)
    covariance[0, 1] = covariance[1, 0] = 0.999  # the second is nearly the first
    chosen = _pivots(covariance, torch.full((4,), 0.01).double(), 3).tolist()
    assert len(set(chosen)) == 3
    assert not {0, 1} <= set(chosen)
    assert _pivots(covariance, torch.ones(4).double(), 4).tolist() == [0, 1, 2, 3]


def test_a_kernel_learns_nothing_from_few_rows() -> None:
    codes = torch.from_numpy(np.random.default_rng(1).integers(1, 21, (10, 2)))
    kernel = make_posterior(settings(), Setting(torch.ones(2, dtype=torch.int64), torch.arange(2)), 10).kernel
    before = [parameter.clone() for parameter in kernel.parameters()]
    values = torch.linspace(-1, 1, 10, dtype=torch.float64)
    learn(kernel, codes, values, torch.ones(10), settings(learn_from=11), 0)
    assert all(torch.equal(a, b) for a, b in zip(before, kernel.parameters(), strict=True))
    learn(kernel, codes, values, torch.ones(10), settings(learn_from=10, steps=2), 0)
    assert not all(torch.equal(a, b) for a, b in zip(before, kernel.parameters(), strict=True))
