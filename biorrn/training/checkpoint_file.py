"""Checkpoints as files: whole or not there, and told from damaged ones without being unpickled."""

from __future__ import annotations

import io
import pickle
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from biorrn.errors import InputError
from biorrn.files import atomic_path, sweep

BEST, LAST = "best.ckpt", "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there.

    Lightning's own way leads over the folder of temporary files and copies from there: where that is another disk, a
    kill or a full disk leaves half a checkpoint under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises
        ------
        BiorrnError: it cannot be written; the one before it, if any, is as it was.
        """
        buffer = io.BytesIO()  # torch's own writer to a file hides the reason why the disk refuses
        torch.save(checkpoint, buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint: tensors and plain values alone, since a run folder may come from somebody else.

        Raises
        ------
        InputError: it holds an object of another kind, which to read could run code; or it is damaged.
        """
        try:
            return super().load_checkpoint(path, map_location, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise InputError(path, "is no checkpoint of tensors and plain values; remove it to start over") from error


def usable(folder: Path) -> Path | None:
    """Return the checkpoint to go on from: the last epoch, else the best, None for a start anew.

    The last needs the best beside it, for the weights that the run ends with. Damaged ones are told of and removed.
    """
    sweep(folder.resolve())  # the last epoch may be saved already, so that nothing more is written here
    whole = {name: _is_whole(folder / name) for name in (LAST, BEST)}
    if whole[BEST]:
        return folder / (LAST if whole[LAST] else BEST)
    if whole[LAST]:
        print(f"{folder}: the best epoch is missing or damaged; the run starts over", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            fine = archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        fine = False
    if not fine:
        print(f"{path}: is damaged, and left out", file=sys.stderr)
    return fine
