"""Small configurations of the maker's models, and networks that share no code with the importer."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def oracle() -> ModuleType:
    """Return the file `oracle.py` beside this one."""
    spec = importlib.util.spec_from_file_location("models_oracle", Path(__file__).with_name("oracle.py"))
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def flat() -> dict[str, Any]:
    """Return a small configuration of flat keys, as of version 3."""
    encoder = {"scale": 5.0, "rnn_type": "lstm", "winlen": 19, "features": 8, "activation": "swish", "stride": 5}
    return {
        "model": {"package": "bonito.crf"},
        "labels": {"labels": ["N", "A", "C", "G", "T"]},
        "input": {"features": 1},
        "global_norm": {"state_len": 3},
        "encoder": encoder | {"blank_score": 2.0},
    }


def _convolution(insize: int, size: int, winlen: int, stride: int = 1, activation: str = "swish") -> dict[str, Any]:
    return {"type": "convolution", "insize": insize, "size": size, "bias": True, "winlen": winlen, "stride": stride,
            "padding": winlen // 2, "activation": activation, "norm": "batchnorm"}  # fmt: skip


@pytest.fixture
def serial() -> dict[str, Any]:
    """Return a small configuration of sublayers, as of version 4, with clamps and two linear layers."""
    clamp = {"type": "clamp", "min": -0.5, "max": 3.5}
    lstm = {"type": "lstm", "size": 8, "insize": 8, "bias": True}
    return {
        "model": {"package": "bonito.crf"},
        "labels": {"labels": ["N", "A", "C", "G", "T"]},
        "input": {"features": 1},
        "global_norm": {"state_len": 2},
        "encoder": {
            "type": "serial",
            "sublayers": [
                _convolution(1, 4, 5), dict(clamp), _convolution(4, 4, 5), _convolution(4, 8, 9, 3, "tanh"),
                {"type": "permute", "dims": [2, 0, 1]},
                *(lstm | {"reverse": 1 - number % 2} for number in range(5)),
                {"type": "linear", "in_features": 8, "out_features": 6},
                {"type": "linearcrfencoder", "insize": 6, "n_base": 4, "state_len": 2, "bias": False,
                 "blank_score": 2.0},
                {"type": "clamp", "min": -5.0, "max": 5.0},
            ],
        },
    }  # fmt: skip
