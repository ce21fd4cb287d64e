"""Imported and exported models beside Bonito's own network: the largest difference of scores, for each configuration.

Run: python benchmarks/bench_models.py [--package FOLDER] [--configs FOLDER] [--models FOLDER ...] [--samples 1200]

Needs the packages ont-bonito and ont-koi, which you install yourself under their own licence (Oxford Nanopore
Technologies PLC Public License 1.0), here without their pinned torch and without a GPU:

  pip install --no-deps --target FOLDER ont-bonito ont-koi toml parasail wheel

For each `config.toml` of an LSTM network in the folder of configurations, Bonito builds the network, with weights drawn
here; it is saved as a Bonito folder, and as a Dorado folder by Bonito's own export. Both are read by biorrn, whose
scores of a signal are compared with Bonito's in float32: by torch, and by the compiled kernels of a CPU in each kind of
numbers that the processor has. Then each model is exported again as a Bonito folder, and Bonito reads that. With
--models, real folders are compared too. Remarks on licences are on standard error.

Bonito decodes on a GPU alone, so that bases are not compared; tests/unit/nanopore/models/test_oracle.py compares them
with all paths.
"""

# ruff: noqa: E402
import argparse
import copy
import logging
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biorrn.base.compute import prepare_libraries

prepare_libraries()  # before torch
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiling each network anew takes longer than running it

import numpy as np  # isort: skip
import torch  # isort: skip

from measure import machine

from biorrn.base.errors import BiorrnError
from biorrn.kernels.lstm.layers import described, kinds
from biorrn.nanopore.basecall.engine import FastEngine, unsupported
from biorrn.nanopore.models.exports import export
from biorrn.nanopore.models.importer import import_model
from biorrn.nn.store import Stored, load_model

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data")) / "nanopore"
COLUMNS = ("model", "parameters", "read from", "torch", *map(described, kinds()), "exported")


def draw(network: torch.nn.Module, seed: int) -> None:
    """Draw weights that make scores depend on the signal, and statistics of batch norm other than 0 and 1."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.empty_like(tensor).normal_(generator=rng)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.dim() == 1:
                tensor.copy_(0.2 * noise + float(".bn.weight" in name))
            else:
                gain = 8.0 if ".linear." in name else 1.5
                tensor.copy_(gain * noise / tensor[0].numel() ** 0.5)


def signal(samples: int) -> np.ndarray:
    """Return levels and noise, float32 (T,)."""
    rng = np.random.default_rng(0)
    levels = np.repeat(rng.normal(size=samples // 9 + 1), 9)[:samples]
    return (levels + rng.normal(0, 0.2, samples)).astype(np.float32)


def of_bonito(network: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """Return scores (T, 5 S) in the order of `kernels.crf.loss`, or (T, 5) of a CTC network."""
    with torch.inference_mode():
        scores = network(torch.from_numpy(x)[None, None])[:, 0]  # (T, 1, S * 5)
    if scores.shape[1] == 5:
        return scores.numpy()
    return scores.unflatten(-1, (-1, 5)).transpose(1, 2).flatten(1).numpy()


def of_torch(stored: Stored, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        scores = stored.model(torch.from_numpy(x)[None, :, None], torch.tensor([len(x)]))[0][0]
    return (scores.log_softmax(-1) if scores.shape[1] == 5 else scores).numpy()


def of_engine(stored: Stored, x: np.ndarray, kind: np.dtype) -> np.ndarray:
    engine = FastEngine(stored.recipe.network, stored.tensors, kind)
    found = np.empty((-(-len(x) // engine.stride), engine.symbols), np.float32)
    engine.score(x[None], np.array([len(x)]), [[(0, len(found), found)]])
    return found


def apart(found: np.ndarray, expected: np.ndarray) -> str:
    return f"{np.abs(found - expected).max():.1e}"


def lines_of(name: str, network: Any, folders: dict[str, Path], x: np.ndarray, scratch: Path) -> Iterator[str]:
    """Yield a line of the table for each folder that holds the network."""
    from bonito.util import load_model as load_bonito

    expected = of_bonito(network, x)
    count = sum(parameter.numel() for parameter in network.parameters())
    for kind, folder in folders.items():
        cells = [name, f"{count:,}", kind]
        try:
            stored = load_model(folder)
        except BiorrnError as error:
            yield "\t".join([*cells, f"refused: {error}"])
            continue
        cells.append(apart(of_torch(stored, x), expected))
        fast = not unsupported(stored.recipe)
        cells += [apart(of_engine(stored, x, kind), expected) if fast else "." for kind in kinds()]
        try:
            export(stored, scratch / "again" / kind, "bonito")
        except BiorrnError as error:
            yield "\t".join([*cells, f"refused: {error}"])
            continue
        again = load_bonito(str(scratch / "again" / kind), "cpu", half=False, use_koi=False)
        yield "\t".join([*cells, apart(of_bonito(again, x), expected)])


def drawn(config: Path, scratch: Path) -> tuple[Any, dict[str, Path]] | None:
    """Return Bonito's network of a configuration and its two folders; None for a network of another kind."""
    import toml
    from bonito.cli.export import export_to_dorado
    from bonito.crf.model import Model
    from bonito.nn import fuse_bn_

    content = tomllib.loads(config.read_text())
    if content.get("model", {}).get("package") != "bonito.crf" or "encoder" not in content:
        return None
    network = Model(toml.loads(config.read_text())).eval()
    draw(network, 0)
    name = config.parent.name
    folders = {kind: scratch / kind / name for kind in ("bonito", "dorado")}
    folders["bonito"].mkdir(parents=True)
    (folders["bonito"] / "config.toml").write_text(config.read_text())
    torch.save(network.state_dict(), folders["bonito"] / "weights_1.tar")
    # its command would round the weights to half precision first
    export_to_dorado(copy.deepcopy(network).apply(fuse_bn_), toml.loads(config.read_text()), folders["dorado"])
    return network, folders


