"""Sequencing summary: one row per read, called or not, with the columns of other basecallers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from biorrn.nanopore.basecall.sam import seconds
from biorrn.nanopore.chemistry import chemistry_of
from biorrn.nanopore.readers.summary import cell
from biorrn.sequences.records import SignalRecord

if TYPE_CHECKING:
    from biorrn.nanopore.basecall.caller import Call


CALLED = "called"
ABSENT = "read id not found"  # status of a selected id
# Times are seconds since the run began, lengths bases; `template_start` is `start_time` plus the samples trimmed.
# `status` is "called", or why the read is not in the output. What the read's file does not hold is an empty
# cell. A file that could not be read has a row too, without a read id.
COLUMNS = (
    "filename",
    "read_id",
    "run_id",
    "channel",
    "mux",
    "start_time",
    "duration",
    "num_samples",
    "template_start",
    "template_duration",
    "samples_trimmed",
    "sequence_length_template",
    "mean_qscore_template",
    "passes_filtering",
)
# Of the primary alignment: span on the forward strand, 0-based, half-open; identity is matches / alignment columns, in
# which an insertion or deletion of n bases counts n; coverage is the part of the read's bases inside the alignment.
ALIGNMENT = (
    "alignment_genome",
    "alignment_start",
    "alignment_end",
    "alignment_strand",
    "alignment_identity",
    "alignment_coverage",
)
# chemistry by the metadata, and a warning such as that the call was forced
CHEMISTRY, WARNING = "chemistry", "warning"
UNCLASSIFIED = "unclassified"  # in place of the barcode of a read that has none
BARCODE = ("barcode", "unclassified")  # with --kit: the barcode of a read, or why it has none
CUT = ("bases_cut_start", "bases_cut_end")  # adapters, primers and barcodes
PARENT = ("parent_read_id", "start_in_parent")  # with --split-reads: of a part; samples
TAIL = ("poly_tail_length", "poly_tail_start", "poly_tail_end", "poly_tail_quality")  # bases; samples of the read
STATUS = "status"
UNMAPPED = ("*", "-1", "-1", "*", "0", "0")


def columns(aligned: bool, barcoded: bool = False, split: bool = False, tails: bool = False) -> list[str]:
    """Return the column names, with or without those of the alignment, the barcode, the parent and the tail."""
    optional = ((ALIGNMENT, aligned), (BARCODE, barcoded), (CUT, True), (PARENT, split), (TAIL, tails))
    return [*COLUMNS, *(name for names, asked in optional if asked for name in names), CHEMISTRY, WARNING, STATUS]


def row(
    record: SignalRecord,
    samples: int,
    status: str = CALLED,
    call: Call | None = None,
    hits: Sequence[Any] | None = None,
    aligned: bool = False,
    warning: str = "",
    barcoded: bool = False,
    split: bool = False,
    tails: bool = False,
) -> list[str]:
    """Return a read's cells, in the order of `columns`.

    Parameters
    ----------
    record : SignalRecord; its `raw` is not used.
    samples : int: samples of the read.
    status : str: `CALLED`, or why the read is not in the output.
    call : Call or None.
    hits : `mappy.Alignment` of the read, the primary one first.
    aligned : bool: the table has the columns of the alignment.
    warning : str: of the call.
    barcoded, split, tails : bool: the table has the columns of the barcode, the parent and the tail.
    """
    trimmed = call.trimmed if call else 0
    start = None if record.start_time is None else seconds(record.start_time, record)
    template = None if start is None else start + seconds(trimmed, record)
    cells = [record.source.name, record.read_id, record.run_id, cell(record.channel), cell(record.mux)]
    cells += [_time(start), _time(seconds(samples, record)), str(samples)]
    cells += [_time(template), _time(seconds(samples - trimmed, record)), str(trimmed)]
    cells += [str(len(call.bases) if call else 0), f"{call.mean_q if call else 0:.2f}"]
    cells.append("TRUE" if status == CALLED else "FALSE")
    if aligned:
        cells += _alignment(call, hits)
    if barcoded:
        cells += [call.barcode, call.unclassified] if call else ["", ""]
    cells += map(str, call.cut if call else (0, 0))
    if split:
        cells += [record.parent, str(record.parent_start) if record.parent else ""]
    if tails:
        tail = call.tail if call else None
        cells += [str(tail.length), str(tail.start), str(tail.end), f"{tail.quality:.2f}"] if tail else [""] * len(TAIL)
    return [*cells, chemistry_of(record).name, warning, status]


def _time(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6f}"


def unread(name: str, read_id: str, status: str, aligned: bool = False, *others: bool) -> list[str]:
    """Return the cells of an unusable file, or of an unusable read; unknown cells are empty. See `columns`."""
    cells = dict.fromkeys(columns(aligned, *others), "")
    cells |= dict(zip(ALIGNMENT if aligned else (), UNMAPPED, strict=False))
    cells |= {"filename": name, "read_id": read_id, "passes_filtering": "FALSE", STATUS: status}
    cells |= {"sequence_length_template": "0", "mean_qscore_template": "0.00"}
    return list(cells.values())


def _alignment(call: Call | None, hits: Sequence[Any] | None) -> Sequence[str]:
    if call is None or not hits:
        return UNMAPPED
    hit = hits[0]
    return (
        hit.ctg,
        str(hit.r_st),
        str(hit.r_en),
        "+" if hit.strand > 0 else "-",
        f"{hit.mlen / hit.blen:.4f}",
        f"{(hit.q_en - hit.q_st) / len(call.bases):.4f}",
    )
