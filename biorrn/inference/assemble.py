"""Reads to contigs by standard programs: minimap2 finds overlaps, miniasm lays out, racon makes the consensus.

minimap2 and miniasm: Li 2016, Bioinformatics 32:2103. racon: Vaser et al. 2017, Genome Research 27:737.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from biorrn.errors import BiorrnError, InputError
from biorrn.files import atomic_path, open_text, scratch_folder, write_text
from biorrn.inference.called_reads import PACKED, called_reads
from biorrn.readers.fastq import first_line
from biorrn.readers.nucleotides import read_bases

# program -> arguments that make it say its version
TOOLS: dict[str, tuple[str, ...]] = {"minimap2": ("--version",), "miniasm": ("-V",), "racon": ("--version",)}


def absent() -> list[str]:
    """Return the names of `TOOLS` that are not on PATH."""
    return [name for name in TOOLS if shutil.which(name) is None]


def versions() -> dict[str, str]:
    """Return program -> version of those of `TOOLS` that are on PATH; "" where one does not say it."""
    found = {}
    for name, words in TOOLS.items():
        if shutil.which(name) is None:
            continue
        try:
            done = subprocess.run([name, *words], capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            found[name] = ""
            continue
        said = (done.stdout + done.stderr).split()
        found[name] = said[-1] if said and not done.returncode else ""
    return found


class Tools:
    """Runs programs; what they say goes to a log, how long each step took to `seconds`.

    Parameters
    ----------
    log : Path: written anew.
    """

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
        BiorrnError: it cannot be started, or ends with another exit code than 0.
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
            raise BiorrnError(f"{name}: {_ending(done.returncode)} in the step '{step}'; what it said is in {self.log}")


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was ended by {name}" + (", perhaps for want of memory," if name == "SIGKILL" else "")


CONTIGS, LAYOUT, LOG = "contigs.fasta", "layout.gfa", "log.txt"
# Of miniasm, one after the other until something comes out. Its defaults drop reads that fewer than three others cover
# and unitigs of fewer than four reads: of a small genome at low depth, that may be all. The second keeps these.
LAYOUTS: tuple[tuple[str, ...], ...] = ((), ("-c", "1", "-e", "1"))
WIDTH = 80  # bases on a line of FASTA
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contig:
    """A sequence that was put together.

    Attributes
    ----------
    name, bases : str.
    circular : bool: its ends were laid onto one another.
    """

    name: str
    bases: str
    circular: bool


@dataclass(slots=True)
class Assembly:
    """What came out.

    Attributes
    ----------
    contigs : the longest first.
    lengths : bases of each read that went in.
    layout : options of miniasm that gave a layout; None where none did.
    rounds : rounds of consensus that were made.
    seconds : step -> how long it took.
    skipped : why nothing was done; "" where it was.
    """

    contigs: list[Contig] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    layout: str | None = None
    rounds: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: str = ""


def assemble(
    reads: str | Path,
    folder: Path,
    *,
    rounds: int = 2,
    threads: int = 1,
    require_tools: bool = False,
    say: Say = lambda line: None,
) -> Assembly:
    """Assemble reads, and write contigs and layout into a folder, where each appears whole.

    Without one of the programs nothing is done, and both files are empty.

    Parameters
    ----------
    reads : FASTQ, FASTA, SAM, BAM or CRAM of called reads.
    rounds : int: of consensus by racon; 0 leaves the contigs as pieces of reads.
    require_tools : bool: a program that is absent is an error.
    say : called with a line about each step.

    Raises
    ------
    InputError: the reads cannot be read.
    BiorrnError: a program is absent, where that is an error, or fails; its words are in `LOG` in the folder.
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
        made = Assembly(lengths=_copy(reads, work / "reads.fastq"), seconds=tools.seconds)
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


def _copy(reads: str | Path, path: Path) -> list[int]:
    """Write reads as plain FASTQ, the programs' common ground, under names that are unique; return their lengths."""
    lengths = []
    with open(path, "w") as stream:
        for number, (bases, letters) in enumerate(_bases(reads), 1):
            if bases:
                letters = "5" * len(bases) if letters == "*" else letters
                stream.write(f"@read_{number}\n{bases}\n+\n{letters}\n")
                lengths.append(len(bases))
    return lengths


def _bases(reads: str | Path) -> Iterator[tuple[str, str]]:
    """Yield bases and quality letters of each read; "*" where there are none, as in FASTA."""
    if str(reads) != "-" and Path(reads).suffix.lower() not in PACKED:
        with open_text(reads) as stream:
            fasta = first_line(stream)[0].startswith(">")
        if fasta:
            yield from ((bases, "*") for _, bases in read_bases(reads))
            return
    yield from ((read.bases, read.letters) for read in called_reads(reads))


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
    """Return the sequences of a GFA file of miniasm, whose names end in c where they are circles."""
    found = []
    with open(layout) as stream:
        for line in stream:
            cells = line.rstrip("\n").split("\t")
            if cells[0] == "S" and len(cells) > 2 and cells[2] not in ("", "*"):
                found.append(Contig(cells[1], cells[2], cells[1].endswith("c")))
    return found


def _polish(work: Path, contigs: list[Contig], tools: Tools, threads: int) -> list[Contig] | None:
    """Return the contigs after a round of consensus; None where no read maps to them."""
    reads, draft, places, out = (work / name for name in ("reads.fastq", "draft.fasta", "places.paf", "racon.fasta"))
    with open(draft, "w") as stream:
        stream.writelines(f">{contig.name}\n{contig.bases}\n" for contig in contigs)
    tools.run("mapping", ["minimap2", "-x", "map-ont", "-t", str(threads), draft, reads], places)
    if not places.stat().st_size:
        return None
    # -u keeps contigs that no read polishes; -q -1 uses windows below Q10 too, which of many basecallers are half
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
