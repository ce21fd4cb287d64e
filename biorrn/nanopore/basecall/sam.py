"""SAM, BAM and CRAM writer: records with ONT's tags, unmapped or aligned by minimap2, and headers.

Records are made as SAM text during calling, and converted at the end, when all read groups of the header are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.base.files import atomic_path, disk_fault, open_text
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.chemistry import chemistry_of
from biorrn.nanopore.readers.calls import TURNED
from biorrn.sequences.fastq import quality_letters
from biorrn.sequences.records import SignalRecord
from biorrn.version import __version__

if TYPE_CHECKING:
    from biorrn.nanopore.basecall.caller import Call


WARNED = "warning=chemistry_mismatch"  # in the description of a read group
LARGEST = 2**32 - 1  # largest integer tag of BAM
COUNTED = re.compile(r"(biorrn warning: .+): (\d+) reads")  # header comment of `counted_warning`
_UNPRINTABLE = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """Return a text with `?` for characters that a tag cannot hold.

    >>> printable("caf\\xe9\\t1.pod5")
    'caf??1.pod5'
    """
    return _UNPRINTABLE.sub("?", text)


def group_id(record: SignalRecord, model: str, barcode: str = "") -> str:
    """Return the id of the read group: run id, model and barcode, without spaces."""
    name = "_".join(filter(None, (record.run_id or "unknown", model, barcode)))
    return printable(name).replace(" ", "_")


def read_group(record: SignalRecord, model: str, warned: bool = False, barcode: str = "") -> dict[str, str]:
    """Return the known fields of a read's `@RG` line, ID first; `warned`: of a chemistry that the model is not for."""
    odd = f" chemistry={chemistry_of(record).name.replace(' ', '_')} {WARNED}" if warned else ""
    run = f" runid={record.run_id}" if record.run_id else ""
    fields = {
        "ID": group_id(record, model, barcode),
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
    """Return the header comment for reads called in spite of `reason`."""
    return f"biorrn warning: {reason}: {count} reads"


def iso(moment: datetime) -> str:
    """Return a time as ISO 8601 with milliseconds and zone."""
    return moment.isoformat(timespec="milliseconds")


def seconds(samples: int, record: SignalRecord) -> float:
    """Return the duration of samples of a read in seconds; NaN without a sample rate."""
    return samples / record.sample_rate if record.sample_rate > 0 else float("nan")


def tags(call: Call, model: str = "") -> list[str]:
    """Return the tags of a call except `mv`; `RG` where a model is named. Unknown metadata have no tag."""
    record = call.record
    last = call.trimmed + call.stride * len(call.moves) if call.cut[1] else call.samples
    numbers = {
        "ns": last,
        "ts": call.trimmed,
        "ch": record.channel,
        "mx": record.mux,
        "rn": record.read_number,
        "s0": record.start_time,
    }
    made = [f"qs:f:{call.mean_q:.2f}"]
    made += [f"{name}:i:{value}" for name, value in numbers.items() if value is not None and value <= LARGEST]
    made.append(f"du:f:{seconds(last, record):.5f}")  # of `ns`, as Dorado writes it
    if call.scaling is not None:
        made += [f"sm:f:{call.scaling.shift:.7g}", f"sd:f:{call.scaling.scale:.7g}", f"sv:Z:{call.scaling.name}"]
    if record.run_start is not None and record.start_time is not None:
        with contextlib.suppress(OverflowError, ValueError):  # a start time beyond the year 9999 is damaged
            made.append(f"st:Z:{iso(record.run_start + timedelta(seconds=seconds(record.start_time, record)))}")
    if record.source.name:
        made.append(f"fn:Z:{printable(record.source.name)}")
    if call.cut != (0, 0):
        made.append(f"xt:B:I,{call.cut[0]},{call.cut[1]}")
    if call.barcode:
        made.append(f"BC:Z:{call.barcode}")
    if record.parent:
        made += [f"pi:Z:{printable(record.parent)}", f"sp:i:{record.parent_start}"]
    if (tail := call.tail) is not None:
        # the last two are of a second tail, as of plasmids
        made += [
            f"pt:i:{tail.length}",
            f"pa:B:i,{tail.anchor},{tail.start},{tail.end},-1,-1",
            f"tq:f:{tail.quality:.2f}",
        ]
    return [*made, f"RG:Z:{group_id(record, model, call.barcode)}"] if model else made


def move_tag(call: Call) -> str:
    """Return the tag `mv`: the stride, then for each block 1 where a base begins; see `decode.move_table`."""
    letters = np.full(2 * len(call.moves), ord(","), np.uint8)
    letters[1::2] = call.moves + ord("0")  # one digit each; joining strings is ten times slower
    return f"mv:B:c,{call.stride}" + letters.tobytes().decode("ascii")


UNMAPPED, REVERSE, SUPPLEMENTARY = 4, 16, 2048  # bits of the flag
# tags with a value per base or sample of the whole read, which are not valid for a part of it
OF_WHOLE = {
    "mv",
    "ts",
    "ns",
    "sp",
    "pa",
    "MM",
    "ML",
    "MN",
    "Mm",
    "Ml",
    "OQ",
    "BQ",
    "BI",
    "BD",
    "CQ",
    "CS",
    "E2",
    "U2",
    "FZ",
}
OF_WHOLE |= {"fi", "fp", "ri", "rp", "ip", "pw"}


def name_fault(name: str) -> str | None:
    """Return why SAM cannot hold a read id, or None: it allows 1 to 254 characters of [!-?A-~].

    >>> name_fault("r1"), name_fault("r@1"), name_fault("r" * 255)
    (None, "read id with '@', which SAM does not allow", 'read id of 255 characters; SAM allows 254')
    """
    if len(name) > 254:
        return f"read id of {len(name)} characters; SAM allows 254"
    odd = re.search("[^!-?A-~]", name)
    return f"read id with {odd[0]!r}, which SAM does not allow" if odd else None


def sam_text(call: Call, model: str = "", hits: Sequence[Any] | None = None, moves: bool = True) -> str:
    """Return a call as lines of SAM.

    Parameters
    ----------
    call : Call.
    model : str: name of the model, for the read group.
    hits : `mappy.Alignment` of the primary alignment and the supplementary ones; None or empty: an unmapped record.
    moves : bool: write the move table, in the direction of the signal on both strands.
    """
    own = [*tags(call, model), *([move_tag(call)] if moves else [])]
    return sam_lines(call.read_id, call.bases, quality_letters(call.quals), own, hits or (), scored=True)


def sam_lines(
    name: str, bases: str, letters: str, tags: Sequence[str], hits: Sequence[Any], *, scored: bool = False
) -> str:
    """Return a read as lines of SAM: one if unmapped, else one per alignment, supplementary ones hard-clipped.

    Tags with a value per base or sample, such as the move table and `MM`, are written to the primary record only, since
    they would count other bases of a clipped read.

    Parameters
    ----------
    name, bases, letters : str: the read in the direction of its signal; letters "*" without qualities.
    tags : str: SAM tags of the whole read.
    hits : `mappy.Alignment` of the primary alignment and the supplementary ones.
    scored : bool: write the tag `AS`, by the preset map-ont.
    """
    if not hits:
        return "\t".join([name, str(UNMAPPED), "*", "0", "0", "*", "*", "0", "0", bases or "*", letters, *tags]) + "\n"
    lines = []
    for number, hit in enumerate(hits):
        forward = hit.strand > 0
        first, last = (0, len(bases)) if number == 0 else (hit.q_st, hit.q_en)
        part, quals = bases[first:last], letters if letters == "*" else letters[first:last]
        flag = (0 if forward else REVERSE) | (SUPPLEMENTARY if number else 0)
        others = "".join(_place(len(bases), other) for other in hits if other is not hit)
        strand = {1: "+", -1: "-"}.get(getattr(hit, "trans_strand", 0))
        about = [f"NM:i:{hit.NM}", *([f"AS:i:{score(hit)}"] if scored else []), f"MD:Z:{hit.MD}"]
        about += [f"SA:Z:{others}"] * bool(others) + [f"ts:A:{strand}"] * bool(strand)
        # ts:i, samples trimmed, and ts:A, the strand of a transcript, have the same name
        own = [tag for tag in tags if not (tag.startswith("ts:") and strand)]
        own = own if number == 0 else [tag for tag in own if tag[:2] not in OF_WHOLE]
        if number == 0 and not forward:
            own = [f"{tag[:5]}{tag[:4:-1]}" if tag[:2] in TURNED else tag for tag in own]
        fields = [name, str(flag), hit.ctg, str(hit.r_st + 1), str(hit.mapq),
                  cigar(len(bases), hit, "H" if number else "S"), "*", "0", "0",
                  part if forward else reverse_complement(part), quals if forward else quals[::-1]]  # fmt: skip
        lines.append("\t".join([*fields, *about, *own]) + "\n")
    return "".join(lines)


def score(hit: Any) -> int:
    """Return the score of an alignment by minimap2's preset map-ont, which mappy does not report.

    A match scores 2, a mismatch -4, an ambiguous base -1, and a gap of n bases costs the smaller of 4 + 2 n and 24 + n
    (Li 2018, and the defaults of minimap2).
    """
    gaps = [length for length, kind in hit.cigar if kind in (1, 2)]  # insertions and deletions
    mismatches, ambiguous = hit.blen - hit.mlen - sum(gaps), hit.NM - (hit.blen - hit.mlen)
    costs = sum(min(4 + 2 * length, 24 + length) for length in gaps)
    return int(2 * hit.mlen - 4 * mismatches - ambiguous - costs)


def cigar(length: int, hit: Any, clip: str = "S") -> str:
    """Return the CIGAR of a read of `length` bases, in the direction of the reference; `clip` is S or H."""
    before, after = hit.q_st, length - hit.q_en
    if hit.strand < 0:
        before, after = after, before
    return (f"{before}{clip}" if before else "") + hit.cigar_str + (f"{after}{clip}" if after else "")


def _place(length: int, hit: Any) -> str:
    return f"{hit.ctg},{hit.r_st + 1},{'+' if hit.strand > 0 else '-'},{cigar(length, hit)},{hit.mapq},{hit.NM};"


def sam_header(
    groups: Iterable[Mapping[str, str]],
    references: Iterable[tuple[str, int]] = (),
    command: str = "",
    comments: Iterable[str] = (),
    engine: str = "",
) -> str:
    """Return the header: version, reference sequences, read groups and the program with its command line and engine.

    Parameters
    ----------
    groups : fields of each `@RG` line, from `read_group`.
    references : name and length of each sequence, in the order of the file.
    command : str: the command line.
    comments : str: text of each `@CO` line.
    engine : str: `Caller.engine`.
    """
    program = {"ID": "basecaller", "PN": "biorrn", "VN": __version__, "CL": printable(command)}
    program["DS"] = f"engine: {engine}" if engine else ""
    lines = ["@HD\tVN:1.6\tSO:unknown"]
    lines += [f"@SQ\tSN:{name}\tLN:{length}" for name, length in references]
    lines += ["\t".join(["@RG", *(f"{name}:{value}" for name, value in group.items())]) for group in groups]
    lines.append("\t".join(["@PG", *(f"{name}:{value}" for name, value in program.items() if value)]))
    lines += [f"@CO\t{printable(comment)}" for comment in comments]
    return "".join(line + "\n" for line in lines)


def write_packed(
    path: str, header: str, texts: Iterable[str], kind: str, threads: int = 1, reference: Path | None = None
) -> None:
    """Write BAM or CRAM through htslib; `-` is standard output.

    Parameters
    ----------
    path : str.
    header, texts : SAM text.
    kind : str: "bam" or "cram".
    threads : int: threads that compress.
    reference : FASTA file of the alignments, which CRAM needs.

    Raises
    ------
    BiorrnError: the output is a terminal, or the disk is full.
    """
    import pysam

    with contextlib.ExitStack() as stack:
        if path == "-":
            if sys.stdout.isatty():
                raise BiorrnError(f"-o -: {kind.upper()} is binary; name a file, or pipe it into another program")
            final = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="biorrn."))) / f"calls.{kind}"
        else:
            final = stack.enter_context(atomic_path(path))
        if kind == "cram" and reference is not None:
            header = stack.enter_context(found_by_checksum(header, reference))
        mode = "wb" if kind == "bam" else "wc"
        head = pysam.AlignmentHeader.from_text(header)
        try:
            with pysam.AlignmentFile(str(final), mode, header=head, threads=threads) as packed:
                for text in texts:
                    for line in text.rstrip("\n").split("\n"):  # only \n ends a line of SAM
                        packed.write(pysam.AlignedSegment.fromstring(line, head))
        except ValueError as error:
            name = line.partition("\t")[0]
            raise BiorrnError(f"{path}: the record of read '{name}' is not SAM: {error}") from error
        except OSError as error:
            raise BiorrnError(f"{path}: cannot be written: {error.strerror or error}") from error
        if path == "-":
            with open(final, "rb") as stream:
                shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()


