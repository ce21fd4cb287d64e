"""Assembly of reads by standard programs: minimap2 (overlaps), miniasm (layout), racon (consensus).

minimap2 and miniasm: Li 2016, Bioinformatics 32:2103. racon: Vaser et al. 2017, Genome Research 27:737.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.base.errors import BiorrnError, InputError, OnProblem, stop
from biorrn.base.files import atomic_path, open_text, scratch_folder, write_text
from biorrn.base.terminal import plural
from biorrn.nanopore.alignment import Mapper
from biorrn.nanopore.readers.calls import called_reads, has_moves, none_usable, noted
from biorrn.sequences.fastq import first_line, read_bases
from biorrn.stats.counts import Counts
from biorrn.stats.figures import BLUE, GREY, RED, Drawing, draw, plain
from biorrn.stats.results import aligned_rows, bases_label, described

# program -> arguments that print its version
TOOLS: dict[str, tuple[str, ...]] = {"minimap2": ("--version",), "miniasm": ("-V",), "racon": ("--version",)}


def absent() -> list[str]:
    """Return the names of `TOOLS` that are not on PATH."""
    return [name for name in TOOLS if shutil.which(name) is None]


def versions() -> dict[str, str]:
    """Return program -> version of those of `TOOLS` that are on PATH; "" if unknown."""
    found = {}
    for name, words in TOOLS.items():
        if shutil.which(name) is None:
            continue
        try:
            done = subprocess.run([name, *words], capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            found[name] = ""
            continue
        printed = (done.stdout + done.stderr).split()
        found[name] = printed[-1] if printed and not done.returncode else ""
    return found


class Tools:
    """Runner of programs: their messages go to a log, the time of each step to `seconds`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.seconds: dict[str, float] = {}
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("")
        except OSError as error:
            raise BiorrnError(f"{log}: cannot be written: {error.strerror}") from error

    def run(self, step: str, words: Sequence[str | Path], output: Path) -> None:
        """Run a program with its standard output in a file.

        Raises
        ------
        BiorrnError: it cannot be started, or its exit code is not 0.
        """
        started = time.monotonic()
        name = str(words[0])
        with open(self.log, "a") as log, open(output, "wb") as out:
            print(f"# {step}: {' '.join(map(str, words))}", file=log, flush=True)
            try:
                done = subprocess.run([str(word) for word in words], stdout=out, stderr=log, stdin=subprocess.DEVNULL,
                                      check=False)  # fmt: skip
            except OSError as error:
                raise BiorrnError(f"{name}: cannot be started: {error.strerror}") from error
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        if done.returncode:
            raise BiorrnError(
                f"{name}: {_ending(done.returncode)} in the step '{step}'; its messages are in {self.log}"
            )


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was ended by {name}" + (", possibly out of memory," if name == "SIGKILL" else "")


CONTIGS, LAYOUT, LOG = "contigs.fasta", "layout.gfa", "log.txt"
# Options of miniasm, tried until one gives a layout. By default it drops reads covered by fewer than three others and
# unitigs of fewer than four reads, which may be all of a small genome at low depth; the second set keeps them.
LAYOUTS: tuple[tuple[str, ...], ...] = ((), ("-c", "1", "-e", "1"))
WIDTH = 80  # bases on a line of FASTA
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contig:
    """An assembled sequence; `circular` if its ends overlap."""

    name: str
    bases: str
    circular: bool


@dataclass(slots=True)
class Assembly:
    """Result of an assembly.

    Attributes
    ----------
    contigs : the longest first.
    lengths : bases of each input read.
    layout : options of miniasm that gave a layout; None if none did.
    rounds : finished rounds of consensus.
    seconds : step -> duration.
    skipped : why nothing was done; "" otherwise.
    left_out : int: reads that cannot be used.
    """

    contigs: list[Contig] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    layout: str | None = None
    rounds: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    left_out: int = 0


