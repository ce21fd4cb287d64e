"""Simulated nanopore reads with their true bases, and tables of these."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, InputError, faults
from biorrn.base.files import open_text, write_text
from biorrn.nanopore.chemistry import chemistry_tags, identify
from biorrn.nanopore.labels.sources import TRUTH_COLUMNS
from biorrn.nanopore.readers.calls import parse_bases
from biorrn.nanopore.reads.kits import Kit
from biorrn.nanopore.simulate.current import Wander
from biorrn.nanopore.simulate.molecules import Ends, barcode_of, ends
from biorrn.nanopore.simulate.pore_model import PoreModel, kmer_index
from biorrn.sequences.alphabets import decode_bases, reverse_complement
from biorrn.sequences.fasta import fasta_records, first_word
from biorrn.sequences.records import ReadLabels, SignalRecord

TRIES = 100  # draws of a fragment without N
SHORTEST = 50  # bases of a fragment


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment of one strand.

    Attributes
    ----------
    bases : uint8 array (L,): 1 A, 2 C, 3 G, 4 T, 5' to 3' of the strand.
    reference : str; start, end : int: 0-based, half-open, on the forward strand; strand : str: "+" or "-".
    """

    bases: np.ndarray
    reference: str
    start: int
    end: int
    strand: str


def read_genome(path: str | Path) -> dict[str, np.ndarray]:
    """Return the sequences of a FASTA file of DNA by name, uint8 arrays (L,): 1 A, 2 C, 3 G, 4 T, 0 any other letter.

    Raises
    ------
    InputError: not FASTA, a repeated name, an empty sequence, or an invalid letter.
    """
    found: dict[str, np.ndarray] = {}
    with open_text(path) as file:
        for number, header, parts in fasta_records(enumerate(file, 1), path):
            name = first_word(header)
            if not name:
                raise InputError(path, f"line {number}: a header without a name; allowed is > and a name")
            if name in found:
                raise InputError(path, f"line {number}: the name is given twice; allowed is once", name)
            found[name] = _codes(path, name, "".join(map(str.strip, parts)))
    if not found:
        raise InputError(path, "the file is empty; expected FASTA of DNA")
    return found


def _codes(path: str | Path, name: str, letters: str) -> np.ndarray:
    if not letters:
        raise InputError(path, "the sequence is empty", name)
    with faults(path, name):
        return parse_bases(letters)


def random_genome(description: str, seed: int) -> dict[str, np.ndarray]:
    """Return one random sequence from LENGTH or LENGTH:GC, GC being the content from 0 to 1 (default 0.5).

    Raises
    ------
    ConfigError: invalid numbers.

    >>> random_genome("1000:1", 0)["random"].tolist().count(1)
    0
    """
    length, _, part = description.partition(":")
    try:
        size, gc = int(length), float(part) if part else 0.5
    except ValueError:
        size, gc = 0, 0.5
    if size < SHORTEST or not 0 <= gc <= 1:
        raise ConfigError(
            f"--random-genome: found '{description}'; allowed is LENGTH[:GC], {SHORTEST} bases or more, GC 0 to 1"
        )
    rng = np.random.default_rng([seed, 0])
    chances = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    return {"random": (rng.choice(4, size, p=chances) + 1).astype(np.uint8)}


def write_genome(path: str | Path, genome: dict[str, np.ndarray]) -> None:
    """Write sequences as FASTA, 80 bases a line."""
    with write_text(path) as out:
        for name, codes in genome.items():
            letters = decode_bases(codes)
            print(f">{name}", file=out)
            for start in range(0, len(letters), 80):
                print(letters[start : start + 80], file=out)


def draw_fragment(
    rng: np.random.Generator, genome: dict[str, np.ndarray], mean: float, shape: float
) -> Fragment | None:
    """Return a fragment of either strand, or None if none without N was found in `TRIES` draws.

    Lengths are gamma-distributed with the given mean and shape, between `SHORTEST` and the longest sequence; positions
    are uniform.
    """
    longest = max(map(len, genome.values()))
    for _ in range(TRIES):
        size = int(np.clip(rng.gamma(shape, mean / shape), min(SHORTEST, longest), longest))
        places = np.array([max(0, len(codes) - size + 1) for codes in genome.values()])
        place = int(rng.integers(places.sum()))
        which = int(np.searchsorted(np.cumsum(places), place, side="right"))
        name = list(genome)[which]
        start = place - int(places[:which].sum())
        bases = genome[name][start : start + size]
        forward = bool(rng.integers(2))
        if bases.all():
            strand = bases if forward else reverse_complement(bases)
            return Fragment(strand, name, start, start + size, "+" if forward else "-")
    return None


