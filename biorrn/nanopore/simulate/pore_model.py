"""Pore model: level, spread, noise and dwell of the current of each k-mer; reader and writer of its table.

Levels are in units of the read, (current - median) / (1.4826 x MAD), so a table serves reads of any offset and gain;
the header has the picoamperes of both. K-mers are written 5' to 3', the order in which DNA passes the pore.
"""

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from biorrn.base.errors import InputError
from biorrn.base.files import open_text, write_text
from biorrn.base.lookup import lookup
from biorrn.sequences.alphabets import BASES

DEFAULT = "dna_r9.4.1_6mer"
SHIPPED = Path(__file__).parent / "pore_models"
COLUMNS = ("kmer", "level", "spread", "noise", "dwell", "dwell_shape", "events", "flag")
FLAGS = ("", "few", "none")  # few: mostly the estimate of the additive model; none: entirely
SIZES = range(2, 10)  # allowed k

HELP = """level: mean current of an event; spread: standard deviation of events about it (robust); noise: standard
deviation of samples within an event; all three in units of the read: of medmad (current - median) / (1.4826 x MAD)
dwell: mean samples an event; dwell_shape: standard deviation of the logarithm of the dwell (log-normal)
events: how many the row was estimated from; flag few or none: so few that it leans or rests on an additive model
an event belongs to the k-mer whose base number `centre` (from 0) stands in it; k-mers are written 5' to 3'"""


@dataclass(frozen=True, slots=True)
class Device:
    """Parameters beside the k-mer table: variation between reads, and noise of the current.

    Attributes
    ----------
    sample_rate : float: samples a second (Hz).
    shift, scale : float: picoamperes: median of a read and 1.4826 x its MAD, averaged over reads.
    shift_sd, scale_sd : float: their standard deviations over reads, picoamperes.
    speed_sd : float: standard deviation over reads of the logarithm of their mean dwell.
    noise_ar : tuple of float: coefficients of the autoregressive noise within events, lag 1 first.
    drift_sd, drift_memory : float: correlated part of the spread: standard deviation, and its correlation from one
        event to the next.
    tail : float: degrees of freedom of Student's t that the events follow about their level.
    """

    sample_rate: float = 4000.0
    shift: float = 82.0
    scale: float = 15.4
    shift_sd: float = 2.6
    scale_sd: float = 0.8
    speed_sd: float = 0.15
    noise_ar: tuple[float, ...] = ()
    drift_sd: float = 0.0
    drift_memory: float = 0.0
    tail: float = 30.0


@dataclass(frozen=True, slots=True)
class PoreModel:
    """One row a k-mer, in the order of `kmers(k)`; see `HELP` for units.

    Attributes
    ----------
    k, centre : int: bases in a k-mer, and the base that an event belongs to, from 0.
    level, spread, noise, dwell, dwell_shape : float64 arrays (4**k,).
    events, flag : int64 arrays (4**k,): `flag` is an index into `FLAGS`.
    device : Device.
    notes : dict of str: further lines of the header, such as source and licence.
    """

    k: int
    centre: int
    level: np.ndarray
    spread: np.ndarray
    noise: np.ndarray
    dwell: np.ndarray
    dwell_shape: np.ndarray
    events: np.ndarray
    flag: np.ndarray
    device: Device = field(default_factory=Device)
    notes: dict[str, str] = field(default_factory=dict)


def kmers(k: int) -> list[str]:
    """Return every k-mer in the order of a pore model: alphabetical.

    >>> kmers(2)[:5]
    ['AA', 'AC', 'AG', 'AT', 'CA']
    """
    return ["".join(letters) for letters in product(BASES[1:5], repeat=k)]


def kmer_index(bases: np.ndarray, k: int) -> np.ndarray:
    """Return the row of the k-mer that starts at each base, int64 (L - k + 1,), of codes 1..4 (L,).

    >>> kmer_index(np.array([1, 1, 2, 4]), 2)
    array([0, 1, 7])
    """
    index = np.zeros(max(0, len(bases) - k + 1), np.int64)
    for place in range(k):
        index = index * 4 + (bases[place : place + len(index)].astype(np.int64) - 1)
    return index


