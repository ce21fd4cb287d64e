"""What every forward pass outside training shares: where the model is, and how many rows go through it at once."""

from __future__ import annotations

import copy

import torch

# A forward pass has a multiple of this many rows. With one to three rows CPU libraries take other kernels, which add in
# another order, and a result would depend on the batch size in its last bits: 21 of 400 predictions changed as printed.
ROWS = 8


def model_on(model: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """Return the model on `device` in evaluation mode; the one given is left as it is."""
    if torch.device(device).type == "cpu" and not model.training:
        return model
    return copy.deepcopy(model).to(device).eval()


def padded_rows(rows: int, batch_size: int, device: torch.device) -> int:
    """Return how many rows, rows of padding included, a batch of `rows` out of at most `batch_size` is run with.

    On a CPU the next multiple of `ROWS`; elsewhere always the full batch, because there each shape has its own kernels.

    >>> [padded_rows(rows, 64, torch.device("cpu")) for rows in (1, 16, 17)], padded_rows(3, 50, torch.device("cuda"))
    ([8, 16, 24], 56)
    """
    wanted = rows if device.type == "cpu" else batch_size
    return -(-wanted // ROWS) * ROWS