def assemble(
    reads: str | Path,
    folder: Path,
    *,
    rounds: int = 2,
    threads: int = 1,
    require_tools: bool = False,
    say: Say = lambda line: None,
    on_problem: OnProblem = stop,
) -> Assembly:
    """Assemble reads and write contigs and layout into a folder, each atomically.

    If a program is missing, nothing is done and both files are empty.

    Parameters
    ----------
    reads : FASTQ, FASTA, SAM, BAM or CRAM of called reads.
    rounds : int: of consensus by racon; 0 leaves the contigs as pieces of reads.
    require_tools : bool: raise an error if a program is missing.
    say : called with a line about each step.
    on_problem : called with what is wrong with a read that cannot be used, which is left out.

    Raises
    ------
    InputError: the reads cannot be read, or none of them can be used.
    BiorrnError: a program is missing and required, or fails; its messages are in `LOG` in the folder.
    """
    missing = absent()
    if missing:
        reason = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed (PATH)"
        if require_tools:
            raise BiorrnError(f"assemble: {reason}")
        if str(reads) != "-" and not Path(reads).exists():
            raise InputError(reads, "cannot be read: No such file or directory")
        _write(folder, [], None)
        return Assembly(skipped=reason)
    tools = Tools(folder / LOG)
    with scratch_folder(folder, "assemble") as work:
        problems: list[InputError] = []
        lengths = _copy(reads, work / "reads.fastq", noted(on_problem, problems))
        made = Assembly(lengths=lengths, seconds=tools.seconds)
        made.left_out = len(problems)
        if problems and not made.lengths:
            raise none_usable(problems)
        say(f"{len(made.lengths):,} reads, {sum(made.lengths):,} bases")
        _lay_out(work, made, tools, threads)
        contigs = _unitigs(work / "layout.gfa")
        if contigs:
            say(f"layout: {len(contigs)} contigs, {sum(len(contig.bases) for contig in contigs):,} bases")
        for number in range(1, rounds + 1 if contigs else 1):
            polished = _polish(work, contigs, tools, threads)
            if polished is None:
                say(f"round {number}: no read maps to the contigs")
                break
            contigs = polished
            made.rounds = number
            say(f"round {number}: {sum(len(contig.bases) for contig in contigs):,} bases")
        contigs.sort(key=lambda contig: -len(contig.bases))
        made.contigs = [
            Contig(f"contig_{number}", contig.bases, contig.circular) for number, contig in enumerate(contigs, 1)
        ]
        _write(folder, made.contigs, work / "layout.gfa" if contigs else None)
    return made


def _copy(reads: str | Path, path: Path, on_problem: OnProblem) -> list[int]:
    """Write reads as plain FASTQ with unique names; return their lengths."""
    lengths = []
    with open(path, "w") as stream:
        for number, (bases, letters) in enumerate(_bases(reads, on_problem), 1):
            if bases:
                letters = "5" * len(bases) if letters == "*" else letters
                stream.write(f"@read_{number}\n{bases}\n+\n{letters}\n")
                lengths.append(len(bases))
    return lengths


def _bases(reads: str | Path, on_problem: OnProblem) -> Iterator[tuple[str, str]]:
    """Yield bases and quality letters of each read; "*" for FASTA."""
    if str(reads) != "-" and not has_moves(reads):
        with open_text(reads) as stream:
            fasta = first_line(stream)[0].startswith(">")
        if fasta:
            yield from ((bases, "*") for _, bases in read_bases(reads, on_problem))
            return
    yield from ((read.bases, read.letters) for read in called_reads(reads, on_problem=on_problem))


def _lay_out(work: Path, made: Assembly, tools: Tools, threads: int) -> None:
    reads, overlaps, layout = work / "reads.fastq", work / "overlaps.paf", work / "layout.gfa"
    layout.write_text("")
    if not made.lengths:
        return
    tools.run("overlaps", ["minimap2", "-x", "ava-ont", "-t", str(threads), reads, reads], overlaps)
    for options in LAYOUTS if overlaps.stat().st_size else ():
        tools.run("layout", ["miniasm", *options, "-f", reads, overlaps], layout)
        if _unitigs(layout):
            made.layout = " ".join(options)
            return


