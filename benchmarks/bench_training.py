"""Benchmark of a training step of a basecaller: one thread, threads of torch, rows over threads; float32 and bfloat16.

A step is forward, CTC-CRF loss and backward on random signal, without optimiser and reading. Freed memory is kept as in
`biorrn train`; with --give-back it is not, for comparison. GOMP_SPINCOUNT=0 lets idle threads sleep at once.
"""

# ruff: noqa: E402
import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from biorrn.base.compute import keep_memory, prepare_libraries

prepare_libraries()  # before torch

import torch
from measure import interleaved, machine, ratio

from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.kernels.crf.loss import crf_loss
from biorrn.nn.sequence import build_model
from biorrn.sequences.alphabets import BASES
from biorrn.training.parallel import Shards


def step(run: Callable[..., Any], model: torch.nn.Module, batch: tuple, threads: int, low: bool) -> None:
    """Run forward, loss and backward."""
    torch.set_num_threads(threads)
    x, lengths, targets, target_lengths = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        scores, frames = run(x, lengths)
    crf_loss(scores, frames, targets, target_lengths, 3).mean().backward()
    model.zero_grad()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=64, help="rows in a batch (B)")
    parser.add_argument("--samples", type=int, default=2000, help="samples a row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=96, help="units a layer")
    parser.add_argument("--give-back", action="store_true", help="let the C library return freed memory")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats")
    options = parser.parse_args()

    if not options.give_back:
        keep_memory()
    torch.manual_seed(0)
    wide = [f"model.core.hidden={options.width}", f"model.frontend.layers.2.width={options.width}"]
    model = build_model(change_recipe(load_recipe("fast"), wide).network, len(BASES))
    rows, samples, threads = options.rows, options.samples, options.threads
    batch = (
        torch.randn(rows, samples, 1),
        torch.full((rows,), samples),
        torch.randint(1, 5, (rows, samples // 10)),
        torch.full((rows,), samples // 10),
    )
    shards = Shards(model, threads)
    work = {
        f"{kind}, {name}": partial(step, run, model, batch, count, kind == "bfloat16")
        for kind in ("float32", "bfloat16")
        for name, run, count in (
            ("1 thread", model, 1),
            (f"{threads} threads of torch", model, threads),
            (f"rows on {threads} threads", shards, threads),
        )
    }
    seconds = interleaved(work, options.rounds)
    print(machine("torch", "numba"))
    print(f"# recipe fast, width {options.width}, B {rows}, {samples} samples a row; median of {options.rounds} rounds")
    print(f"{'':32} {'samples/s':>10} {'ratio':>6}")
    for name, values in seconds.items():
        rate = rows * samples / statistics.median(values)
        print(f"{name:32} {rate:10,.0f} {ratio(seconds, 'float32, 1 thread', name):6.2f}")


if __name__ == "__main__":
    main()
