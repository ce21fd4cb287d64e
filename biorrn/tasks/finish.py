"""What a task does with a model folder once it is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biorrn.errors import BiorrnError
from biorrn.models.store import Stored, load_model, update_facts

if TYPE_CHECKING:
    from biorrn.datasets.chunks import ChunkDataset, Window
    from biorrn.evaluation.alignment import Alignment
    from biorrn.evaluation.calibration import Fit
    from biorrn.evaluation.sequences import BaseCall
    from biorrn.inference.decoders import Decoded

EARLY_WINDOWS = 64  # of the validation split: some ten thousand bases
FEWEST_BASES = 200  # fewer that agree say nothing of time
QUALITY_WINDOWS, BATCH = 256, 64  # of the validation split; most of them that are scored together
NOISE_EACH = 4  # reads of each kind of noise


def finish(task: str, folder: str | Path, prepared: str | Path, *, device: str = "auto", **known: Any) -> None:
    """Complete the facts of a trained model folder; those that it has stay as they are.

    Parameters
    ----------
    task : of the recipe; one without an entry in `FINISHERS` needs nothing.
    prepared : the prepared file that the model was trained on.
    known : facts that the caller has.
    """
    if known:
        update_facts(folder, **known)
    if task in FINISHERS:
        FINISHERS[task](Path(folder), Path(prepared), device)


def _regression(folder: Path, prepared: Path, device: str) -> None:
    """Add intervals and the test for novelty; see `inference.confidence`."""
    from biorrn.device import choose_device
    from biorrn.inference.confidence import conformal_facts, novelty_facts
    from biorrn.tasks.replay import chosen_without

    stored = load_model(folder)
    entries: dict[str, Any] = {}
    if "conformal" not in stored.facts:
        held = chosen_without(stored, prepared, choose_device(device))
        if held is None:
            why = "chose the model, and what its epochs predicted of them is not kept"
            why = why if stored.recipe.fitted == "train" else "trained the model"
            print(
                f"{folder}: no intervals: the validation rows {why}; biorrn calibrate makes intervals from other rows",
                file=sys.stderr,
            )
        else:
            entries |= conformal_facts(held)
    if "novelty" not in stored.facts:
        entries |= novelty_facts(prepared, fitted=stored.recipe.fitted)
    if entries:
        update_facts(folder, **entries)
        missing = [str(target["name"]) for target in stored.facts["targets"]]
        missing = [name for name in missing if name not in entries.get("conformal", {name: None})]
        if missing:
            print(f"{folder}: too few validation values for intervals of {', '.join(missing)}", file=sys.stderr)


def _basecalling(folder: Path, prepared: Path, device: str) -> None:
    """Add how many frames the model's bases come early, and a calibration of the Q-scores."""
    from biorrn.evaluation.calibration import entries

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
            print(f"{folder}: no calibration of Q-scores ({error}); biorrn calibrate {folder} READS --reference GENOME "
                  "makes one", file=sys.stderr)  # fmt: skip
            return
        print(f"{folder}: Q-scores calibrated on {fit.reads} validation windows; biorrn calibrate takes whole reads",
              file=sys.stderr)  # fmt: skip
        update_facts(folder, **entries(fit))


def windows_fit(stored: Stored, prepared: str | Path, *, device: str = "auto") -> Fit:
    """Return the calibration of a basecaller's Q-scores that its calls of validation windows give, and made noise.

    Each window counts as a read, its label as the genome.

    Parameters
    ----------
    prepared : prepared signal file; its split "valid" is used.

    Raises
    ------
    BiorrnError: there are too few windows, or too few wrong bases.
    """
    import numpy as np

    from biorrn.device import choose_device
    from biorrn.encoders.bases import decode_bases
    from biorrn.evaluation.alignment import of_label
    from biorrn.evaluation.calibration import fit, judge, judged, noise_records, own_calls

    def on_label(label: str, call: BaseCall) -> Alignment | None:
        return of_label(call.bases, label)

    data, reads, unmapped, like = _valid(stored, prepared), [], 0, []
    for place, (window, call) in enumerate(_called(stored, data, QUALITY_WINDOWS, "auto", device)):
        label = decode_bases(data.truth(window)[0])
        found = judge(call, partial(on_label, label)) if call.bases else None
        unmapped += found is None
        reads += [] if found is None else [found]
        if place % BATCH == 0:
            like.append(85 + 14 * data.signal(window).astype(np.float32))  # about picoamperes
    noise = noise_records(like, data.sample_rate, NOISE_EACH)
    calls = own_calls(stored, noise, device=choose_device(device)) if len(reads) else ()
    return fit(reads, [judged(call.bases, call.quals, call.evidence) for call in calls], unmapped)


def _valid(stored: Stored, prepared: str | Path) -> ChunkDataset:
    """Return the validation split of a prepared file, in windows as the model was trained on."""
    from biorrn.config import Chunks
    from biorrn.datasets.chunks import ChunkDataset

    return ChunkDataset(prepared, "valid", (stored.recipe.chunks or Chunks()).samples)


def _called(
    stored: Stored, data: ChunkDataset, most: int, decoder: str, device: str
) -> Iterator[tuple[Window, Decoded]]:
    """Yield up to `most` windows, evenly spread, each with its call by an entry of `DECODERS`."""
    import torch

    from biorrn.device import choose_device
    from biorrn.inference.decoders import DECODERS
    from biorrn.inference.forward import model_on

    where = choose_device(device)
    model = model_on(stored.model, where)
    tiles = data.tiles(most)
    for start in range(0, len(tiles), BATCH):
        windows = tiles[start : start + BATCH]
        batch = data.collate(windows).to(where)
        with torch.inference_mode():
            outputs, lengths = model(batch.x, batch.lengths)
        for row, window in enumerate(windows):
            yield window, DECODERS[decoder](outputs[row, : int(lengths[row])].float().cpu().numpy())


def frames_early(stored: Stored, prepared: str | Path, *, device: str = "auto") -> tuple[int, int]:
    """Return by how many frames a basecaller gives a base before its label begins, and how many bases tell so.

    A model trained by CTC or CTC-CRF is free to give a base some frames before or after its current comes, and settles
    on about the same number throughout. It is the median over the bases of the validation windows that the call has
    right, rounded; a model whose bases come late has 0.

    Parameters
    ----------
    prepared : prepared signal file; its split "valid" is used.
    """
    import numpy as np

    from biorrn.datasets.label_alignment import align_to, columns
    from biorrn.readers.calls import parse_bases
    from biorrn.readers.records import ReadCall

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


FINISHERS: dict[str, Callable[[Path, Path, str], None]] = {"basecalling": _basecalling, "regression": _regression}
