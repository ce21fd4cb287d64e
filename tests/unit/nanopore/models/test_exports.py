"""An exported folder holds the network that was exported, and what a format cannot hold is named in one line."""

import json
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.nanopore.models.exports import (
    OWN,
    SCALINGS,
    WRITERS,
    common,
    export,
    quality_line,
    scaling,
    toml,
)
from biorrn.nanopore.signal import NORMALISERS, normaliser_of
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_facts, load_model

FACTS = {"task": "basecalling", "outputs": 5, "normaliser": "medmad", "sample_rate": 4000.0}
SERIAL = {
    "frontend": {
        "name": "conv",
        "layers": [
            {"width": 16, "kernel": 5, "clamp": [-0.5, 3.5]},
            {"width": 16, "kernel": 5, "clamp": [-0.5, 3.5]},
            {"width": 132, "kernel": 9, "stride": 3, "clamp": [-0.5, 3.5]},
        ],
    },
    "core": {"cell": "lstm", "hidden": 132, "layers": 5, "direction": "alternating"},
    "head": {"name": "crf", "state_len": 2, "hidden": 12, "activation": "none", "bias": False, "squash": "clamp"},
}  # as v4.2
TANH = {
    **SERIAL,
    "frontend": {
        "name": "conv",
        "layers": [
            {"width": 16, "kernel": 5},
            {"width": 16, "kernel": 5},
            {"width": 20, "kernel": 9, "stride": 3, "activation": "tanh"},
        ],
    },
    "core": {**SERIAL["core"], "hidden": 20},
    "head": {"name": "crf", "state_len": 1, "bias": False, "squash": "clamp", "blank": 1.5},
}  # as v4.3
SMALL = {
    "frontend": {"name": "conv", "layers": [{"width": 7, "kernel": 9, "stride": 5}]},
    "core": {"cell": "lstm", "hidden": 10, "layers": 2, "direction": "forward"},
    "head": {"name": "crf", "state_len": 1, "scale": 3.0, "blank": 0.5},
}  # only a Bonito folder holds it


def stored(model: dict[str, Any] | str, **facts: Any) -> Stored:
    """An untrained basecaller whose scores are spread."""
    torch.manual_seed(0)
    recipe = load_recipe(model) if isinstance(model, str) else None
    recipe = recipe or parse_recipe(
        {"name": "tiny", "task": "basecalling", "model": model, "training": {"loss": "crf"}}
    )
    network = build_model(recipe.network, 5).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() > 1:
                tensor.mul_(6 if "head" in name else 2)
    return Stored.of(network, recipe, FACTS | {"stride": network.stride} | facts, Path("tiny"))


