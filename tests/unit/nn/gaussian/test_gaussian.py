"""A Gaussian process on variants: its kernels are covariances, and its values depend on the sequence alone."""

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import Setting, substitution_cost
from biorrn.nn.gaussian.model import KERNELS, KNOTS, GaussianProcess, Unwarp, build_gaussian, make_posterior
from biorrn.nn.gaussian.substitutions import SubstitutionKernel, pick
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import N_TOKENS, tokens
from biorrn.training.gaussian import fit_rows, fit_table

WILD = "MKTAYIAKQRGW"
REFERENCE = torch.from_numpy(tokens(WILD)).long()
RECIPES = {
    "sites": config.Sites(orders=3),
    "substitutions": config.Substitutions(),
    "descriptors": config.Descriptors(),
    "proteins": config.Proteins(),
    "embeddings": config.MeanEmbeddings(width=9),
}


@pytest.fixture(autouse=True)
def made_up_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for any sequence with a vector a protein, so that the kernel needs no file."""
    vectors = np.random.default_rng(9).normal(size=(40, N_TOKENS, 9)).astype(np.float16)  # by place and residue
    monkeypatch.setattr(
        embeddings, "lookup", lambda rows, *more: [vectors[np.arange(len(row)), row].mean(0) for row in rows]
    )


def setting(name: str, told: bool = False) -> Setting:
    positions = torch.tensor([1, 4, 5, 10]) if name == "sites" else torch.arange(len(REFERENCE))
    known = torch.from_numpy(np.random.default_rng(8).normal(size=(len(REFERENCE), N_TOKENS, 3)))
    known[torch.arange(len(REFERENCE)), REFERENCE] = 0.0
    return Setting(REFERENCE, positions, known if told else None)


def rows(count: int, seed: int = 0, changes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Return variants of WILD, with up to `changes` substitutions among the positions of `sites`."""
    rng = np.random.default_rng(seed)
    x = REFERENCE.repeat(count, 1)
    for row in range(count):
        at = rng.choice([1, 4, 5, 10], rng.integers(0, changes + 1), replace=False)
        x[row, at] = torch.from_numpy(rng.integers(1, 21, len(at)))
    return x, torch.full((count,), len(REFERENCE))


def fitted(name: str, count: int = 40, restarts: int = 1, told: bool = False) -> GaussianProcess:
    recipe = config.GaussianProcess(kernel=RECIPES[name], restarts=restarts)
    model = GaussianProcess(recipe, setting(name, told), [count])
    codes = model.encode(*rows(count))
    values = torch.linspace(-1, 1, count, dtype=torch.float64)
    for part in model.targets[0]:  # type: ignore[attr-defined]
        part.kernel.settle(codes)
        part.kernel.requires_grad_(False)
        (fit_table if name == "substitutions" else fit_rows)(part, codes, values, torch.full((count,), 0.1).double())
    model.unwarp[0].x.copy_(torch.linspace(-3, 3, KNOTS))  # type: ignore[union-attr, operator]
    model.unwarp[0].y.copy_(torch.linspace(-3, 3, KNOTS))  # type: ignore[union-attr, operator]
    return model.eval()


