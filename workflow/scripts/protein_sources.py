"""Training tables of the model `ddg` from public data sets.

    python protein_sources.py mutants DOMAINS.csv.gz [FOLD] > mutants.csv
    python protein_sources.py chains STRUCTURE.zip CONSERVATION.zip > chains.csv
    python protein_sources.py unlabelled FILE... > unlabelled.csv
    python protein_sources.py pairs NATURAL.csv.gz > natural.csv

`mutants`: measured single substitutions of small domains, with the split of their file; with a number from 0 to 4,
every fifth cluster of domains is split valid instead, and all others are train. `chains`: protein chains with, for
each residue, 1 or 0 for helix, strand and coil, and how conserved it is, 1 to 9. `unlabelled`: sequences of FASTA and
tables, also in archives (`file.zip!member`); of those that share a `domain`, `PER_DOMAIN` at most. `pairs`: single
substitutions of a table with the columns wt_seq, mut_seq and ddG, with the mean of repeated measurements.
"""

import csv
import gzip
import io
import random
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator

FOLDS = 5  # of clusters of domains
PER_DOMAIN = 800  # homologs
LONGEST = 1500  # residues of an unlabelled sequence
HELD_OUT = 100  # every so many-th unlabelled sequence is of split valid
SUBSTITUTION = re.compile(r"([ACDEFGHIKLMNPQRSTVWY])(\d+)([ACDEFGHIKLMNPQRSTVWY])")


def lines_of(source: str) -> io.StringIO:
    """Return the lines of a text file, which may be gzip, or of a member of an archive: `file.zip!member`."""
    path, _, member = source.partition("!")
    if member:
        with zipfile.ZipFile(path) as archive:
            return io.StringIO(archive.read(member).decode("utf-8"))
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as stream:
        return io.StringIO(stream.read())


def fasta(source: str) -> Iterator[tuple[str, str]]:
    """Yield header and sequence of each record."""
    header, parts = "", list[str]()
    for line in lines_of(source):
        if line.startswith(">"):
            if parts:
                yield header, "".join(parts)
            header, parts = line[1:].strip(), []
        else:
            parts.append(line.strip())
    if parts:
        yield header, "".join(parts)


def mutants(domains: str, fold: str = "") -> Iterator[list[object]]:
    """Yield the rows of `mutants`: wild type, mutation, ddG in kcal/mol, split."""
    yield ["wt_sequence", "mutation", "ddg", "split"]
    rows = list(csv.DictReader(lines_of(domains)))
    clusters = sorted({row["cluster"] for row in rows})
    random.Random(0).shuffle(clusters)
    held_out = set(clusters[int(fold) :: FOLDS]) if fold else set()
    for row in rows:
        split = row["split"] if not fold else "valid" if row["cluster"] in held_out else "train"
        yield [row["wt_sequence"], row["mutation"], row["ddg"], split]


def chains(structure: str, conservation: str) -> Iterator[list[object]]:
    """Yield the rows of `chains`: id, sequence, numbers of each residue joined by commas, split."""
    yield ["id", "sequence", "helix", "strand", "coil", "conservation", "split"]
    given: dict[str, dict[str, str]] = defaultdict(dict)
    for archive in (structure, conservation):
        parts = ["sequences", "sampled", *(["mask"] if archive == structure else [])]
        for part in parts:
            for header, text in fasta(f"{archive}!splits/{part}.fasta"):
                name, _, rest = header.partition(" ")
                kind = part if part == "sequences" else f"{part} {archive}"
                given[name][kind] = text
                if part == "sampled":  # a chain is of test or valid where one of the archives says so
                    given[name]["split"] = given[name].get("split", "") + rest
    for name, own in given.items():
        sequence = own.get("sequences", "")
        states, level = own.get(f"sampled {structure}", ""), own.get(f"sampled {conservation}", "")
        shown = own.get(f"mask {structure}", "1" * len(sequence))
        if len(states) != len(sequence) or len(shown) != len(sequence):
            states = ""
        level = level if len(level) == len(sequence) else ""
        if not (states or level):
            continue
        columns = [
            ["nan" if flag == "0" else str(int(letter == state)) for letter, flag in zip(states, shown, strict=False)]
            for state in "HEC"
        ]
        columns.append([str(int(digit)) for digit in level])
        lists = [",".join(column or ["nan"] * len(sequence)) for column in columns]
        marks = own["split"]
        split = "test" if "SET=test" in marks else "valid" if "VALIDATION=True" in marks else "train"
        yield [name, sequence, *lists, split]


def unlabelled(sources: list[str]) -> Iterator[list[object]]:
    """Yield the rows of `unlabelled`: id, sequence, split; each sequence once."""
    yield ["id", "sequence", "split"]
    seen: set[str] = set()
    for source in sources:
        by_domain: dict[str, list[str]] = defaultdict(list)
        if ".csv" in source:
            for row in csv.DictReader(lines_of(source)):
                by_domain[row.get("domain", "")].append(row["sequence"])
        else:
            by_domain[""] = [sequence for _, sequence in fasta(source)]
        for domain, sequences in by_domain.items():
            if domain and len(sequences) > PER_DOMAIN:
                sequences = random.Random(0).sample(sequences, PER_DOMAIN)
            for sequence in sequences:
                if len(sequence) < 20 or sequence in seen:
                    continue
                seen.add(sequence)
                split = "valid" if not domain and len(seen) % HELD_OUT == 0 else "train"
                yield [f"s{len(seen)}", sequence[:LONGEST], split]


def pairs(source: str) -> Iterator[list[object]]:
    """Yield the rows of `pairs`: wild type, mutation, ddG in kcal/mol."""
    yield ["wt_sequence", "mutation", "ddg"]
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in csv.DictReader(lines_of(source)):
        wild, mutant = row["wt_seq"], row["mut_seq"]
        places = [place for place, (old, new) in enumerate(zip(wild, mutant, strict=False)) if old != new]
        if len(wild) == len(mutant) and len(places) == 1:
            mutation = f"{wild[places[0]]}{places[0] + 1}{mutant[places[0]]}"
            if SUBSTITUTION.fullmatch(mutation) and "X" not in wild:
                found[wild, mutation].append(float(row["ddG"]))
    for (wild, mutation), values in found.items():
        yield [wild, mutation, f"{sum(values) / len(values):.4f}"]


KINDS = {"mutants": mutants, "chains": chains, "pairs": pairs}

if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    csv.field_size_limit(1 << 24)
    rows = unlabelled(paths) if kind == "unlabelled" else KINDS[kind](*paths)
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
