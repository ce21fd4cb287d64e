"""Every entry of every model table: shapes, stated width, padded = alone, finite gradients."""

from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn import hub
from biorrn.nn.cells import CELLS, Layer, Stack, reverse
from biorrn.nn.decoder import ATTENTIONS, STEPS
from biorrn.nn.frontends import FRONTENDS
from biorrn.nn.heads import CRF, HEADS, POOLS, Attention, Last, Regression
from biorrn.nn.sequence import build_frontend, build_model
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import N_TOKENS
from biorrn.sequences.tokenisers import residue_tokeniser

LENGTHS = torch.tensor([23, 1, 12, 0])
RECIPES = {
    "onehot": config.OneHot(),
    "blosum62": config.Fixed(name="blosum62"),
    "scales": config.Fixed(name="scales"),
    "embedding": config.Embedding(
        width=6,
        table="blosum62+scales",
        layers=[config.ConvLayer(width=5, kernel=3), config.ConvLayer(width=4, kernel=5)],
    ),
    "dilated": config.Dilated(embedding=4, width=6, first=5, kernel=3, dilations=[1, 2, 4], dropout=0.3),
    "tokens": config.Tokens(width=5, size=24, dropout=0.3),
    "variant": config.Variant(width=4, hidden=3, reference="ACDEFGHIKLMNPQRSTVWYACDEFGHIK"),
    "table": config.Vectors(k=3, rows=5, width=4),
    "language_model": config.LanguageModel(
        parts=[
            {
                "frontend": {"name": "tokens", "size": 24},
                "core": {"hidden": 5, "direction": way},
                "head": {"name": "tokens"},
            }
            for way in ("forward", "backward")
        ],
        tokenisers=[residue_tokeniser().to_dict()] * 2,
    ),
    "embeddings": config.Embeddings(width=7),
    "plm": config.Adapted(path="esm2_t6_8M_UR50D", rank=2),
    "trained": config.Trained(
        embedding=3,
        layers=[config.ConvLayer(width=4, kernel=3), config.ConvLayer(width=5, kernel=5)],
        dropout=0.3,
        parts=[
            *(
                {
                    "recipe": {
                        "name": "part",
                        "task": "language",
                        "model": {
                            "frontend": {"name": "tokens", "size": 24},
                            "core": {"hidden": 5, "direction": way},
                            "head": {"name": "tokens"},
                        },
                    },
                    "facts": {"task": "language", "outputs": 24, "tokeniser": residue_tokeniser().to_dict()},
                }
                for way in ("forward", "backward")
            ),
            *(
                {
                    "recipe": {
                        "name": "part",
                        "task": "tagging",
                        "model": {
                            "frontend": {"name": "onehot"},
                            "core": {"hidden": 5, "layers": 1},
                            "head": {"name": head},
                        },
                    },
                    "facts": {"task": "tagging", "outputs": 3, "kind": kind},
                }
                for head, kind in (("tags", "states"), ("tags_crf", "states"), ("values", "values"))
            ),
        ],
    ),
    "conv": config.Conv(
        layers=[
            config.ActivatedLayer(width=4, kernel=5, clamp=(-0.5, 0.1)),
            config.ActivatedLayer(width=6, kernel=9, stride=5, activation="tanh"),
        ]
    ),
    "residual": config.Residual(
        blocks=[config.ConvLayer(width=6, kernel=5, stride=4), config.ConvLayer(width=7, kernel=3)]
    ),
    "separable": config.Separable(
        blocks=[
            config.SeparableBlock(width=6, kernel=5, stride=3, separable=False),
            config.SeparableBlock(width=8, kernel=9, repeat=2, residual=True, stride=2),
        ]
    ),
}
SIGNAL = ("conv", "residual", "separable")
CORES = [
    config.Core(cell=cell, hidden=8, layers=3, direction=direction, skip=skip, layer_norm=skip, dropout=0.3)
    for cell in CELLS
    for direction in ("forward", "backward", "bidirectional", "alternating")
    for skip in (False, True)
]


def inputs(frontend: str, lengths: torch.Tensor, time: int) -> torch.Tensor:
    """Return a padded input whose padding is the frontend's: token 0, or arbitrary current that must not be seen."""
    generator = torch.Generator().manual_seed(3)
    if frontend in SIGNAL:
        return torch.randn(len(lengths), time, 1, generator=generator)
    x = torch.randint(1, N_TOKENS, (len(lengths), time), generator=generator)
    return x * (torch.arange(time)[None] < lengths[:, None])


def crop(x: torch.Tensor, row: int, length: int) -> torch.Tensor:
    return x[row : row + 1, :length]


