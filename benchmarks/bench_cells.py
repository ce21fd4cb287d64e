"""Benchmark of recurrent cells, forward and backward, relative to a reference loop; and of the scans of minGRU.

The first table has one row per cell: `loop` is `nn.cells_reference`, with small calls at each step; `fast` is the
cell of the models. The errors are the largest relative differences of outputs and gradients, in float32. The second
table is minGRU over `--long` steps: the reference cell, a loop over the recurrence only (gates and candidates are
computed for all steps before, as for the scan), and each scan of `kernels.mingru`.
"""

# ruff: noqa: E402
import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from biorrn.base.compute import prepare_libraries

prepare_libraries()  # before torch

import torch
from measure import interleaved, machine, ratio
from torch import Tensor, nn

from biorrn.kernels.mingru import KERNELS
from biorrn.nn.cells import CELLS, MinGRU, initialise
from biorrn.nn.cells_reference import REFERENCES

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def both(cell: nn.Module, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """Run forward, and backward from a gradient (B, T, H); return the outputs and the gradients of the weights."""
    cell.zero_grad()
    outputs = cell(x)[0]
    outputs.backward(gradient)
    named = dict(cell.named_parameters())
    return [outputs.detach(), *(named[name].grad for name in sorted(named) if named[name].grad is not None)]


def error(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def scan_cell(name: str, model: Any) -> MinGRU:
    """Return a minGRU with the weights of another, and one implementation of the scan."""
    rows, inputs = model.weight_ih_l0.shape
    cell = MinGRU(inputs, rows // 2, batch_first=True)
    cell.load_state_dict(model.state_dict())
    cell.implementation = name
    return cell


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=64, help="rows in a batch (B)")
    parser.add_argument("--steps", type=int, default=200, help="steps a row (T) of the first table")
    parser.add_argument("--long", type=int, default=1000, help="steps a row of the second table")
    parser.add_argument("--long-rows", type=int, nargs="+", default=[8, 64], help="rows in a batch of the second table")
    parser.add_argument("--inputs", type=int, default=32, help="features a step")
    parser.add_argument("--hidden", type=int, default=96, help="units")
    parser.add_argument("--threads", type=int, default=1, help="threads, the same for all")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: processor time, which busy neighbours do not stretch",
    )
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(machine("torch", "numba"))
    print(
        f"# B {options.rows}, T {options.steps}, {options.inputs} features, {options.hidden} units; forward and "
        f"backward, {options.threads} threads, {options.clock} time, median of {options.rounds} rounds"
    )
    print(f"{'cell':10} {'loop ms':>9} {'fast ms':>9} {'ratio':>6} {'M steps/s':>9} {'output err':>11} {'grad err':>9}")
    for name in CELLS:
        fast = CELLS[name](options.inputs, options.hidden, batch_first=True)
        initialise(fast)
        slow = REFERENCES[name](options.inputs, options.hidden, batch_first=True)
        slow.load_state_dict(fast.state_dict())
        x = torch.randn(options.rows, options.steps, options.inputs)
        given = torch.randn(options.rows, options.steps, options.hidden)
        seconds = interleaved(
            {"loop": partial(both, slow, x, given), "fast": partial(both, fast, x, given)},
            options.rounds,
            CLOCKS[options.clock],
        )
        pairs = [
            error(found, expected) for found, expected in zip(both(fast, x, given), both(slow, x, given), strict=True)
        ]
        loop, best = (1e3 * statistics.median(seconds[key]) for key in ("loop", "fast"))
        print(
            f"{name:10} {loop:9.1f} {best:9.1f} {ratio(seconds, 'loop', 'fast'):6.1f} "
            f"{options.rows * options.steps / best / 1e3:9.2f} {pairs[0]:11.1e} {max(pairs[1:]):9.1e}"
        )
    for rows in options.long_rows:
        minimal(rows, options)


def minimal(rows: int, options: argparse.Namespace) -> None:
    """Print the second table for one batch size."""
    slow = REFERENCES["mingru"](options.inputs, options.hidden, batch_first=True)
    initialise(slow)
    x = torch.randn(rows, options.long, options.inputs)
    given = torch.randn(rows, options.long, options.hidden)
    work: dict[str, Callable[[], object]] = {"cell": partial(both, slow, x, given)}
    work |= {name: partial(both, scan_cell(name, slow), x, given) for name in KERNELS}
    seconds = interleaved(work, options.rounds, CLOCKS[options.clock])
    print(
        f"\n# minGRU, B {rows}, T {options.long}: times as fast as the cell from scratch, and as its recurrence alone"
    )
    print(f"{'recurrence':12} {'ms':>9} {'than cell':>10} {'than loop':>10}")
    for name, values in seconds.items():
        middle = 1e3 * statistics.median(values)
        print(f"{name:12} {middle:9.1f} {ratio(seconds, 'cell', name):10.1f} {ratio(seconds, 'loop', name):10.1f}")


if __name__ == "__main__":
    main()
