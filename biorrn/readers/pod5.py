"""POD5 files, through the pod5 library."""

import os
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.readers.chemistry import run_tags
from biorrn.readers.fields import Fault, OnProblem, faults, guarded, make_record, stop, text
from biorrn.readers.records import SignalRecord

SIGNATURE = b"\x8bPOD\r\n\x1a\n"  # at both ends of a file
DAMAGE = (Exception,)  # pod5 raises nothing narrower for a run that is missing, pyarrow half a dozen kinds


def read_pod5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a POD5 file, one in memory at a time.

    Parameters
    ----------
    path : the file.
    on_problem : called with the `InputError` of each read that cannot be used, which is then left out.

    Raises
    ------
    InputError: the file is not POD5, is damaged or cut short, or holds no reads.
    """
    import pod5  # half a second, so only where a POD5 is met

    with faults(path, None, OSError):
        _check_ends(path)
    with faults(path, None, *DAMAGE):
        reader = pod5.Reader(path)
    runs: dict[int, dict[str, Any]] = {}
    count = 0
    with reader:
        for read in guarded(reader.reads(), path, *DAMAGE):
            count += 1
            try:
                with faults(path, f"number {count}", *DAMAGE):
                    read_id = str(read.read_id)
                with faults(path, read_id, *DAMAGE):
                    index = read.run_info_index
                    if index not in runs:
                        runs[index] = _run(read.run_info)
                    record = _record(path, read_id, read, runs[index])
            except InputError as problem:
                on_problem(problem)
                continue
            yield record
    if not count:
        raise InputError(path, "holds no reads")


def _check_ends(path: str | Path) -> None:
    """Raise a `Fault` where the signature is missing at the start (another format) or the end (cut short)."""
    with open(path, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise Fault("not a POD5 file: it does not start with POD5's signature")
        file.seek(-len(SIGNATURE), os.SEEK_END)
        if file.read() != SIGNATURE:
            raise Fault("cut short: it does not end with POD5's signature")


def _run(info: Any) -> dict[str, Any]:
    """Return what a run says of its reads, as fields of a record; every text of the run is checked."""
    for name in info.__dataclass_fields__:
        value = getattr(info, name)
        if isinstance(value, str):
            text(name, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                text(f"{name} (the name of an entry)", key)
                text(f"{name}/{key}", item)
    context = info.context_tags
    kit = info.sequencing_kit or context.get("sequencing_kit") or context.get("experiment_kit") or ""
    start = info.acquisition_start_time
    return {
        "run_id": info.acquisition_id,
        "flow_cell": info.flow_cell_id,
        "kit": kit,
        "sample_rate": float(info.sample_rate),
        "run_start": start.astimezone(UTC) if start.timestamp() > 0 else None,  # 1970 stands for unknown
        "sample_id": info.sample_id,
        "run_tags": run_tags(
            {"flow_cell_product_code": info.flow_cell_product_code, "sequencing_kit": info.sequencing_kit},
            info.tracking_id,
            info.context_tags,
        ),
    }


def _record(path: str | Path, read_id: str, read: Any, run: dict[str, Any]) -> SignalRecord:
    pore, calibration = read.pore, read.calibration
    return make_record(
        read_id,
        read.signal,
        offset=float(calibration.offset),
        scale=float(calibration.scale),
        channel=int(pore.channel),
        mux=int(pore.well),
        read_number=int(read.read_number),
        start_time=int(read.start_sample),
        end_reason=read.end_reason.name,
        source=Path(path),
        **run,
    )
