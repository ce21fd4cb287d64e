"""POD5 reader, based on the pod5 library."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from biorrn.base.errors import Fault, InputError, OnProblem, faults, guarded, stop, text
from biorrn.nanopore.chemistry import run_tags
from biorrn.nanopore.readers.fields import Notes, make_record, run_record
from biorrn.sequences.records import SignalRecord

SIGNATURE = b"\x8bPOD\r\n\x1a\n"  # at both ends of a file
DAMAGE = (Exception,)  # pod5 raises a bare Exception for a missing run, pyarrow many kinds


def read_pod5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a POD5 file, one in memory at a time; see `nanopore.readers.files.read_signal`.

    Raises
    ------
    InputError: the file is not POD5, is damaged or truncated, or holds no reads.
    """
    import pod5  # takes half a second, so only where a POD5 is read

    with faults(path, None, OSError):
        _check_ends(path)
    with faults(path, None, *DAMAGE):
        reader = pod5.Reader(path)
    runs: dict[int, tuple[dict[str, Any], list[str]]] = {}
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
                    record = _record(path, read_id, read, *runs[index])
            except InputError as problem:
                on_problem(problem)
                continue
            yield record
    if not count:
        raise InputError(path, "holds no reads")


def read_runs(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the metadata of a POD5 file's runs, as reads without id and samples; see `read_pod5`."""
    import pod5

    with faults(path, None, OSError):
        _check_ends(path)
    with faults(path, None, *DAMAGE), pod5.Reader(path) as reader:
        rows = reader.run_info_table.read_all().to_pylist()
        for row in rows:
            stated = {name: row.get(name) for name in ("flow_cell_product_code", "sequencing_kit")}
            tags = run_tags(stated, dict(row["tracking_id"]), dict(row["context_tags"]))
            yield run_record(path, float(row["sample_rate"]), tags)


def _check_ends(path: str | Path) -> None:
    """Raise a `Fault` where the signature is missing at the start (another format) or the end (truncated)."""
    with open(path, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise Fault("not a POD5 file: it does not start with POD5's signature")
        file.seek(-len(SIGNATURE), os.SEEK_END)
        if file.read() != SIGNATURE:
            raise Fault("cut short: it does not end with POD5's signature")


def _run(info: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata of a run as fields of a `SignalRecord`, and the faults of its texts."""
    notes = Notes()
    texts: dict[str, Any] = {}
    for name in info.__dataclass_fields__:
        value = getattr(info, name)
        if isinstance(value, str):
            texts[name] = notes.text(name, value)
        elif isinstance(value, dict):
            texts[name] = {}
            for key, item in value.items():
                if notes.take(partial(text, f"{name} (the name of an entry)", key)) is not None:
                    texts[name][key] = notes.text(f"{name}/{key}", item)
    context = texts["context_tags"]
    return {
        "run_id": texts["acquisition_id"],
        "flow_cell": texts["flow_cell_id"],
        "kit": texts["sequencing_kit"] or context.get("sequencing_kit") or context.get("experiment_kit") or "",
        "sample_rate": float(info.sample_rate),
        "run_start": notes.take(lambda: _known(info.acquisition_start_time), *DAMAGE),
        "sample_id": texts["sample_id"],
        "device": texts["tracking_id"].get("device_id") or texts["sequencer_position"],
        "run_tags": run_tags(
            {"flow_cell_product_code": texts["flow_cell_product_code"], "sequencing_kit": texts["sequencing_kit"]},
            texts["tracking_id"],
            context,
        ),
    }, notes.faults


def _known(start: datetime) -> datetime | None:
    return start.astimezone(UTC) if start.timestamp() > 0 else None  # 1970 stands for unknown


def _record(path: str | Path, read_id: str, read: Any, run: dict[str, Any], odd: list[str]) -> SignalRecord:
    notes = Notes(odd)
    calibration, pore = read.calibration, notes.take(lambda: read.pore, *DAMAGE)
    return make_record(
        read_id,
        read.signal,
        offset=float(calibration.offset),
        scale=float(calibration.scale),
        channel=notes.whole("channel", pore and pore.channel),
        mux=notes.whole("well", pore and pore.well),
        read_number=notes.whole("read_number", read.read_number),
        start_time=notes.whole("start_sample", read.start_sample),
        end_reason=notes.take(lambda: str(read.end_reason.name), *DAMAGE) or "",
        source=Path(path),
        faults=tuple(notes.faults),  # evaluated last: the arguments above add to them
        **run,
    )
