"""Benchmark of CTC loss and gradient, with log-softmax: the numba kernel and that of torch, and their errors.

Errors are relative to float64. Rows are kinds of scores: `random` as of an untrained model, `trained` with peaks on the
target, `shifted` with peaks on another part of the target, as for a wrong label (the kernel may repeat such rows in a
wider type).
"""

import argparse
import os
import statistics
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from measure import interleaved, machine, ratio

from biorrn.kernels.ctc.loss import ctc_loss


def make(kind: str, rows: int, frames: int, bases: int, symbols: int) -> tuple[torch.Tensor, ...]:
    """Return (scores, lengths, targets, target_lengths) of one kind."""
    torch.manual_seed(0)
    targets = torch.randint(1, symbols, (rows, bases))
    scores = torch.randn(rows, frames, symbols)
    if kind != "random":
        peaks = targets if kind == "trained" else targets.roll(10, 1)
        places = torch.linspace(0, frames - 1, bases).long()
        scores[:, :, 0] += 4
        scores[torch.arange(rows)[:, None], places, peaks] += 10
    return scores, torch.full((rows,), frames), targets, torch.full((rows,), bases)


def both(
    scores: torch.Tensor, rest: tuple[torch.Tensor, ...], implementation: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses and the gradient of their sum."""
    scores = scores.detach().requires_grad_()
    losses = ctc_loss(scores, *rest, implementation=implementation)
    losses.sum().backward()
    assert scores.grad is not None
    return losses.detach(), scores.grad


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=64, help="rows in a batch (N)")
    parser.add_argument("--frames", type=int, default=800, help="frames a row (T)")
    parser.add_argument("--bases", type=int, default=350, help="bases a row (L)")
    parser.add_argument("--symbols", type=int, default=5, help="classes, the blank included (S)")
    parser.add_argument("--threads", type=int, default=2, help="threads, the same for both")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repeats")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    print(machine("torch", "numba", "numpy"))
    print(
        f"# N {options.rows}, T {options.frames}, L {options.bases}, S {options.symbols}; forward and backward, "
        f"{options.threads} threads, median of {options.rounds} rounds; errors are the largest against torch in float64"
    )
    print(f"{'scores':8} {'torch ms':>9} {'numba ms':>9} {'ratio':>6} {'torch grad err':>15} {'numba grad err':>15}")
    for kind in ("random", "trained", "shifted"):
        scores, *others = make(kind, options.rows, options.frames, options.bases, options.symbols)
        rest = tuple(others)
        seconds = interleaved({name: partial(both, scores, rest, name) for name in ("torch", "numba")}, options.rounds)
        exact = both(scores.double(), rest, "torch")[1]
        errors = {name: float((both(scores, rest, name)[1] - exact).abs().max()) for name in seconds}
        medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
        print(
            f"{kind:8} {medians['torch']:9.1f} {medians['numba']:9.1f} {ratio(seconds, 'torch', 'numba'):6.1f} "
            f"{errors['torch']:15.1e} {errors['numba']:15.1e}"
        )


if __name__ == "__main__":
    main()