STALL, STALL_SHAPE = 0.09, 0.5  # seconds before a strand moves: median, and standard deviation of the log
STALL_LEVEL, STALL_NOISE = 0.05, 0.13  # current before it moves, in units of the read, as in 50 real reads
# Open pore between two molecules: seconds as of the stall, and current relative to the median of a strand. Of eight
# such public reads it lasted 0.2 to 15 ms, and much longer in two others; it was 1.9 to 2.8 times the median.
OPEN, OPEN_SHAPE, OPEN_RATIO = 0.003, 1.0, 2.4
DIGITISATION, RANGE = 8192.0, 1497.77  # of a MinION: the scale is RANGE / DIGITISATION picoamperes
SCALE = float(np.float32(RANGE / DIGITISATION))  # float32 as in POD5, so that all formats agree
OFFSETS = (0.0, 13.0)  # of the channels: uniform integers
ADC = (-4096, 4095)
CHANNELS = 512
RUN_ID = "51a01a7ed51a01a7ed51a01a7ed51a01a7ed0000"
SIMULATED = "simulated"  # in place of flow cell and kit
SPACE = uuid.UUID("6f0d1c1e-5a71-4b0e-9a3c-51a01a7ed000")  # of the read ids


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a simulation.

    Attributes
    ----------
    length_mean, length_shape : float: of the gamma distribution of fragment lengths, bases.
    noise : float: factor on noise, jitter and drift; 0 gives the bare levels.
    speed : float or None: mean bases per second; None: that of the pore model.
    kit : Kit or None: whose barcodes stand between adapter and fragment; see `molecules.barcode_of`.
    chimeras : float: share of the reads that hold a second molecule, behind open pore.
    poly_a : (int, int) or None: shortest and longest tail, bases; reads are then of cDNA with primers and a tail.
    """

    length_mean: float = 4000.0
    length_shape: float = 2.0
    noise: float = 1.0
    speed: float | None = None
    kit: Kit | None = None
    chimeras: float = 0.0
    poly_a: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        for name, value in (("--length-mean", self.length_mean), ("--length-shape", self.length_shape)):
            if not 0 < value < 1e9:
                raise ConfigError(f"{name}: found {value:g}; allowed is above 0")
        if not 0 <= self.noise <= 10:
            raise ConfigError(f"--noise: found {self.noise:g}; allowed is 0 to 10")
        if self.speed is not None and not 1 <= self.speed <= 4000:
            raise ConfigError(f"--speed: found {self.speed:g}; allowed is 1 to 4000 bases a second")
        if not 0 <= self.chimeras <= 1:
            raise ConfigError(f"--chimeras: found {self.chimeras:g}; allowed is 0 to 1")
        if self.poly_a is not None and not 0 < self.poly_a[0] <= self.poly_a[1] <= 5000:
            raise ConfigError(
                f"--poly-a: found {self.poly_a[0]}-{self.poly_a[1]}; allowed is 1-5000, the shorter first"
            )


@dataclass(frozen=True, slots=True)
class Truth(ReadLabels):
    """The labels of a simulated read, which are those of its first molecule, and what else is known of it.

    Attributes
    ----------
    barcode : str: "" without a kit.
    poly_a : int: bases of the tail; 0 for none.
    poly_a_span : (int, int): its samples, half-open; (-1, -1) for none.
    open_pore : (int, int): samples of open pore, behind which the second molecule begins; (-1, -1) for none.
    second : str: the place of the second molecule, NAME:START-END:STRAND as in `ReadLabels`.
    """

    barcode: str = ""
    poly_a: int = 0
    poly_a_span: tuple[int, int] = (-1, -1)
    open_pore: tuple[int, int] = (-1, -1)
    second: str = ""


class Simulator:
    """Simulator of reads by a pore model; read n of a seed does not depend on the others."""

    def __init__(self, model: PoreModel, settings: Settings, seed: int = 0) -> None:
        self.model = model
        self.settings = settings
        self.seed = seed
        self.wander = Wander(model, settings.noise)
        factor = 1.0
        if settings.speed is not None:
            factor = model.device.sample_rate / settings.speed / float(model.dwell.mean())
        shape = model.dwell_shape
        self._shape = shape
        self._tags = chemistry_tags(model.notes.get("chemistry", "")) | kit_tags(model, settings.kit)
        self._log_dwell = np.log(np.maximum(model.dwell * factor, 1.0)) - shape**2 / 2  # of the median

    def read(
        self, number: int, fragment: Fragment, rng: np.random.Generator, second: Fragment | None = None
    ) -> tuple[SignalRecord, Truth]:
        """Return the record and the truth of one read of a fragment, or of two with open pore between them."""
        device, settings = self.model.device, self.settings
        around = ends(settings.kit, settings.poly_a, self.seed, number)
        units, edges = self._molecule(fragment, around, rng)
        first = len(around.front)
        last = first + len(fragment.bases)
        tail = (first - around.poly_a, first) if around.turned else (last, last + around.poly_a)
        span = (int(edges[tail[0]]), int(edges[tail[1]])) if around.poly_a else (-1, -1)
        gap = (-1, -1)
        if second is not None:
            samples = max(1, round(rng.lognormal(np.log(OPEN), OPEN_SHAPE) * device.sample_rate))
            level = (OPEN_RATIO - 1) * device.shift / device.scale
            pore = level + settings.noise * STALL_NOISE * rng.standard_normal(samples)
            gap = (len(units), len(units) + samples)
            units = np.concatenate([units, pore.astype(np.float32), self._molecule(second, around, rng)[0]])
        shift = device.shift + device.shift_sd * rng.standard_normal()
        scale = device.scale * np.exp(device.scale_sd / device.scale * rng.standard_normal())
        offset = float(rng.integers(int(OFFSETS[0]), int(OFFSETS[1]) + 1))
        digits = units * np.float32(scale / SCALE) + np.float32(shift / SCALE - offset)
        raw = np.clip(np.rint(digits), *ADC).astype(np.int16)
        edges = edges[first : last + 1]
        record = SignalRecord(
            str(uuid.uuid5(SPACE, f"{self.seed}:{number}")),
            raw,
            offset=offset,
            scale=SCALE,
            sample_rate=device.sample_rate,
            channel=number % CHANNELS + 1,
            mux=number // CHANNELS % 4 + 1,
            read_number=number,
            start_time=int(60 * device.sample_rate) * number,
            run_id=RUN_ID,
            flow_cell=SIMULATED,
            kit=self._tags.get("sequencing_kit", SIMULATED),
            end_reason="signal_positive",
            run_tags=dict(self._tags),
        )
        place = (fragment.reference, fragment.start, fragment.end, fragment.strand)
        barcode = "" if settings.kit is None else barcode_of(settings.kit, self.seed, number)
        other = "" if second is None else f"{second.reference}:{second.start}-{second.end}:{second.strand}"
        labels = (fragment.bases, edges[:-1], int(edges[-1]), *place)
        return record, Truth(*labels, barcode, around.poly_a, span, gap, other)

    def _molecule(self, fragment: Fragment, around: Ends, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the current of a molecule behind its stall, float32 (T,) in units of the read, and edges (L + 1,)."""
        lead = rng.lognormal(np.log(STALL), STALL_SHAPE) * self.model.device.sample_rate
        stall = STALL_LEVEL + self.settings.noise * STALL_NOISE * rng.standard_normal(max(1, int(lead)))
        current, edges = self.current(np.concatenate([around.front, fragment.bases, around.rear]), rng)
        return np.concatenate([stall.astype(np.float32), current]), edges + len(stall)

    def current(self, bases: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the current of a strand, float32 (T,) in units of the read, and the edges of its bases (L + 1,).

        Bases outside the strand are random. Dwells are log-normal and at least one sample.
        """
        k, centre = self.model.k, self.model.centre
        outside = rng.integers(1, 5, k - 1).astype(np.uint8)
        kmers = kmer_index(np.concatenate([outside[:centre], bases, outside[centre:]]), k)
        speed = self.model.device.speed_sd * rng.standard_normal()
        logs = self._log_dwell[kmers] + self._shape[kmers] * rng.standard_normal(len(kmers)) - speed
        dwell = np.maximum(1, np.rint(np.exp(logs))).astype(np.int64)
        return self.wander.current(kmers, dwell, rng), np.concatenate([[0], np.cumsum(dwell)])


def kit_tags(model: PoreModel, kit: Kit | None) -> dict[str, str]:
    """Return the metadata that name a kit; {} without one, and where it is for another chemistry than the pore model.

    Such reads would be refused as contradictory.
    """
    tags = {} if kit is None else {"sequencing_kit": kit.name}
    return {} if identify(chemistry_tags(model.notes.get("chemistry", "")) | tags).conflict else tags


def simulate(
    genome: dict[str, np.ndarray],
    model: PoreModel,
    settings: Settings,
    *,
    reads: int | None = None,
    coverage: float | None = None,
    seed: int = 0,
) -> Iterator[tuple[SignalRecord, Truth]]:
    """Yield simulated reads of both strands with their labels.

    Parameters
    ----------
    genome : name -> uint8 array (L,): 1 A, 2 C, 3 G, 4 T, 0 unknown; see `read_genome`.
    reads, coverage : int or float: number of reads, or fold coverage of the genome; give exactly one.
    seed : int: read n of a seed does not depend on the number of reads.

    Raises
    ------
    ConfigError: neither or both of reads and coverage, or out of range.
    BiorrnError: the genome has no stretch without unknown bases.
    """
    if (reads is None) == (coverage is None):
        raise ConfigError("--reads and --coverage: give exactly one of them")
    if reads is not None and reads < 1:
        raise ConfigError(f"--reads: found {reads}; allowed is 1 or more")
    if coverage is not None and not 0 < coverage <= 1e6:
        raise ConfigError(f"--coverage: found {coverage:g}; allowed is above 0, to 1e6")
    return _simulate(genome, Simulator(model, settings, seed), reads, coverage)


def _simulate(
    genome: dict[str, np.ndarray], simulator: Simulator, reads: int | None, coverage: float | None
) -> Iterator[tuple[SignalRecord, Truth]]:
    wanted = (coverage or 0) * sum(map(len, genome.values()))
    made, number = 0, 0
    while (number < reads) if reads is not None else (made < wanted):
        rng = np.random.default_rng([simulator.seed, 1, number])
        settings = simulator.settings
        fragment = _fragment(rng, genome, settings)
        chimera = (
            settings.chimeras > 0 and np.random.default_rng([simulator.seed, 4, number]).random() < settings.chimeras
        )
        second = _fragment(rng, genome, settings) if chimera else None
        yield simulator.read(number, fragment, rng, second)
        made += len(fragment.bases)
        number += 1


def _fragment(rng: np.random.Generator, genome: dict[str, np.ndarray], settings: Settings) -> Fragment:
    found = draw_fragment(rng, genome, settings.length_mean, settings.length_shape)
    if found is None:
        raise BiorrnError(f"no fragment of about {settings.length_mean:g} bases without unknown ones was found")
    return found


@contextlib.contextmanager
def open_truth(path: str | Path, settings: Settings | None = None) -> Iterator[Callable[[str, ReadLabels], None]]:
    """Open a truth table for writing; yields a function of read id and labels.

    With settings that ask for them it has the columns `barcode`; `poly_a` (bases), `poly_a_start` and `poly_a_end`
    (samples); `open_pore_start` and `open_pore_end` (samples) and `second`, see `Truth`. `biorrn prepare signal
    --labels truth` reads it; a name that ends in .gz is compressed.
    """
    asked = settings or Settings()
    extra: list[tuple[tuple[str, ...], Callable[[Truth], tuple[object, ...]]]] = []
    if asked.kit is not None:
        extra.append((("barcode",), lambda truth: (truth.barcode,)))
    if asked.poly_a is not None:
        extra.append((("poly_a", "poly_a_start", "poly_a_end"), lambda truth: (truth.poly_a, *truth.poly_a_span)))
    if asked.chimeras > 0:
        extra.append((("open_pore_start", "open_pore_end", "second"), lambda truth: (*truth.open_pore, truth.second)))
    with write_text(path) as out:
        print(*TRUTH_COLUMNS, *(name for names, _ in extra for name in names), sep="\t", file=out)

        def write(read_id: str, labels: ReadLabels) -> None:
            place = (labels.reference, labels.ref_start, labels.ref_end, labels.strand)
            starts = ",".join(map(str, labels.starts.tolist()))
            cells = [cell for _, of in extra for cell in of(labels)]  # type: ignore[arg-type]
            print(read_id, *place, decode_bases(labels.bases), starts, labels.end, *cells, sep="\t", file=out)

        yield write