@pytest.fixture(autouse=True)
def a_tiny_language_model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "plm" in request.node.name:
        folder = request.getfixturevalue("tiny_esm")
        monkeypatch.setattr(hub, "folder_of", lambda *given: folder)


@pytest.fixture(autouse=True)
def made_up_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for any sequence with a vector a residue, so that the front end needs no file."""
    vectors = np.random.default_rng(0).normal(size=(N_TOKENS, 7)).astype(np.float16)
    monkeypatch.setattr(embeddings, "lookup", lambda rows, *more: [vectors[row] for row in rows])


@pytest.mark.parametrize("name", list(FRONTENDS))
def test_frontend_states_its_width_and_ignores_padding(name: str) -> None:
    torch.manual_seed(0)
    frontend = build_frontend(RECIPES[name]).eval()
    x = inputs(name, LENGTHS, 30)
    out, lengths = frontend(x, LENGTHS)
    assert out.shape[2] == frontend.width
    if name == "variant":  # one step a position of the reference
        assert lengths.tolist() == [29] * len(LENGTHS)
    else:
        assert lengths.tolist() == [-(-n // getattr(frontend, "stride", 1)) for n in LENGTHS.tolist()]
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            alone, _ = frontend(crop(x, row, length), LENGTHS[row : row + 1])
            assert torch.allclose(alone[0], out[row, : int(lengths[row])], atol=1e-6)


@pytest.mark.parametrize("core", CORES, ids=lambda c: f"{c.cell}-{c.direction}-{'skip' if c.skip else 'plain'}")
def test_core_padded_equals_alone(core: config.Core) -> None:
    torch.manual_seed(0)
    stack = Stack(5, core).eval()
    x = torch.randn(4, 30, 5)
    out, lengths = stack(x, LENGTHS)
    assert out.shape == (4, 30, stack.width)
    assert lengths is LENGTHS
    for row, length in enumerate(LENGTHS.tolist()):
        assert (out[row, length:] == 0).all()
        if length:
            alone, _ = stack(crop(x, row, length), LENGTHS[row : row + 1])
            assert torch.allclose(alone[0], out[row, :length], atol=1e-5)


@pytest.mark.parametrize("core", CORES, ids=lambda c: f"{c.cell}-{c.direction}-{'skip' if c.skip else 'plain'}")
def test_core_gradients_are_finite_and_reach_every_weight(core: config.Core) -> None:
    torch.manual_seed(0)
    stack = Stack(5, core)
    out, _ = stack(torch.randn(4, 30, 5), LENGTHS)
    out.square().sum().backward()
    for name, weight in stack.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_bidirectional_layer_equals_torchs_packed_one() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([9, 4, 1])
    ours = Layer("lstm", 3, 5, "fb")
    theirs = torch.nn.LSTM(3, 5, batch_first=True, bidirectional=True)
    for suffix, cell in (("", ours.cells[0]), ("_reverse", ours.cells[1])):
        for kind in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(theirs, kind + suffix).data.copy_(getattr(cell, kind))
    x = torch.randn(3, 9, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    found = ours(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(found[row, :length], expected[row, :length], atol=1e-6)


def test_reverse_turns_only_valid_steps() -> None:
    x = torch.arange(8.0).reshape(2, 4, 1)
    assert reverse(x, torch.tensor([3, 0]))[:, :, 0].tolist() == [[2, 1, 0, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "mingru"])  # which has no recurrent weights
def test_recurrent_weights_start_orthogonal(cell: str) -> None:
    made = Layer(cell, 7, 16, "f").cells[0]
    for gate in made.weight_hh_l0.split(16):
        assert torch.allclose(gate @ gate.T, torch.eye(16), atol=1e-5)
    if cell == "lstm":
        bias = (made.bias_ih_l0 + made.bias_hh_l0).split(16)
        assert bias[1].tolist() == [1.0] * 16
        assert all((bias[gate] == 0).all() for gate in (0, 2, 3))


@pytest.mark.parametrize("name", list(POOLS))
@pytest.mark.parametrize("directions", ["f", "b", "fb"])
def test_pool_ignores_padding(name: str, directions: str) -> None:
    torch.manual_seed(0)
    pool = POOLS[name](8, directions)
    x = torch.randn(4, 30, 8)
    out = pool(x, LENGTHS)
    assert out.shape == (4, 8)
    assert out.isfinite().all()
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            assert torch.allclose(pool(crop(x, row, length), LENGTHS[row : row + 1])[0], out[row], atol=1e-6)


def test_last_takes_the_final_state_of_each_direction() -> None:
    x = torch.arange(12.0).reshape(1, 3, 4)
    assert Last(4, "fb")(x, torch.tensor([2])).tolist() == [[4.0, 5.0, 2.0, 3.0]]
    assert Last(4, "b")(x, torch.tensor([2])).tolist() == [[0.0, 1.0, 2.0, 3.0]]


def test_attention_weights_sum_to_one_on_valid_steps() -> None:
    weights = Attention(6, "f").weights(torch.randn(3, 30, 6), LENGTHS[:3])
    assert torch.allclose(weights.sum(1), torch.ones(3))
    assert (weights[1, 1:] == 0).all()


def head_recipe(name: str, **fields: Any) -> config.Head:
    if name == "decoder":
        return config.DecoderHead(hidden=fields.get("hidden") or 4)
    other = {"crf": config.CRFHead, "tags_crf": config.ChainHead}.get(name)
    return other(**fields) if other else config.PlainHead(name=name, **fields)


@pytest.mark.parametrize("name", list(HEADS))
@pytest.mark.parametrize("hidden", [0, 7])
def test_head_shape(name: str, hidden: int) -> None:
    head = HEADS[name](6, 5, head_recipe(name, hidden=hidden))
    shape = (4, 6) if HEADS[name].pooled else (4, 10, 6)
    assert head(torch.randn(shape)).shape == (*shape[:-1], {"crf": 5 * 4**3, "decoder": 6}.get(name, 5))


@pytest.mark.parametrize("state_len", [1, 2, 4])
def test_crf_head_stays_at_its_blank_score(state_len: int) -> None:
    states = 4**state_len
    fixed = CRF(6, 5, config.CRFHead(state_len=state_len, blank=1.5))(torch.randn(2, 3, 6))
    assert (fixed[..., :states] == 1.5).all()
    assert fixed.shape[-1] == 5 * states
    learned = CRF(6, 5, config.CRFHead(state_len=state_len, blank=None, scale=2.0))(100 * torch.randn(2, 3, 6))
    assert learned.shape == fixed.shape
    assert learned.abs().max() <= 2.0
    assert len(learned[..., :states].unique()) > 1


def test_regression_head_speaks_in_units() -> None:
    head = Regression(3, 1, config.PlainHead())
    head.shift.fill_(50.0)
    head.scale.fill_(10.0)
    x = torch.randn(8, 3)
    assert torch.allclose(head(x), head.output(x) * 10 + 50)


def test_tables_and_recipes_know_the_same_names() -> None:
    def allowed(model: type, field: str) -> set[str]:
        return set(str(model.model_fields[field].annotation).split("'")[1::2])

    assert allowed(config.Core, "cell") == set(CELLS)
    assert allowed(config.Model, "pool") == set(POOLS)
    heads = (config.PlainHead, config.ChainHead, config.CRFHead, config.DecoderHead)
    assert set().union(*(allowed(head, "name") for head in heads)) == set(HEADS)
    assert allowed(config.DecoderHead, "attention") == set(ATTENTIONS)
    assert allowed(config.DecoderHead, "cell") == set(STEPS)
    assert set(RECIPES) == set(FRONTENDS)


@pytest.mark.parametrize(
    ("pool", "head"), [([], config.PlainHead(name="regression")), (["mean"], config.PlainHead(name="ctc"))]
)
def test_pool_that_does_not_fit_the_head_is_an_error(pool: list[str], head: config.PlainHead) -> None:
    with pytest.raises(ConfigError, match=f"head '{head.name}' needs"):
        build_model(config.Model(frontend=config.OneHot(), pool=pool, head=head), 1)


@pytest.mark.parametrize("frontend", list(FRONTENDS))
@pytest.mark.parametrize("head", list(HEADS))
def test_whole_model_padded_equals_alone(frontend: str, head: str) -> None:
    torch.manual_seed(0)
    recipe = config.Model(
        frontend=RECIPES[frontend],
        core=config.Core(cell="lstm", hidden=8, direction="alternating"),
        pool=["last", "mean", "max", "attention"] if HEADS[head].pooled else [],
        head=head_recipe(head),
    )
    # front end tokens tells what it reads, so that it has as many outputs as symbols
    model = build_model(recipe, 24 if frontend == "tokens" else 5, stored=True).eval()
    x = inputs(frontend, LENGTHS, 30)
    with torch.no_grad():
        out, lengths = model(x, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            if length:
                alone, _ = model(crop(x, row, length), LENGTHS[row : row + 1])
                valid = out[row] if HEADS[head].pooled else out[row, : int(lengths[row])]
                assert torch.allclose(alone[0], valid, atol=1e-5)
