"""The calls that basecallers wrote into FAST5: sequence, qualities and, if so configured, where each base began."""

import h5py
import numpy as np

from biorrn.errors import InputError
from biorrn.readers.calls import mean_phred, parse_bases
from biorrn.readers.fastq import fastq_records
from biorrn.readers.fields import Fault
from biorrn.readers.records import ReadCall

TEMPLATE = "BaseCalled_template"


def call(holder: h5py.Group, samples: int) -> ReadCall | None:
    """Return the call of one read: Analyses/Basecall_1D_*, the last that there is; None where there is none.

    Parameters
    ----------
    holder : the group that holds `Analyses`: the file of a single read, or the group of one read of many.
    samples : int: length of the read's signal.

    Raises
    ------
    Fault: the call is not FASTQ, or its move table contradicts it or the signal.
    """
    analyses = holder.get("Analyses", {})
    names = sorted(
        name for name in analyses if name.startswith("Basecall_1D") and f"{TEMPLATE}/Fastq" in analyses[name]
    )
    if not names:
        return None
    group = analyses[names[-1]]
    bases, quals = _fastq(group[f"{TEMPLATE}/Fastq"][()])
    starts, end = _starts(analyses, names[-1], len(bases), samples)
    return ReadCall(bases, starts, end, mean_phred(quals))


def _fastq(content: bytes | str) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes and the Phred qualities of a FASTQ record."""
    text = content.decode("ascii", "replace") if isinstance(content, bytes) else str(content)
    try:
        [record] = fastq_records(text.strip("\0").splitlines(keepends=True), "")
    except ValueError as error:
        raise Fault(f"the call in the file is not one record of FASTQ: found {text[:40]!r}") from error
    except InputError as error:
        raise Fault(f"the call in the file is not FASTQ: {error.problem}") from error
    return parse_bases(record.bases), record.quals


def _starts(analyses: h5py.Group, name: str, bases: int, samples: int) -> tuple[np.ndarray | None, int]:
    """Return where the bases began, int64 (L,), and where the last one ended; None where the file does not say."""
    moves = analyses[name].get(f"{TEMPLATE}/Move")
    summary = analyses[name].get("Summary/basecall_1d_template")
    stride = None if summary is None else summary.attrs.get("block_stride")
    number = name.rpartition("_")[2]
    segmented = analyses.get(f"Segmentation_{number}/Summary/segmentation")
    first = None if segmented is None else segmented.attrs.get("first_sample_template")
    if not isinstance(moves, h5py.Dataset) or stride is None or first is None:
        return None, 0
    steps = moves[:].astype(np.int64)
    frames = np.repeat(np.arange(len(steps)), steps)  # a frame may have given two bases
    if len(frames) != bases:
        raise Fault(f"the move table gives {len(frames)} bases; the call has {bases}")
    starts = int(first) + int(stride) * frames
    if bases and starts[-1] >= samples:
        raise Fault(f"the move table runs to sample {starts[-1]}; the signal has {samples} samples")
    return starts, min(samples, int(first) + int(stride) * len(steps))
