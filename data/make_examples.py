"""Make every example in this folder again, the same each time: `python data/make_examples.py [FOLDER]`.

Nothing here was measured. `synthetic_stability.csv` and `synthetic_motif.csv` hold made-up proteins with a made-up
property, `synthetic_families.csv` made-up families; `simulated_reads/` holds simulated nanopore reads of a made-up
sequence, its `reference.fasta`. Only the pore model that the simulation takes its levels from was estimated from real
reads; it is in the package (`biorrn/simulation/pore_models`).
"""

import csv
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np

from biorrn.nanopore.simulate.pore_model import load_pore_model
from biorrn.nanopore.simulate.reads import Fragment, Settings, Simulator, open_truth
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.sequences.alphabets import encode_bases, reverse_complement
from biorrn.sequences.records import ReadLabels, SignalRecord

HERE = Path(__file__).parent

# --- a synthetic property of composition and periodicity --------------------------------------------------------------

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


# --- a synthetic property of order ------------------------------------------------------------------------------------

MOTIF = "WKD"
SCRAMBLED = [word for word in map("".join, permutations(MOTIF)) if word != MOTIF]
MOTIF_SEED, MOTIF_ROWS = 4, 1200


def synthetic_signal(sequence: str) -> float:
    """Return the noiseless synthetic signal: 2 where the motif stands at the first residue, 0 where at the last place.

    It is linear in between: 2 (1 - p / (L - 3)), p the residues before the motif, L those of the protein.
    """
    return 2 * (1 - sequence.index(MOTIF) / (len(sequence) - len(MOTIF)))


def synthetic_motifs(rng: np.random.Generator, number: int = MOTIF_ROWS) -> list[tuple[str, str, float, str]]:
    """Return rows of id, sequence, signal with noise (standard deviation 0.1) and set.

    A protein is 24 to 40 random residues, then the motif and two words of the same residues in another order are put
    on three places that do not overlap. Composition says nothing of the signal, and a motif without its place neither.
    """
    rows: list[tuple[str, str, float, str]] = []
    while len(rows) < number:
        length = int(rng.integers(24, 41))
        letters = rng.choice(list(RESIDUES), length)
        words = [MOTIF, *rng.choice(SCRAMBLED, 2)]
        # three of the places that are left where each word counts as one residue, in any order
        places = np.sort(rng.choice(length - 3 * (len(MOTIF) - 1), 3, replace=False))
        for shift, (place, word) in enumerate(zip(places, rng.permutation(words), strict=True)):
            start = place + shift * (len(MOTIF) - 1)
            letters[start : start + len(MOTIF)] = list(word)
        sequence = "".join(letters)
        if sequence.count(MOTIF) != 1:  # a second one by chance
            continue
        place = len(rows)
        group = "train" if place < 0.75 * number else "valid" if place < 0.85 * number else "test"
        rows.append((f"SYNTHETIC_{place:04d}", sequence, synthetic_signal(sequence) + rng.normal(0, 0.1), group))
    return rows


# --- synthetic families -----------------------------------------------------------------------------------------------

FAMILIES = ("A", "B", "C", "D")
FAMILY_SEED, FAMILY_ROWS = 5, 240


def synthetic_families(rng: np.random.Generator, number: int = FAMILY_ROWS) -> list[tuple[str, str, str]]:
    """Return rows of id, sequence and family: 45 % of the residues of a random ancestor of 40 are drawn again.

    Then up to six random residues are put before it and after it.
    """
    ancestors = {name: rng.choice(list(RESIDUES), 40) for name in FAMILIES}
    rows = []
    for place in range(number):
        name = FAMILIES[place % len(FAMILIES)]
        letters = np.where(rng.random(40) < 0.45, rng.choice(list(RESIDUES), 40), ancestors[name])
        ends = [rng.choice(list(RESIDUES), rng.integers(0, 7)) for _ in range(2)]
        rows.append((f"SYNTHETIC_{place:04d}", "".join([*ends[0], *letters, *ends[1]]), name))
    return rows


# --- simulated reads --------------------------------------------------------------------------------------------------

REFERENCE = "simulated_reference"
LENGTH = 20_000  # bases
HELD_OUT = (0, 3_000)  # the demo trains on reads outside this region and is judged inside
READS = 24  # of which every fourth lies in the held-out region
SEED = 2
EASE = 0.55  # of the spread of dwells, and
NOISE = 0.5  # of noise and jitter, as parts of what real reads show: the demo is to learn in minutes


def simulated_reads(rng: np.random.Generator, reference: np.ndarray) -> list[tuple[SignalRecord, ReadLabels]]:
    """Return reads of both strands; each lies wholly inside or wholly outside the held-out region.

    A read begins with a stall and an adapter and ends with the adapter's tail; the truth names none of these.
    """
    model = load_pore_model("dna_r9.4.1_6mer")
    model = replace(model, dwell_shape=EASE * model.dwell_shape)
    simulator = Simulator(model, Settings(noise=NOISE), SEED)
    reads = []
    for number in range(READS):
        size = int(rng.integers(1500, 2501))
        low, high = HELD_OUT if number % 4 == 3 else (HELD_OUT[1], len(reference))
        start = int(rng.integers(low, high - size + 1))
        bases, strand = reference[start : start + size], "+-"[number // 4 % 2]
        if strand == "-":
            bases = reverse_complement(bases)
        reads.append(simulator.read(number, Fragment(bases, REFERENCE, start, start + size, strand), rng))
    return reads


def main(folder: Path = HERE) -> None:
    """Write every example below `folder`."""
    out_reads = folder / "simulated_reads"
    out_reads.mkdir(parents=True, exist_ok=True)
    made = {
        "stability": synthetic_proteins(np.random.default_rng(1)),
        "motif": synthetic_motifs(np.random.default_rng(MOTIF_SEED)),
    }
    for name, rows in made.items():
        with open(folder / f"synthetic_{name}.csv", "w", encoding="utf-8", newline="") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(["id", "sequence", "stability" if name == "stability" else "signal", "set"])
            table.writerows((row, sequence, f"{value:.3f}", group) for row, sequence, value, group in rows)
    with open(folder / "synthetic_families.csv", "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["id", "sequence", "family"])
        table.writerows(synthetic_families(np.random.default_rng(FAMILY_SEED)))
    rng = np.random.default_rng(SEED)
    reference = "".join(rng.choice(list("ACGT"), LENGTH))
    with open(out_reads / "reference.fasta", "w", encoding="utf-8") as out:
        print(f">{REFERENCE} simulated: random sequence from data/make_examples.py, of no organism", file=out)
        for start in range(0, LENGTH, 80):
            print(reference[start : start + 80], file=out)
    reads = simulated_reads(rng, encode_bases(reference))
    third = READS // 3
    with open_truth(out_reads / "truth.tsv") as label:
        for place, suffix in enumerate(("fast5", "pod5", "blow5")):
            with open_signal(out_reads / f"simulated.{suffix}") as write:
                for record, labels in reads[place * third : (place + 1) * third]:
                    write(record)
                    label(record.read_id, labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