def _unitigs(layout: Path) -> list[Contig]:
    """Return the sequences of a GFA file of miniasm, where names of circular ones end in c."""
    found = []
    with open(layout) as stream:
        for line in stream:
            cells = line.rstrip("\n").split("\t")
            if cells[0] == "S" and len(cells) > 2 and cells[2] not in ("", "*"):
                found.append(Contig(cells[1], cells[2], cells[1].endswith("c")))
    return found


def _polish(work: Path, contigs: list[Contig], tools: Tools, threads: int) -> list[Contig] | None:
    """Return the contigs after a round of consensus; None if no read maps to them."""
    reads, draft, places, out = (work / name for name in ("reads.fastq", "draft.fasta", "places.paf", "racon.fasta"))
    with open(draft, "w") as stream:
        stream.writelines(f">{contig.name}\n{contig.bases}\n" for contig in contigs)
    tools.run("mapping", ["minimap2", "-x", "map-ont", "-t", str(threads), draft, reads], places)
    if not places.stat().st_size:
        return None
    # -u keeps unpolished contigs; -q -1 also uses windows below Q10, half of them with many basecallers
    tools.run("consensus", ["racon", "-u", "-q", "-1", "-t", str(threads), reads, places, draft], out)
    circular = {contig.name: contig.circular for contig in contigs}
    found = []
    with open(out) as stream:
        for header in stream:
            name = header[1:].split()[0]
            found.append(Contig(name, stream.readline().strip(), circular.get(name, False)))
    return found


def _write(folder: Path, contigs: list[Contig], layout: Path | None) -> None:
    with write_text(folder / CONTIGS) as stream:
        for contig in contigs:
            stream.write(f">{contig.name} length={len(contig.bases)} circular={str(contig.circular).lower()}\n")
            stream.writelines(contig.bases[at : at + WIDTH] + "\n" for at in range(0, len(contig.bases), WIDTH))
    with atomic_path(folder / LAYOUT) as temporary:
        if layout is not None:
            shutil.copyfile(layout, temporary)


PRESETS = ("asm5", "asm10", "asm20")  # of minimap2, tried in this order
ENOUGH = 0.99  # of the contigs' bases
MOST = 1000  # contigs and alignments that are listed


