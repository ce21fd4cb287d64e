"""Benchmark of the CTC-CRF: loss and gradient, relative to the torch reference and to a step of an encoder; decoding.

Scores are random, in the form of the head: 5 tanh(x), and 2 for staying.
"""

import argparse
import os
import statistics
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from measure import interleaved, machine, ratio

from biorrn.config.recipe import load_recipe
from biorrn.kernels.crf import decode, viterbi
from biorrn.kernels.crf.loss import crf_loss
from biorrn.nn.sequence import build_model
from biorrn.sequences.alphabets import BASES

DECODERS = {"viterbi": viterbi.posterior_viterbi, "numba": decode.posterior_viterbi, "beam": decode.beam_search}


def make(rows: int, frames: int, bases: int, state_len: int) -> tuple[torch.Tensor, ...]:
    """Return (scores, lengths, targets, target_lengths)."""
    torch.manual_seed(0)
    states = 4**state_len
    scores = 5 * torch.randn(rows, frames, 5 * states).div(2).tanh()
    scores[..., :states] = 2
    return scores, torch.full((rows,), frames), torch.randint(1, 5, (rows, bases)), torch.full((rows,), bases)


def both(scores: torch.Tensor, rest: tuple[torch.Tensor, ...], state_len: int, name: str) -> torch.Tensor:
    """Return the gradient of the sum of losses."""
    scores = scores.detach().requires_grad_()
    crf_loss(scores, *rest, state_len, name).sum().backward()
    assert scores.grad is not None
    return scores.grad


def step(model: torch.nn.Module, x: torch.Tensor) -> None:
    """Run forward and backward through a model; the loss is the mean square of the outputs."""
    lengths = torch.full((len(x),), x.shape[1])
    model(x, lengths)[0].square().mean().backward()
    model.zero_grad()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--recipe", default="fast", help="recipe of the encoder; its stride must be 5")
    parser.add_argument("--rows", type=int, default=32, help="rows in a batch (B)")
    parser.add_argument("--samples", type=int, default=4000, help="samples a row; a frame is 5")
    parser.add_argument("--bases", type=int, default=380, help="bases a row (L)")
    parser.add_argument("--state-lens", type=int, nargs="+", default=[3, 4], help="bases a state remembers (k)")
    parser.add_argument("--decoded", type=int, default=20_000, help="frames decoded at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of loss and encoder; decoding has one")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    frames = options.samples // 5
    print(machine("torch", "numba", "numpy"))
    print(
        f"# forward and backward, B {options.rows}, T {frames}, L {options.bases}, {options.threads} threads, median "
        f"of {options.rounds} rounds; ratios are to numba's time; errors are the largest against numba in float64"
    )
    print(f"{'k':>2} {'numba ms':>9} {'reference ms':>13} {'ratio':>6} {'encoder ms':>11} {'ratio':>6} {'grad err':>9}")
    model = build_model(load_recipe(options.recipe).model, len(BASES))
    x = torch.randn(options.rows, options.samples, 1)
    for k in options.state_lens:
        scores, *others = make(options.rows, frames, options.bases, k)
        rest = tuple(others)
        work = {name: partial(both, scores, rest, k, name) for name in ("numba", "reference")}
        seconds = interleaved(work | {"encoder": partial(step, model, x)}, options.rounds)
        error = float((both(scores, rest, k, "numba") - both(scores.double(), rest, k, "numba")).abs().max())
        medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
        print(
            f"{k:2} {medians['numba']:9.1f} {medians['reference']:13.1f} {ratio(seconds, 'reference', 'numba'):6.1f} "
            f"{medians['encoder']:11.1f} {ratio(seconds, 'encoder', 'numba'):6.2f} {error:9.1e}"
        )
    print(f"# decoding of {options.decoded} frames on one thread, thousands of frames a second")
    print(f"{'k':>2} " + " ".join(f"{name:>9}" for name in DECODERS))
    for k in options.state_lens:
        read = np.ascontiguousarray(make(1, options.decoded, k, k)[0][0].numpy())
        seconds = interleaved({name: partial(decoder, read, k) for name, decoder in DECODERS.items()}, options.rounds)
        rates = [options.decoded / statistics.median(values) / 1e3 for values in seconds.values()]
        print(f"{k:2} " + " ".join(f"{rate:9.0f}" for rate in rates))


if __name__ == "__main__":
    main()
