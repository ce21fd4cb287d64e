"""Short trainings of a basecaller that differ in one thing: a source of reads left out, or a setting.

    python benchmarks/short_runs.py klebsiella.h5=0.3 lambda.h5=0.2 ... --init dna_r9.4.1_fast --leave-out
    python benchmarks/short_runs.py mixed.h5 --init dna_r9.4.1_fast --valid klebsiella.h5 lambda.h5 \\
        --vary training.lr=2e-3 --vary "training.batch_size=32" --vary "chunks.samples=4000 chunks.epoch=2048"

Each run starts from the same weights and sees the same number of samples. Its model then calls windows of the
validation rows of each file, as a read's own normalisation leaves them and, with --alone, as short reads: each
normalised by itself. Runs are kept in --folder, and one that is finished is not repeated. The table is TSV.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from biorrn.base.compute import keep_memory, set_threads
from biorrn.base.errors import BiorrnError, InputError
from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.kernels.distance import identity
from biorrn.nanopore.basecall.decode import DECODERS
from biorrn.nanopore.basecall.engine import choose, score_whole
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.labels.prepare import mix, parse_inputs
from biorrn.nanopore.signal import normalise
from biorrn.nn.chunks import frames
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import decode_bases
from biorrn.training.task import load_task
from biorrn.training.train import train

Sources = list[tuple[str | Path, float]]  # prepared files and their shares of the windows


def identities(model: str, path: str | Path, samples: int, alone: bool, most: int) -> np.ndarray:
    """Return the identity of the call of each validation window with its label, (N,)."""
    stored, data = load_model(model), ChunkDataset(path, "valid", samples)
    engine, stride = choose(stored, "cpu", batch_size=32, size=samples), int(stored.facts["stride"])
    tiles, found = data.tiles(most), []
    for start in range(0, len(tiles), engine.rows):
        windows = tiles[start : start + engine.rows]
        batch = data.collate(windows)
        x, lengths = batch.x[:, :, 0].numpy(), batch.lengths.numpy()
        if alone:
            for row, length in zip(x, lengths, strict=True):
                row[:length] = normalise(row[:length])
        scores = np.zeros((len(x), frames(samples, stride), engine.symbols), np.float32)
        outs = [own[: frames(int(length), stride)] for own, length in zip(scores, lengths, strict=True)]
        score_whole(engine, x, lengths, outs)
        for out, window in zip(outs, windows, strict=True):
            found.append(identity(DECODERS["greedy"](out).bases, decode_bases(data.truth(window)[0])))
    return np.array(found)


def variants(options: argparse.Namespace, sources: Sources) -> Iterator[tuple[str, Sources, list[str]]]:
    """Yield the name, the sources and the changed settings of each run; a source of share 0 trains nothing."""
    yield "as given", sources, []
    for left, _ in sources if options.leave_out else ():
        name = f"without {Path(left).stem}"
        yield name, [(path, 0.0 if path == left else share) for path, share in sources], []
    for change in options.vary:
        yield change, sources, change.split()


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="FILE[=SHARE]", help="files of `biorrn prepare signal`")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="of every run")
    parser.add_argument("--init", help="model from which each run starts")
    parser.add_argument("--epochs", type=int, default=3, help="of each run")
    parser.add_argument("--leave-out", action="store_true", help="a run without each source")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="KEY=VALUE ...", help="a run with these settings"
    )
    parser.add_argument("--valid", nargs="+", type=Path, help="files of the validation rows; default: the sources")
    parser.add_argument(
        "--alone", type=int, nargs="*", default=[], help="also windows of so many samples, by themselves"
    )
    parser.add_argument("--windows", type=int, default=400, help="most windows of a file")
    parser.add_argument("--folder", type=Path, default=Path("results/short_runs"))
    options = parser.parse_args()

    sources: Sources = parse_inputs(options.sources)
    for path in [*(path for path, _ in sources), *(options.valid or ())]:
        if not Path(path).is_file():
            raise InputError(path, "is not a file; expected one of biorrn prepare signal")
    keep_memory()
    set_threads(1)
    print("run", "file", "samples", "normalised", "windows", "median", "mean", "seconds", sep="\t", flush=True)
    for name, shares, changes in variants(options, sources):
        place = options.folder / "".join(letter if letter.isalnum() else "_" for letter in name)
        settings = [f"training.epochs={options.epochs}", *options.settings, *changes]
        place.mkdir(parents=True, exist_ok=True)
        data = Path(sources[0][0])
        if len(sources) > 1:
            data = place.with_suffix(".h5")
            mix(shares, data)
        begun = time.monotonic()
        recipe = change_recipe(load_recipe(options.recipe), settings)
        train(recipe, data, place, load_task("basecalling"), init=options.init, threads=1)
        seconds = time.monotonic() - begun
        for path in options.valid or [path for path, _ in sources]:
            for size, alone in [(2000, False), *((size, True) for size in options.alone)]:
                try:
                    found = identities(str(place), path, size, alone, options.windows)
                except InputError as error:  # a file without validation rows
                    print(error, file=sys.stderr)
                    break
                row = (name, Path(path).stem, size, "alone" if alone else "read", len(found))
                print(*row, f"{np.median(found):.4f}", f"{found.mean():.4f}", f"{seconds:.0f}", sep="\t", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BiorrnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
