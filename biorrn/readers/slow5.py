"""SLOW5 (text) and BLOW5 (binary) files, by their specification, versions 0.1 to 1.x.

Checked against pyslow5, the format's C library, which is not called: it ends the process on a damaged header and
writes past its buffers on a damaged record.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.readers.chemistry import run_tags
from biorrn.readers.fields import Fault, OnProblem, faults, guarded, make_record, moment, scale_of, stop, text, whole
from biorrn.readers.records import SignalRecord
from biorrn.readers.slow5_binary import MAGIC, open_binary
from biorrn.readers.slow5_header import Fields, Header
from biorrn.readers.slow5_text import open_text


def read_slow5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a SLOW5 or BLOW5 file, which of the two is told by its content; one in memory at a time.

    Parameters
    ----------
    path : the file.
    on_problem : called with the `InputError` of each read that cannot be used, which is then left out.

    Raises
    ------
    InputError: the file is neither, its header is damaged, it is cut short (after the reads before the cut), or it
        holds no reads.
    """
    with faults(path, None, OSError):
        file = open(path, "rb")  # noqa: SIM115  closed below
    count = 0
    with file:
        with faults(path, None, OSError):
            start = file.read(len(MAGIC))
            file.seek(0)
            header, bodies, parse = open_binary(file) if start == MAGIC else open_text(file)
        for body in guarded(bodies, path, OSError):
            count += 1
            try:
                with faults(path, f"number {count}"):
                    values, raw = parse(body)
                with faults(path, str(values["read_id"])):
                    record = _record(path, header, values, raw)
            except InputError as problem:
                on_problem(problem)
                continue
            yield record
    if not count:
        raise InputError(path, "holds no reads")


def _record(path: str | Path, header: Header, values: Fields, raw: np.ndarray) -> SignalRecord:
    group = _count(values, "read_group")
    if not 0 <= group < header.groups:
        raise Fault(f"field 'read_group': found {group}; the header has {header.groups} groups")
    run = {name: text(name, value) for name, value in header.attributes[group].items()}
    channel = values.get("channel_number")
    if not isinstance(channel, str | None):
        raise Fault(f"field 'channel_number': found the number {channel}; allowed is a text")
    labels = next((column.labels for column in header.columns if column.name == "end_reason"), ())
    reason = values.get("end_reason")
    named = isinstance(reason, int) and 0 <= reason < len(labels)
    return make_record(
        str(values["read_id"]),
        raw,
        offset=float(values["offset"] or 0),
        scale=scale_of(float(values["range"] or 0), float(values["digitisation"] or 0)),
        sample_rate=float(values["sampling_rate"] or 0),
        channel=whole("channel_number", channel) if channel else 0,
        mux=_count(values, "start_mux"),
        read_number=_count(values, "read_number"),
        start_time=_count(values, "start_time"),
        run_id=run.get("run_id", ""),
        flow_cell=run.get("flow_cell_id", ""),
        kit=run.get("sequencing_kit", "") or run.get("experiment_kit", ""),
        end_reason=labels[reason] if named and isinstance(reason, int) else "" if reason is None else str(reason),
        source=Path(path),
        run_start=moment(run.get("exp_start_time", "")),
        sample_id=run.get("sample_id", ""),
        run_tags=run_tags(run),
    )


def _count(values: Fields, name: str) -> int:
    """Return a whole number of a record, 0 where it is missing."""
    value = values.get(name)
    if not isinstance(value, int | None):
        raise Fault(f"field {name!r}: found {value!r}; allowed is a whole number")
    return value or 0
