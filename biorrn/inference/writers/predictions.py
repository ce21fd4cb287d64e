"""Predictions as a table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biorrn.files import write_text

if TYPE_CHECKING:
    from biorrn.inference.predict import Prediction

DIGITS = 5  # significant digits of a prediction; float32 arithmetic itself is good for about six


@contextlib.contextmanager
def predictions_tsv(path: str | Path, targets: Sequence[str]) -> Iterator[Callable[[Prediction], None]]:
    """Open a table of predictions: id, length in residues, one column a target, flags (joined by commas, `.` for none).

    Values have five significant digits, so that the table does not show the noise of the arithmetic.
    """
    with write_text(path) as stream:
        stream.write("\t".join(["id", "length", *targets, "flags"]) + "\n")

        def write(prediction: Prediction) -> None:
            values = [f"{value:.{DIGITS}g}" for value in prediction.values]
            flags = ",".join(prediction.flags) or "."
            stream.write("\t".join([prediction.id, str(prediction.length), *values, flags]) + "\n")

        yield write