@contextlib.contextmanager
def found_by_checksum(header: str, reference: Path) -> Iterator[str]:
    """Yield the header with MD5 and path of the reference on each `@SQ` line, by which readers of CRAM find it.

    Meanwhile htslib finds the sequences by their MD5 in a temporary folder, through REF_PATH. Given the FASTA file
    itself, it would write an index beside it, and a relative path into the header.
    """
    with tempfile.TemporaryDirectory(prefix="biorrn.") as folder, open_text(reference) as stream:
        sums: dict[str, str] = {}
        for name, lines in _sequences(stream):
            place = Path(folder) / "sequence"
            checksum = hashlib.md5(usedforsecurity=False)
            try:
                with open(place, "wb") as plain:
                    for bases in lines:
                        checksum.update(bases)
                        plain.write(bases)
            except OSError as error:
                reason = disk_fault(error)
                if reason is None:
                    raise
                # else the error would name the reference
                raise BiorrnError(f"{folder}: cannot be written: {reason}; TMPDIR may name another place") from error
            sums[name] = checksum.hexdigest()
            place.rename(Path(folder) / sums[name])
        found = []
        for line in header.splitlines():
            if line.startswith("@SQ\t"):
                known = line.split("\t")[1].removeprefix("SN:")
                line += f"\tM5:{sums[known]}\tUR:{printable(str(reference.resolve()))}"
            found.append(line + "\n")
        before = os.environ.get("REF_PATH")
        os.environ["REF_PATH"] = f"{folder}/%s"
        try:
            yield "".join(found)
        finally:
            if before is None:
                del os.environ["REF_PATH"]
            else:
                os.environ["REF_PATH"] = before


def _sequences(stream: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield name and lines of each sequence of a FASTA file; the lines must be consumed before the next sequence."""
    for header, lines in itertools.groupby(stream, key=lambda line: line.startswith(">")):
        if header:
            name = list(lines)[-1][1:].split()[0]
        else:
            yield name, ("".join(line.split()).upper().encode() for line in lines)
