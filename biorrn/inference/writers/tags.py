"""What a record says of its read beside bases and qualities, as tags of the SAM format.

The names are those of Oxford Nanopore's SAM documentation: `qs` mean quality, `ns` samples of the read, `ts` samples
trimmed from its start, `du` seconds, `ch` channel, `mx` mux, `rn` read number, `st` time at which the read began, `fn`
file, `sm` and `sd` shift and scale of the current in picoamperes, `sv` how these were found, `RG` read group, `mv`
stride and moves. `s0`, samples since the run began, is a name of our own. What the read's file does not hold has no
tag.
"""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from biorrn.readers.chemistry import chemistry_of
from biorrn.readers.fastq import MAX_Q, PHRED
from biorrn.readers.records import SignalRecord

if TYPE_CHECKING:
    from biorrn.inference.basecall import Call

WARNED = "warning=chemistry_mismatch"  # in the description of a read group
LARGEST = 2**32 - 1  # that an integer tag can hold in BAM
COUNTED = re.compile(r"(biorrn warning: .+): (\d+) reads")  # the comment of a header: see `counted_warning`
_UNPRINTABLE = re.compile(r"[^ -~]")


def quality_letters(quals: np.ndarray) -> str:
    """Return the qualities uint8 (L,) as letters, from `!` for 0 to `~` for 93 and more."""
    return (np.minimum(quals, MAX_Q).astype(np.uint8) + PHRED).tobytes().decode("ascii")


def printable(text: str) -> str:
    """Return a text with `?` for what a tag cannot hold.

    >>> printable("caf\\xe9\\t1.pod5")
    'caf??1.pod5'
    """
    return _UNPRINTABLE.sub("?", text)


def group_id(record: SignalRecord, model: str) -> str:
    """Return the id of the read group: run id and model, without spaces."""
    return printable(f"{record.run_id or 'unknown'}_{model}").replace(" ", "_")


def read_group(record: SignalRecord, model: str, warned: bool = False) -> dict[str, str]:
    """Return the fields of a read's `@RG` line, ID first; those that the read's file does not know are left out.

    With `warned`, of a read that the model is not for, the description says so.
    """
    odd = f" chemistry={chemistry_of(record).name.replace(' ', '_')} {WARNED}" if warned else ""
    run = f" runid={record.run_id}" if record.run_id else ""
    fields = {
        "ID": group_id(record, model),
        "PU": record.flow_cell,
        "PM": record.device,
        "DT": "" if record.run_start is None else iso(record.run_start),
        "PL": "ONT",
        "DS": f"basecall_model={model.replace(' ', '_')}{run}{odd}",
        "LB": record.sample_id,
        "SM": record.sample_id,
    }
    return {name: printable(value) for name, value in fields.items() if value}


def counted_warning(reason: str, count: int) -> str:
    """Return the comment of a header that says what speaks against some of its records."""
    return f"biorrn warning: {reason}: {count} reads"


def iso(moment: datetime) -> str:
    """Return a time as ISO 8601 with milliseconds and zone."""
    return moment.isoformat(timespec="milliseconds")


def seconds(samples: int, record: SignalRecord) -> float:
    """Return samples of a read as seconds; NaN where its file does not say the rate."""
    return samples / record.sample_rate if record.sample_rate > 0 else float("nan")


def tags(call: Call, model: str = "") -> list[str]:
    """Return the tags of a call but `mv`; `RG` where a model is named. What the read's file does not hold has none."""
    record = call.record
    numbers = {
        "ns": call.samples,
        "ts": call.trimmed,
        "ch": record.channel,
        "mx": record.mux,
        "rn": record.read_number,
        "s0": record.start_time,
    }
    made = [f"qs:f:{call.mean_q:.2f}"]
    made += [f"{name}:i:{value}" for name, value in numbers.items() if value is not None and value <= LARGEST]
    made.append(f"du:f:{seconds(call.samples, record):.5f}")
    if call.scaling is not None:
        made += [f"sm:f:{call.scaling.shift:.7g}", f"sd:f:{call.scaling.scale:.7g}", f"sv:Z:{call.scaling.name}"]
    if record.run_start is not None and record.start_time is not None:
        with contextlib.suppress(OverflowError, ValueError):  # beyond the year 9999: the start time is no time
            made.append(f"st:Z:{iso(record.run_start + timedelta(seconds=seconds(record.start_time, record)))}")
    if record.source.name:
        made.append(f"fn:Z:{printable(record.source.name)}")
    return [*made, f"RG:Z:{group_id(record, model)}"] if model else made


def move_tag(call: Call) -> str:
    """Return the stride, then one number a block of so many samples: 1 where a base begins; see `move_table`."""
    letters = np.full(2 * len(call.moves), ord(","), np.uint8)
    letters[1::2] = call.moves + ord("0")  # a digit each; joining strings takes ten times as long
    return f"mv:B:c,{call.stride}" + letters.tobytes().decode("ascii")
