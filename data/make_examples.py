"""Make every example in this folder again, the same each time: `python data/make_examples.py [FOLDER]`.

Nothing here was measured. `synthetic_stability.csv` holds made-up proteins with a made-up label; `simulated_reads/`
holds simulated nanopore reads of a made-up sequence, its `reference.fasta`. Only the pore model that the simulation
takes its levels from (`pore_model_r9.4.1_5mer.tsv`) was estimated from real reads, by `estimate_pore_model.py`.
"""

import csv
import sys
import uuid
from pathlib import Path

import numpy as np
from write_signal import DIGITISATION, OFFSET, RANGE, Read, write_blow5, write_fast5, write_pod5

HERE = Path(__file__).parent

# --- a synthetic protein property -------------------------------------------------------------------------------------

RESIDUES = "ARNDCQEGHILKMFPSTWYV"
# Kyte and Doolittle 1982
_HYDROPATHY = "1.8 -4.5 -3.5 -3.5 2.5 -3.5 -3.5 -0.4 -3.2 4.5 3.8 -3.9 1.9 2.8 -1.6 -0.8 -0.7 -0.9 -1.3 4.2"
# kcal/mol, low is helical: Pace and Scholtz 1998
_HELIX = "0 0.21 0.65 0.69 0.68 0.39 0.40 1 0.61 0.41 0.21 0.26 0.24 0.54 3.16 0.50 0.66 0.49 0.53 0.61"
HYDROPATHY = dict(zip(RESIDUES, map(float, _HYDROPATHY.split()), strict=True))
HELIX = dict(zip(RESIDUES, map(float, _HELIX.split()), strict=True))
CHARGE = {"K": 1, "R": 1, "D": -1, "E": -1}
POLAR, APOLAR = "DEKKRRQNSTEEGHP", "AAFILLMVVWY"  # a letter that stands twice is drawn twice as often


def synthetic_label(sequence: str) -> float:
    """Return the noiseless synthetic stability, in units of its own (about -3 to 3).

    1.5 x helical hydrophobic moment (100 degrees a residue) + 0.6 x mean hydropathy
    - 1.2 x (mean helix propensity, proline left out, - 0.5) - 0.08 x |net charge|
    - 0.4 x prolines more than 3 residues from both ends.
    """
    hydropathy = np.array([HYDROPATHY[residue] for residue in sequence])
    turn = np.exp(1j * np.deg2rad(100) * np.arange(len(sequence)))
    moment = abs((hydropathy * turn).sum()) / len(sequence)
    helix = float(np.mean([HELIX[residue] for residue in sequence if residue != "P"]))
    charge = abs(sum(CHARGE.get(residue, 0) for residue in sequence))
    label = 1.5 * moment + 0.6 * hydropathy.mean() - 1.2 * (helix - 0.5)
    return float(label - 0.08 * charge - 0.4 * sequence[3:-3].count("P"))


def synthetic_proteins(rng: np.random.Generator, number: int = 600) -> list[tuple[str, str, float, str]]:
    """Return rows of id, sequence, label with noise (standard deviation 0.15) and set.

    One of two alphabets is drawn from at each place, apolar with a chance that turns by 100 degrees a residue, more or
    less strongly in each protein; 15 % of the places hold any residue.
    """
    rows = []
    for index in range(number):
        length, amphipathy = int(rng.integers(30, 51)), rng.uniform(0, 1)
        phase, apolar = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.55)
        chances = apolar + amphipathy * np.cos(np.deg2rad(100) * np.arange(length) + phase)
        letters = [APOLAR if rng.random() < chance else POLAR for chance in chances]
        letters = [RESIDUES if rng.random() < 0.15 else choice for choice in letters]
        sequence = "".join(choice[rng.integers(len(choice))] for choice in letters)
        group = "train" if index < 0.75 * number else "valid" if index < 0.9 * number else "test"
        rows.append((f"SYNTHETIC_{index:04d}", sequence, synthetic_label(sequence) + rng.normal(0, 0.15), group))
    return rows


# --- simulated reads --------------------------------------------------------------------------------------------------

REFERENCE = "simulated_reference"
LENGTH = 20_000  # bases
HELD_OUT = (0, 3_000)  # the demo trains on reads outside this region and is judged inside
READS = 24  # of which every fourth lies in the held-out region
DWELL, SHAPE, SHORTEST = 10.0, 3.0, 3  # mean samples a base, shape of the gamma part of it, fewest samples a base
NOISE = 0.5  # noise and spread of the levels, as a part of what the real reads show: the demo is to learn in minutes
DRIFT, MEMORY = 0.05, 0.95  # correlated noise: standard deviation in MAD units, memory from sample to sample
MEDIAN, MAD = 83.0, 10.3  # picoamperes, as in the real reads

