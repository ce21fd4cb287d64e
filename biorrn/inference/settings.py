"""The settings of a run of calling: which decide its output, and which contradict each other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from biorrn import __version__
from biorrn.errors import BiorrnError, ConfigError
from biorrn.files import sha256
from biorrn.inference.engine import VARIABLE
from biorrn.inference.resume import stamp
from biorrn.models.store import RECIPE, WEIGHTS, Stored


def model_name(stored: Stored) -> str:
    """Return the name of a model: that of its folder, which of a shipped model is its id."""
    return stored.path.resolve().name


def decisive(
    stored: Stored,
    files: Iterable[Path],
    ids: Collection[str] | None = None,
    reference: Path | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return the settings that decide the output, for `output.open_output`.

    Batch size and threads are not among them. Files are known by path, size and time of the last change.

    Parameters
    ----------
    stored : Stored: its weights and recipe count, and its name, which stands in the read groups.
    files : Path of each signal file, in order.
    ids : read ids that were asked for.
    reference : FASTA file.
    others : further settings; `min_qscore` is known to users as `--min-qscore`.
    """
    listed = None if ids is None else hashlib.sha256("\n".join(sorted(ids)).encode())
    return {
        **known(stored, **others),
        VARIABLE: os.environ.get(VARIABLE) or "auto",
        "--read-ids": f"{len(ids)} ids ({listed.hexdigest()[:12]})" if ids is not None and listed else None,
        "--reference": None if reference is None else {str(reference): stamp(reference)},
        "input": {str(path): stamp(path) for path in files},
    }


def known(stored: Stored, **others: Any) -> dict[str, Any]:
    """Return version, model and settings by the names under which users know them, for `resume.open_journal`."""
    files = [stored.path / name for name in (WEIGHTS, RECIPE) if (stored.path / name).is_file()]
    model = hashlib.sha256("".join(map(sha256, files)).encode())
    return {
        "biorrn": __version__,
        "--model": f"{model_name(stored)} ({model.hexdigest()[:12]})",
        **{f"--{name.replace('_', '-')}": value for name, value in others.items()},
    }


def check_outputs(output: str, summary: str | None, kind: str, reference: Path | None, resume: bool) -> None:
    """Refuse settings that contradict each other, before any work is done.

    Raises
    ------
    ConfigError: alignments that nothing would hold, or standard output resumed.
    BiorrnError: two outputs with one name, or a place that cannot be written.
    """
    if resume and output == "-":
        raise ConfigError("--resume: standard output cannot be resumed; name a file with -o")
    if reference is not None and kind == "fastq" and summary is None:
        raise ConfigError("--reference: FASTQ holds no alignments; write SAM, BAM or CRAM, or ask for --summary too")
    if summary is not None and _key(output) == _key(summary):
        raise ConfigError(f"--summary: found {summary}, which is the output too")
    for path in (output, summary):
        if path not in (None, "-") and Path(path).is_dir():
            raise BiorrnError(f"{path}: cannot be written: it is a folder")
    if summary not in (None, "-"):
        folder = Path(summary).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BiorrnError(f"{summary}: cannot be written: {error.strerror}") from error
        if not os.access(folder, os.W_OK):
            raise BiorrnError(f"{summary}: cannot be written: the folder may not be changed")


def _key(path: str) -> str:
    return path if path == "-" else str(Path(path).resolve())
