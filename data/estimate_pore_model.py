"""Estimate the level of each 5-mer in an R9.4.1 pore from resquiggled reads.

    python data/estimate_pore_model.py FOLDER_OF_FAST5 [-o TABLE]

Input: single-read FAST5 that hold Tombo's events (which base was in the pore when) and the raw signal. The table in
this folder came from 50 R9.4.1 reads of phage lambda, the demo data of basecalling_architectures (Unlicense).

A level is the median over events of the mean current of the event, in units of the read: (raw - median) / MAD, both as
Tombo found them. Spreads are 1.4826 x the median absolute deviation. The 5-mer is centred on the event's base: of its
five places the middle one leaves the least variance unexplained (0.116 of 1.71; the one before it does as well). 5-mers
are written 5' to 3', which is also the order in which DNA passes the pore.
"""

import argparse
from itertools import product
from pathlib import Path

import h5py
import numpy as np

SIZE, CENTRE = 5, 2
GROUP = "Analyses/RawGenomeCorrected_000/BaseCalled_template"
TABLE = Path(__file__).parent / "pore_model_r9.4.1_5mer.tsv"


def events(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per event of one read: base (0 to 3), mean and standard deviation of the normalised current."""
    with h5py.File(path) as file:
        group = file[GROUP]
        table, first = group["Events"][:], int(group["Events"].attrs["read_start_rel_to_raw"])
        raw = next(iter(file["Raw/Reads"].values()))["Signal"][:].astype(np.float64)
        signal = (raw[first:] - group.attrs["shift"]) / group.attrs["scale"]
    start, length = table["start"].astype(int), table["length"].astype(int)
    sums, squares = (np.concatenate([[0], np.cumsum(x)]) for x in (signal, signal**2))
    mean = (sums[start + length] - sums[start]) / length
    variance = (squares[start + length] - squares[start]) / length - mean**2
    sd = np.where(length > 5, np.sqrt(np.maximum(variance, 0)), np.nan)  # too few samples tell little of the spread
    return np.searchsorted(np.array([b"A", b"C", b"G", b"T"]), table["base"]), mean, sd


def kmer_index(bases: np.ndarray) -> np.ndarray:
    """Return the number of the k-mer that starts at each base, int array (L - SIZE + 1,)."""
    index = np.zeros(len(bases) - SIZE + 1, dtype=int)
    for place in range(SIZE):
        index = index * 4 + bases[place : place + len(index)]
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="single-read FAST5 with Tombo events")
    parser.add_argument("-o", "--output", type=Path, default=TABLE)
    arguments = parser.parse_args()
    indices, means, spreads = [], [], []
    for path in sorted(arguments.folder.glob("*.fast5")):
        bases, mean, sd = events(path)
        indices.append(kmer_index(bases))
        means.append(mean[CENTRE : len(mean) - SIZE + 1 + CENTRE])
        spreads.append(sd[CENTRE : len(sd) - SIZE + 1 + CENTRE])
    index, mean, spread = map(np.concatenate, (indices, means, spreads))
    with open(arguments.output, "w", encoding="utf-8") as out:
        print("kmer\tlevel\tlevel_sd\tnoise_sd\tevents", file=out)
        for number, letters in enumerate(product("ACGT", repeat=SIZE)):
            mine = index == number
            level = np.median(mean[mine])
            level_sd = 1.4826 * np.median(np.abs(mean[mine] - level))
            noise = np.nanmedian(spread[mine])
            print(f"{''.join(letters)}\t{level:.4f}\t{level_sd:.4f}\t{noise:.4f}\t{mine.sum()}", file=out)


if __name__ == "__main__":
    main()
