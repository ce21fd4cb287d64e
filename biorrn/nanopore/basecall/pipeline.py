"""Threads of basecalling: blocks of chunks go to the engine, pieces of scores to the decoder; reads stay in order.

The thread of the caller reads, plans, and alone changes the state of the pipeline. The others score blocks and decode
pieces. A block is submitted only while few blocks and pieces are in progress, so that memory does not grow with the
number and length of reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

import numpy as np

from biorrn.nanopore.basecall.chunking import Piece, Read
from biorrn.nanopore.basecall.engine import Engine
from biorrn.nn.chunks import Span

Block = list[tuple[Read, Span]]


class Pipeline:
    """Scores chunks of reads, joins them and decodes the pieces.

    Parameters
    ----------
    engine : Engine.
    decode : function of the scores (T', S) of a piece of a read.
    size : int: samples of the longest chunk.
    batch_size : int: chunks gathered before they are sorted by length and shared among the threads.
    threads : int: threads that decode, and score where the engine is parallel.
    """

    def __init__(
        self, engine: Engine, decode: Callable[[np.ndarray], Any], *, size: int, batch_size: int, threads: int
    ) -> None:
        self.engine, self.decode, self.size, self.batch_size, self.threads = engine, decode, size, batch_size, threads
        self.waiting: deque[Read] = deque()
        self.blocks: dict[Future[None], Block] = {}
        self.pieces: dict[Future[list[Any]], list[tuple[Read, Piece]]] = {}
        # an engine on a device has its own memory for scores, and decodes there
        self.room = getattr(engine, "room", None) or (lambda frames: np.empty((frames, engine.symbols), np.float32))
        self.launch = getattr(engine, "launch", None)
        self.in_flight = getattr(engine, "in_flight", 2 * threads)

    def run(self, reads: Iterable[Read]) -> Iterator[Read]:
        """Yield each read when all its pieces are decoded."""
        gathered: Block = []
        with ExitStack() as stack:
            self.workers = self.scorers = stack.enter_context(ThreadPoolExecutor(self.threads, "worker"))
            if not self.engine.parallel:
                self.scorers = stack.enter_context(ThreadPoolExecutor(1, "engine"))
            stack.callback(self._cancel)  # on early stop and on errors
            for read in reads:
                self.waiting.append(read)
                for chunk in read.chunks:
                    gathered.append((read, chunk))
                    if len(gathered) == self.batch_size:
                        self._send(gathered)
                        gathered = []
                self._collect()
                yield from self._ready()
            self._send(gathered)
            while self.waiting:
                self._wait()
                yield from self._ready()

    def _ready(self) -> Iterator[Read]:
        while self.waiting and self.waiting[0].undecoded == 0:
            yield self.waiting.popleft()

    def _send(self, gathered: Block) -> None:
        """Submit chunks in blocks of similar length; wait while enough blocks and pieces are in progress."""
        gathered = sorted(gathered, key=lambda entry: -entry[1].length)
        sharers = self.threads if self.engine.parallel else 1
        rows = max(1, min(self.engine.rows, -(-len(gathered) // sharers)))
        for start in range(0, len(gathered), rows):
            while len(self.blocks) > sharers or len(self.pieces) > self.in_flight:
                self._wait()
            block = gathered[start : start + rows]
            for read, chunk in block:
                for piece, _, _ in read.shares(chunk):
                    if piece.scores is None:
                        piece.scores = self.room(piece.span.length)
            self.blocks[self.scorers.submit(self._score, block)] = block

    def _score(self, block: Block) -> None:
        x = np.zeros((len(block), self.size), np.float32)
        wanted = []
        for row, (read, chunk) in zip(x, block, strict=True):
            row[: chunk.length] = read.signal[chunk.start : chunk.start + chunk.length]
            places = []
            for piece, first, last in read.shares(chunk):
                assert piece.scores is not None
                out = piece.scores[first - piece.span.start : last - piece.span.start]
                places.append((first - chunk.origin, last - chunk.origin, out))
            wanted.append(places)
        self.engine.score(x, np.array([chunk.length for _, chunk in block]), wanted)

    def _wait(self) -> None:
        wait(self._in_progress(), return_when=FIRST_COMPLETED)
        self._collect()

    def _collect(self) -> None:
        """Record finished work, and submit scored pieces to the decoder."""
        complete: list[tuple[Read, Piece]] = []
        for scored in [future for future in self.blocks if future.done()]:
            block = self.blocks.pop(scored)
            scored.result()
            for read, chunk in block:
                read.unscored -= 1
                if read.unscored == 0:
                    read.signal = read.signal[:0].copy()
                for piece, first, last in read.shares(chunk):
                    piece.missing -= last - first
                    if piece.missing == 0 and piece.scores is not None:
                        complete.append((read, piece))
        self._decode(complete)
        for future in [future for future in self.pieces if future.done()]:
            for (read, piece), decoded in zip(self.pieces.pop(future), future.result(), strict=True):
                piece.decoded = decoded
                read.undecoded -= 1

    def _decode(self, complete: list[tuple[Read, Piece]]) -> None:
        """Submit complete pieces to the decoder: one by one, or together where the engine decodes them."""
        groups = [[entry] for entry in complete] if self.launch is None else [complete]
        for group in filter(None, groups):
            scores = [piece.scores for _, piece in group]
            for _, piece in group:
                piece.scores = None
            self.pieces[self.workers.submit(self._finish(scores))] = group

    def _finish(self, scores: list[Any]) -> Callable[[], list[Any]]:
        if self.launch is None:
            return lambda: [self.decode(each) for each in scores]
        launched = self.scorers.submit(self.launch, scores, self.decode)
        return lambda: launched.result()()

    def _cancel(self) -> None:
        for future in self._in_progress():
            future.cancel()

    def _in_progress(self) -> list[Future[Any]]:
        return [*self.blocks, *self.pieces]
