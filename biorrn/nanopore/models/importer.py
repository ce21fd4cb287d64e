"""Import of Dorado's and Bonito's model folders: recipe, facts and tensors of a biorrn model.

A folder holds `config.toml` and either a `.tensor` archive for each parameter (Dorado) or `weights_N.tar` (Bonito), of
which the highest N counts. Parameters of Dorado are known by their names. Those of Bonito are known by shape and order,
as Bonito does it, since names changed between its versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import Fault, InputError, faults
from biorrn.base.lookup import nearest
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nanopore.chemistry import CHEMISTRIES
from biorrn.nanopore.models.archives import read_tensor, read_tensors
from biorrn.nanopore.models.maker import BATCHES, CONFIG, NORM, Keys, Network, network_of, read_config, table
from biorrn.sequences.alphabets import BASES

KEPT = ("qscore", "early", "chemistry")
TENSOR, CHECKPOINT = ".tensor", re.compile(r"weights_(\d+)\.tar")
EPSILON = 1e-5  # of the batch norm of `bonito.crf`
OURS = 3600  # samples of a training chunk, as Bonito's are
CALLED, SHARED = 10_000, 500  # samples of a chunk and of an overlap where the file says nothing: those of Dorado
# chemistry of a model by the start of its name; the first that fits counts. {}: 4khz or 5khz, by the sample rate
NAMES = {
    "dna_r9.4.1": "dna_r9.4.1_e8",
    "dna_r9.5": "dna_r9.5_450bps",
    "dna_r10.4.1_e8.2_apk": "dna_r10.4.1_e8.2_apk_5khz",
    "dna_r10.4.1_e8.2_260bps": "dna_r10.4.1_e8.2_260bps",
    "dna_r10.4.1_e8.2_400bps": "dna_r10.4.1_e8.2_400bps_{}",
    "dna_r10.4.1_e8.2_4khz": "dna_r10.4.1_e8.2_400bps_4khz",
    "dna_r10.4.1_e8.2_5khz": "dna_r10.4.1_e8.2_400bps_5khz",
    "dna_r10.4_e8.1": "dna_r10.4_e8.1",
    "dna_r10.3": "dna_r10.3_450bps",
    "dna_r10_": "dna_r10_450bps",
    "rna002": "rna002_70bps",
    "rna_r9.4.1_70bps": "rna002_70bps",
    "rna_r9.4.1_e8": "rna002_70bps",
    "rna004": "rna004_130bps",
    "rna_rp4": "rna004_130bps",
}
MAKER = "Oxford Nanopore Technologies PLC. Public License Version 1.0 (research purposes)"
UNSTATED = "not stated in the folder; ask whoever made it"
TERMS = ("LICENSE", "LICENSE.txt", "LICENCE", "LICENCE.txt", "LICENSE.md")


def read_facts(folder: str | Path) -> dict[str, Any]:
    """Return the facts of a foreign model folder; its weights are not read.

    Raises
    ------
    InputError: as `read_model`, but for the weights.
    """
    return _described(Path(folder))[1]


def read_model(folder: str | Path) -> tuple[Recipe, dict[str, Any], dict[str, np.ndarray]]:
    """Read a foreign model folder: recipe, facts (see `nn.store.Facts`), and tensors by the names of `nn.layout`.

    Raises
    ------
    InputError: config.toml is missing, not TOML, or has a layer or key that is not supported; the sample rate is not
        stated; weights are missing, damaged, or not those of the config.toml.
    """
    folder = Path(folder)
    network, facts = _described(folder)
    values = _values(folder, network)
    recipe = parse_recipe(_recipe(folder.resolve().name, network, facts), str(folder / CONFIG))
    return recipe, facts, _tensors(network, values)


def _described(folder: Path) -> tuple[Network, dict[str, Any]]:
    config = read_config(folder)
    with faults(folder / CONFIG):
        network = _network(config)
        return network, _facts(config, network, folder)


def _network(config: Mapping[str, Any]) -> Network:
    if "general" in config or "modbases" in config:
        kind = table(config, "general").get("model", "unknown")
        raise Fault(f"is a model of modified bases (general.model = {kind!r:.40}), not a basecaller")
    package = table(config, "model").get("package")
    if package != "bonito.crf":
        raise Fault(f"key 'model.package': found {package!r:.40}; allowed is 'bonito.crf'")
    return network_of(config)


# -- weights ---------------------------------------------------------------------------------------------------------


def _values(folder: Path, network: Network) -> dict[str, np.ndarray]:
    """Return the parameters of a network by the names of `Network.parameters`, as float32."""
    archives = sorted(path for path in folder.glob(f"*{TENSOR}"))
    checkpoints = {int(found[1]): path for path in folder.iterdir() if (found := CHECKPOINT.fullmatch(path.name))}
    if archives:
        values = _by_name(folder, archives, network)
    elif checkpoints:
        values = _by_shape(checkpoints[max(checkpoints)], network)
    else:
        raise InputError(folder, f"holds no weights; expected are *{TENSOR} files (Dorado) or weights_N.tar (Bonito)")
    for name, found in values.items():
        if found.dtype.kind != "f" and not name.endswith(BATCHES):
            raise InputError(folder, f"tensor '{name}' is of type {found.dtype}; expected are floating-point numbers")
        if not np.isfinite(found).all():
            raise InputError(folder, f"tensor '{name}' holds a NaN or infinity")
    return {name: found.astype(np.float32) for name, found in values.items()}


def _by_name(folder: Path, archives: Iterable[Path], network: Network) -> dict[str, np.ndarray]:
    wanted = {name: shape for name, shape in network.parameters() if ".norm." not in name}  # Dorado folds batch norm
    present = {path.name.removesuffix(TENSOR): path for path in archives}
    for name in present:
        if name not in wanted:
            close = nearest(name, [known for known in wanted if known not in present])
            hint = f"; is it '{close}'?" if close else ""
            raise InputError(folder, f"tensor '{name}' is unexpected for its {CONFIG}{hint}")
    values = {}
    for name, shape in wanted.items():
        if name not in present:
            raise InputError(folder, f"tensor '{name}' is missing; its {CONFIG} asks for shape {shape}")
        values[name] = read_tensor(present[name])
        _check(present[name], name, values[name].shape, shape)
    return values


def _by_shape(path: Path, network: Network) -> dict[str, np.ndarray]:
    """Return the parameters of a checkpoint: of equal shapes, the first is the first of the network."""
    found = read_tensors(path)
    left: dict[tuple[int, ...], list[str]] = {}
    for name, values in found.items():
        left.setdefault(values.shape, []).append(name)
    matched = {}
    for name, shape in network.parameters():
        if not left.get(shape):
            rest = next((other for names in left.values() for other in names), None)
            if rest is None:
                raise InputError(path, f"tensor '{name}' is missing; its {CONFIG} asks for shape {shape}")
            _check(path, rest, found[rest].shape, shape, name)
        matched[name] = found[left[shape].pop(0)]
    if rest := [name for names in left.values() for name in names]:
        shape = found[rest[0]].shape
        raise InputError(path, f"tensor '{rest[0]}' of shape {shape} is unexpected for its {CONFIG}")
    return matched


def _check(path: Path, name: str, found: tuple[int, ...], shape: tuple[int, ...], place: str = "") -> None:
    if found != shape:
        where = f" at {place}" if place and place != name else ""
        raise InputError(path, f"tensor '{name}' has shape {found}; its {CONFIG} asks for {shape}{where}")


def _tensors(network: Network, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors of the biorrn model, with batch norm folded into the convolutions."""
    made = {}
    for place, layer in enumerate(network.convolutions):
        weight, bias = values[f"{place}.conv.weight"], values.get(f"{place}.conv.bias")
        bias = np.zeros(layer.size, np.float32) if bias is None else bias
        if f"{place}.norm.weight" in values:
            gamma, beta, mean, variance = (values[f"{place}.norm.{name}"].astype(np.float64) for name in NORM)
            factor = gamma / np.sqrt(variance + EPSILON)
            weight, bias = weight * factor[:, None, None], (bias - mean) * factor + beta
        made[f"frontend.layers.{place}.weight"] = weight.astype(np.float32)
        made[f"frontend.layers.{place}.bias"] = bias.astype(np.float32)
    first = len(network.convolutions) + 1
    for layer, place in enumerate(range(first, first + len(network.reverse))):
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            made[f"core.layers.{layer}.cells.0.{name}"] = values[f"{place}.rnn.{name}"]
    head, place, output = network.head, first + len(network.reverse), 1
    if head.hidden:
        made["head.output.1.weight"] = values[f"{place}.linear.weight"]
        made["head.output.1.bias"] = values.get(f"{place}.linear.bias", np.zeros(head.hidden, np.float32))
        place, output = place + 1, 3
    for name in ("weight", "bias"):
        if f"{place}.linear.{name}" in values:
            rows = _planes(values[f"{place}.linear.{name}"], 4**head.state_len)
            made[f"head.output.{output}.{name}"] = rows * np.float32(head.scale) if head.squash == "none" else rows
    return made


