"""Simulated reads: from bases to the digitised current of a nanopore, with the truth beside it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from biorrn.encoders.bases import encode_bases
from biorrn.errors import BiorrnError, ConfigError
from biorrn.readers.chemistry import chemistry_tags
from biorrn.readers.records import ReadLabels, SignalRecord
from biorrn.simulation.genome import Fragment, draw_fragment
from biorrn.simulation.noise import Wander
from biorrn.simulation.pore_model import PoreModel, kmer_index

# what stands before and behind the strand: the leader and the tail of ONT's ligation adapter, whose sequence is public
ADAPTER = encode_bases("AATGTACTTCGTTCAGTTACGTATTGCT")
TAIL = encode_bases("GCAATACGTAACTGAACGAAGT")
STALL, STALL_SHAPE = 0.09, 0.5  # seconds that a strand waits before it moves: median, and standard deviation of the log
STALL_LEVEL, STALL_NOISE = 0.05, 0.13  # its current in units of the read, as in 50 real reads
DIGITISATION, RANGE = 8192.0, 1497.77  # of a MinION: the scale is RANGE / DIGITISATION picoamperes
SCALE = float(np.float32(RANGE / DIGITISATION))  # POD5 keeps it as float32; the three formats are to agree
OFFSETS = (0.0, 13.0)  # of the channels, uniform, whole numbers as the device has them
ADC = (-4096, 4095)
CHANNELS = 512
RUN_ID = "51a01a7ed51a01a7ed51a01a7ed51a01a7ed0000"
SIMULATED = "simulated"  # stands where a real file names its flow cell and kit
SPACE = uuid.UUID("6f0d1c1e-5a71-4b0e-9a3c-51a01a7ed000")  # of the read ids


@dataclass(frozen=True, slots=True)
class Settings:
    """What a simulation may vary.

    Attributes
    ----------
    length_mean, length_shape : float: of the gamma distribution of fragment lengths, bases.
    noise : float: factor on noise, jitter and drift; 0 gives the bare levels.
    speed : float or None: bases a second on average; None: as the pore model has it.
    """

    length_mean: float = 4000.0
    length_shape: float = 2.0
    noise: float = 1.0
    speed: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges; what is wrong is a ConfigError."""
        for name, value in (("--length-mean", self.length_mean), ("--length-shape", self.length_shape)):
            if not 0 < value < 1e9:
                raise ConfigError(f"{name}: found {value:g}; allowed is above 0")
        if not 0 <= self.noise <= 10:
            raise ConfigError(f"--noise: found {self.noise:g}; allowed is 0 to 10")
        if self.speed is not None and not 1 <= self.speed <= 4000:
            raise ConfigError(f"--speed: found {self.speed:g}; allowed is 1 to 4000 bases a second")


class Simulator:
    """Makes reads of a pore model; read n of a seed is the same whatever else is made."""

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
        self._log_dwell = np.log(np.maximum(model.dwell * factor, 1.0)) - shape**2 / 2  # of the median

    def read(self, number: int, fragment: Fragment, rng: np.random.Generator) -> tuple[SignalRecord, ReadLabels]:
        """Return the record and the labels of one read of a fragment."""
        device = self.model.device
        lead = rng.lognormal(np.log(STALL), STALL_SHAPE) * device.sample_rate
        stall = STALL_LEVEL + self.settings.noise * STALL_NOISE * rng.standard_normal(max(1, int(lead)))
        bases = np.concatenate([ADAPTER, fragment.bases, TAIL])
        current, edges = self.current(bases, rng)
        units = np.concatenate([stall.astype(np.float32), current])
        shift = device.shift + device.shift_sd * rng.standard_normal()
        scale = device.scale * np.exp(device.scale_sd / device.scale * rng.standard_normal())
        offset = float(rng.integers(int(OFFSETS[0]), int(OFFSETS[1]) + 1))
        digits = units * np.float32(scale / SCALE) + np.float32(shift / SCALE - offset)
        raw = np.clip(np.rint(digits), *ADC).astype(np.int16)
        edges = edges[len(ADAPTER) : len(ADAPTER) + len(fragment.bases) + 1] + len(stall)
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
            kit=SIMULATED,
            end_reason="signal_positive",
            run_tags=chemistry_tags(self.model.notes.get("chemistry", "")),
        )
        place = (fragment.reference, fragment.start, fragment.end, fragment.strand)
        return record, ReadLabels(fragment.bases, edges[:-1], int(edges[-1]), *place)

    def current(self, bases: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the current of a strand, float32 (T,) in units of the read, and the edges of its bases (L + 1,).

        What stands outside the strand is drawn at random. A dwell is log-normal and at least one sample.
        """
        k, centre = self.model.k, self.model.centre
        outside = rng.integers(1, 5, k - 1).astype(np.uint8)
        kmers = kmer_index(np.concatenate([outside[:centre], bases, outside[centre:]]), k)
        speed = self.model.device.speed_sd * rng.standard_normal()
        logs = self._log_dwell[kmers] + self._shape[kmers] * rng.standard_normal(len(kmers)) - speed
        dwell = np.maximum(1, np.rint(np.exp(logs))).astype(np.int64)
        return self.wander.current(kmers, dwell, rng), np.concatenate([[0], np.cumsum(dwell)])


def simulate(
    genome: dict[str, np.ndarray],
    model: PoreModel,
    settings: Settings,
    *,
    reads: int | None = None,
    coverage: float | None = None,
    seed: int = 0,
) -> Iterator[tuple[SignalRecord, ReadLabels]]:
    """Yield simulated reads of both strands with their labels.

    Parameters
    ----------
    genome : name -> uint8 array (L,) of 1 A, 2 C, 3 G, 4 T, 0 unknown; see `simulation.genome`.
    model : PoreModel.
    settings : Settings.
    reads, coverage : int or float: how many reads, or how many times the bases of the genome; one of them.
    seed : int: the same gives the same reads; read n does not depend on how many are made.

    Raises
    ------
    ConfigError: neither or both of reads and coverage, or out of range.
    BiorrnError: the genome holds no stretch without unknown bases.
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
) -> Iterator[tuple[SignalRecord, ReadLabels]]:
    wanted = (coverage or 0) * sum(map(len, genome.values()))
    made, number = 0, 0
    while (number < reads) if reads is not None else (made < wanted):
        rng = np.random.default_rng([simulator.seed, 1, number])
        settings = simulator.settings
        fragment = draw_fragment(rng, genome, settings.length_mean, settings.length_shape)
        if fragment is None:
            raise BiorrnError(f"no fragment of about {settings.length_mean:g} bases without unknown ones was found")
        yield simulator.read(number, fragment, rng)
        made += len(fragment.bases)
        number += 1
