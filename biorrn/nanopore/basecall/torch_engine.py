"""Engine that runs a basecalling network by torch: any network, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch

from biorrn.base.compute import apply_threads
from biorrn.nn.forward import BatchLimit, model_on
from biorrn.nn.windows import PASS_ROWS, padded_rows

Wanted = Sequence[Sequence[tuple[int, int, np.ndarray]]]  # as in `engine`
SAMPLES_A_PASS = 160_000  # in a forward pass on a CPU; more is not faster and needs more memory


class TorchEngine:
    """The torch model: float32 on a CPU, half precision on CUDA."""

    parallel = False

    def __init__(self, model: torch.nn.Module, device: torch.device | str, batch_size: int, size: int) -> None:
        apply_threads()
        self.device = torch.device(device)
        self.model = model_on(model, self.device)
        self.name = f"torch, {self.device.type}"
        most = max(PASS_ROWS, SAMPLES_A_PASS // size // PASS_ROWS * PASS_ROWS)
        self.rows = min(batch_size, most) if self.device.type == "cpu" else batch_size
        self.limit = BatchLimit(self.rows)
        short = torch.zeros(1, min(size, 100), 1, device=self.device)
        with torch.inference_mode():
            self.symbols = int(self.model(short, torch.tensor([short.shape[1]], device=self.device))[0].shape[2])

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Score chunks, in smaller passes where memory does not suffice."""

        def work(part: Sequence[int], rows: int) -> None:
            padding = padded_rows(len(part), rows, self.device) - len(part)
            signal = torch.from_numpy(np.pad(x[part], ((0, padding), (0, 0))))
            steps = torch.from_numpy(np.pad(lengths[part], (0, padding), constant_values=x.shape[1]))
            half = self.device.type == "cuda"
            with torch.inference_mode(), torch.autocast("cuda", torch.float16) if half else nullcontext():
                outputs = self.model(signal[:, :, None].to(self.device), steps.to(self.device))[0]
                scores = (outputs.half() if half else outputs.float()).cpu().numpy()  # (B, T', S)
            for row, frames in zip(part, scores, strict=False):
                for first, last, out in wanted[row]:
                    out[:] = frames[first:last]

        self.limit.each(range(len(x)), work)
