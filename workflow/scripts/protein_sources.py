"""Training tables of the models `ddg` and `stability` from public data sets.

    python protein_sources.py mutants DOMAINS.csv.gz [FOLD] > mutants.csv
    python protein_sources.py chains STRUCTURE.zip CONSERVATION.zip > chains.csv
    python protein_sources.py unlabelled FILE... > unlabelled.csv
    python protein_sources.py pairs NATURAL.csv.gz > natural.csv
    python protein_sources.py made DESIGNS.csv.gz > made.csv
    python protein_sources.py stability DESIGNS.csv.gz DOMAINS.csv.gz made.csv made.tsv ROUND.tsv.gz... > stability.csv
    python protein_sources.py left_out DOMAINS.csv.gz > left_out.csv
    python protein_sources.py several SCAN.tsv.gz WILD_TYPES.yml NAME > several.csv

`mutants`: measured single substitutions of small domains, with the split of their file; with a number from 0 to 4,
every fifth cluster of domains is split valid instead, and all others are train. `chains`: protein chains with, for
each residue, 1 or 0 for helix, strand and coil, and how conserved it is, 1 to 9. `unlabelled`: sequences of FASTA and
tables, also in archives (`file.zip!member`); of those that share a `domain`, `PER_DOMAIN` at most. `pairs`: single
substitutions of a table with the columns wt_seq, mut_seq and ddG, with the mean of repeated measurements. `made`:
random single mutants of stable designs, `MADE` of each; `biorrn predict ddg made.csv --wild-type wt_sequence` values
them. `stability`: designs with their measured score, and with less weight the made mutants and measured ones of
domains, whose scores follow from that of the wild type and ddG. A score s above 0 is log10(1 + K), where K is the
equilibrium constant of folding (Rocklin et al. 2017), so that a mutant has log10(1 + K * 10 ** (ddG / 1.364)). That a
domain's mutants do not fall below the score of an unfolded protein tells its K: `FLOOR` below the lowest ones. Designs
also have the scores by trypsin and by chymotrypsin, of which theirs is the lower, from the tables of the rounds.
`left_out`: the measured mutants that are not among these: of domains of split valid, and of designs. `several`: scores
of mutants with several substitutions each, whose places the file counts from 0.
"""

import csv
import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator

import yaml
from split_table import lines_of

from biorrn.sequences.variants import mutate, parse_variant

FOLDS = 5  # of clusters of domains
PER_DOMAIN = 800  # homologs
LONGEST = 1500  # residues of an unlabelled sequence
HELD_OUT = 100  # every so many-th unlabelled sequence is of split valid
MADE, STABLE = 2, 0.4  # mutants of a design; score that it has at the least
MOST, FEWEST, SIZE = 250, 30, 72  # mutants of a domain at most and at least; its residues at most
LOWEST, FLOOR, RANGE = 0.02, 0.7, (0.3, 4.5)  # quantile of a domain's ddG; kcal/mol above it where K is 1; limits of dG
LOG = 1.364  # RT ln 10 in kcal/mol at 25 degrees C
DESIGN = re.compile(r"TrROS|^(HHH|HEEH|EHEE|EEHEE)_|\|run\d")  # in the name of a domain
WEIGHTS = {"made": 0.5, "domain": 0.3}  # of a row; a design has 1
SUBSTITUTION = re.compile(r"([ACDEFGHIKLMNPQRSTVWY])(\d+)([ACDEFGHIKLMNPQRSTVWY])")


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


def in_training(row: dict[str, str]) -> bool:
    """Return whether a measured mutant of a domain trains `stability`."""
    return row["split"] == "train" and not DESIGN.search(row["wt_id"]) and len(row["wt_sequence"]) <= SIZE


def left_out(domains: str) -> Iterator[list[object]]:
    """Yield the rows of `left_out`: wild type, mutation, ddG in kcal/mol."""
    yield ["wt_sequence", "mutation", "ddg"]
    rows = list(csv.DictReader(lines_of(domains)))
    trained = {row["wt_sequence"] for row in rows if in_training(row)}
    for row in rows:
        if row["wt_sequence"] not in trained:
            yield [row["wt_sequence"], row["mutation"], row["ddg"]]


