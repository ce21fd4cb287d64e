"""LSTM and dense layers in plain numpy, in float64: what the kernels must compute, and a check of them at start-up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def logistic(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "silu": lambda x: x * logistic(x),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def dense(x: np.ndarray, matrix: np.ndarray, bias: np.ndarray, activation: str = "none") -> np.ndarray:
    """Return activation(x @ matrix.T + bias) of x (N, K), matrix (O, K) and bias (O,)."""
    y: np.ndarray = ACTIVATIONS[activation](x.astype(np.float64) @ matrix.astype(np.float64).T + bias)
    return y


def convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, activation: str = "none"
) -> np.ndarray:
    """Return a convolution (T', O) of x (T, C) with weight (O, C, K), K // 2 zeros before and after."""
    kernel = weight.shape[2]
    padded = np.pad(x, ((kernel // 2, kernel // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=0)[::stride]  # (T', C, K)
    return dense(windows.reshape(len(windows), -1), weight.reshape(len(weight), -1), bias, activation)


def lstm(
    x: np.ndarray, lengths: np.ndarray, inputs: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, backward: bool
) -> np.ndarray:
    """Return the states (T, B, H) of one direction of an LSTM layer over x (T, B, K); 0 past a row's length.

    Weights as in torch: (4 H, K), (4 H, H) and the sum of both biases (4 H,), gates in the order i, f, g, o.
    """
    steps, rows = x.shape[:2]
    out = np.zeros((steps, rows, recurrent.shape[1]))
    h, c = np.zeros(out.shape[1:]), np.zeros(out.shape[1:])
    seen, recurrent = x @ inputs.T.astype(np.float64) + bias, recurrent.T.astype(np.float64)
    for t in range(steps)[:: -1 if backward else 1]:
        inside = (t < lengths)[:, None]
        i, f, g, o = np.split(seen[t] + h @ recurrent, 4, axis=1)
        c = np.where(inside, logistic(f) * c + logistic(i) * np.tanh(g), 0)
        h = np.where(inside, logistic(o) * np.tanh(c), 0)
        out[t] = h
    return out
