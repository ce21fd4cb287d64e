"""Model folders that are fuzzed: recipe, facts and weights of small models of each kind, and what inference does."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import tempfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_text_inputs as inputs
from fuzz_text_readers import Reader
from fuzz_text_recipes import as_yaml, parsed

GAUSSIAN = "name: g\ntask: regression\nmodel: {name: gaussian_process, kernel: {name: KERNEL}, variance_rows: 3}\n"
NETWORK = """name: n
task: regression
model: {frontend: {name: embedding, width: 3, layers: [{width: 3, kernel: 3}]}, core: {hidden: 2, layers: 1},
  pool: [mean, max], head: {name: regression}}
"""
CALLER = """name: c
task: basecalling
model: {frontend: {name: conv, layers: [{width: 3, kernel: 5, stride: 5}]}, core: {cell: lstm, hidden: 2, layers: 1},
  head: {name: HEAD}}
chunks: {samples: 100, overlap: 20}
training: {loss: HEAD}
"""
VARIANT = """name: v
task: regression
model: {frontend: {name: variant, width: 2, hidden: 2, reference: MKVA}, core: {layers: 0}, pool: [sum]}
"""
ENSEMBLE = """name: e
task: regression
members: [{recipe: {name: a, task: regression, model: {frontend: {name: blosum62}, core: {layers: 0}, pool: [mean]}}}]
calibrate: monotone
neighbours: {mismatches: 1}
"""
RECIPES = [NETWORK, VARIANT, ENSEMBLE, *(CALLER.replace("HEAD", head) for head in ("ctc", "crf"))]
RECIPES += [GAUSSIAN.replace("KERNEL", kernel) for kernel in ("sites", "substitutions", "descriptors")]


@cache
def folders() -> list[dict[str, bytes]]:
    """Return the files of a folder of each model."""
    import torch

    from biorrn.config.recipe import parse_recipe
    from biorrn.config.yaml import load_yaml
    from biorrn.nn.sequence import build
    from biorrn.nn.store import save_model

    found = []
    for text in RECIPES:
        torch.manual_seed(0)
        recipe = parse_recipe(load_yaml(text, "recipe"))
        quantiles = [0.1] * 50
        facts: dict[str, Any] = {"task": recipe.task, "outputs": 1, "min_length": 2, "max_length": 9}
        facts |= {"targets": [{"name": "y", "unit": ""}], "neighbours": [4, 6]}
        facts |= {"gaussian": {"reference": "MKVA", "positions": [1, 3], "rows": [4]}}
        facts |= {"conformal": {"y": {"quantiles": quantiles, "floor": None}}}
        facts |= {"novelty": {"mean": [0.0] * 62, "unit": [1.0] * 62, "root": [0.0] * 1953, "threshold": 1.0}}
        if recipe.task == "basecalling":
            facts = {"task": recipe.task, "outputs": 5, "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5}
            facts |= {"early": 1, "qscore": {"intercept": 0.0, "terms": [], "final": {"at": [0.0], "gives": [0.0]}}}
        with tempfile.TemporaryDirectory() as folder:
            save_model(folder, build(recipe, facts), recipe, facts)
            found.append({path.name: path.read_bytes() for path in Path(folder).iterdir()})
    return found


def make(rng: random.Random) -> bytes:
    """Return a folder as JSON, with its recipe, its facts or its weights changed."""
    files = dict(rng.choice(folders()))
    weights, recipe = files["weights.safetensors"], files["recipe.yaml"]
    match rng.randrange(6):
        case 0:
            recipe = inputs.text(rng, recipe.decode())
        case 1 | 2:
            recipe = as_yaml(inputs.mapping(rng, parsed(recipe)))
        case 3 | 4:
            (size,) = struct.unpack("<Q", weights[:8])
            header = json.loads(weights[8 : 8 + size])
            facts = json.dumps(inputs.mapping(rng, json.loads(header["__metadata__"]["biorrn"])))
            header["__metadata__"]["biorrn"] = facts if rng.random() < 0.9 else facts[: rng.randrange(len(facts))]
            written = json.dumps(header).encode()
            weights = struct.pack("<Q", len(written)) + written + weights[8 + size :]
        case _:
            weights = inputs.safetensors(rng, weights)
    found = {"recipe.yaml": recipe, "weights.safetensors": weights}
    return json.dumps({name: base64.b64encode(data).decode() for name, data in found.items()}).encode()


def read(path: Path) -> None:
    """Load a model folder and use it on one protein, or on one read."""
    from biorrn.nn.store import load_model

    folder = path.parent / "model"
    folder.mkdir(exist_ok=True)
    for name, data in json.loads(path.read_bytes()).items():
        (folder / name).write_bytes(base64.b64decode(data))
    stored = load_model(folder)
    if stored.recipe.task == "basecalling":
        call(stored)
    elif stored.recipe.task == "regression":
        predict(stored)


def predict(stored: Any) -> None:
    from biorrn.proteins.predict import predict
    from biorrn.sequences.records import ProteinRecord

    for row in predict(stored, [ProteinRecord("p", "MKVAW"), ProteinRecord("q", "MKV")], threads=1):
        assert len(row.values) == stored.facts.get("outputs", 1)


def call(stored: Any) -> None:
    import numpy as np

    from biorrn.nanopore.basecall.caller import basecall
    from biorrn.sequences.records import SignalRecord

    raw = (100 * np.sin(np.arange(300))).astype(np.int16)
    record = SignalRecord("r", raw, 0.0, 1.0, 4000.0)
    for found in basecall(
        stored, [record], device="cpu", batch_size=2, decoder="auto", threads=1, on_skip=lambda *a: None
    ):
        assert len(found.bases) == len(found.quals)


FOREIGN = """[model]
package = "bonito.crf"
[labels]
labels = [ "N", "A", "C", "G", "T",]
[input]
features = 1
[global_norm]
state_len = 1
[run_info]
sample_rate = 4000
[qscore]
scale = 0.9
bias = -0.1
[basecaller]
chunksize = 200
overlap = 20
[encoder]
scale = 5.0
rnn_type = "lstm"
winlen = 19
features = 2
activation = "swish"
stride = 5
blank_score = 2.0
num_layers = 1
"""


@cache
def archive() -> dict[str, bytes]:
    """Return the records of a checkpoint of Bonito."""
    import torch

    shapes = [(4, 1, 5), (4,), (16, 4, 5), (16,), (2, 16, 19), (2,), (8, 2), (8, 2), (8,), (8,), (16, 2), (16,)]
    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.save({f"t{number}": torch.randn(shape) for number, shape in enumerate(shapes)}, stream)
    with zipfile.ZipFile(stream) as found:
        return {name: found.read(name) for name in found.namelist()}


def packed(records: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in records.items():
            made.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def lines(entry: Any) -> str:
    """Return a table as TOML, whose values are mostly written as in JSON."""
    keys = entry if isinstance(entry, dict) else {"x": entry}
    return "\n".join(f"{json.dumps(str(key))} = {json.dumps(value)}" for key, value in keys.items())


def make_foreign(rng: random.Random) -> bytes:
    """Return a folder of Bonito as JSON, with its configuration, its archive, or the pickle in it changed."""
    records, config = archive(), FOREIGN.encode()
    weights = packed(records)
    match rng.randrange(5):
        case 0:
            config = inputs.text(rng, FOREIGN)
        case 1 | 2:
            changed = inputs.mapping(rng, tomllib.loads(FOREIGN))
            tables = changed.items() if isinstance(changed, dict) else [("model", changed)]
            config = "".join(f"[{name}]\n{lines(entry)}\n" for name, entry in tables).encode("utf-8", "surrogatepass")
        case 3:
            weights = inputs.octets(rng, weights)
        case _:
            (name,) = (name for name in records if name.endswith("data.pkl"))
            weights = packed(records | {name: inputs.octets(rng, records[name])})
    found = {"config.toml": config, "weights_1.tar": weights}
    return json.dumps({name: base64.b64encode(data).decode() for name, data in found.items()}).encode()


def read_foreign(path: Path) -> None:
    """Load a folder of Bonito and use it on one read."""
    from biorrn.nn.store import load_model

    folder = path.parent / "foreign"
    folder.mkdir(exist_ok=True)
    for name, data in json.loads(path.read_bytes()).items():
        (folder / name).write_bytes(base64.b64decode(data))
    call(load_model(folder))


MODELS = {"model": Reader("x.json", make, read), "foreign": Reader("x.json", make_foreign, read_foreign)}
