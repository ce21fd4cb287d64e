"""Basecalling as a training task, with CTC (Graves et al. 2006) or CTC-CRF loss; completion of a trained model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from biorrn.base.compute import choose_device, each_row
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Chunks, Recipe
from biorrn.kernels.crf.loss import crf_cross_entropy, crf_loss, posteriors
from biorrn.kernels.ctc.loss import ctc_loss
from biorrn.kernels.distance import identity
from biorrn.nanopore.alignment import of_label
from biorrn.nanopore.basecall.decode import DECODERS, Decoded, remembered, turned
from biorrn.nanopore.basecall.engine import Engine, choose, score_whole
from biorrn.nanopore.chemistry import trained_for
from biorrn.nanopore.dataset import ChunkDataset, Window
from biorrn.nanopore.readers.calls import parse_bases
from biorrn.nanopore.signal import PA_MEAN, PA_STD
from biorrn.nn.batch import Batch
from biorrn.nn.forward import model_on
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import Stored, load_model, update_facts
from biorrn.sequences.alphabets import BASES, decode_bases
from biorrn.sequences.records import ReadCall

if TYPE_CHECKING:
    from biorrn.nanopore.evaluate.calibrate import Fit


unit = "samples"
monitor = "identity"

VALID_BATCH = 64
VALID_WINDOWS = 512  # of validation; more are subsampled evenly
EARLY_WINDOWS = 64  # of the validation split: some ten thousand bases
FEWEST_BASES = 200  # fewest agreeing bases for an estimate of the shift
QUALITY_WINDOWS, BATCH = 256, 64  # of the validation split; windows per forward pass
NOISE_EACH = 4  # simulated reads of each kind of noise


class SignalData:
    """Random windows of training segments and fixed windows of validation segments."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        chunks = recipe.chunks or Chunks()
        context = state_len(recipe)
        self.windows = ChunkDataset(path, "train", chunks.samples, recipe.training.augment, context)
        self.held_out = ChunkDataset(path, "valid", chunks.samples, None, context)
        self.chunks = chunks
        self.batch_size = recipe.training.batch_size
        self.training_size = self.steps() * self.batch_size * chunks.samples
        self.facts: dict[str, Any] = {
            "task": "basecalling",
            "outputs": len(BASES),
            "normaliser": self.windows.normaliser,
            "sample_rate": self.windows.sample_rate,
        }
        if known := trained_for(self.windows.chemistry):
            self.facts["chemistry"] = known
        if self.windows.rna:
            self.facts["reversed"] = True

    def steps(self) -> int:
        return max(1, self.chunks.epoch // self.batch_size)

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        windows = self.windows.windows(epoch, seed, self.steps() * self.batch_size)
        for start in range(0, len(windows), self.batch_size):
            yield self.windows.collate(windows[start : start + self.batch_size])

    def valid(self) -> Iterator[Batch]:
        tiles = self.held_out.tiles(VALID_WINDOWS)
        for start in range(0, len(tiles), VALID_BATCH):
            yield self.held_out.collate(tiles[start : start + VALID_BATCH])


class Teacher:
    """A trained CRF model that another one learns from (Hinton et al. 2015, arXiv 1503.02531).

    Parameters
    ----------
    batch_size, samples : int: most rows, and samples of a row.
    """

    def __init__(self, name: str, batch_size: int, samples: int) -> None:
        self.stored = load_model(name)
        self.batch_size, self.samples = batch_size, samples
        self._engine: Engine | None = None
        self._network: torch.nn.Module | None = None  # on another device

    def check(self, recipe: Recipe, facts: Mapping[str, Any], name: str) -> None:
        """Check that a model of `recipe`, with these facts, can learn from it.

        Raises
        ------
        ConfigError: the task, head, states, stride, normalisation, sample rate or direction are others.
        """
        own = _described(recipe, facts)
        other = _described(self.stored.recipe, self.stored.facts)
        for what, wanted in own.items():
            if other[what] != wanted:
                raise ConfigError(
                    f"training.teacher={name}: found {what} {other[what]}; allowed is that of the recipe and the data, "
                    f"{wanted}"
                )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the probability of each transition, float32 (B, T, 5 S), of the rows of a batch."""
        if batch.x.device.type != "cpu":
            if self._network is None:
                self._network = model_on(self.stored.model, batch.x.device)
            with torch.no_grad():
                scores, frames = self._network(batch.x, batch.lengths)
            return posteriors(scores, frames)
        if self._engine is None:
            self._engine = choose(self.stored, "cpu", batch_size=self.batch_size, size=self.samples)
        engine, lengths = self._engine, batch.lengths.numpy()
        height, threads = engine.rows, torch.get_num_threads() if engine.parallel else 1
        frames = -(-lengths // int(self.stored.facts["stride"]))
        scores = np.zeros((len(batch), int(frames.max(initial=0)), engine.symbols), np.float32)
        outs = [own[:count] for own, count in zip(scores, frames, strict=True)]

        def score(place: int) -> None:
            rows = slice(place * height, (place + 1) * height)
            score_whole(engine, batch.x[rows, :, 0].numpy(), lengths[rows], outs[rows])

        with torch.autocast("cpu", enabled=False):
            each_row(score, list(range(-(-len(batch) // height))), threads)
        return posteriors(torch.from_numpy(scores), torch.from_numpy(frames))


def teacher_of(recipe: Recipe) -> Teacher:
    """Return the teacher of a recipe."""
    chunks = recipe.chunks or Chunks()
    return _teacher(str(recipe.training.teacher), recipe.training.batch_size, chunks.samples)


_teacher = lru_cache(1)(Teacher)


def _described(recipe: Recipe, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model and its teacher have in common."""
    head = getattr(recipe.model, "head", None)
    return {
        "task": recipe.task,
        "head": getattr(head, "name", None),
        "state_len": getattr(head, "state_len", 0),
        **{name: facts.get(name) for name in ("stride", "normaliser", "sample_rate")},
        "reversed": bool(facts.get("reversed")),
    }


def open_data(path: str | Path, recipe: Recipe) -> SignalData:
    """Open a prepared signal file."""
    return SignalData(path, recipe)


def continue_from(data: SignalData, facts: Mapping[str, Any], name: str | Path) -> None:
    """Take over the licence of the model that a training starts from.

    Raises
    ------
    ConfigError: it is a basecaller of a signal that is normalised in another way, or runs in the other direction.
    """
    if facts.get("task") == "basecalling":
        way = f"prepare the reads with biorrn prepare signal --model {name}"
        own, other = data.facts["normaliser"], facts["normaliser"]
        if own != other:
            raise ConfigError(f"--init {name}: is for signal by {other}; the prepared file is by {own}: {way}")
        if data.windows.rna != bool(facts.get("reversed")):
            own, other = ("RNA", "DNA") if data.windows.rna else ("DNA", "RNA")
            raise ConfigError(f"--init {name}: is a model of {other}; the prepared file is of {own}: {way}")
    for fact in ("licence", "origin"):
        if facts.get(fact):
            data.facts[fact] = facts[fact]


def make_model(recipe: Recipe, data: SignalData) -> SequenceModel:
    """Return an untrained basecaller."""
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    head = recipe.network.head.name
    if head not in LOSSES or head != recipe.training.loss:
        raise ConfigError(
            f"recipe '{recipe.name}': task basecalling needs one of {', '.join(LOSSES)} both as model.head.name and as "
            f"training.loss; found {head} and {recipe.training.loss}"
        )
    model = build_model(recipe.network, len(BASES))
    data.facts["stride"] = model.stride
    if recipe.training.teacher is not None:
        _teacher.cache_clear()  # it may have been trained again
        teacher_of(recipe).check(recipe, data.facts, recipe.training.teacher)
    return model


def state_len(recipe: Recipe) -> int:
    """Return the number of bases in a state of the model's CRF; 0 for CTC."""
    return getattr(recipe.network.head, "state_len", 0)


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the loss per base in nats, averaged over the rows."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    if recipe.training.loss == "crf":
        rows = crf_loss(outputs, lengths, batch.targets, batch.target_lengths, state_len(recipe))
        if recipe.training.teacher is not None and torch.is_grad_enabled():  # not in validation
            part = recipe.training.teacher_share
            rows = (1 - part) * rows + part * crf_cross_entropy(outputs, lengths, teacher_of(recipe)(batch))
    else:
        rows = ctc_loss(outputs, lengths, batch.targets, batch.target_lengths)
    return (rows / batch.target_lengths.clamp(min=1)).mean()


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the weight of a batch in the mean loss: its rows."""
    return float(len(batch))


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> list[float]:
    """Return the identity of the best path of each window with its label."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    found = []
    scores, targets = outputs.float().cpu().numpy(), batch.targets.tolist()
    context = remembered(scores.shape[2])
    decode = DECODERS["greedy"]
    for row, (length, count) in enumerate(zip(lengths.tolist(), batch.target_lengths.tolist(), strict=True)):
        call = decode(scores[row, :length]).bases
        label = targets[row][context:count]
        found.append(identity(call, "".join(BASES[base] for base in label)))
    return found


def score(collected: list[Any]) -> dict[str, float]:
    """Return the median and mean identity over the windows."""
    values = np.concatenate([np.asarray(part) for part in collected])
    return {"identity": float(np.median(values)), "mean_identity": float(values.mean())}


def size(batch: Batch) -> int:
    """Return the number of samples, padding included."""
    return int(batch.x.shape[0] * batch.x.shape[1])


LOSSES = {"ctc": ctc_loss, "crf": crf_loss}


def complete(folder: Path, prepared: Path, device: str) -> None:
    """Add to the facts of a model the frames by which it emits bases early, and a calibration of its Q-scores."""
    from biorrn.nanopore.evaluate.calibrate import entries

    stored = load_model(folder)
    if "early" not in stored.facts:
        frames, seen = frames_early(stored, prepared, device=device)
        if seen < FEWEST_BASES:
            print(f"{folder}: only {seen} validation bases agree with the call; its moves are left as they come",
                  file=sys.stderr)  # fmt: skip
            frames = 0
        update_facts(folder, early=frames)
    if "qscore" not in stored.facts:
        try:
            fit = windows_fit(stored, prepared, device=device)
        except BiorrnError as error:
            print(f"{folder}: no calibration of Q-scores ({error}); biorrn evaluate calibrate {folder} READS "
                  "--reference GENOME makes one", file=sys.stderr)  # fmt: skip
            return
        print(f"{folder}: Q-scores calibrated on {fit.reads} validation windows; biorrn evaluate calibrate takes "
              "whole reads", file=sys.stderr)  # fmt: skip
        update_facts(folder, **entries(fit))


def windows_fit(stored: Stored, prepared: str | Path, *, device: str = "auto") -> Fit:
    """Fit the calibration of a basecaller's Q-scores to calls of validation windows and of simulated noise.

    Each window is a read, and its label the reference.

    Parameters
    ----------
    prepared : prepared signal file; its split "valid" is used.

    Raises
    ------
    BiorrnError: there are too few windows, or too few wrong bases.
    """
    from biorrn.nanopore.evaluate.calibrate import fit, judge, judged, noise_records, own_calls

    data, reads, unmapped, like = _valid(stored, prepared), [], 0, []
    for place, (window, call) in enumerate(_called(stored, data, QUALITY_WINDOWS, "auto", device)):
        label = decode_bases(data.truth(window)[0])
        if data.rna:  # whose qualities are made 5' to 3'
            call, label = turned(call), label[::-1]
        aligned = of_label(call.bases, label)
        found = judge(call, lambda _: aligned) if call.bases else None  # noqa: B023  called at once
        unmapped += found is None
        reads += [] if found is None else [found]
        if place % BATCH == 0:
            like.append(PA_MEAN + PA_STD * data.signal(window).astype(np.float32))  # about picoamperes
    noise = noise_records(like, data.sample_rate, NOISE_EACH)
    calls = own_calls(stored, noise, device=choose_device(device)) if len(reads) else ()
    return fit(reads, [judged(call.bases, call.quals, call.evidence) for call in calls], unmapped)


def _valid(stored: Stored, prepared: str | Path) -> ChunkDataset:
    """Return the validation split of a prepared file, in windows as the model was trained on."""
    return ChunkDataset(prepared, "valid", (stored.recipe.chunks or Chunks()).samples)


def _called(
    stored: Stored, data: ChunkDataset, most: int, decoder: str, device: str
) -> Iterator[tuple[Window, Decoded]]:
    """Yield up to `most` windows, evenly spread, each with its call by an entry of `DECODERS`."""

    where = choose_device(device)
    model = model_on(stored.model, where)
    tiles = data.tiles(most)
    for start in range(0, len(tiles), BATCH):
        windows = tiles[start : start + BATCH]
        batch = data.collate(windows).to(where)
        with torch.inference_mode():
            outputs, lengths = model(batch.x, batch.lengths)
        scores = outputs.float().cpu().numpy()
        for row, (window, length) in enumerate(zip(windows, lengths.tolist(), strict=True)):
            yield window, DECODERS[decoder](scores[row, :length])


def frames_early(stored: Stored, prepared: str | Path, *, device: str = "auto") -> tuple[int, int]:
    """Return the frames by which a basecaller emits bases before their labels begin, and the number of bases measured.

    A model trained by CTC or CTC-CRF may emit a base some frames before or after its current, by a nearly constant
    number. This is the rounded median over the correct bases of validation windows; 0 for a model that emits late.

    Parameters
    ----------
    prepared : prepared signal file; its split "valid" is used.
    """
    from biorrn.nanopore.labels.transfer import align_to, columns

    data, stride = _valid(stored, prepared), int(stored.facts["stride"])
    found: list[np.ndarray] = []
    for window, decoded in _called(stored, data, EARLY_WINDOWS, "greedy", device):
        bases, starts = data.truth(window)
        called = parse_bases(decoded.bases)
        hit = align_to(ReadCall(called), bases)
        if hit is None:
            continue
        begun = stride * np.flatnonzero(decoded.moves)
        places, own, _ = columns(hit)  # label and called base of each column that has both
        places = places + hit.ref_start
        same = bases[places] == called[own]
        found.append(starts[places[same]] - begun[own[same]])
    away = np.concatenate(found) if found else np.zeros(0)
    return (max(0, round(float(np.median(away)) / stride)) if len(away) else 0), len(away)