def made(designs: str) -> Iterator[list[object]]:
    """Yield the rows of `made`: wild type, mutation, score of the wild type."""
    yield ["wt_sequence", "mutation", "wt_score"]
    draw = random.Random(0)
    for row in csv.DictReader(lines_of(designs)):
        sequence = row["sequence"]
        if row["set"] == "train" and float(row["stability"]) > STABLE:
            for place in draw.sample(range(len(sequence)), MADE):
                other = draw.choice([letter for letter in "ACDEFGHIKLMNPQRSTVWY" if letter != sequence[place]])
                yield [sequence, f"{sequence[place]}{place + 1}{other}", row["stability"]]


def stability(designs: str, domains: str, asked: str, valued: str, *rounds: str) -> Iterator[list[object]]:
    """Yield the rows of `stability`: id, sequence, score, weight, set, scores by trypsin and by chymotrypsin."""
    yield ["id", "sequence", "stability", "weight", "set", "trypsin", "chymotrypsin"]
    proteases: dict[str, tuple[str, str]] = {}
    for source in rounds:
        for row in csv.DictReader(lines_of(source), delimiter="\t"):
            proteases.setdefault(row["sequence"], (row["stabilityscore_t"], row["stabilityscore_c"]))
    for row in csv.DictReader(lines_of(designs)):
        yield [row["id"], row["sequence"], row["stability"], 1, row["set"], *proteases.get(row["sequence"], ("", ""))]
    values = csv.DictReader(lines_of(valued), delimiter="\t")
    for number, (row, found) in enumerate(zip(csv.DictReader(lines_of(asked)), values, strict=True)):
        folding = 10 ** float(row["wt_score"]) - 1
        score = math.log10(1 + folding * 10 ** (float(found["ddg"]) / LOG))
        yield [
            f"made_{number}",
            mutate(row["wt_sequence"], parse_variant(row["mutation"])),
            f"{score:.4f}",
            WEIGHTS["made"],
            "train",
            *("", ""),
        ]
    by_domain: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(lines_of(domains)):
        if in_training(row):
            by_domain[row["wt_sequence"]].append(row)
    for sequence, rows in by_domain.items():
        if len(rows) < FEWEST:
            continue
        lowest = sorted(float(row["ddg"]) for row in rows)[int(LOWEST * len(rows))]
        wild = min(max(-lowest - FLOOR, RANGE[0]), RANGE[1])
        for row in random.Random(0).sample(rows, min(MOST, len(rows))):
            score = math.log10(1 + 10 ** ((wild + float(row["ddg"])) / LOG))
            name, changed = f"{row['wt_id']}_{row['mutation']}", mutate(sequence, parse_variant(row["mutation"]))
            yield [name, changed, f"{score:.4f}", WEIGHTS["domain"], "train", "", ""]


def several(scan: str, wild_types: str, name: str) -> Iterator[list[object]]:
    """Yield the rows of `several`: wild type, mutations, score."""
    yield ["wt_sequence", "mutation", "score"]
    wild = yaml.safe_load("".join(lines_of(wild_types)))[name]["wt_aa"]
    for row in csv.DictReader(lines_of(scan), delimiter="\t"):
        if "*" not in row["variant"]:
            changes = [f"{one[0]}{int(one[1:-1]) + 1}{one[-1]}" for one in row["variant"].split(",")]
            yield [wild, ":".join(changes), row["score"]]


KINDS = {
    "mutants": mutants,
    "chains": chains,
    "pairs": pairs,
    "made": made,
    "left_out": left_out,
    "several": several,
    "stability": stability,
}

if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    csv.field_size_limit(1 << 24)
    rows = unlabelled(paths) if kind == "unlabelled" else KINDS[kind](*paths)
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
