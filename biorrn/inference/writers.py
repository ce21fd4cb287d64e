"""Calls and predictions as files. Each appears whole or not at all; `.gz` is compressed, `-` is standard output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from biorrn.errors import ConfigError
from biorrn.files import write_text

if TYPE_CHECKING:
    from biorrn.inference.basecall import Call
    from biorrn.inference.predict import Prediction

PHRED_OFFSET = 33
PHRED_LIMIT = 93  # "~", the last letter that a FASTQ file can hold
DIGITS = 5  # significant digits of a prediction; float32 arithmetic itself is good for about six

CallWriter = Callable[["Call"], None]


def mean_quality(quals: np.ndarray) -> float:
    """Return the Phred score of the mean error probability of a read; 0 for no bases.

    >>> float(round(mean_quality(np.array([10, 30], np.uint8)), 2))
    12.97
    """
    if len(quals) == 0:
        return 0.0
    return float(-10 * np.log10(np.mean(10 ** (-quals.astype(np.float64) / 10))))


def tags(call: Call) -> list[str]:
    """Return SAM-style tags of a call.

    `qs` mean quality, `ns` samples of the read, `ts` samples trimmed from its start, `ch` channel, `mx` mux, `rn` read
    number, as other basecallers name them; `s0` is the start in samples since the run began, a name of our own.
    """
    record = call.record
    numbers = {
        "ns": call.samples,
        "ts": call.trimmed,
        "ch": record.channel,
        "mx": record.mux,
        "rn": record.read_number,
        "s0": record.start_time,
    }
    return [f"qs:f:{mean_quality(call.quals):.2f}", *(f"{name}:i:{value}" for name, value in numbers.items())]


def fastq_text(call: Call) -> str:
    """Return a call as a FASTQ record; the tags stand after the id, apart by tabs, where aligners can copy them."""
    letters = (np.minimum(call.quals, PHRED_LIMIT).astype(np.uint8) + PHRED_OFFSET).tobytes().decode("ascii")
    header = "\t".join([call.read_id, *tags(call)])
    return f"@{header}\n{call.bases}\n+\n{letters}\n"


@contextlib.contextmanager
def fastq(path: str | Path) -> Iterator[CallWriter]:
    """Open a FASTQ file; yields a function that writes one call."""
    with write_text(path) as stream:

        def write(call: Call) -> None:
            stream.write(fastq_text(call))

        yield write


def open_calls(path: str | Path) -> AbstractContextManager[CallWriter]:
    """Open a file for calls in the format that its suffix names; `-` is FASTQ on standard output.

    Raises
    ------
    ConfigError: the suffix is unknown.

    >>> open_calls("calls.fasq")
    Traceback (most recent call last):
    biorrn.errors.ConfigError: calls.fasq: found the suffix '.fasq'; allowed is .fastq, .fq, with or without .gz, or -
    """
    if str(path) == "-":
        return fastq(path)
    name = Path(path).name
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in WRITERS:
        allowed = ", ".join(WRITERS)
        raise ConfigError(f"{path}: found the suffix '{suffix}'; allowed is {allowed}, with or without .gz, or -")
    return WRITERS[suffix](path)


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


# suffix -> writer of calls
WRITERS: dict[str, Callable[[str | Path], AbstractContextManager[CallWriter]]] = {".fastq": fastq, ".fq": fastq}