def test_every_kernel_is_tested() -> None:
    assert set(RECIPES) == set(KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_symmetric_and_positive(name: str) -> None:
    kernel = make_posterior(config.GaussianProcess(kernel=RECIPES[name]), setting(name), 5).kernel
    codes = kernel.encode(*rows(30))
    kernel.settle(codes)
    gram = kernel.gram(codes, codes).detach()
    assert torch.allclose(gram, gram.T, atol=1e-12)
    assert float(torch.linalg.eigvalsh(gram).min()) > -1e-8
    assert torch.allclose(kernel.gram(codes[:7], codes[7:]).detach(), gram[:7, 7:], atol=1e-12)


@pytest.mark.parametrize("name", ["sites", "descriptors", "proteins"])
def test_the_diagonal_is_that_of_the_matrix(name: str) -> None:
    kernel = make_posterior(config.GaussianProcess(kernel=RECIPES[name]), setting(name), 5).kernel
    codes = kernel.encode(*rows(12))
    kernel.settle(codes)
    assert torch.allclose(kernel.diagonal(codes), kernel.gram(codes, codes).diagonal(), atol=1e-6)


@pytest.mark.parametrize("told", [False, True])
def test_the_variances_of_singles_are_those_of_the_matrix(told: bool) -> None:
    kernel = SubstitutionKernel(config.Substitutions(), setting("substitutions", told))
    codes, variances = kernel.singles(torch.arange(len(kernel.positions)))
    some = torch.arange(0, len(codes), 17)
    assert torch.allclose(kernel.gram(codes[some], codes[some]).diagonal(), variances[some], atol=1e-9)


def test_the_order_of_sites_is_counted_right() -> None:
    """With all kernels 1, the sum of products of o of P positions is P choose o."""
    kernel = make_posterior(config.GaussianProcess(kernel=config.Sites(orders=4)), setting("sites"), 5).kernel
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.fill_(0.0)
    same = torch.zeros(1, 4, dtype=torch.int64)
    assert kernel.gram(same, same).item() == pytest.approx(1 + 4 + 6 + 4 + 1)


@pytest.mark.parametrize("name", KERNELS)
def test_a_row_has_the_same_values_in_any_company(name: str) -> None:
    model = fitted(name)
    x, lengths = rows(21, seed=5)
    together = model(x, lengths)[0]
    padded = torch.nn.functional.pad(x, (0, 9))
    assert together.shape == (21, 1)
    assert together.dtype == torch.float32
    assert torch.equal(model(padded, lengths)[0], together)
    alone = torch.cat([model(x[i : i + 1], lengths[i : i + 1])[0] for i in range(21)])
    # convolutions of one row and of many may round the last digit differently
    assert torch.allclose(alone, together, rtol=0, atol=1e-5 if name == "proteins" else 0)


@pytest.mark.parametrize("name", KERNELS)
def test_it_learns_and_is_surer_where_it_has_seen(name: str) -> None:
    model = fitted(name, 40)
    x, lengths = rows(40)
    values, variances = model.with_variance(x, lengths)
    assert torch.equal(values, model(x, lengths)[0])
    assert float(np.corrcoef(values[:, 0], np.linspace(-1, 1, 40))[0, 1]) > 0.3
    far = x.clone()
    far[:, 10] = 3  # another residue at a position that changed elsewhere
    far[:, 1] = 18
    assert float(model.with_variance(far, lengths)[1].mean()) > float(variances.mean())
    assert bool((variances >= 0).all())


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("sequence", ["M", "MKTYIAKQRGW", "MKTAYIAAKQRGW", "X" * 12, "W" * 40])
def test_any_length_has_a_finite_value(name: str, sequence: str) -> None:
    x = torch.from_numpy(tokens(sequence)).long()[None]
    values, variances = fitted(name).with_variance(x, torch.tensor([len(sequence)]))
    assert bool(values.isfinite().all())
    assert bool(variances.isfinite().all())


def test_what_follows_an_insertion_is_shifted_back() -> None:
    model = fitted("substitutions")
    longer = torch.from_numpy(tokens("MKTAYIAGKQRGW")).long()[None]  # G put in after the seventh
    assert torch.equal(model(longer, torch.tensor([13]))[0], model(REFERENCE[None], torch.tensor([12]))[0])


@pytest.mark.parametrize("told", [False, True])
def test_a_table_says_what_the_rows_would(told: bool) -> None:
    """The posterior of added effects, kept as a table, is K(new, old) (K + noise)^-1 y."""
    model = fitted("substitutions", 30, told=told)
    part = model.targets[0][0]  # type: ignore[index]
    old, new = model.encode(*rows(30)), model.encode(*rows(9, seed=3))
    covariance = part.kernel.gram(old, old) + 0.1 * torch.eye(30) + 1e-6 * torch.eye(30)
    alpha = torch.linalg.solve(covariance, torch.linspace(-1, 1, 30, dtype=torch.float64))
    assert torch.allclose(part.mean(new), part.kernel.gram(new, old) @ alpha, atol=1e-5)
    single = REFERENCE.repeat(3, 1)
    single[:, 4] = torch.tensor([1, 5, 9])
    codes = model.encode(single, torch.full((3,), 12))
    near = part.kernel.gram(old, codes)
    exact = part.kernel.gram(codes, codes).diagonal() - (near * torch.linalg.solve(covariance, near)).sum(0)
    assert torch.allclose(part.variance(codes), exact, atol=1e-5)


def test_fewer_rows_tell_a_wider_variance() -> None:
    x, lengths = rows(25, seed=9)
    wide = []
    for count in (40, 8):
        recipe = config.GaussianProcess(kernel=RECIPES["sites"], variance_rows=count)
        model = GaussianProcess(recipe, setting("sites"), [40])
        part = model.targets[0][0]  # type: ignore[index]
        part.kernel.requires_grad_(False)
        codes = model.encode(*rows(40))
        fit_rows(part, codes, torch.linspace(-1, 1, 40, dtype=torch.float64), torch.full((40,), 0.1).double())
        wide.append(part.variance(model.encode(x, lengths)))
    assert bool((wide[1] >= wide[0] - 1e-6).all())
    assert float((wide[1] - wide[0]).max()) > 1e-3


def test_restarts_are_averaged_and_the_expected_cost_is_taken_off() -> None:
    x, lengths = rows(6, seed=2)
    one, two = fitted("sites"), fitted("sites", restarts=2)
    assert torch.allclose(one(x, lengths)[0], two(x, lengths)[0], atol=1e-6)  # both were not learned, so are the same
    codes = one.encode(x, lengths)
    before = one.means(codes)[:, 0]
    one.cost = 2.0
    cost = one.targets[0][0].kernel.cost(codes)  # type: ignore[index]
    assert torch.allclose(one.means(codes)[:, 0], before - 2 * cost)
    assert bool((cost[(codes == REFERENCE[setting("sites").positions]).all(1)] == 0).all())


def test_the_cost_of_a_substitution() -> None:
    cost = substitution_cost()
    inside = cost[1:21, 1:21]
    assert bool((cost.diagonal() == 0).all())
    assert bool((cost >= 0).all())
    assert float(inside[inside > 0].mean()) == pytest.approx(1.0)
    i, leucine, aspartate = (int(tokens(letter)[0]) for letter in "ILD")
    assert cost[i, leucine] < cost[i, aspartate]


def test_it_stays_where_float64_is() -> None:
    model = fitted("sites")
    x, lengths = rows(8)
    before = model(x, lengths)[0]
    assert torch.equal(model.half()(x, lengths)[0], before)


def test_unwarp_goes_on_beyond_its_knots() -> None:
    module = Unwarp()
    module.y.copy_(2 * module.x + 1)
    given = torch.tensor([-5.0, 0.0, 3.25, 400.0])
    values, slopes = module(given)
    assert torch.allclose(values, 2 * given + 1)
    assert torch.allclose(slopes, torch.full((4,), 2.0))


def test_pick_is_the_same_with_and_without_a_gradient() -> None:
    table = torch.rand(N_TOKENS, N_TOKENS, dtype=torch.float64)
    i, j = torch.tensor([3, 3, 1, 20]), torch.tensor([0, 5, 5])
    assert torch.equal(pick(table.clone().requires_grad_(), i, j).detach(), pick(table, i, j))


@pytest.mark.parametrize("facts", [{}, {"gaussian": {"rows": []}}, {"gaussian": 3}])
def test_a_folder_without_its_facts_is_refused(facts: dict) -> None:
    with pytest.raises(ConfigError, match="fact 'gaussian' is missing"):
        build_gaussian(config.GaussianProcess(kernel=RECIPES["sites"]), facts)
