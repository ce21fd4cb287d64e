"""Neural-network baselines: dense layers, and one convolution with a maximum over the sequence.

Their cost is limited by the residues read in training, not by epochs, so that they take less time than the model. A
tenth of the training rows chooses the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.proteins.baselines.problem import Problem, padded
from biorrn.sequences.alphabets import N_TOKENS
from biorrn.stats.baselines import Baseline

if TYPE_CHECKING:
    import torch


NETWORK_ROWS = 100_000  # at most this many train a network
BATCH, LEAST_BATCH = 256, 16  # rows; a small set is read in about 40 batches
RATE = 2e-3  # learning rate of Adam at the start; a half cosine brings it to 0
DECAY = 1e-4
MOST_EPOCHS = 40
DENSE_ROWS_READ = 400_000  # in all epochs together
WIDTH, NARROW = 256, 64  # of the dense layers
DROPOUT = 0.2
FILTERS, KERNEL = 128, 5
CNN_RESIDUES_READ = 10_000_000  # in all epochs together
CNN_LONGEST = 1_000  # residues that the convolution reads of a sequence
HELD_OUT = 0.1  # of the training rows


def dense(problem: Problem) -> Baseline:
    """Two hidden layers on one-hot residues by position, or on descriptors where the rows are not aligned."""
    import torch
    from torch import nn

    class ByPosition(nn.Module):
        """tokens (B, T) -> (B, WIDTH): a row of weights a residue, summed: the product with one-hot input."""

        def __init__(self, longest: int) -> None:
            super().__init__()
            self.weights = nn.EmbeddingBag(longest * N_TOKENS, WIDTH, mode="sum", padding_idx=0)
            nn.init.normal_(self.weights.weight, std=longest**-0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            columns = x + N_TOKENS * torch.arange(x.shape[1])
            return self.weights(columns.masked_fill(x == 0, 0))

    if problem.aligned:
        longest = max(KERNEL, int(problem.train.lengths.max()))
        train, rows = (padded(part, longest) for part in (problem.train, problem.rows))
        what = "one-hot residues by position"
    else:
        longest = 0
        train, rows = problem.standardised
        what = f"{train.shape[1]} standardised descriptors"

    def build() -> nn.Module:
        first = ByPosition(longest) if longest else nn.Linear(train.shape[1], WIDTH)
        hidden = (nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, NARROW), nn.ReLU())
        return nn.Sequential(first, *hidden, nn.Linear(NARROW, 1))

    epochs = _epochs(DENSE_ROWS_READ, min(len(problem.train), NETWORK_ROWS))
    return _fit(problem, build, train, rows, epochs, f"dense layers of {WIDTH} and {NARROW} on {what}")


def cnn(problem: Problem) -> Baseline:
    """One convolution over one-hot residues, its maximum over the sequence, and two dense layers."""
    import torch
    from torch import nn

    class Convolution(nn.Module):
        """tokens (B, T) -> (B, 1)."""

        one_hot: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("one_hot", torch.eye(N_TOKENS)[:, 1:])
            self.convolution = nn.Conv1d(N_TOKENS - 1, FILTERS, KERNEL, padding=KERNEL // 2)
            self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(FILTERS, NARROW), nn.ReLU(), nn.Linear(NARROW, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.convolution(self.one_hot[x].transpose(1, 2))  # (B, T) -> (B, FILTERS, T)
            h = h.masked_fill((x == 0)[:, None], torch.finfo(h.dtype).min)  # padding never is the maximum
            return self.head(torch.relu(h.max(dim=2).values))

    longest = int(np.clip(max(problem.train.lengths.max(), problem.rows.lengths.max(initial=0)), KERNEL, CNN_LONGEST))
    train, rows = (padded(part, longest) for part in (problem.train, problem.rows))
    residues = float(np.minimum(problem.train.lengths, longest).mean()) * min(len(problem.train), NETWORK_ROWS)
    what = f"one convolution of {FILTERS} filters over {KERNEL} residues, maximum over the sequence"
    return _fit(problem, Convolution, train, rows, _epochs(CNN_RESIDUES_READ, residues), what)


def _epochs(budget: float, cost: float) -> int:
    """Return how many epochs a budget pays for: at least one, and no more than are of use."""
    return int(np.clip(round(budget / max(cost, 1.0)), 1, MOST_EPOCHS))


def _tensor(part: np.ndarray) -> torch.Tensor:
    """Return a batch as a tensor: descriptors as they are, tokens as int64 without columns that are all padding."""
    import torch

    if part.dtype == np.uint8:
        part = part[:, : max(KERNEL, int(np.flatnonzero(part.any(axis=0)).max(initial=0)) + 1)]
    return torch.from_numpy(part if part.dtype == np.float32 else part.astype(np.int64))


def _batches(x: np.ndarray, chosen: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
    """Return the rows `chosen` in batches, those of tokens with rows of like length together."""
    if x.dtype == np.uint8:
        chosen = chosen[np.argsort((x[chosen] > 0).sum(axis=1), kind="stable")]
    return [chosen[i : i + size] for i in range(0, len(chosen), size)]


def _predict(network: Any, x: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    import torch

    found = np.zeros(len(x))
    network.eval()
    with torch.no_grad():
        for batch in _batches(x, chosen):
            found[batch] = network(_tensor(x[batch]))[:, 0].double().numpy()
    return found[chosen]


def _fit(
    problem: Problem, build: Callable[[], Any], train: np.ndarray, rows: np.ndarray, epochs: int, what: str
) -> Baseline:
    """Train a network on `train` (N, ...) and predict `rows`; torch's random state and threads are left as found."""
    import torch

    rng = np.random.default_rng(problem.seed)
    shuffled = rng.permutation(problem.some(NETWORK_ROWS))
    held = int(HELD_OUT * len(shuffled))
    valid, used = shuffled[:held], shuffled[held:]
    mean, spread = problem.scale()
    y = ((problem.target - mean) / spread).astype(np.float32)
    w = (problem.train.weights / max(float(problem.train.weights[used].mean()), 1e-12)).astype(np.float32)
    size = int(np.clip(len(used) // 40, LEAST_BATCH, BATCH))
    threads, kept, least = torch.get_num_threads(), -1, np.inf
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(problem.threads)
        try:
            torch.manual_seed(problem.seed)
            network = build()
            optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
            steps = epochs * -(-len(used) // size)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            state: dict[str, torch.Tensor] = {}
            for epoch in range(epochs):
                network.train()
                batches = _batches(train, rng.permutation(used), size)
                for number in rng.permutation(len(batches)):
                    batch = batches[number]
                    error = network(_tensor(train[batch]))[:, 0] - torch.from_numpy(y[batch])
                    loss = (torch.from_numpy(w[batch]) * error.square()).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                wrong = float(np.square(_predict(network, train, valid) - y[valid]) @ w[valid]) if held else -epoch
                if wrong < least or not state:
                    least, kept = wrong, epoch
                    state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            network.load_state_dict(state)
            varies = float(np.ptp(problem.target)) > 0  # else the mean is all there is to learn
            predicted = mean + varies * spread * _predict(network, rows, np.arange(len(rows)))
        finally:
            torch.set_num_threads(threads)
    return Baseline(
        predicted,
        f"{what}, {len(used):,} of {len(problem.train):,} training rows, epoch {kept + 1} of {epochs}"
        + (f" chosen on {held:,} more of them" if held else ""),
    )