def scores(of: Stored, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return of.model(torch.from_numpy(signal)[None, :, None], torch.tensor([len(signal)]))[0][0].numpy()


MODELS = {"fast": "fast", "hac": "hac", "as v4.2": SERIAL, "as v4.3": TANH, "small": SMALL}


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("name", [*MODELS, "shipped"])
def test_an_independent_reader_finds_the_same_network(name: str, to: str, oracle: ModuleType, tmp_path: Path) -> None:
    if (name, to) == ("small", "dorado"):
        pytest.skip("no Dorado folder holds it")
    made = load_model("dna_r9.4.1_fast") if name == "shipped" else stored(MODELS[name])
    export(made, tmp_path / "out", to)
    network = oracle.read(tmp_path / "out")
    signal = np.random.default_rng(0).normal(size=403).astype(np.float32)
    expected = scores(made, signal)
    assert expected[:, 4**network.state_len :].std(0).mean() > 0.2
    np.testing.assert_allclose(network.columns(signal), expected, rtol=0, atol=2e-5)


def test_recipes_of_the_maker_s_shape_have_flat_keys(tmp_path: Path) -> None:
    export(load_model("dna_r9.4.1_fast"), tmp_path / "dna_r9.4.1_mine", "dorado")
    found = tomllib.loads((tmp_path / "dna_r9.4.1_mine" / "config.toml").read_text())
    assert found["encoder"] == {
        "activation": "swish",
        "features": 96,
        "rnn_type": "lstm",
        "winlen": 19,
        "stride": 5,
        "scale": 5.0,
        "blank_score": load_model("dna_r9.4.1_fast").recipe.network.head.blank,
    }
    assert found["global_norm"] == {"state_len": 3}
    assert found["run_info"] == {"sample_rate": 4000, "sample_type": "dna"}
    assert found["scaling"] == {"strategy": "med_mad"}
    assert found["basecaller"] == {"chunksize": 3000, "overlap": 300}
    facts = load_model("dna_r9.4.1_fast").facts
    kept = json.loads(found["biorrn"]["facts"])
    assert kept == {key: facts[key] for key in ("chemistry", "early", "licence", "qscore") if facts.get(key)}
    names = {path.name for path in (tmp_path / "dna_r9.4.1_mine").glob("*.tensor")}
    assert {
        "0.conv.weight.tensor",
        "4.rnn.weight_ih_l0.tensor",
        "8.rnn.bias_hh_l0.tensor",
        "9.linear.bias.tensor",
    } <= names
    assert len(names) == 28


def test_a_model_of_yours_is_under_no_licence_of_the_maker(tmp_path: Path) -> None:
    export(stored(FAST), tmp_path / "dna_r9.4.1_e8_fast@v3.4", "dorado")
    assert load_facts(tmp_path / "dna_r9.4.1_e8_fast@v3.4")["licence"] == OWN


def test_names_skip_clamps_and_end_with_both_linear_layers(tmp_path: Path) -> None:
    export(stored(SERIAL), tmp_path / "out", "dorado")
    names = {path.name.rsplit(".", 2)[0] for path in (tmp_path / "out").glob("*.tensor")}
    assert {name.split(".")[0] for name in names} == {"0", "1", "2", "4", "5", "6", "7", "8", "9", "10"}
    assert not (tmp_path / "out" / "10.linear.bias.tensor").exists()


@pytest.mark.parametrize("to", WRITERS)
def test_archives_are_those_of_the_maker(to: str, tmp_path: Path) -> None:
    made = stored(TANH)
    export(made, tmp_path / "out", to)
    if to == "bonito":
        state = torch.load(tmp_path / "out" / "weights_1.tar", weights_only=True)
        assert next(iter(state)) == "encoder.0.conv.weight"
        assert {tensor.dtype for tensor in state.values()} == {torch.float32}
        assert sum(tensor.numel() for tensor in state.values()) == sum(p.numel() for p in made.model.parameters())
        return
    for path in (tmp_path / "out").glob("*.tensor"):
        [(name, tensor)] = torch.jit.load(path).named_parameters()
        assert name == "0"
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad


@pytest.mark.parametrize("text", [*NORMALISERS, "quantile_sum(0.25, 0.8, 0.6, 0.4)", "picoampere(91.88, 22.65)"])
def test_shift_and_scale_are_those_of_the_normaliser(text: str, oracle: ModuleType) -> None:
    current = np.random.default_rng(0).normal(90, 13, 5000).astype(np.float32)
    made = normaliser_of(text)(current)
    name = "dna_r9.4.1" if text == "medmad" else "x"
    assert oracle.shift_and_scale(scaling(text), name, current) == pytest.approx((made.shift, made.scale))


def test_every_normaliser_has_tables() -> None:
    assert set(SCALINGS) == set(NORMALISERS)


def test_the_line_of_qualities_is_near_the_calibration() -> None:
    assert quality_line({}) == (1.0, 0.0)
    scale, bias = quality_line(load_model("dna_r9.4.1_fast").facts)
    assert 0.3 < scale < 1.2  # the model's own qualities are spread further than they should be
    assert 10 < 10 * scale + bias < 20


@pytest.mark.parametrize(
    ("rna", "kind"), [("rna004_130bps", "rna004"), ("rna002_70bps", "rna002"), ("dna_r10.4.1_e8.2_260bps", "dna")]
)
def test_sample_type_follows_the_chemistry(rna: str, kind: str) -> None:
    made = stored(TANH, chemistry=[rna])
    assert common(made)["run_info"]["sample_type"] == kind


REFUSED = {
    "a head for CTC": ({**SMALL, "head": {"name": "ctc"}}, "a head of kind ctc on an LSTM"),
    "another cell": ({**SMALL, "core": {**SMALL["core"], "cell": "gru"}}, "a core of gru, forward"),
    "both directions": ({**SMALL, "core": {**SMALL["core"], "direction": "bidirectional"}}, "lstm, bidirectional"),
    "skip connections": ({**SMALL, "core": {**SMALL["core"], "skip": True}}, "skip connections or layer norm"),
    "layer norm": ({**SMALL, "core": {**SMALL["core"], "layer_norm": True}}, "skip connections or layer norm"),
    "attention": ({**SMALL, "core": {"name": "self_attention"}}, "a core of another kind than LSTM"),
    "another front end": (
        {**SMALL, "frontend": {"name": "residual", "blocks": [{"width": 8, "kernel": 5}]}},
        "a front end of kind residual",
    ),
    "an LSTM after separable convolutions": (
        {**SMALL, "frontend": {"name": "separable", "blocks": [{"width": 8, "kernel": 5}]}},
        "a front end of kind separable but with core",
    ),
    "a stride that repeats": (
        {
            "frontend": {"name": "separable", "blocks": [{"width": 8, "kernel": 5, "stride": 2, "repeat": 2}]},
            "core": {"layers": 0},
            "head": {"name": "ctc"},
        },
        "a block with a stride that repeats",
    ),
    "a hidden layer": ({**SMALL, "head": {**SMALL["head"], "hidden": 6}}, "a hidden layer with SiLU"),
}


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_no_format_holds_is_named(case: str, to: str, tmp_path: Path) -> None:
    model, words = REFUSED[case]
    with pytest.raises(ConfigError, match="neither Dorado nor Bonito") as caught:
        export(stored(model), tmp_path / "out", to)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


FAST = {
    "frontend": {
        "name": "conv",
        "layers": [{"width": 4, "kernel": 5}, {"width": 16, "kernel": 5}, {"width": 8, "kernel": 19, "stride": 5}],
    },
    "core": {"cell": "lstm", "hidden": 8, "layers": 5, "direction": "alternating"},
    "head": {"name": "crf", "state_len": 1},
}
BEYOND = {
    "few layers": (SMALL, "scores kept by tanh except after"),
    "another range": ({**FAST, "head": {**FAST["head"], "scale": 4.0}}, "scores within 4"),
    "another kernel": (
        {**FAST, "frontend": {"name": "conv", "layers": [*FAST["frontend"]["layers"][:2], {"width": 8, "kernel": 9}]}},
        "a last kernel of 9",
    ),
    "narrow convolutions": (
        {**TANH, "frontend": {"name": "conv", "layers": [{"width": 4, "kernel": 5}, *TANH["frontend"]["layers"][1:]]}},
        "convolutions of widths 4, 16, 20",
    ),
    "relu": (
        {
            **TANH,
            "frontend": {
                "name": "conv",
                "layers": [{"width": 16, "kernel": 5, "activation": "relu"}, *TANH["frontend"]["layers"][1:]],
            },
        },
        "convolutions with relu",
    ),
    "another core": ({**TANH, "core": {**TANH["core"], "layers": 4}}, "other cores than 5"),
    "a bias": ({**TANH, "head": {**TANH["head"], "bias": True}}, "a bias of the head"),
    "learned stays": ({**FAST, "head": {"name": "crf", "state_len": 2, "blank": None}}, "learned scores of staying"),
    "another clamp": ({**TANH, "head": {**TANH["head"], "scale": 4.0}}, "these clamps"),
}


@pytest.mark.parametrize("case", BEYOND)
def test_what_only_bonito_folders_hold_is_named(case: str, oracle: ModuleType, tmp_path: Path) -> None:
    model, words = BEYOND[case]
    with pytest.raises(ConfigError, match="Dorado does not know") as caught:
        export(stored(model), tmp_path / "out", "dorado")
    assert words in str(caught.value)
    made = stored(model)
    export(made, tmp_path / "out", "bonito")
    signal = np.random.default_rng(1).normal(size=200).astype(np.float32)
    network = oracle.read(tmp_path / "out")
    np.testing.assert_allclose(network.columns(signal), scores(made, signal), rtol=0, atol=2e-5)


def test_models_of_proteins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a model for regression; expected one for basecalling"):
        export(load_model("stability"), tmp_path / "out", "dorado")
    with pytest.raises(ConfigError, match="dorado, bonito"):
        export(stored(FAST), tmp_path / "out", "guppy")


def test_separable_convolutions_are_for_bonito_alone(tmp_path: Path) -> None:
    made = stored("quartz")
    with torch.no_grad():
        for name, tensor in made.model.state_dict().items():
            if name.endswith(".norm.variance"):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
            elif ".norm." in name:
                tensor.copy_(0.5 + 0.1 * torch.randn_like(tensor))
    with pytest.raises(ConfigError, match="Dorado does not know a head for CTC"):
        export(made, tmp_path / "quartz", "dorado")
    export(made, tmp_path / "dna_r9.4.1_quartz", "bonito")
    again = load_model(tmp_path / "dna_r9.4.1_quartz")
    assert again.recipe.network == made.recipe.network
    for name, tensor in made.model.state_dict().items():  # to the last bit, though the epsilons of batch norm differ
        np.testing.assert_array_equal(again.model.state_dict()[name], tensor, err_msg=name)


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(BiorrnError, match="holds files"):
        export(stored(FAST), tmp_path, "dorado")
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
    (tmp_path / "empty").mkdir()
    export(stored(FAST), tmp_path / "empty", "dorado")
    assert (tmp_path / "empty" / "config.toml").is_file()


def test_toml_is_read_back() -> None:
    tables = {
        "a": {"x": 1.85, "n": 3, "s": 'say "B\n', "yes": True, "list": ["N", 2]},
        "b": {"t": [{"k": 1}, {"k": -0.5}]},
    }
    assert tomllib.loads(toml(tables)) == tables