COLUMNS = ("level", "level_sd", "noise_sd")  # of the pore model
Levels = tuple[dict[str, float], dict[str, float], dict[str, float]]


def load_levels() -> Levels:
    """Return level, spread of the level and noise of each 5-mer, in MAD units."""
    with open(HERE / "pore_model_r9.4.1_5mer.tsv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    level, spread, noise = ({row["kmer"]: float(row[column]) for row in rows} for column in COLUMNS)
    return level, spread, noise


def draw(rng: np.random.Generator, size: int) -> str:
    """Return random DNA."""
    return "".join(rng.choice(list("ACGT"), size))


def simulate(rng: np.random.Generator, bases: str, levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Return the current of a stretch of DNA in MAD units and the first sample of each base."""
    level, spread, noise = levels
    padded = draw(rng, 2) + bases + draw(rng, 2)
    kmers = [padded[i : i + 5] for i in range(len(bases))]
    dwell = SHORTEST + rng.gamma(SHAPE, (DWELL - SHORTEST) / SHAPE, len(bases)).round().astype(int)
    means = np.array([level[kmer] + NOISE * spread[kmer] * rng.standard_normal() for kmer in kmers])
    white = np.repeat([NOISE * noise[kmer] for kmer in kmers], dwell) * rng.standard_normal(dwell.sum())
    drift, value = np.empty(len(white)), 0.0
    for index, step in enumerate(rng.standard_normal(len(white)) * DRIFT * np.sqrt(1 - MEMORY**2)):
        drift[index] = value = MEMORY * value + step
    return np.repeat(means, dwell) + white + drift, np.concatenate([[0], np.cumsum(dwell)[:-1]])


def simulated_reads(rng: np.random.Generator, reference: str) -> list[Read]:
    """Return reads of both strands; each lies wholly inside or wholly outside the held-out region.

    A read begins with a stall at the median and an adapter of 40 bases, and ends with 10 bases more; the truth
    names none of these.
    """
    levels = load_levels()
    reads = []
    for number in range(READS):
        size = int(rng.integers(1500, 2501))
        low, high = HELD_OUT if number % 4 == 3 else (HELD_OUT[1], len(reference))
        start = int(rng.integers(low, high - size + 1))
        bases, strand = reference[start : start + size], "+-"[number // 4 % 2]
        if strand == "-":
            bases = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
        stall = 0.1 * rng.standard_normal(int(rng.integers(200, 500)))
        adapter, current, tail = (simulate(rng, part, levels) for part in (draw(rng, 40), bases, draw(rng, 10)))
        whole = np.concatenate([stall, adapter[0], current[0], tail[0]])
        picoamperes = whole * MAD * rng.normal(1, 0.02) + rng.normal(MEDIAN, 1.5)  # reads differ a little
        raw = np.round(picoamperes * DIGITISATION / RANGE - OFFSET).astype(np.int16)
        lead = len(stall) + len(adapter[0])
        read_id, end = str(uuid.uuid5(uuid.NAMESPACE_OID, f"biorrn simulated read {number}")), lead + len(current[0])
        reads.append(Read(read_id, number, raw, bases, current[1] + lead, end, start, start + size, strand))
    return reads


def write_truth(path: Path, reads: list[Read]) -> None:
    """Write where each base of each read is."""
    with open(path, "w", encoding="utf-8") as out:
        print("read_id\treference\tref_start\tref_end\tstrand\tbases\tstarts\tend", file=out)
        for read in reads:
            span = f"{REFERENCE}\t{read.ref_start}\t{read.ref_end}\t{read.strand}"
            print(f"{read.read_id}\t{span}\t{read.bases}\t{','.join(map(str, read.starts))}\t{read.end}", file=out)


def main(folder: Path = HERE) -> None:
    """Write every example below `folder`."""
    out_reads = folder / "simulated_reads"
    out_reads.mkdir(parents=True, exist_ok=True)
    with open(folder / "synthetic_stability.csv", "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["id", "sequence", "stability", "set"])
        rows = synthetic_proteins(np.random.default_rng(1))
        table.writerows((name, sequence, f"{label:.3f}", group) for name, sequence, label, group in rows)
    rng = np.random.default_rng(2)
    reference = draw(rng, LENGTH)
    with open(out_reads / "reference.fasta", "w", encoding="utf-8") as out:
        print(f">{REFERENCE} simulated: random sequence from data/make_examples.py, of no organism", file=out)
        for start in range(0, LENGTH, 80):
            print(reference[start : start + 80], file=out)
    reads = simulated_reads(rng, reference)
    third = READS // 3
    write_fast5(out_reads / "simulated.fast5", reads[:third])
    write_pod5(out_reads / "simulated.pod5", reads[third : 2 * third])
    write_blow5(out_reads / "simulated.blow5", reads[2 * third :])
    write_truth(out_reads / "truth.tsv", reads)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