def real(folder: Path, scratch: Path) -> tuple[Any, dict[str, Path]]:
    """Return Bonito's network with the weights of a real folder, and the folders that biorrn reads."""
    import toml
    from bonito.crf.model import Model
    from bonito.ctc.model import Model as Blocks

    config = toml.loads((folder / "config.toml").read_text())
    if config["model"]["package"] == "bonito.ctc":
        # a config.toml that does not fit its weights, as TargetCall's, is made anew from them; Bonito names the tensors
        import_model(folder, scratch / "ours", from_weights=True)
        export(load_model(scratch / "ours"), scratch / "bonito" / folder.name, "bonito")
        network = Blocks(toml.loads((scratch / "bonito" / folder.name / "config.toml").read_text())).eval()
        network.load_state_dict(torch.load(folder / "weights_1.tar", weights_only=True, map_location="cpu"))
        return network, {"bonito, from weights": scratch / "ours"}
    network = Model(config).eval()
    if list(folder.glob("weights_*.tar")):
        network.load_state_dict(torch.load(folder / "weights_1.tar", weights_only=True, map_location="cpu"))
        return network, {"bonito": folder}
    tensors = {path.name.removesuffix(".tensor"): torch.jit.load(path) for path in folder.glob("*.tensor")}
    network.load_state_dict({f"encoder.{name}": next(held.parameters()) for name, held in tensors.items()})
    return network, {"dorado": folder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", help="folder of ont-bonito, if it is not installed in this environment")
    parser.add_argument("--configs", type=Path, default=SHARED / "model_configs", help="folder of folders")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="real folders, with weights")
    parser.add_argument("--samples", type=int, default=1200)
    options = parser.parse_args()
    if options.package:
        sys.path.append(options.package)
    try:
        import bonito
    except ImportError as error:
        sys.exit(f"bench_models.py: {error}; see the top of the file for how to install ont-bonito")
    logging.disable(logging.WARNING)  # Bonito's remarks on what a configuration does not say
    torch.set_num_threads(1)
    print(f"{machine('torch')}, ont-bonito {bonito.__version__}")
    print(*COLUMNS, sep="\t")
    x = signal(options.samples)
    for config in sorted(options.configs.glob("*/config.toml")):
        with tempfile.TemporaryDirectory() as scratch:
            made = drawn(config, Path(scratch))
            for line in lines_of(config.parent.name, *made, x, Path(scratch)) if made else ():
                print(line, flush=True)
    for folder in options.models:
        with tempfile.TemporaryDirectory() as scratch:
            made = real(folder, Path(scratch))
            for line in lines_of(folder.name, *made, x, Path(scratch)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
