"""A property model of proteins but its head, in one call of the compiled kernels for many rows.

First layer over a window of residues, LSTM layers, a dense layer a step, pools. Each row is computed by itself, so that
no result depends on the batch or on threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from biorrn.kernels.lstm.layers import (
    LARGEST,
    SILU,
    STATE,
    Dense,
    Direction,
    Layers,
    aligned,
    padded,
    unit_of,
)
from biorrn.kernels.lstm.native import FLOAT, INT8, DenseCall, Kernels, LSTMCall, PropertyCall

POOLS = ("max", "mean", "sum")  # in the order of native.c
BLOCK = 96  # rows of a block: the weights, read once for each step, serve eight tiles


class Property:
    """Packed weights; safe to call from several threads.

    Parameters
    ----------
    table : float array (taps, symbols, F): what each symbol at each place of the window adds to the first layer.
    bias : float array (F,).
    activation : int: of the first layer, `NONE` or `SILU`.
    layers : the directions of each LSTM layer.
    steps : (matrix (O, K), bias (O,)) of the dense layer, with SiLU; or None.
    pools : names among `POOLS`.
    kind : dtype: one of `kernels.lstm.layers.kinds()`, but not bytes.
    """

    def __init__(
        self,
        table: np.ndarray,
        bias: np.ndarray,
        activation: int,
        layers: Sequence[Sequence[Direction]],
        steps: tuple[np.ndarray, np.ndarray] | None,
        pools: Sequence[str],
        kind: np.dtype,
        kernels: Kernels | None = None,
    ) -> None:
        assert kind != INT8, "property models do not take bytes"
        self.kind, self.pools = kind, np.array([POOLS.index(name) for name in pools])
        width = padded(table.shape[2])
        wide = ((0, 0), (0, 0), (0, width - table.shape[2]))
        self._table = aligned(np.pad(table, wide).astype(FLOAT))
        self._bias = aligned(np.pad(bias, wide[2]).astype(FLOAT))
        # the largest output of each unit: SiLU is never below -0.28
        most = self._bias + self._table.max(1).sum(0)
        least = self._bias + self._table.min(1).sum(0)
        bound = np.maximum(most, 0.28) if activation == SILU else np.maximum(most, -least)
        unit = unit_of(float(bound.max()))
        core = Layers(layers, table.shape[2], kind, unit, kernels, largest=np.minimum(np.ceil(bound * unit), LARGEST))
        self._cells = (LSTMCall * (2 * len(core.layers)))()
        for number, cells in enumerate(core.layers):
            for place, cell in enumerate(cells):
                self._cells[2 * number + place] = cell.call()
        self._directions = np.array([len(cells) for cells in core.layers])
        self._layers = core  # holds the weights
        self._kernels = core.layers[0][0].kernels
        self._dense: Dense | None = None
        self._call: DenseCall | None = None
        self._columns = core.columns()
        features = sum(cell.width for cell in core.layers[-1])
        if steps is not None:
            matrix, offsets = steps
            features, self._columns = padded(len(matrix)), np.arange(len(matrix))
            self._dense = Dense.of(core.spread(matrix), offsets, kind, SILU, largest=STATE, kernels=kernels)
            self._call = self._dense.call(FLOAT, features)
        self._sizes = {
            "taps": table.shape[0],
            "symbols": table.shape[1],
            "width": width,
            "activation": activation,
            "layers": len(core.layers),
            "pools": len(self.pools),
            "features": features,
            "block": BLOCK,
            "unit": unit,
            "state": STATE,
        }

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the pools, float32 (B, pools * features), of tokens, uint8 (B, T), and lengths (B,)."""
        tokens = np.ascontiguousarray(tokens, np.uint8)
        sizes = np.ascontiguousarray(lengths, np.int64)
        assert tokens.max(initial=0) < self._sizes["symbols"]
        assert len(tokens) == len(sizes)
        assert 0 < sizes.min(initial=1) <= sizes.max(initial=1) <= tokens.shape[1]
        out = np.empty((len(tokens), len(self.pools), int(self._sizes["features"])), FLOAT)
        self._kernels.property(
            self.kind,
            PropertyCall(
                **self._sizes,
                tokens=tokens.ctypes.data,
                lengths=sizes.ctypes.data,
                table=self._table.ctypes.data,
                bias=self._bias.ctypes.data,
                cells=self._cells,
                directions=self._directions.ctypes.data,
                dense=None if self._call is None else ctypes.pointer(self._call),
                kinds=self.pools.ctypes.data,
                out=out.ctypes.data,
                rows=len(tokens),
                time=tokens.shape[1],
            ),
        )
        return np.ascontiguousarray(out[:, :, self._columns]).reshape(len(tokens), -1)
