"""Make synthetic genomes with genes on both strands, and say where these are: `python data/make_genes.py FOLDER`.

Writes genes.fasta and genes.bed. A gene is ATG, 60 to 400 codons of a made-up codon usage, and a stop; a third of the
genes stand on the other strand, as their reverse complement. Between genes lie 30 to 600 random bases. Nothing of it is
from a real genome: what a model learns here says only that it can tell segments apart.
"""

import sys
from pathlib import Path

import numpy as np

SEED, GENOMES, LENGTH = 3, 60, 12_000  # LENGTH: bases, about
STOPS = ("TAA", "TAG", "TGA")
CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in STOPS]
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def gene(rng: np.random.Generator, usage: np.ndarray) -> str:
    """Return the bases of one gene, 5' to 3'."""
    codons = rng.choice(CODONS, rng.integers(60, 401), p=usage)
    return "ATG" + "".join(codons) + STOPS[int(rng.integers(3))]


def genome(rng: np.random.Generator, usage: np.ndarray) -> tuple[str, list[tuple[int, int, str]]]:
    """Return the bases of one genome, and start, end (0-based, half-open) and strand of each gene."""
    parts: list[str] = []
    found, place = [], 0
    while place < LENGTH:
        parts.append("".join(rng.choice(list("ACGT"), rng.integers(30, 601), p=[0.28, 0.22, 0.22, 0.28])))
        place += len(parts[-1])
        text, name = gene(rng, usage), "forward"
        if rng.random() < 1 / 3:
            text, name = text[::-1].translate(COMPLEMENT), "reverse"
        found.append((place, place + len(text), name))
        parts.append(text)
        place += len(text)
    return "".join(parts), found


def main(folder: str) -> None:
    """Write genes.fasta and genes.bed into a folder."""
    rng = np.random.default_rng(SEED)
    usage = rng.dirichlet(np.full(len(CODONS), 1.0))
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "genes.fasta", "w") as fasta, open(out / "genes.bed", "w") as bed:
        for number in range(GENOMES):
            bases, genes = genome(rng, usage)
            print(f">synthetic{number}\n{bases}", file=fasta)
            for start, end, name in genes:
                print(f"synthetic{number}", start, end, name, sep="\t", file=bed)


if __name__ == "__main__":
    main(sys.argv[1])
