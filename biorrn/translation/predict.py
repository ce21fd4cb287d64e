"""Prediction with encoder-decoders: greedy or beam search, FASTA output, and figures of the attention."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem, stop
from biorrn.base.files import write_text
from biorrn.base.lookup import lookup
from biorrn.nn.beam_search import Found, beam_search, greedy
from biorrn.nn.decoder import Decoder
from biorrn.nn.sequence import SequenceModel
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import ALPHABETS, decode_bases
from biorrn.sequences.fasta import fasta_text, read_entries
from biorrn.stats.figures import BLUE, FORMATS, WIDTH, Drawing, draw, plain, write_figure
from biorrn.training.batches import pad_tokens

BEAM = 5  # hypotheses
LONGER = 1.1  # maximum output length, relative to the most symbols per source step in training
CUT = "length_limit"  # flag: stopped at the maximum length, without an end


@dataclass(frozen=True, slots=True)
class Translation:
    """The prediction for one sequence.

    Attributes
    ----------
    id, source : str: as read.
    target : str: the predicted sequence.
    probability : float: geometric mean of the probabilities of its symbols and its end.
    flags : list of str: `CUT`, or empty.
    attention : float32 array (U, T), optional: attention of each predicted symbol, and of the end, over the source.
    source_symbols, target_symbols : list of str: labels of the axes of `attention`, without the end.
    """

    id: str
    source: str
    target: str
    probability: float
    flags: list[str] = field(default_factory=list)
    attention: np.ndarray | None = None
    source_symbols: list[str] = field(default_factory=list)
    target_symbols: list[str] = field(default_factory=list)


def check_model(stored: Stored, signal: bool) -> SequenceModel:
    """Return the network of a translation model of signal, or of sequences.

    Raises
    ------
    ConfigError: another kind of model.
    """
    task, source = stored.recipe.task, stored.facts.get("source")
    model = stored.model
    if task != "translation" or not isinstance(model, SequenceModel) or not isinstance(model.head, Decoder):
        raise ConfigError(f"{stored.path}: is a model of task {task}; allowed is translation")
    if signal != (source == "signal"):
        wanted = "signal" if signal else "sequences; of signal, use `biorrn evaluate translation`"
        raise ConfigError(f"{stored.path}: translates {source}; expected a model of {wanted}")
    return model


def search(
    model: SequenceModel, x: Tensor, lengths: Tensor, symbols_a_step: float, beam: int, attention: bool = False
) -> list[Found]:
    """Return the predicted sequence of each row of a batch, by beam search; greedy for a `beam` of 1.

    Parameters
    ----------
    symbols_a_step : float: maximum symbols per step of `x` in training; see `LONGER`.
    """
    limits = (lengths * symbols_a_step * LONGER).long() + 5
    with torch.no_grad():
        values, lengths = model(x, lengths)
    assert isinstance(model.head, Decoder)
    if beam == 1:
        return greedy(model.head, values, lengths, limits, attention)
    return beam_search(model.head, values, lengths, limits, beam, attention)


def read_sources(path: str | Path, alphabet: str, on_problem: OnProblem = stop) -> Iterator[tuple[str, str]]:
    """Yield id and sequence of each record of a FASTA file in an alphabet of `ALPHABETS`.

    Raises
    ------
    InputError: the file is empty or not FASTA; or a sequence is not of the alphabet, which goes to `on_problem`.
    """
    known = lookup(ALPHABETS, alphabet, "alphabet")
    for name, text in read_entries(path):
        try:
            known.encode(text)
        except BiorrnError as error:
            on_problem(InputError(path, str(error), name))
            continue
        yield name, text


def translate(
    stored: Stored,
    records: Iterable[tuple[str, str]],
    *,
    beam: int = BEAM,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    attention: Callable[[str], bool] = lambda name: False,
) -> Iterator[Translation]:
    """Yield the translation of each record, in order, in constant memory.

    Parameters
    ----------
    stored : model of task translation whose source is an alphabet.
    records : id and sequence; see `read_sources`.
    beam : int: hypotheses; 1 is greedy.
    attention : returns for an id whether to keep its attention.

    Raises
    ------
    ConfigError: another kind of model, or a beam below 1.
    """
    model = check_model(stored, signal=False).to(device)
    if beam < 1:
        raise ConfigError(f"--beam: found {beam}; allowed is 1 or more")
    source, target = (ALPHABETS[stored.facts[side]] for side in ("source", "target"))
    rest = iter(records)
    while batch := list(islice(rest, max(1, batch_size))):
        codes = [source.encode(text) for _, text in batch]
        kept = [attention(name) for name, _ in batch]
        # input order is kept; sorting by length would be faster
        x, lengths = pad_tokens(codes)
        found = search(model, x.to(device), lengths.to(device), stored.facts["symbols_a_step"], beam, any(kept))
        for (name, text), row, keep, symbols in zip(batch, found, kept, codes, strict=True):
            weights = row.attention.cpu().numpy() if keep and row.attention is not None else None
            yield Translation(
                name,
                text,
                target.decode(row.symbols),
                math.exp(row.score),
                [] if row.ended else [CUT],
                weights,
                [source.symbols[int(symbol) - 1] for symbol in symbols] if keep else [],
                [target.symbols[symbol - 1] for symbol in row.symbols] if keep else [],
            )


def bases_of(found: Found) -> str:
    """Return the bases of a sequence predicted from signal."""
    return decode_bases(np.array(found.symbols, np.int64))


@contextlib.contextmanager
def open_fasta(path: str | Path) -> Iterator[Callable[[Translation], None]]:
    """Open a FASTA file and yield a function that writes a translation; the file appears when it is complete.

    A header has the id, the probability per symbol (geometric mean) and the flags.
    """
    with write_text(path) as stream:

        def write(found: Translation) -> None:
            header = " ".join([found.id, f"probability={found.probability:.4f}", *found.flags])
            stream.write(fasta_text(header, found.target))

        yield write


LETTERS = 60  # maximum symbols of an axis with labels
LONGEST = 2000  # maximum symbols of an axis


class AttentionRecord:
    """The record whose attention is drawn: call it with each id in turn.

    Parameters
    ----------
    figure : str, optional: figure to write. Without it nothing is drawn.
    record : str, optional: id of the record. Default: the first.

    Raises
    ------
    ConfigError: a record without a figure, or a figure of another format.
    """

    def __init__(self, figure: str | None, record: str | None) -> None:
        if figure is None and record is not None:
            raise ConfigError("--record: is drawn; name the figure with --attention")
        if figure is not None and Path(figure).suffix not in FORMATS:
            raise ConfigError(f"--attention: found suffix '{Path(figure).suffix}'; allowed is {' or '.join(FORMATS)}")
        self.record, self.open = record, figure is not None

    def __call__(self, name: str) -> bool:
        found = self.open and self.record in (None, name)
        self.open = self.open and not found
        return found

    def check(self, source: str | Path) -> None:
        """Raise InputError if the record was not in the file."""
        if self.open:
            raise InputError(source, "there is no such record to draw", self.record)


def attention_drawing(found: Translation, name: str = "attention") -> Drawing:
    """Return a drawing of the attention (U, T): a row per predicted symbol and the end, a column per source symbol.

    Raises
    ------
    InputError: a side has more than `LONGEST` symbols.
    """
    weights = found.attention
    assert weights is not None
    height, width = weights.shape
    if max(height, width) > LONGEST:
        raise InputError("--attention", f"{height} by {width} symbols; a figure shows up to {LONGEST}", found.id)
    rows = [*found.target_symbols, "end"][:height]

    def paint(figure: Figure) -> None:
        side = max(WIDTH, min(12.0, 0.13 * width + 1.2))
        figure.set_figwidth(side)
        axes = figure.subplots()
        _matrix(axes, figure, weights)
        _letters(axes, rows, found.source_symbols)
        axes.set(xlabel="source", ylabel="predicted", title=plain(found.id))

    caption = f"Attention of {found.id}: each row shows the attention of the decoder when it predicted that symbol."
    return draw(name, caption, paint, height=max(3.2, min(12.0, 0.13 * height + 1.0)))


def signal_drawing(
    signal: np.ndarray, attention: np.ndarray, bases: str, stride: int, rate: float, title: str, name: str
) -> Drawing:
    """Return a drawing of a chunk of signal and, below it, the attention of each predicted base.

    Parameters
    ----------
    signal : float32 array (T,): normalised current.
    attention : float32 array (U, T'): weights; T' steps of `stride` samples.
    rate : float: sample rate, Hz.
    """

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.4])
        milliseconds = 1000 / rate
        upper.plot(np.arange(len(signal)) * milliseconds, signal, color=BLUE, linewidth=0.8)
        upper.set(ylabel="current", title=plain(title))
        span = (0.0, attention.shape[1] * stride * milliseconds)
        _matrix(lower, figure, attention, span)
        _letters(lower, [*bases, "end"][: len(attention)], [])
        lower.set(xlabel="time (ms)", ylabel="predicted base")

    caption = f"{title}: current, and below it the attention of the decoder for each base."
    return draw(name, caption, paint, height=4.6)


def _matrix(axes: Axes, figure: Figure, weights: np.ndarray, span: tuple[float, float] | None = None) -> None:
    across = span or (-0.5, weights.shape[1] - 0.5)
    drawn = axes.imshow(
        weights, aspect="auto", cmap="magma_r", vmin=0, vmax=1, interpolation="nearest",
        extent=(*across, len(weights) - 0.5, -0.5),
    )  # fmt: skip
    axes.grid(False)
    figure.colorbar(drawn, ax=axes, label="weight", pad=0.02, shrink=0.8)


def _letters(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    if rows and len(rows) <= LETTERS:
        axes.set_yticks(range(len(rows)), rows, fontsize=6)
    if columns and len(columns) <= LETTERS:
        turn = 90 if max(map(len, columns)) > 1 else 0
        axes.set_xticks(range(len(columns)), columns, fontsize=6, rotation=turn)


def draw_attention(path: str | Path, found: Translation) -> None:
    """Write the attention of a translation as SVG or PNG, by the suffix."""
    write_figure(Path(path), attention_drawing(found))
