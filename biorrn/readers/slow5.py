"""SLOW5 (text) and BLOW5 (binary) files, by their specification, versions 0.1 to 1.x.

Checked against pyslow5, the format's C library, which is not called: it ends the process on a damaged header and
writes past its buffers on a damaged record.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.readers.chemistry import run_tags
from biorrn.readers.fields import (
    Fault,
    Notes,
    OnProblem,
    faults,
    guarded,
    make_record,
    moment,
    run_record,
    scale_of,
    stop,
)
from biorrn.readers.records import SignalRecord
from biorrn.readers.slow5_binary import MAGIC, open_binary
from biorrn.readers.slow5_header import Fields, Header, Opened, Value
from biorrn.readers.slow5_text import open_text

LOOKED_AT = 1000  # reads of a file with several runs, by which these are known


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
    count = 0
    with _opened(path) as (header, bodies, parse):
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


def read_runs(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield what a SLOW5 or BLOW5 file says of its runs, as reads without id and samples.

    A run counts where one of the first `LOOKED_AT` reads is of it: headers keep the runs of reads that were taken out.

    Raises
    ------
    InputError: as `read_slow5`.
    """
    with _opened(path) as (header, bodies, parse):
        waiting = {tuple(sorted(run_tags(run).items())) for run in header.attributes}
        for body in itertools.islice(guarded(bodies, path, OSError), LOOKED_AT):
            with contextlib.suppress(Fault, TypeError, IndexError):  # reported when the read is read
                values, _ = parse(body)
                group, rate = values["read_group"], values["sampling_rate"]
                known = isinstance(group, int) and 0 <= group < header.groups
                tags = run_tags(header.attributes[group]) if known and isinstance(group, int) else {}
                if tuple(sorted(tags.items())) in waiting:
                    waiting.discard(tuple(sorted(tags.items())))
                    yield run_record(path, rate if isinstance(rate, float) and rate else float("nan"), tags)
            if not waiting:
                return


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Opened]:
    with contextlib.ExitStack() as stack:
        with faults(path, None, OSError):
            file = stack.enter_context(open(path, "rb"))
            start = file.read(len(MAGIC))
            file.seek(0)
            opened = open_binary(file) if start == MAGIC else open_text(file)
        yield opened


def _record(path: str | Path, header: Header, values: Fields, raw: np.ndarray) -> SignalRecord:
    notes = Notes(str(value) for value in values.values() if isinstance(value, Fault))
    held = {name: None if isinstance(value, Fault) else value for name, value in values.items()}
    group = held["read_group"]
    run: dict[str, str] = {}
    if isinstance(group, int) and 0 <= group < header.groups:
        run = {name: notes.text(name, value) for name, value in header.attributes[group].items()}
    else:
        notes.faults.append(f"field 'read_group': found {group}; the header has {header.groups} groups")
    return make_record(
        str(held["read_id"]),
        raw,
        offset=float(held["offset"] or 0),
        scale=scale_of(float(held["range"] or 0), float(held["digitisation"] or 0)),
        sample_rate=float(held["sampling_rate"] or 0),
        channel=notes.whole("channel_number", held.get("channel_number") or None, written=True),
        mux=notes.whole("start_mux", held.get("start_mux")),
        read_number=notes.whole("read_number", held.get("read_number")),
        start_time=notes.whole("start_time", held.get("start_time")),
        run_id=run.get("run_id", ""),
        flow_cell=run.get("flow_cell_id", ""),
        kit=run.get("sequencing_kit", "") or run.get("experiment_kit", ""),
        end_reason=_end_reason(header, held.get("end_reason")),
        source=Path(path),
        run_start=moment(run.get("exp_start_time", "")),
        sample_id=run.get("sample_id", ""),
        run_tags=run_tags(run),
        device=run.get("device_id", ""),
        faults=tuple(notes.faults),  # the last: what is above adds to them
    )


def _end_reason(header: Header, code: Value) -> str:
    """Return the name of an end reason; its code where the header does not name it."""
    labels = next((column.labels for column in header.columns if column.name == "end_reason"), ())
    named = isinstance(code, int) and 0 <= code < len(labels)
    return labels[code] if named and isinstance(code, int) else "" if code is None else str(code)