def aligned_contigs(contigs: Iterable[Contig], mapper: Mapper) -> list[dict[str, Any]]:
    """Return the alignments of contigs: names, spans (0-based, half-open), strand, and columns by kind."""
    found = []
    for contig in contigs:
        for hit in mapper.hits(contig.bases):
            insertions, deletions = (sum(size for size, kind in hit.cigar if kind == gap) for gap in (1, 2))
            found.append({
                "contig": contig.name, "start": hit.q_st, "end": hit.q_en,
                "reference": hit.ctg, "reference_start": hit.r_st, "reference_end": hit.r_en,
                "strand": "+" if hit.strand > 0 else "-",
                "matches": hit.mlen, "columns": hit.blen,
                "mismatches": max(0, hit.blen - hit.mlen - insertions - deletions),
                "insertions": insertions, "deletions": deletions,
            })  # fmt: skip
    return found


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return the length of the union of spans.

    >>> covered([(0, 10), (5, 12), (20, 21)])
    13
    """
    total, reached = 0, -1
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def against(contigs: list[Contig], reference: Path) -> dict[str, Any]:
    """Return completeness and accuracy of contigs against a reference.

    Returns
    -------
    dict: preset; identity (NaN if nothing aligns); per_100_kb: mismatches, insertions and deletions in 100,000 columns;
    aligned_fraction of the bases of the contigs; reference_fraction covered; duplication: aligned bases of the contigs
    per covered base of the reference; alignments.

    Raises
    ------
    InputError: the reference cannot be used.
    """
    bases = sum(len(contig.bases) for contig in contigs)
    preset, on_contigs = PRESETS[0], -1
    rows: list[dict[str, Any]] = []
    for tried in PRESETS:
        mapper = Mapper(reference, tried)
        found = aligned_contigs(contigs, mapper)
        aligned = _covered(found, "contig", "start", "end")
        if aligned > on_contigs:
            preset, rows, on_contigs = tried, found, aligned
        if on_contigs >= ENOUGH * bases:
            break
    columns = sum(row["columns"] for row in rows)
    on_reference = _covered(rows, "reference", "reference_start", "reference_end")
    return {
        "path": str(reference),
        "bases": sum(mapper.lengths.values()),
        "preset": preset,
        "identity": sum(row["matches"] for row in rows) / columns if columns else float("nan"),
        "per_100_kb": {
            name: 1e5 * sum(row[name] for row in rows) / columns if columns else float("nan")
            for name in ("mismatches", "insertions", "deletions")
        },
        "aligned_fraction": on_contigs / bases if bases else float("nan"),
        "reference_fraction": on_reference / sum(mapper.lengths.values()),
        "duplication": on_contigs / on_reference if on_reference else float("nan"),
        "alignments": rows[:MOST],
        "sequences": [{"name": name, "length": length} for name, length in mapper.lengths.items()][:MOST],
    }


def _covered(rows: list[dict[str, Any]], name: str, start: str, end: str) -> int:
    places: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        places.setdefault(row[name], []).append((row[start], row[end]))
    return sum(covered(spans) for spans in places.values())


def describe_assembly(
    made: Assembly, *, reads: str | Path, reference: Path | None = None, name: str, note: str = ""
) -> dict[str, Any]:
    """Return the results of `biorrn assemble`; the key `skipped` is present only if nothing was done."""
    inputs = {"reads": reads} | ({"reference": reference} if reference is not None else {})
    content = described("assembly", name, inputs, note)
    lengths, sizes = Counts(), Counts()
    lengths.add(np.array(made.lengths, np.int64))
    sizes.add(np.array([len(contig.bases) for contig in made.contigs], np.int64))
    content |= {
        "counts": {
            "reads": lengths.total,
            "read_bases": lengths.sum,
            "read_n50": lengths.n50(),
            "contigs": len(made.contigs),
            "bases": sizes.sum,
            "n50": sizes.n50(),
            "longest": sizes.ends()[1],
            "circular": sum(contig.circular for contig in made.contigs),
        },
        "contigs": [
            {"name": contig.name, "length": len(contig.bases), "circular": contig.circular}
            for contig in made.contigs[:MOST]
        ],
        "tools": versions(),
        "layout_options": made.layout,
        "rounds": made.rounds,
        "seconds": {step: round(value, 3) for step, value in made.seconds.items()},
        "reference": None,
    }
    if made.skipped:
        return content | {"skipped": made.skipped}
    if made.left_out:
        content["cautions"].append(f"{plural(made.left_out, 'read')} cannot be used; the contigs are of the others.")
    if not made.contigs:
        content["cautions"].append(
            f"No contig was assembled from {lengths.total:,} reads with {lengths.sum:,} bases: too few of them overlap."
        )
    elif made.layout:
        content["cautions"].append(
            f"miniasm found no layout with its defaults; these contigs are from {made.layout}: stretches covered by a "
            "single read are not corrected."
        )
    if reference is not None and made.contigs:
        content["reference"] = against(made.contigs, reference)
    return content


def assembly_lines(content: dict[str, Any]) -> list[str]:
    """Return the results of `describe_assembly` as lines of text."""
    if "skipped" in content:
        return [f"skipped: {content['skipped']}"]
    counts, found = content["counts"], content["reference"]
    rows = [
        ("reads", f"{counts['reads']:,}"),
        ("bases in reads", f"{counts['read_bases']:,}"),
        ("contigs", f"{counts['contigs']:,}"),
        ("bases in contigs", f"{counts['bases']:,}"),
        ("contig N50", f"{counts['n50']:,}"),
        ("circular contigs", f"{counts['circular']:,}"),
    ]
    if found:
        rows += [
            ("identity", "-" if not np.isfinite(found["identity"]) else f"{100 * found['identity']:.3f} %"),
            *((f"{name} per 100 kb", f"{value:.1f}") for name, value in found["per_100_kb"].items()),
            ("contigs aligned", f"{100 * found['aligned_fraction']:.2f} %"),
            ("reference covered", f"{100 * found['reference_fraction']:.2f} %"),
        ]
    rows.append(("seconds", f"{sum(content['seconds'].values()):.1f}"))
    return [*aligned_rows(rows), *content["cautions"]]


SHOWN = 40  # contigs and reference sequences along an axis, the longest


def _lengths(contigs: list[dict[str, Any]], n50: int) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        lengths = np.array([contig["length"] for contig in contigs])
        axes.bar(np.arange(1, len(lengths) + 1), lengths, color=BLUE, width=0.8 if len(lengths) <= 100 else 1.0)
        axes.axhline(n50, color=RED, linewidth=1.2, linestyle="--", label=f"N50 {n50:,}")
        axes.legend(loc="upper right")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel="contig, the longest first", ylabel="length")

    return paint


def _offsets(rows: list[dict[str, Any]]) -> tuple[dict[str, int], int]:
    """Return name -> offset of each sequence when concatenated, and the total length."""
    starts = {}
    end = 0
    for row in rows:
        starts[str(row["name"])] = end
        end += int(row["length"])
    return starts, end


def _dots(content: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        found = content["reference"]
        sequences = sorted(found["sequences"], key=lambda row: -row["length"])[:SHOWN]
        across, width = _offsets(sequences)
        up, height = _offsets(content["contigs"][:SHOWN])
        for row in found["alignments"]:
            if row["reference"] in across and row["contig"] in up:
                x = [across[row["reference"]] + row[name] for name in ("reference_start", "reference_end")]
                y = [up[row["contig"]] + row[name] for name in ("start", "end")]
                forward = row["strand"] == "+"
                axes.plot(x, y if forward else y[::-1], color=BLUE if forward else RED, linewidth=2,
                          solid_capstyle="butt")  # fmt: skip
        for start in list(across.values())[1:]:
            axes.axvline(start, color=GREY, linewidth=0.6)
        for start in list(up.values())[1:]:
            axes.axhline(start, color=GREY, linewidth=0.6)
        one = sequences[0]["name"] if len(sequences) == 1 else f"{len(sequences)} sequences"
        few = f"{len(up)} contigs" if len(up) > 1 else "contig_1"
        axes.set(
            xlim=(0, width), ylim=(0, height), xlabel=plain(one if len(one) <= 40 else one[:37] + "..."), ylabel=few
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(bases_label))
            axis.set_major_locator(MaxNLocator(6))
        strands = {row["strand"] for row in found["alignments"]}
        looks = {"+": (BLUE, "same strand"), "-": (RED, "other strand")}
        handles = [
            Line2D([], [], color=colour, linewidth=2, label=label)
            for strand, (colour, label) in looks.items()
            if strand in strands
        ]
        if handles:
            figure.legend(handles=handles, loc="outside upper right", ncols=2)

    return paint


def assembly_figures(content: Mapping[str, Any]) -> list[Drawing]:
    """Return the figures of the results of `describe_assembly`; none if nothing was assembled."""
    if "skipped" in content or not content["contigs"]:
        return []
    drawings = []
    if len(content["contigs"]) > 1:
        shown = _lengths(content["contigs"], content["counts"]["n50"])
        drawings.append(draw("contigs", "Lengths of the contigs.", shown))
    if content["reference"]:
        found = content["reference"]
        identity = found["identity"]
        words = f", identity {100 * identity:.2f} %" if np.isfinite(identity) else ""
        caption = (
            f"Contigs on the reference: {100 * found['reference_fraction']:.2f} % of it is covered{words}. "
            f"Each line is an alignment by minimap2's preset {found['preset']}."
        )
        drawings.append(draw("dot_plot", caption, _dots(content), 4.4))
    return drawings
