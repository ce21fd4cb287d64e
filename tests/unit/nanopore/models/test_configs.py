"""Networks read from config.toml: what is supported, and the one line for each that is not."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biorrn.base.errors import Fault, InputError
from biorrn.nanopore.models.configs import Convolution, network_of, read_config


def test_flat_keys(flat: dict[str, Any]) -> None:
    network = network_of(flat)
    assert [(layer.insize, layer.size, layer.winlen, layer.stride) for layer in network.convolutions] == [
        (1, 4, 5, 1), (4, 16, 5, 1), (16, 8, 19, 5),
    ]  # fmt: skip
    assert network.reverse == (True, False, True, False, True)
    assert (network.head.squash, network.head.scale, network.head.blank, network.head.bias) == ("tanh", 5.0, 2.0, True)
    assert network.stride == 5
    names = dict(network.parameters())
    assert list(names)[:2] == ["0.conv.weight", "0.conv.bias"]
    assert names["9.linear.weight"] == (4**4, 8)
    assert names["4.rnn.weight_ih_l0"] == (32, 8)


def test_sublayers(serial: dict[str, Any]) -> None:
    network = network_of(serial)
    assert network.convolutions[0].clamp == (-0.5, 3.5)
    assert network.convolutions[2] == Convolution(4, 8, 9, 3, "tanh", norm=True)
    assert (network.head.hidden, network.head.bias, network.head.squash, network.head.scale) == (6, False, "clamp", 5.0)
    assert network.stride == 3
    names = dict(network.parameters())
    assert names["9.linear.weight"] == (6, 8)  # three convolutions, a permutation and five LSTM layers before it
    assert names["10.linear.weight"] == (4**3, 6)
    assert "10.linear.bias" not in names
    assert network.model()["core"]["direction"] == "alternating"


def test_encoder_within_the_model_table(serial: dict[str, Any]) -> None:
    config = copy.deepcopy(serial)
    config["model"] |= {"type": "seqdistmodel", "encoder": config.pop("encoder"),
                        "seqdist": {"state_len": 2, "alphabet": ["N", "A", "C", "G", "T"]}}  # fmt: skip
    del config["global_norm"]
    assert network_of(config) == network_of(serial)


def test_score_of_staying_may_be_learned(flat: dict[str, Any]) -> None:
    del flat["encoder"]["blank_score"]
    assert network_of(flat).head.outputs == 5 * 4**3


Change = Callable[[dict[str, Any]], Any]


def at(number: int, **keys: Any) -> Change:
    return lambda config: config["encoder"]["sublayers"][number].update(keys)


WRONG: dict[str, tuple[Change, str]] = {
    "unknown type": (at(3, type="gru"), r"layer 'encoder.sublayers\[3\]' is of type 'gru', which is not supported"),
    "unknown key": (at(0, dilation=2), r"key 'encoder.sublayers\[0\].dilation' is unknown"),
    "misspelt key": (at(5, revers=1), r"key 'encoder.sublayers\[5\].revers' is unknown; did you mean 'reverse'"),
    "padding": (at(0, padding=1), r"sublayers\[0\].padding': found 1; allowed is half of winlen, 2"),
    "even window": (at(0, winlen=6, padding=3), "found 6; allowed is an odd number"),
    "activation": (at(0, activation="gelu"), "found 'gelu'; allowed is swish or silu or tanh or relu"),
    "norm": (at(0, norm="layernorm"), "found 'layernorm'; allowed is batchnorm"),
    "width": (at(2, insize=5), "insize': found 5; the layer before has 4 outputs"),
    "lstm width": (at(6, size=9), "size': found 9; the LSTM layer before has 8"),
    "lstm without bias": (at(6, bias=False), "bias': found False; allowed is True"),
    "permute": (at(4, dims=[0, 2, 1]), r"dims': found \[0, 2, 1\]; allowed is \[2, 0, 1\]"),
    "bases": (at(11, n_base=5), "n_base': found 5; allowed is 4"),
    "clamp": (at(12, min=-4.0), "found -4 to 5 for the scores; allowed is one clamp, -x to x"),
    "no head": (lambda config: config["encoder"].update(sublayers=config["encoder"]["sublayers"][:9]),
                "no layer of type"),
    "order": (lambda config: config["encoder"]["sublayers"].insert(0, config["encoder"]["sublayers"].pop(4)),
              r"layer 'encoder.sublayers\[0\]' \(permute\) stands where it is not supported"),
    "no list": (lambda config: config["encoder"].update(sublayers=3), "allowed is a list of tables"),
    "not serial": (lambda config: config["encoder"].update(type="stack"), "is of type 'stack', which is not supported"),
    "features": (lambda config: config["input"].update(features=2), "input.features': found 2; allowed is 1"),
    "labels": (lambda config: config["labels"].update(labels=["N", "A", "C", "G", "U"]), "labels.labels': found"),
    "long states": (lambda config: config["global_norm"].update(state_len=6), "found 6; allowed is 1 to 5"),
    "no states": (lambda config: config.pop("global_norm"), "key 'model.seqdist.state_len' is missing"),
    "a table": (lambda config: config.update(extra={"x": 1}), "table 'extra' is unknown"),
    "a number": (lambda config: config.update(encoder=3), "table 'encoder' is missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_supported_is_named(case: str, serial: dict[str, Any]) -> None:
    change, message = WRONG[case]
    change(serial)
    with pytest.raises(Fault, match=message):
        network_of(serial)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rnn_type", "gru", "found 'gru'; allowed is lstm"),
        ("features", "many", "found 'many'; allowed is a whole number"),
        ("scale", 0.0, "found 0; allowed is a number above 0"),
        ("stride", 0, "found 0; allowed is a whole number from 1"),
        ("strid", 5, "did you mean 'stride'"),
    ],
)
def test_flat_keys_that_are_not_supported_are_named(key: str, value: Any, message: str, flat: dict[str, Any]) -> None:
    flat["encoder"][key] = value
    with pytest.raises(Fault, match=message):
        network_of(flat)


def test_layers_in_an_order_of_no_core_are_named(flat: dict[str, Any]) -> None:
    flat["encoder"]["num_layers"] = 4
    with pytest.raises(Fault, match="run forward, backward, forward, backward; supported are"):
        network_of(flat).model()


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.toml: cannot be read"):
        read_config(tmp_path)
    (tmp_path / "config.toml").write_text("[model\n")
    with pytest.raises(InputError, match=r"config\.toml: is not TOML: "):
        read_config(tmp_path)
