"""Benchmark of the kernels of basecalling networks: each kind of numbers beside the float32 forward pass of torch.

Run: python benchmarks/bench_kernels.py [--widths 96 128 256 384 512 768 1024] [--repeats 5] [--no-avx2]

One thread, on artificial signal: the shipped callers, the recipe `hac`, and `fast` with other widths, the last two
untrained. Rates are samples per second; jobs take turns, and a ratio is the median over rounds. The first table is of
the instruction set in use, the second of AVX2, as on a processor with no more.
"""

# ruff: noqa: E402
import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from biorrn.base.compute import prepare_libraries, set_threads

prepare_libraries()  # before torch

import numpy as np  # isort: skip
import torch  # isort: skip

from measure import interleaved, machine, ratio

from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.kernels.lstm.layers import described, kinds
from biorrn.kernels.lstm.native import VARIABLE
from biorrn.nanopore.basecall.engine import FastEngine, difference
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_model, short_names

PLAIN = "torch, float32"
AVX2 = {
    VARIABLE: "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
ROWS = 64  # of a forward pass of torch


def untrained(name: str, width: int | None = None) -> Stored:
    """Return a model of a recipe, with as many channels and units as `width`."""
    recipe = load_recipe(name)
    if width is not None:
        content = recipe.model_dump(mode="json")
        content["model"]["frontend"]["layers"][-1]["width"] = content["model"]["core"]["hidden"] = width
        recipe = parse_recipe(content)
    torch.manual_seed(0)
    return Stored.of(build_model(recipe.network, 5).eval(), recipe, {}, Path(name))


def jobs(stored: Stored) -> tuple[dict[str, Callable[[], object]], dict[str, int], dict[str, float]]:
    """Return the passes to time, their samples, and how far the scores of each kernel are from the reference."""
    width = stored.recipe.network.core.hidden  # type: ignore[union-attr]
    samples = max(300, 5 * round(400 * (96 / width) ** 2))
    x, lengths = torch.randn(ROWS, samples, 1), torch.full((ROWS,), samples)

    def plain() -> None:
        with torch.inference_mode():
            stored.model(x, lengths)

    work: dict[str, Callable[[], object]] = {PLAIN: plain}
    sizes, apart = {PLAIN: ROWS * samples}, {PLAIN: 0.0}
    for kind in kinds():
        engine = FastEngine(stored.recipe.network, stored.tensors, kind)
        signal = np.random.default_rng(0).normal(size=(engine.rows, samples)).astype(np.float32)
        outs = np.empty((engine.rows, -(-samples // engine.stride), engine.symbols), np.float32)
        wanted = [[(0, len(out), out)] for out in outs]
        name = described(kind)
        work[name] = partial(engine.score, signal, np.full(engine.rows, samples), wanted)
        sizes[name], apart[name] = signal.size, difference(engine, stored)
    return work, sizes, apart


def table(widths: list[int], repeats: int) -> None:
    """Print one table."""
    models = {name: load_model(name) for name in short_names().values()} | {"hac": untrained("hac")}
    print("model\tkernel\tsamples/s: median, best\tof torch (range)\tdifference of scores")
    for name, stored in [*models.items(), *((f"fast, {width} wide", untrained("fast", width)) for width in widths)]:
        work, sizes, apart = jobs(stored)
        seconds = interleaved(work, repeats)
        for job in seconds:
            scaled = {each: [second / sizes[each] for second in seconds[each]] for each in (PLAIN, job)}
            parts = [a / b for a, b in zip(scaled[PLAIN], scaled[job], strict=True)]
            rates = [1 / each for each in scaled[job]]
            print(
                f"{name}\t{job}\t{statistics.median(rates):,.0f}, {max(rates):,.0f}"
                f"\t{ratio(scaled, PLAIN, job):.2f} ({min(parts):.2f} to {max(parts):.2f})\t{apart[job]:.4f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="*", default=[96, 128, 256, 384, 512, 768, 1024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-avx2", action="store_true")
    arguments = parser.parse_args()
    set_threads(1)
    print(machine("torch", "numpy"))
    table(arguments.widths, arguments.repeats)
    if not arguments.no_avx2:
        print("\nAVX2", flush=True)
        again = [sys.executable, __file__, "--no-avx2", "--repeats", str(arguments.repeats)]
        subprocess.run([*again, "--widths", *map(str, arguments.widths)], check=True, env={**os.environ, **AVX2})


if __name__ == "__main__":
    main()
