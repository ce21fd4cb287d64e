"""Export of a basecaller as a model folder of Dorado or Bonito: `config.toml` and the weights.

A Dorado folder holds one TorchScript archive a parameter; a Bonito folder a state dictionary, `weights_1.tar`. Both
describe the network in `config.toml`, by flat keys (v3) or as a list of sublayers (v4). Scores of a state stand side by
side in their files, and in planes here; see `kernels.crf.loss`. A network of separable convolutions and CTC is for
Bonito alone, as its first models were.

What biorrn alone uses, such as its calibration of Q-scores, stands in a table `[biorrn]`, which the others ignore.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.files import new_folder
from biorrn.base.lookup import lookup
from biorrn.config.network import Conv, Core, CRFHead, Separable
from biorrn.config.recipe import Chunks, Model
from biorrn.nanopore.basecall.caller import calling_chunks
from biorrn.nanopore.basecall.quality import DORADO_POWER, FEATURES, Calibration, Line, calibration_of, own_q, phred
from biorrn.nanopore.models.ctc import Blocks
from biorrn.nanopore.models.importer import KEPT
from biorrn.nanopore.signal import parse_normaliser
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import BASES

CONFIG = "config.toml"
Table = dict[str, Any]
Layer = tuple[Table, dict[str, np.ndarray]]  # keys of a sublayer, and its parameters

ACTIVATIONS = {"silu": "swish", "tanh": "tanh", "relu": "relu"}
TURNS = {"alternating": (1, 0), "forward": (0, 0), "backward": (1, 1)}  # `reverse` of LSTM layers in turn
OWN = "that of whoever trained the model, with biorrn"  # licence of a model that states none
# Dorado knows the values of its own models alone
WINLEN, SCALE, LAYERS, CLAMP = 19, 5.0, 5, (-0.5, 3.5)
NARROW = 128  # features up to which the first of two linear layers has no bias in Dorado


def export(stored: Stored, folder: str | Path, to: str) -> list[str]:
    """Write a model as a folder of another caller, and return remarks on what that caller makes of it.

    Parameters
    ----------
    stored : Stored: a basecaller.
    folder : new or empty folder to write; it appears whole or not at all.
    to : str: entry of `WRITERS`.

    Raises
    ------
    ConfigError: the format does not hold the model, or the format is unknown; the message names the part.
    BiorrnError: the folder holds files, or cannot be written.
    """
    write = lookup(WRITERS, to, "--to")
    if stored.facts.get("task") != "basecalling":
        raise ConfigError(f"{stored.path}: is a model for {stored.facts.get('task')}; expected one for basecalling")
    folder = Path(folder)
    tables, layers = described(stored)
    if to == "dorado" and (fault := beyond_dorado([keys for keys, _ in layers])):
        raise ConfigError(f"{stored.path}: Dorado does not know {fault}; --to bonito may")
    text = toml(tables | common(stored))
    with new_folder(folder) as whole:
        (whole / CONFIG).write_text(text, encoding="utf-8")
        write(layers, whole)
    return _remarks(stored, folder.resolve().name, to)


def _remarks(stored: Stored, name: str, to: str) -> list[str]:
    found = []
    molecule = _sample_type(stored.facts)
    if to == "dorado" and not name.startswith(molecule):
        found.append(f"Dorado tells the molecule by the name of the folder; that of this model begins with {molecule}")
    if stored.facts["normaliser"] == "medmad" and to == "bonito":
        found.append("Bonito 1 normalises by quantiles or fixed picoamperes; it refuses this model's med_mad")
    if isinstance(calibration_of(stored.facts), Calibration):
        found.append("[qscore] is a line through the calibration of Q-scores; biorrn reads the calibration itself")
    return found


def described(stored: Stored) -> tuple[Table, list[Layer]]:
    """Return the tables of `config.toml` that describe the network, and its layers.

    Raises
    ------
    ConfigError: a part that neither format holds.
    """
    network: Any = stored.recipe.model
    if fault := _beyond(network):
        raise ConfigError(f"{stored.path}: neither Dorado nor Bonito folders hold {fault}")
    tensors = {name: np.asarray(values, np.float32) for name, values in stored.tensors.items()}
    if isinstance(network.frontend, Separable):
        made = Blocks.of(network.frontend)
        encoder = {"activation": ACTIVATIONS[made.activation]}
        return {"model": {"package": "bonito.ctc"}, "block": made.tables(), "encoder": encoder}, [
            ({"type": "blocks"}, made.values(tensors))
        ]
    layers = sublayers(network.frontend, network.core, network.head, tensors)
    keys = [keys for keys, _ in layers]
    return {
        "model": {"package": "bonito.crf"},
        "global_norm": {"state_len": network.head.state_len},
        "encoder": _flat(keys) or {"type": "serial", "sublayers": keys},
    }, layers


def sublayers(frontend: Conv, core: Core, head: CRFHead, tensors: Mapping[str, np.ndarray]) -> list[Layer]:
    """Return the layers of a CRF basecaller in the order in which they run, with keys and parameters as in Bonito."""
    layers: list[Layer] = []
    width = 1
    for number, layer in enumerate(frontend.layers):
        keys = {"type": "convolution", "insize": width, "size": layer.width, "bias": True, "winlen": layer.kernel}
        keys |= {"stride": layer.stride, "padding": layer.kernel // 2, "activation": ACTIVATIONS[layer.activation]}
        layers.append((keys, _renamed(tensors, f"frontend.layers.{number}.", "conv.")))
        if layer.clamp is not None:
            layers.append(({"type": "clamp", "min": layer.clamp[0], "max": layer.clamp[1]}, {}))
        width = layer.width
    layers.append(({"type": "permute", "dims": [2, 0, 1]}, {}))
    for number in range(core.layers):
        reverse = TURNS[core.direction][number % 2]
        keys = {"type": "lstm", "size": core.hidden, "insize": width, "bias": True, "reverse": reverse}
        layers.append((keys, _renamed(tensors, f"core.layers.{number}.cells.0.", "rnn.")))
        width = core.hidden
    linears = sorted({name.rsplit(".", 1)[0] for name in tensors if name.startswith("head.output.")})
    if head.hidden:
        keys = {"type": "linear", "in_features": width, "out_features": head.hidden}
        layers.append((keys, _renamed(tensors, f"{linears[0]}.", "linear.")))
        width = head.hidden
    scores = {  # planes of one score of all states -> the scores of each state
        name: values.reshape(-1, 4**head.state_len, *values.shape[1:]).swapaxes(0, 1).reshape(values.shape)
        for name, values in _renamed(tensors, f"{linears[-1]}.", "linear.").items()
    }
    keys = {"type": "linearcrfencoder", "insize": width, "n_base": 4, "state_len": head.state_len, "bias": head.bias}
    keys |= {"scale": head.scale, "activation": "tanh"} if head.squash == "tanh" else {}
    keys |= {} if head.blank is None else {"blank_score": head.blank}
    layers.append((keys, scores))
    if head.squash == "clamp":
        layers.append(({"type": "clamp", "min": -head.scale, "max": head.scale}, {}))
    return layers


def _renamed(tensors: Mapping[str, np.ndarray], before: str, after: str) -> dict[str, np.ndarray]:
    return {after + name.removeprefix(before): values for name, values in tensors.items() if name.startswith(before)}


def _beyond(network: Any) -> str:
    """Return the part of a model that neither format holds; "" where there is none."""
    if not isinstance(network, Model):
        return "an ensemble, or a model of another kind than a network"
    frontend, core, head = network.frontend, network.core, network.head
    if isinstance(frontend, Separable):
        return _beyond_blocks(network)
    if not isinstance(frontend, Conv):
        return f"a front end of kind {frontend.name}; allowed is conv, or separable with head ctc"
    if not isinstance(core, Core):
        return "a core of another kind than LSTM"
    if core.cell != "lstm" or core.direction not in TURNS:
        return f"a core of {core.cell}, {core.direction}; allowed is lstm, {', '.join(TURNS)}"
    if core.skip or core.layer_norm:
        return "skip connections or layer norm"
    if network.steps or network.pool:
        return "a layer between core and head"
    if not isinstance(head, CRFHead):
        return f"a head of kind {head.name} on an LSTM; allowed is crf"
    if head.hidden and head.activation != "none":
        return "a hidden layer with SiLU in the head; allowed is hidden: 0, or activation: none"
    return ""


def _beyond_blocks(network: Model) -> str:
    """Return the part of a network of separable convolutions that Bonito does not know; "" where there is none."""
    frontend, core, head = network.frontend, network.core, network.head
    assert isinstance(frontend, Separable)
    if any(block.stride > 1 and (block.repeat > 1 or block.residual) for block in frontend.blocks):
        return "a block with a stride that repeats or is residual; allowed is a stride in a block of one convolution"
    if not isinstance(core, Core) or core.layers or head.name != "ctc" or head.hidden or network.steps:
        return "a front end of kind separable but with core {layers: 0} and head ctc without a hidden layer"
    return ""


def _flat(layers: list[Table]) -> Table | None:
    """Return the flat keys of the v3 configurations, None where they do not describe the layers."""
    by_kind: dict[str, list[Table]] = {}
    for keys in layers:
        by_kind.setdefault(keys["type"], []).append(keys)
    convolutions, head = by_kind["convolution"], by_kind["linearcrfencoder"][0]
    if len(convolutions) != 3 or len(by_kind.get("lstm", ())) != LAYERS:
        return None
    last, width = convolutions[2], convolutions[2]["size"]
    plain = [(keys["size"], keys["winlen"], keys["stride"]) for keys in convolutions[:2]] == [(4, 5, 1), (16, 5, 1)]
    plain = (
        plain and {keys["activation"] for keys in convolutions} == {"swish"} and not {"clamp", "linear"} & {*by_kind}
    )
    even = all((keys["size"], keys["reverse"]) == (width, 1 - n % 2) for n, keys in enumerate(by_kind["lstm"]))
    if not (plain and even and "scale" in head and head["bias"]):
        return None
    keys = {"activation": "swish", "features": width, "rnn_type": "lstm", "winlen": last["winlen"]}
    keys |= {"stride": last["stride"], "scale": head["scale"]}
    return keys | ({"blank_score": head["blank_score"]} if "blank_score" in head else {})


def beyond_dorado(layers: list[Table]) -> str:
    """Return the part of layers that Dorado does not know, though a Bonito folder holds it; "" where there is none."""
    if layers[0]["type"] == "blocks":
        return "a head for CTC"
    flat = _flat(layers)
    head = next(keys for keys in layers if keys["type"] == "linearcrfencoder")
    if "blank_score" not in head:
        return "learned scores of staying (blank: null)"
    if flat is not None:
        if (flat["winlen"], flat["scale"]) == (WINLEN, SCALE):
            return ""
        return f"a last kernel of {flat['winlen']} or scores within {flat['scale']:g}; allowed is {WINLEN}, {SCALE:g}"
    convolutions = [keys for keys in layers if keys["type"] == "convolution"]
    lstms = [keys for keys in layers if keys["type"] == "lstm"]
    if "scale" in head:
        shape = f"widths 4, 16 and N, kernels 5, 5 and {WINLEN}, and {LAYERS} alternating LSTM layers of N units"
        return f"scores kept by tanh except after convolutions of {shape}"
    width = convolutions[-1]["size"]
    if len(convolutions) != 3 or convolutions[0]["size"] != 16:
        sizes = ", ".join(str(keys["size"]) for keys in convolutions)
        return f"convolutions of widths {sizes} with scores not kept by tanh; allowed are three, the first of 16"
    if len(lstms) != LAYERS or any(
        (keys["size"], keys["reverse"]) != (width, 1 - n % 2) for n, keys in enumerate(lstms)
    ):
        return f"other cores than {LAYERS} alternating LSTM layers of the width of the last convolution, {width}"
    if odd := [keys["activation"] for keys in convolutions if keys["activation"] not in ("swish", "tanh")]:
        return f"convolutions with {odd[0]}; allowed is swish or tanh"
    decomposed = any(keys["type"] == "linear" for keys in layers)
    if head["bias"] or (decomposed and width <= NARROW):
        return f"a bias of the head; allowed is one in two linear layers after more than {NARROW} features"
    clamps = [(number, keys["min"], keys["max"]) for number, keys in enumerate(layers) if keys["type"] == "clamp"]
    last = clamps.pop() if layers[-1]["type"] == "clamp" else None
    after = all(layers[n - 1]["activation"] == "swish" and (low, high) == CLAMP for n, low, high in clamps)
    if (last is None and clamps) or (last is not None and last[2] != SCALE) or not after:
        return f"these clamps; allowed is {CLAMP} after swish, and +-{SCALE:g} of the scores wherever there is any"
    return ""


def common(stored: Stored) -> Table:
    """Return the tables of `config.toml` that all basecallers have."""
    facts = stored.facts
    chunks = calling_chunks(stored.recipe.chunks or Chunks(), int(facts["stride"]), facts.get("calling"))
    kept = {name: facts[name] for name in KEPT if facts.get(name)} | {"licence": facts.get("licence") or OWN}
    scale, bias = quality_line(facts)
    return {
        "labels": {"labels": ["N", *BASES[1:]]},
        "input": {"features": 1},
        "run_info": {"sample_rate": round(facts["sample_rate"]), "sample_type": _sample_type(facts)},
        **scaling(facts["normaliser"]),
        "qscore": {"scale": scale, "bias": bias},
        "basecaller": {"chunksize": chunks.samples, "overlap": chunks.overlap},
        "biorrn": {"facts": json.dumps(kept, sort_keys=True)},
    }


def _sample_type(facts: Mapping[str, Any]) -> str:
    names = {name.split("_")[0] for name in facts.get("chemistry") or ()} & {"rna002", "rna004"}
    return names.pop() if names else "rna004" if facts.get("reversed") else "dna"


def scaling(normaliser: str) -> Table:
    """Return the tables of a normaliser, as the fact `normaliser` names it."""
    name, numbers = parse_normaliser(normaliser)
    return SCALINGS[name](**numbers)


def quality_line(facts: Mapping[str, Any]) -> tuple[float, float]:
    """Return scale and bias of the line that comes nearest to a model's calibration of Q-scores; 1 and 0 without one.

    A calibration depends on more than the quality of a base, so the line is that of typical bases: the knots of the
    calibration, which stand at quantiles of the bases that it was fitted to, give the features of 19 bases outside
    homopolymers in a good read, from poor to sure. The line from their quality to the calibrated one is fitted by least
    squares.
    """
    calibration = calibration_of(facts)
    if calibration is None:
        return 1.0, 0.0
    if isinstance(calibration, Line):
        return calibration.scale, calibration.bias
    typical = _typical(calibration)
    wrong = 10 ** (-typical[:, list(FEATURES).index("state")] / 10)
    given = own_q((1 - wrong) ** DORADO_POWER)  # what Dorado multiplies by the scale
    scale, bias = np.polyfit(given, phred(1 - calibration.errors(typical)), 1)
    return round(float(scale), 4), round(float(bias), 4)


def _typical(calibration: Calibration) -> np.ndarray:
    """Return the features float32 (19, F) of bases at rising ranks of all qualities."""
    ranks = np.linspace(0.05, 0.95, 19)
    values = {"run": np.ones(len(ranks)), "place": np.zeros(len(ranks))}
    for name in ("share", "state", "next_state", "second_state", "read_share"):
        knots = calibration.terms[name].at if name in calibration.terms else 10 * np.linspace(0, 1, 15)
        at = np.interp(ranks, np.linspace(0, 1, len(knots)), knots)
        values[name] = np.full(len(ranks), knots[0]) if name == "read_share" else at
    return np.stack([values[name] for name in FEATURES], 1).astype(np.float32)


# --- files ---


def toml(tables: Table) -> str:
    """Return tables, and lists of tables, as TOML; within a table, a table stands in a list.

    >>> print(toml({"a": {"x": 1.5, "y": ["b"]}}))
    [a]
    x = 1.5
    y = ["b"]
    <BLANKLINE>
    """
    lines: list[str] = []
    for name, table in tables.items():
        if _is_tables(table):
            for entry in table:
                lines += [f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in entry.items()), ""]
            continue
        lines.append(f"[{name}]")
        lines += [f"{key} = {_value(value)}" for key, value in table.items() if not _is_tables(value)]
        for key, entries in table.items():
            for entry in entries if _is_tables(entries) else ():
                lines += ["", f"[[{name}.{key}]]", *(f"{inner} = {_value(value)}" for inner, value in entry.items())]
        lines.append("")
    return "\n".join(lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # the numbers, strings and truth values of JSON are those of TOML
    return json.dumps(value, ensure_ascii=False)


def write_dorado(layers: list[Layer], folder: Path) -> None:
    """Write `N.name.tensor` for each parameter; N counts the layers but for clamps, and there are no clamps in v3."""
    import torch

    number = 0
    for keys, parameters in layers:
        for name, values in parameters.items():
            holder = torch.nn.Module()
            holder.register_parameter("0", torch.nn.Parameter(torch.from_numpy(values.copy()), requires_grad=False))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # no other writer makes what libtorch reads
                torch.jit.script(holder).save(str(folder / f"{number}.{name}.tensor"))
        number += keys["type"] != "clamp"


def write_bonito(layers: list[Layer], folder: Path) -> None:
    """Write `weights_1.tar`, a state dictionary; the parameters of `Blocks` have their names already."""
    import torch

    state = {
        name if keys["type"] == "blocks" else f"encoder.{number}.{name}": torch.from_numpy(values.copy())
        for number, (keys, parameters) in enumerate(layers)
        for name, values in parameters.items()
    }
    torch.save(state, folder / "weights_1.tar")


WRITERS: dict[str, Callable[[list[Layer], Path], None]] = {"dorado": write_dorado, "bonito": write_bonito}


def _quantiles(low: float, high: float, shift: float, scale: float) -> Table:
    factors = {"shift_multiplier": shift, "scale_multiplier": scale}
    return {"scaling": {"strategy": "quantile"}, "normalisation": {"quantile_a": low, "quantile_b": high} | factors}


def _picoamperes(mean: float, stdev: float) -> Table:
    return {"scaling": {"strategy": "pa"}, "standardisation": {"standardise": 1, "mean": mean, "stdev": stdev}}


# entry of `signal.NORMALISERS` -> its tables, from the numbers that it takes. The shift of biorrn's own quantiles is
# half their sum; the formats also raise a shift below 10 and a scale below 1 picoampere, which no strand has
SCALINGS: dict[str, Callable[..., Table]] = {
    "medmad": lambda: {"scaling": {"strategy": "med_mad"}},
    "quantile": partial(_quantiles, 0.2, 0.9, 0.5, 0.53),
    "quantile_sum": _quantiles,
    "picoampere": _picoamperes,
}