def shipped_pore_models() -> list[str]:
    """Return the ids of the pore models in the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.tsv"))


def load_pore_model(name: str | Path) -> PoreModel:
    """Return a pore model by the id of a shipped one or by its file.

    Raises
    ------
    ConfigError: neither a file nor the id of a shipped pore model.
    InputError: the file is damaged.
    """
    if str(name) in shipped_pore_models():
        return read_pore_model(SHIPPED / f"{name}.tsv")
    if Path(name).suffix or Path(name).exists():
        return read_pore_model(name)
    return read_pore_model(
        lookup({known: SHIPPED / f"{known}.tsv" for known in shipped_pore_models()}, str(name), "--pore-model")
    )


def write_pore_model(path: str | Path, model: PoreModel) -> None:
    """Write a pore model as TSV: header lines of `#` with units and parameters, then a row per k-mer."""
    device = {
        name: " ".join(f"{part:.5g}" for part in value) if isinstance(value, tuple) else f"{value:.5g}"
        for name in Device.__dataclass_fields__
        for value in [getattr(model.device, name)]
    }
    with write_text(path) as out:
        for line in f"biorrn pore model\n{HELP}".splitlines():
            print("#", line, file=out)
        for key, text in {"k": model.k, "centre": model.centre, **device, **model.notes}.items():
            print(f"# {key}: {text}", file=out)
        print(*COLUMNS, sep="\t", file=out)
        for row, kmer in enumerate(kmers(model.k)):
            numbers = (model.level[row], model.spread[row], model.noise[row])
            dwell = f"{model.dwell[row]:.2f}\t{model.dwell_shape[row]:.3f}"
            flag = FLAGS[model.flag[row]]
            print(kmer, *(f"{x:.4f}" for x in numbers), dwell, model.events[row], flag, sep="\t", file=out)


def read_pore_model(path: str | Path) -> PoreModel:
    """Return the pore model of a TSV file written by `write_pore_model`.

    Raises
    ------
    InputError: the file is not a pore model, a k-mer is missing, or a number is invalid or out of range.
    """
    with open_text(path) as file:
        lines = file.read().splitlines()
    head = [line[1:].strip() for line in lines if line.startswith("#")]
    if not head or head[0] != "biorrn pore model":
        raise InputError(path, "not a pore model: the first line is not '# biorrn pore model'")
    facts = {key: text.strip() for key, colon, text in (line.partition(":") for line in head) if colon}
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(path, f"found the columns {', '.join(rows[0])[:100] if rows else ''}; needed: {COLUMNS}")
    try:
        k, centre = int(facts["k"]), int(facts["centre"])
        device = _device(facts)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(path, f"the header cannot be used: {error}") from error
    if fault := _device_fault(device):
        raise InputError(path, f"the header cannot be used: {fault}")
    if k not in SIZES or not 0 <= centre < k:
        raise InputError(path, f"found k {k} and centre {centre}; allowed is k {SIZES[0]} to {SIZES[-1]}, centre < k")
    if [row[0] for row in rows[1:]] != kmers(k):
        raise InputError(path, f"found {len(rows) - 1} rows; expected all {4**k} {k}-mers in alphabetical order")
    try:
        table = np.array([row[1:6] for row in rows[1:]], np.float64).T
        events = np.array([int(row[6]) for row in rows[1:]])
        flag = np.array([FLAGS.index(row[7]) for row in rows[1:]])
    except (ValueError, IndexError) as error:
        raise InputError(path, f"a row cannot be used: {error}") from error
    if not np.isfinite(table).all() or (table[1:] < 0).any() or (table[3] <= 0).any():
        raise InputError(path, "holds a number out of range; allowed are finite ones, spreads >= 0 and dwells > 0")
    level, spread, noise, dwell, shape = table
    return PoreModel(k, centre, level, spread, noise, dwell, shape, events, flag, device, _notes(facts))


def _device(facts: dict[str, str]) -> Device:
    found = {name: facts[name].split() for name in Device.__dataclass_fields__}
    numbers = {
        name: tuple(map(float, words)) if name == "noise_ar" else float(words[0]) for name, words in found.items()
    }
    return Device(**numbers)  # type: ignore[arg-type]


def _device_fault(device: Device) -> str | None:
    """Return which parameter is out of range, as words, or None."""
    if not (device.sample_rate > 0 and device.scale > 0):
        return f"found sample_rate {device.sample_rate:g} and scale {device.scale:g}; allowed is above 0"
    if not (min(device.shift_sd, device.scale_sd, device.speed_sd, device.drift_sd) >= 0 and np.isfinite(device.shift)):
        return "found a standard deviation or shift out of range; allowed are finite numbers, deviations 0 or more"
    if not sum(map(abs, device.noise_ar)) < 1:
        return f"found noise_ar {device.noise_ar}; its absolute values must sum to less than 1"
    if not (0 <= device.drift_memory < 1 and device.tail > 2):
        return f"found drift_memory {device.drift_memory:g} and tail {device.tail:g}; allowed is 0 to 1 and above 2"
    return None


def _notes(facts: dict[str, str]) -> dict[str, str]:
    known = {"k", "centre", *Device.__dataclass_fields__}
    helped = {line.partition(":")[0] for line in HELP.splitlines()}
    return {key: text for key, text in facts.items() if key not in known | helped}
