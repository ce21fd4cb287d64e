"""Engine on CUDA: a half-precision network whose scores stay on the device, where those of a CRF are decoded.

Signal goes over from pinned memory on one stream while the network runs on another and earlier pieces are decoded on
others. Only bases, moves and evidence come back; the scores themselves where they are decoded on the CPU: by beam
search, or of a CTC model, whose five columns a frame are no more to copy than its call. The thread that queues the work
never waits for the device except while `AHEAD` batches are on their way; the threads that take the calls do.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from biorrn.base.errors import BiorrnError
from biorrn.kernels.crf import gpu, reference
from biorrn.nanopore.basecall.decode import NOT_FINITE, Decoded, automatic, greedy, remembered
from biorrn.nanopore.basecall.quality import phred
from biorrn.nn.forward import BatchLimit, out_of_memory
from biorrn.nn.windows import padded_rows
from biorrn.sequences.alphabets import decode_bases

AHEAD = 3  # batches of signal on their way to the device or through the network
DECODING = 4  # batches of pieces decoded at a time; the longest piece of one would leave most of the device idle

Found = TypeVar("Found")
Finish = Callable[[], list[Any]]
Wanted = Sequence[Sequence[tuple[int, int, Any]]]  # as in `engine`; Any: tensors on the device


class CudaEngine:
    """The network on CUDA, with decoding; the work of one thread is queued, and `launch` says when it is done.

    Parameters
    ----------
    model : SequenceModel: a basecaller.
    device : a CUDA device. On "cpu" the same code runs in float32 with the reference decoder, for tests.
    batch_size : int: chunks a forward pass; halved when memory runs out.
    size : int: samples of a chunk.

    Attributes
    ----------
    in_flight : int: most calls of `launch` that need not be finished.
    """

    parallel = False
    in_flight = DECODING + 1

    def __init__(self, model: torch.nn.Module, device: torch.device | str, batch_size: int, size: int) -> None:
        self.device = torch.device(device)
        self._cuda = self.device.type == "cuda"
        self.kind = torch.float16 if self._cuda else torch.float32
        self.name = f"{self.device.type}, {str(self.kind).removeprefix('torch.')}"
        self.model = copy.deepcopy(model).to(self.device).eval()
        self.rows = batch_size
        self.limit = BatchLimit(batch_size)
        self._sending, self._scoring = self._stream(), self._stream()
        self._decoders = itertools.cycle([self._stream() for _ in range(DECODING)])
        self._sent: deque[Event] = deque()
        short = torch.zeros(1, min(size, 100), 1, device=self.device)
        with torch.inference_mode():
            self.symbols = int(self.model(short, torch.tensor([short.shape[1]], device=self.device))[0].shape[2])
        self._drain()  # the streams need not wait for the weights
        self.state_len = remembered(self.symbols)
        self._decode = gpu.posterior_viterbi if self._cuda else reference.posterior_viterbi
        self._here = self.state_len > 0 and (not self._cuda or find_spec("triton") is not None)

    def room(self, frames: int) -> Tensor:
        """Return an empty place for the scores (frames, S) of a piece."""
        with self._on(self._scoring):
            return self._fitting(lambda: torch.empty((frames, self.symbols), dtype=self.kind, device=self.device))

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        """Queue the scoring of chunks, as `engine.FastEngine.score`, into parts of what `room` returned."""

        def work(part: Sequence[int], rows: int) -> None:
            height = padded_rows(len(part), rows, self.device)
            signal = torch.zeros((height, x.shape[1]), dtype=self.kind, pin_memory=self._cuda)
            inside = slice(part[0], part[-1] + 1)
            signal[: len(part)] = torch.from_numpy(x[inside])
            steps = torch.full((height,), x.shape[1], pin_memory=self._cuda)
            steps[: len(part)] = torch.from_numpy(lengths[inside])
            with self._on(self._sending):
                signal, steps = (values.to(self.device, non_blocking=True) for values in (signal, steps))
            self._after(self._scoring, self._sending)
            half = torch.autocast("cuda", self.kind) if self._cuda else nullcontext()
            with self._on(self._scoring), torch.inference_mode(), half:
                scores = self.model(signal[:, :, None], steps)[0].to(self.kind)  # (B, T', S)
                found = [scores[row, a:b] for row, places in enumerate(wanted[inside]) for a, b, _ in places]
                if found:  # few kernels for all chunks
                    torch._foreach_copy_([out for places in wanted[inside] for *_, out in places], found)
                self._keep((signal, steps), self._scoring)
                self._sent.append(Event(self._scoring))

        self.limit.each(range(len(x)), work)
        while len(self._sent) > AHEAD:
            self._sent.popleft().wait()

    def launch(self, pieces: Sequence[Tensor], decode: Callable[[np.ndarray], Any]) -> Finish:
        """Queue the decoding of scored pieces, and return a function that waits for it and returns their results.

        Parameters
        ----------
        pieces : what `room` returned.
        decode : function of the scores (T', S) of a piece. Best paths of a CRF are found on the device instead.

        Raises
        ------
        BiorrnError: memory does not suffice for a single piece; from the function: the scores are not finite.
        """
        queue = self._call if self._here and decode in (greedy, automatic) else self._fetch
        try:
            return queue(pieces, decode)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if not out_of_memory(error):
                raise
        if len(pieces) == 1:
            return self._fitting(lambda: queue(pieces, decode))
        self._drain()
        middle = len(pieces) // 2
        first, second = self.launch(pieces[:middle], decode), self.launch(pieces[middle:], decode)
        return lambda: first() + second()

    def _call(self, pieces: Sequence[Tensor], _: Callable[[np.ndarray], Any]) -> Finish:
        sizes = np.array([len(piece) for piece in pieces])
        edges = np.concatenate([[0], np.cumsum(sizes)])
        order = np.argsort(-sizes, kind="stable")  # the longest begin first
        with self._on(self._scoring):
            scores = torch.cat(tuple(pieces)) if len(pieces) > 1 else pieces[0]
        stream = next(self._decoders)
        self._after(stream, self._scoring)
        with self._on(stream):
            spans = torch.from_numpy(np.stack([edges[:-1][order], sizes[order]]))
            starts, lengths = (spans.pin_memory() if self._cuda else spans).to(self.device, non_blocking=True)
            found = self._decode(scores, starts, lengths, self.state_len)
            letters, evidence, faults = (values.to("cpu", non_blocking=True) for values in found)
            self._keep((scores,), stream)
            done = Event(stream)

        def finish() -> list[Any]:
            done.wait()
            if faults.any():
                raise BiorrnError(NOT_FINITE)
            parts = [slice(a, b) for a, b in itertools.pairwise(edges.tolist())]
            return [decoded(letters[part].numpy(), evidence[:, part].numpy()) for part in parts]

        return finish

    def _fetch(self, pieces: Sequence[Tensor], decode: Callable[[np.ndarray], Any]) -> Finish:
        stream = next(self._decoders)
        self._after(stream, self._scoring)
        with self._on(stream):
            back = [piece.to("cpu", non_blocking=True) for piece in pieces]
            self._keep(pieces, stream)
            done = Event(stream)

        def finish() -> list[Any]:
            done.wait()
            return [decode(scores.float().numpy()) for scores in back]

        return finish

    def _fitting(self, make: Callable[[], Found]) -> Found:
        """Return what `make` makes; where memory does not suffice, once the device has finished what it has."""
        for last in (False, True):
            try:
                return make()
            except (RuntimeError, torch.OutOfMemoryError) as error:
                if not out_of_memory(error):
                    raise
                if last:
                    raise BiorrnError(
                        "memory ran out with the scores of one piece of a read; use a smaller --batch-size, free some, "
                        "or use another --device"
                    ) from None
            self._drain()
        raise AssertionError

    def _drain(self) -> None:
        if self._cuda:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()

    # -- streams, of which a CPU has none -------------------------------------------------------------------------
    def _stream(self) -> Any:
        return torch.cuda.Stream(self.device) if self._cuda else None

    def _on(self, stream: Any) -> AbstractContextManager[Any]:
        return torch.cuda.stream(stream) if self._cuda else nullcontext()

    def _after(self, later: Any, earlier: Any) -> None:
        """Let a stream wait, on the device, for what is queued on another."""
        if self._cuda:
            later.wait_stream(earlier)

    def _keep(self, tensors: Sequence[Tensor], stream: Any) -> None:
        """Keep memory that another stream allocated until what is queued on this one has been done."""
        for tensor in tensors if self._cuda else ():
            tensor.record_stream(stream)


class Event:
    """The end of what is queued on a stream; on a CPU, where there is none, it has come."""

    def __init__(self, stream: Any) -> None:
        self._event = None
        if stream is not None:
            self._event = torch.cuda.Event(blocking=True)  # a thread that waits sleeps
            self._event.record(stream)

    def wait(self) -> None:
        """Wait for it."""
        if self._event is not None:
            self._event.synchronize()


def decoded(letters: np.ndarray, evidence: np.ndarray) -> Decoded:
    """Return the call of a piece: letters uint8 (T',), evidence float32 (2, T'); see `kernels.crf.gpu`."""
    starts = np.flatnonzero(letters)
    found = np.ascontiguousarray(evidence[:, starts].T)
    return Decoded(decode_bases(letters[starts]), phred(found[:, 0]), (letters > 0).view(np.uint8), found)