def _planes(rows: np.ndarray, states: int) -> np.ndarray:
    """Return rows of the last layer, kept state by state, in the planes of `kernels.crf.loss`."""
    return np.ascontiguousarray(rows.reshape(states, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape))


# -- recipe and facts ------------------------------------------------------------------------------------------------


def _recipe(name: str, network: Network, facts: Mapping[str, Any]) -> dict[str, Any]:
    head, stride = network.head, facts["stride"]
    return {
        "name": name,
        "task": "basecalling",
        "model": {
            "frontend": {
                "name": "conv",
                "layers": [
                    {"width": layer.size, "kernel": layer.winlen, "stride": layer.stride,
                     "activation": layer.activation, "clamp": layer.clamp} for layer in network.convolutions
                ],
            },
            "core": {"cell": "lstm", "hidden": network.size, "layers": len(network.reverse),
                     "direction": _direction(network.reverse)},
            "head": {"name": "crf", "state_len": head.state_len, "blank": head.blank, "scale": head.scale,
                     "squash": head.squash, "bias": head.bias, "hidden": head.hidden,
                     "activation": "none" if head.hidden else "silu"},
        },
        "chunks": {"samples": OURS // stride * stride, "overlap": SHARED // (2 * stride) * 2 * stride, "epoch": 4096},
        "training": {"loss": "crf", "lr": 5e-4, "ema": 0.998, "precision": "auto"},
    }  # fmt: skip


def _direction(reverse: tuple[bool, ...]) -> str:
    plans = {
        "alternating": lambda layer: layer % 2 == 0,
        "forward": lambda layer: False,
        "backward": lambda layer: True,
    }
    for name, plan in plans.items():
        if reverse == tuple(map(plan, range(len(reverse)))):
            return name
    order = ", ".join("backward" if way else "forward" for way in reverse)
    raise Fault(f"its LSTM layers run {order}; supported are backward and forward in turn, or one way for all")


def _facts(config: Mapping[str, Any], network: Network, folder: Path) -> dict[str, Any]:
    name = folder.resolve().name
    run = Keys(table(config, "run_info"), "run_info")
    rate, sample = run.number("sample_rate", None), str(run.table.get("sample_type", ""))
    run.unused("sample_type")
    run.close()
    named = next((entry for start, entry in NAMES.items() for text in (name, sample) if text.startswith(start)), None)
    rate = rate or _rate(name, named)
    if rate is None:
        raise Fault(
            "states no sample rate (run_info.sample_rate), and the name of the folder is not one of the maker's"
        )
    chemistry = named and named.format(f"{rate / 1000:g}khz")
    if named and chemistry not in CHEMISTRIES:
        raise Fault(f"key 'run_info.sample_rate': found {rate:g}; {name} is for 4000 or 5000 Hz")
    _direction(network.reverse)
    stride = int(np.prod([layer.stride for layer in network.convolutions]))
    facts: dict[str, Any] = {
        "task": "basecalling",
        "outputs": len(BASES),
        "normaliser": _normaliser(config, name),
        "sample_rate": rate,
        "stride": stride,
        "predicts": "bases of RNA from raw nanopore current" if _is_rna(name, sample) else
                    "bases of DNA from raw nanopore current",
        "calling": _calling(config, stride),
        "licence": _licence(folder, named),
        "origin": name,
    }  # fmt: skip
    if chemistry:
        facts["chemistry"] = [chemistry]
    facts |= _kept(config)
    if _is_rna(name, sample):
        facts["reversed"] = True
    if "qscore" not in facts and (qscore := table(config, "qscore")):
        keys = Keys(qscore, "qscore")
        facts["qscore"] = {"scale": keys.number("scale"), "bias": keys.number("bias")}
        keys.unused("mean_qscore_start_pos")  # of the mean over a read
        keys.close()
    return facts


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that `models.exports` keeps in a folder, of those that a config.toml has no place for."""
    keys = Keys(table(config, "biorrn"), "biorrn")
    keys.unused("facts")
    keys.close()
    try:
        found = json.loads(keys.table.get("facts", "{}"))
    except (ValueError, TypeError, RecursionError) as error:
        raise Fault(f"key 'biorrn.facts': is not JSON: {str(error)[:60]}") from error
    return {name: found[name] for name in KEPT if name in found} if isinstance(found, dict) else {}


def _is_rna(name: str, sample: str) -> bool:
    return name.startswith("rna") or sample.lower().startswith("rna")


def _rate(name: str, chemistry: str | None) -> float | None:
    """Return the sample rate that the name of a model stands for.

    >>> _rate("dna_r10.4.1_e8.2_400bps_hac@v4.1.0", "dna_r10.4.1_e8.2_400bps_{}")
    4000.0
    """
    if chemistry is None:
        return None
    if "{}" not in chemistry:
        return float(CHEMISTRIES[chemistry].rate)
    version = re.search(r"@v(\d+)\.(\d+)", name)
    return 5000.0 if version and (int(version[1]), int(version[2])) >= (4, 2) else 4000.0


def _normaliser(config: Mapping[str, Any], name: str) -> str:
    scaling, pa, quantiles = (
        Keys(table(config, part), part) for part in ("scaling", "standardisation", "normalisation")
    )
    usual = "med_mad" if name.startswith("dna_r9.4.1") else "quantile"
    strategy = scaling.word("strategy", ("pa", "quantile", "med_mad"), usual)
    scaling.close()
    if strategy == "pa":
        if not pa.flag("standardise", False):
            raise Fault("key 'standardisation.standardise': found false; with strategy pa, allowed is true")
        numbers: list[float] = [pa.number("mean"), pa.number("stdev")]
        pa.close()
        return f"picoampere({numbers[0]!r}, {numbers[1]!r})"
    if pa.flag("standardise", False):
        raise Fault("key 'standardisation.standardise': found true; it needs scaling.strategy pa")
    if strategy == "med_mad":
        return "medmad"
    names = {"quantile_a": 0.2, "quantile_b": 0.9, "shift_multiplier": 0.51, "scale_multiplier": 0.53}
    numbers = [quantiles.number(key, default) for key, default in names.items()]
    quantiles.close()
    return f"quantile_sum({', '.join(map(repr, numbers))})"


def _calling(config: Mapping[str, Any], stride: int) -> dict[str, int]:
    """Return the chunks for calling; as in Dorado, rounded down to whole strides."""
    keys = Keys(table(config, "basecaller"), "basecaller")
    samples, overlap = keys.count("chunksize", CALLED), keys.count("overlap", SHARED, least=0)
    keys.unused("batchsize", "quantize")  # of its speed
    keys.close()
    samples, overlap = max(samples // stride, 1) * stride, overlap // (2 * stride) * 2 * stride
    return {"samples": samples, "overlap": min(overlap, (samples - 1) // (2 * stride) * 2 * stride)}


def _licence(folder: Path, chemistry: str | None) -> str:
    """Return the licence of the weights: the first line of a licence beside them, or that of the maker's models."""
    for place in (folder, folder.resolve().parent):
        for name in TERMS:
            if (place / name).is_file():
                with (place / name).open("rb") as stream:
                    lines = stream.read(4096).decode("utf-8", "replace").split("\n")
                return next((line.strip()[:100] for line in lines if line.strip()), UNSTATED)
    return MAKER if chemistry else UNSTATED
