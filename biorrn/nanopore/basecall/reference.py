"""Scores of a basecalling network in plain numpy, which the compiled kernels are checked against."""

from __future__ import annotations

from typing import Any

import numpy as np

from biorrn.config.network import CRFHead
from biorrn.config.recipe import Model
from biorrn.kernels.lstm.reference import convolution, dense, lstm
from biorrn.nn.layout import Tensors, head_layers, linear, lstm_layers
from biorrn.sequences.alphabets import BASES


def plain_scores(network: Model, tensors: Tensors, x: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Return the scores of each row, float64 (T', S), of normalised signal (B, T) and lengths (B,) in samples.

    Parameters
    ----------
    network : Model: with front end `conv`, an LSTM core, and head `ctc` or `crf`.
    tensors : its weights, by the names of `nn.layout`.
    """
    parts: Any = network
    features = [_convolved(parts.frontend, tensors, row[:length, None]) for row, length in zip(x, lengths, strict=True)]
    steps = np.array([len(row) for row in features])
    h = np.stack([np.pad(row, ((0, steps.max() - len(row)), (0, 0))) for row in features], axis=1)  # (T', B, C)
    for directions in lstm_layers(parts.core, tensors):
        outs = [lstm(h, steps, inputs, recurrent, bias, back) for back, inputs, recurrent, bias in directions]
        h = np.concatenate(outs, axis=2)
    return [_head(parts.head, tensors, h[:length, row]) for row, length in enumerate(steps)]


def _convolved(frontend: Any, tensors: Tensors, h: np.ndarray) -> np.ndarray:
    for place, layer in enumerate(frontend.layers):
        h = convolution(h, *linear(tensors, f"frontend.layers.{place}"), layer.stride, layer.activation)
        h = h if layer.clamp is None else h.clip(*layer.clamp)
    return h


def _head(head: Any, tensors: Tensors, h: np.ndarray) -> np.ndarray:
    *hidden, last = head_layers(head, tensors)
    for layer in hidden:
        h = dense(h, *layer, getattr(head, "activation", "silu"))
    scores = dense(h, *last)
    if not isinstance(head, CRFHead):
        return scores
    if head.squash == "tanh":
        scores = head.scale * np.tanh(scores)
    elif head.squash == "clamp":
        scores = scores.clip(-head.scale, head.scale)
    if head.blank is None:
        return scores
    return np.pad(scores, ((0, 0), (len(BASES[1:]) ** head.state_len, 0)), constant_values=head.blank)
