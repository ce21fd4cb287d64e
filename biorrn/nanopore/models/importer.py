"""Import of Dorado's and Bonito's model folders: recipe, facts and tensors of a biorrn model.

A folder holds `config.toml` and either a `.tensor` archive for each parameter (Dorado) or `weights_N.tar` (Bonito), of
which the highest N counts. Parameters of Dorado are known by their names. Those of Bonito are known by shape and order,
as Bonito does it, since names changed between its versions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import Fault, InputError, faults
from biorrn.base.files import new_folder
from biorrn.base.lookup import nearest
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nanopore.basecall.quality import DORADO_POWER
from biorrn.nanopore.chemistry import CHEMISTRIES, Purpose
from biorrn.nanopore.models.archives import MOST, read_tensor, read_tensors
from biorrn.nanopore.models.configs import BATCHES, CONFIG, Keys, Network, network_of, read_config, table
from biorrn.nanopore.models.ctc import Blocks, blocks_in, blocks_of
from biorrn.nn.store import CARD, save_arrays
from biorrn.sequences.alphabets import BASES

KEPT = ("qscore", "early", "chemistry", "origin", "licence")  # facts that a table [biorrn] holds
TENSOR, CHECKPOINT = ".tensor", re.compile(r"weights_(\d+)\.tar")
OURS = 3600  # samples of a training chunk, as Bonito's are
CALLED, SHARED = 10_000, 500  # samples of a chunk and of an overlap where the file says nothing: those of Dorado
# chemistry of a model by the start of its name; the first that fits counts. {}: 4khz or 5khz, by the sample rate
R9 = "dna_r9.4.1_e8"
NAMES = {
    "dna_r9.4.1": R9,
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


def read_model(folder: str | Path, from_weights: bool = False) -> tuple[Recipe, dict[str, Any], dict[str, np.ndarray]]:
    """Read a foreign model folder: recipe, facts (see `nn.facts.Facts`), and tensors by the names of `nn.layout`.

    Parameters
    ----------
    from_weights : bool: of `bonito.ctc`, the names and shapes of the tensors tell the blocks, not the config.toml.

    Raises
    ------
    InputError: config.toml is missing, not TOML, or has a layer or key that is not supported; the sample rate is not
        stated; weights are missing, damaged, or not those of the config.toml.
    """
    folder = Path(folder)
    network, facts = _described(folder)
    if from_weights:
        network = _seen(folder, network)
        facts["stride"] = network.stride
    values = _values(folder, network)
    with faults(folder / CONFIG):
        return _recipe(folder.resolve().name, network), facts, network.tensors(values)


def _seen(folder: Path, network: Network | Blocks) -> Blocks:
    """Return the blocks that a checkpoint holds."""
    path = _checkpoint(folder)
    if not isinstance(network, Blocks) or path is None:
        raise InputError(
            folder, "is not a folder of Bonito's package bonito.ctc, which alone can be read from its weights"
        )
    with faults(path):
        found = blocks_in({name: values.shape for name, values in read_tensors(path).items()}, network)
        found.model()
        return found


def import_model(folder: str | Path, output: str | Path, from_weights: bool = False) -> None:
    """Write a foreign model as a model folder of biorrn: weights.safetensors, recipe.yaml and card.md.

    Parameters
    ----------
    output : new or empty folder; it appears whole or not at all.
    from_weights : bool: see `read_model`.

    Raises
    ------
    InputError: as `read_model`.
    BiorrnError: the output holds files, or cannot be written.
    """
    folder, output = Path(folder), Path(output)
    if not (folder / CONFIG).is_file():
        raise InputError(folder, f"is not a model folder of Dorado or Bonito: {CONFIG} is missing")
    recipe, facts, tensors = read_model(folder, from_weights)
    with new_folder(output) as whole:
        save_arrays(whole, tensors, recipe, facts)
        (whole / CARD).write_text(_card(facts), encoding="utf-8")


def _card(facts: Mapping[str, Any]) -> str:
    """Return the card of an imported model."""
    line = facts.get("qscore")
    lines = [
        f"# {facts.get('origin', 'imported')}",
        "",
        f"Imported by `biorrn models import` from a folder of that name: {facts['predicts']}.",
        "",
        f"- Licence of the weights: {facts.get('licence') or UNSTATED}. They are not part of biorrn.",
        f"- Signal: {facts['sample_rate']:g} Hz, {', '.join(facts.get('chemistry') or ['chemistry not stated'])}; "
        f"normaliser {facts['normaliser']}.",
        f"- Frames of {facts['stride']} samples; chunks of {facts['calling']['samples']:,} samples that share "
        f"{facts['calling']['overlap']:,}.",
    ]
    if line and "scale" in line:
        lines.append(f"- Q-scores: {line['scale']:g} times those of the network, plus {line['bias']:g} (`qscore`).")
    return "\n".join(lines) + "\n"


def _described(folder: Path) -> tuple[Network | Blocks, dict[str, Any]]:
    config = read_config(folder)
    with faults(folder / CONFIG):
        network = _network(config)
        return network, _facts(config, network, folder)


def _network(config: Mapping[str, Any]) -> Network | Blocks:
    if "general" in config or "modbases" in config:
        kind = table(config, "general").get("model", "unknown")
        raise Fault(f"is a model of modified bases (general.model = {kind!r:.40}), not a basecaller")
    package = table(config, "model").get("package")
    if not isinstance(package, str) or package not in PACKAGES:
        raise Fault(f"key 'model.package': found {package!r:.40}; allowed is {' or '.join(PACKAGES)}")
    network = PACKAGES[package](config)
    network.model()  # what a recipe cannot hold is found before the weights are read
    return network


# -- weights ---------------------------------------------------------------------------------------------------------


def _values(folder: Path, network: Network | Blocks) -> dict[str, np.ndarray]:
    """Return the parameters of a network by the names of `Network.parameters`, as float32."""
    asked = sum(math.prod(shape) for _, shape in network.parameters())
    if asked > MOST:
        raise InputError(folder / CONFIG, f"asks for {asked:,} weights; allowed are at most {MOST:,}")
    archives = sorted(path for path in folder.glob(f"*{TENSOR}"))
    if archives:
        values = _by_name(folder, archives, network)
    elif (checkpoint := _checkpoint(folder)) is not None:
        values = _by_shape(checkpoint, network)
    else:
        raise InputError(folder, f"holds no weights; expected are *{TENSOR} files (Dorado) or weights_N.tar (Bonito)")
    for name, found in values.items():
        if found.dtype.kind != "f" and not name.endswith(BATCHES):
            raise InputError(folder, f"tensor '{name}' is of type {found.dtype}; expected are floating-point numbers")
        if not np.isfinite(found).all():
            raise InputError(folder, f"tensor '{name}' holds a NaN or infinity")
    return {name: found.astype(np.float32) for name, found in values.items()}


def _checkpoint(folder: Path) -> Path | None:
    """Return `weights_N.tar` of the highest N."""
    found = {int(name[1]): path for path in folder.iterdir() if (name := CHECKPOINT.fullmatch(path.name))}
    return found[max(found)] if found else None


def _by_name(folder: Path, archives: Iterable[Path], network: Network | Blocks) -> dict[str, np.ndarray]:
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
        if values[name].shape != shape:
            asked = f"its {CONFIG} asks for {shape}"
            raise InputError(present[name], f"tensor '{name}' has shape {values[name].shape}; {asked}")
    return values


def _by_shape(path: Path, network: Network | Blocks) -> dict[str, np.ndarray]:
    """Return the parameters of a checkpoint: of equal shapes, the first is the first of the network."""
    found = read_tensors(path)
    left: dict[tuple[int, ...], list[str]] = {}
    for name, values in found.items():
        left.setdefault(values.shape, []).append(name)
    matched = {}
    way_out = "; biorrn models import --from-weights takes the network from the weights" * isinstance(network, Blocks)
    for name, shape in network.parameters():
        if not left.get(shape):
            rest = next((other for other in found if other in left.get(found[other].shape, ())), None)
            if rest is None:
                raise InputError(path, f"tensor '{name}' is missing; its {CONFIG} asks for shape {shape}{way_out}")
            what = f"tensor '{rest}' has shape {found[rest].shape}"
            raise InputError(path, f"{what}; its {CONFIG} asks for {shape} at {name}{way_out}")
        matched[name] = found[left[shape].pop(0)]
    if rest := next((other for other in found if other in left.get(found[other].shape, ())), None):
        raise InputError(path, f"tensor '{rest}' of shape {found[rest].shape} is unexpected for its {CONFIG}{way_out}")
    return matched


# -- recipe and facts ------------------------------------------------------------------------------------------------


def _recipe(name: str, network: Network | Blocks) -> Recipe:
    overlap = 2 * network.stride
    return parse_recipe({
        "name": name,
        "task": "basecalling",
        "model": network.model(),
        "chunks": {"samples": OURS // network.stride * network.stride, "overlap": SHARED // overlap * overlap,
                   "epoch": 4096},
        "training": {"loss": network.loss, "lr": 5e-4, "ema": 0.998, "precision": "auto"},
    }, name)  # fmt: skip


def _facts(config: Mapping[str, Any], network: Network | Blocks, folder: Path) -> dict[str, Any]:
    name = folder.resolve().name
    run = Keys(table(config, "run_info"), "run_info")
    rate, sample = run.number("sample_rate", None), str(run.table.get("sample_type", ""))
    run.unused("sample_type")
    run.close()
    if rate is not None and rate < 1:
        raise Fault(f"key 'run_info.sample_rate': found {rate:g}; allowed is a number of Hz, from 1 on")
    named = next((entry for start, entry in NAMES.items() for text in (name, sample) if text.startswith(start)), None)
    if isinstance(network, Blocks) and rate is None:
        named = named or R9  # Bonito had such networks for R9.4.1 alone
    rate = rate or _rate(name, named)
    if rate is None:
        raise Fault(
            "states no sample rate (run_info.sample_rate), and the name of the folder is not one of Oxford Nanopore's"
        )
    chemistry = named and named.format(f"{rate / 1000:g}khz")
    if named and chemistry not in CHEMISTRIES:
        raise Fault(f"key 'run_info.sample_rate': found {rate:g}; {name} is for 4000 or 5000 Hz")
    facts: dict[str, Any] = {
        "task": "basecalling",
        "outputs": len(BASES),
        "normaliser": _normaliser(config, "med_mad" if named == R9 else "quantile"),
        "sample_rate": rate,
        "stride": network.stride,
        "predicts": "bases of RNA from raw nanopore current" if _is_rna(name, sample) else
                    "bases of DNA from raw nanopore current",
        "calling": _calling(config, network.stride),
    }  # fmt: skip
    if "biorrn" not in config:  # a model that biorrn exported is its user's
        facts |= {"origin": name, "licence": _licence(folder, named)}
    if chemistry:
        facts["chemistry"] = [chemistry]
    facts |= _kept(config)
    facts["inputs"] = str(Purpose.of(facts))
    if _is_rna(name, sample):
        facts["reversed"] = True
    if "qscore" not in facts and (qscore := table(config, "qscore")):
        keys = Keys(qscore, "qscore")
        line = {"scale": keys.number("scale"), "bias": keys.number("bias")}
        if line != {"scale": 1.0, "bias": 0.0}:  # a model without calibration
            facts["qscore"] = line | {"own": 1} | ({} if network.loss == "ctc" else {"power": DORADO_POWER})
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
    """Return whether a model is of RNA: by its `sample_type`, else by its name."""
    return (sample or name).lower().startswith("rna")


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


def _normaliser(config: Mapping[str, Any], usual: str) -> str:
    scaling, pa, quantiles = (
        Keys(table(config, part), part) for part in ("scaling", "standardisation", "normalisation")
    )
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
    """Return the chunks for calling; as in Dorado, rounded down to whole strides. They share at most half."""
    keys = Keys(table(config, "basecaller"), "basecaller")
    samples, overlap = keys.count("chunksize", CALLED), keys.count("overlap", SHARED, least=0)
    keys.unused("batchsize", "quantize")  # of its speed
    keys.close()
    samples, overlap = max(samples // stride, 1) * stride, overlap // (2 * stride) * 2 * stride
    # chunks that share more than half would take many times as long
    return {"samples": samples, "overlap": min(overlap, samples // (4 * stride) * 2 * stride)}


def _licence(folder: Path, chemistry: str | None) -> str:
    """Return the licence of the weights: the first line of one beside them, or that of Oxford Nanopore's models."""
    for place in (folder, folder.resolve().parent):
        for name in TERMS:
            if (place / name).is_file():
                with (place / name).open("rb") as stream:
                    lines = stream.read(4096).decode("utf-8", "replace").split("\n")
                return next((line.strip()[:100] for line in lines if line.strip()), UNSTATED)
    return MAKER if chemistry else UNSTATED


PACKAGES: dict[str, Callable[[Mapping[str, Any]], Network | Blocks]] = {
    "bonito.crf": network_of,
    "bonito.ctc": blocks_of,
}
