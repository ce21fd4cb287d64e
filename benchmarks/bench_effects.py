"""Effects of substitutions on proteins that a model has not seen, beside simple predictors.

    python benchmarks/bench_effects.py ddg --tables mutants.csv
    python benchmarks/bench_effects.py results/models/ddg_[0-4] --tables results/models/ddg_[0-4].csv
    python benchmarks/bench_effects.py results/models/ddg_[0-4] --tables results/models/ddg_[0-4].csv \\
        --deletions domains_train.csv.gz domain_homologs.csv.gz

The table has the columns wt_sequence, mutation, ddg and split; `workflow/scripts/protein_sources.py mutants` writes it.
Rows of split valid are predicted, those of split train fit the predictors beside the model; without the column all rows
are predicted, as those of `protein_sources.py pairs`. Printed are the mean over proteins of Spearman's correlation
within a protein (of those with `FEWEST` mutants or more), that of all mutants together, Pearson's correlation and the
root mean square error in the unit of the table; and of the model, and of it with `--antisymmetric` (`both ways`), how
well effects and effects of the way back correlate. A model of scores, as `stability`, is judged by its differences.
With several tables, each for the model of the same place, the proteins of all are taken together. Mutants of several
substitutions (`protein_sources.py several`) are told apart by their number.

Beside the model: `pair` is the mean of the training rows with the same two residues; `ridge` a ridge regression on the
pair and the residues of a window of 11; `blosum62` and `hydropathy` (of Kyte and Doolittle, of the mutant minus that of
the wild type) are not fitted, so that they have no error; nor has `language model`, where the model has such a part:
the log odds of the two residues in the protein.

`--deletions` takes the file of domains and that of their homologs. Printed is how well the estimate for the deletion of
each residue of a domain of split valid goes with how often homologs (identity of `ALIKE` or more, aligned with
BLOSUM62, gaps 11 and 1) lack residues there: no energies of deletions are at hand.
"""

import argparse
import itertools
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from Bio import Align
from Bio.Align import substitution_matrices
from scipy import sparse
from scipy.stats import pearsonr, spearmanr
from sklearn.linear_model import Ridge

from biorrn.nn.frontends import Scores, Trained
from biorrn.nn.store import Stored, load_model
from biorrn.proteins.predict import predict
from biorrn.sequences.alphabets import STANDARD, blosum62, scale, tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import mutate, parse_variant

LETTERS = frozenset(STANDARD)
FEWEST = 20  # mutants of a protein whose order is scored
WINDOW = 5  # residues on each side
PENALTY = 300.0  # of ridge; chosen on other proteins than those of the valid split
SCORE = 1.364  # kcal/mol of a unit of the score of stability, a tenfold concentration
ALIKE, GAPS, END = (
    0.3,
    10,
    3,
)  # identity of a homolog; places with gaps that a domain needs; residues of its ends left out
BACK = 500  # mutants whose way back is predicted too


def by_model(stored: Stored, wild: list[str], other: list[str], both_ways: bool = False) -> np.ndarray:
    """Return the effect of each pair of sequences, (N,); with `both_ways` the antisymmetric one.

    Of a model of stability scores it is the difference of two scores, in kcal/mol.
    """
    if not stored.facts.get("effect"):
        every = sorted({*wild, *other})
        values = predict(stored, (ProteinRecord("m", one) for one in every))
        scores = dict(zip(every, (found.values[0] for found in values), strict=True))
        return SCORE * np.array([scores[two] - scores[one] for one, two in zip(wild, other, strict=True)])
    records = (ProteinRecord("m", two, wild_type=one) for one, two in zip(wild, other, strict=True))
    return np.array([found.values[0] for found in predict(stored, records, antisymmetric=both_ways)])


def features(rows: pd.DataFrame) -> sparse.csr_matrix:
    """Return the pair and the window of each row as a sparse matrix of ones (N, 400 + 21 * 10)."""
    letters = {letter: place for place, letter in enumerate(STANDARD)}
    columns, starts = list[int](), [0]
    for sequence, mutation in zip(rows["wt_sequence"], rows["mutation"], strict=True):
        place = int(mutation[1:-1]) - 1
        columns.append(20 * letters[mutation[0]] + letters[mutation[-1]])
        for k, step in enumerate(step for step in range(-WINDOW, WINDOW + 1) if step):
            inside = 0 <= place + step < len(sequence)
            columns.append(400 + 21 * k + (letters.get(sequence[place + step], 20) if inside else 20))
        starts.append(len(columns))
    data = np.ones(len(columns), np.float32)
    return sparse.csr_matrix((data, columns, starts), (len(rows), 400 + 21 * 2 * WINDOW))


def log_odds(stored: Stored, rows: pd.DataFrame) -> np.ndarray | None:
    """Return the log odds of mutant and wild-type residue by the language models of a model; None without such."""
    frontend: Any = getattr(stored.model, "frontend", None)
    parts = [part for part in getattr(frontend, "models", ()) if isinstance(part, Scores)]
    if not isinstance(frontend, Trained) or not parts:
        return None
    found: dict[str, np.ndarray] = {}
    for sequence in rows["wt_sequence"].unique():
        x = torch.from_numpy(tokens(sequence)).long()[None]
        lengths = torch.tensor([len(sequence)])
        with torch.inference_mode():
            found[sequence] = sum(part(x, lengths)[0, :, :20] for part in parts).numpy()  # type: ignore[union-attr]
    places = zip(rows["wt_sequence"], rows["mutation"], strict=True)
    return np.array([found[one][int(change[1:-1]) - 1, STANDARD.index(change[-1])] for one, change in places])


def fitted(train: pd.DataFrame, singles: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the values of the predictors that the training rows fit, for each single substitution."""
    means = train.assign(pair=train["mutation"].str[0] + train["mutation"].str[-1]).groupby("pair")["ddg"].mean()
    pair = (singles["mutation"].str[0] + singles["mutation"].str[-1]).map(means).fillna(means.mean()).to_numpy()
    return {"pair": pair, "ridge": Ridge(PENALTY).fit(features(train), train["ddg"]).predict(features(singles))}


def predictions(name: str, path: str, target: str) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[float]]:
    """Return the valid rows of a table, the values of each predictor, and the correlations with the way back."""
    table = pd.read_csv(path).rename(columns={target: "ddg"})
    table["split"] = table.get("split", "valid")
    train, rows = table[table["split"] == "train"], table[table["split"] == "valid"].reset_index(drop=True)
    stored = load_model(name)
    wild = rows["wt_sequence"].tolist()
    other = [mutate(one, parse_variant(change)) for one, change in zip(wild, rows["mutation"], strict=True)]
    found = {"model": by_model(stored, wild, other), "both ways": by_model(stored, wild, other, True)}
    some = np.random.default_rng(0).permutation(len(rows))[:BACK]
    turned = [other[k] for k in some], [wild[k] for k in some]
    r = [
        float(pearsonr(found[name][some], by_model(stored, *turned, name == "both ways"))[0])
        for name in ("model", "both ways")
    ]
    rows["substitutions"] = rows["mutation"].str.count(":") + 1
    singles = rows.assign(mutation=rows["mutation"].str.split(":")).explode("mutation")
    of_one = fitted(train, singles) if len(train) else {}
    old, new = ([STANDARD.index(text[k]) for text in singles["mutation"]] for k in (0, -1))
    hydropathy = scale("hydropathy")
    of_one |= {"blosum62": blosum62()[old, new], "hydropathy": hydropathy[new] - hydropathy[old]}
    odds = log_odds(stored, singles)
    of_one |= {} if odds is None else {"language model": odds}
    return rows, found | {name: np.bincount(singles.index, values) for name, values in of_one.items()}, r


def lines(rows: pd.DataFrame, found: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield a line a predictor, of all mutants and of those with each number of substitutions."""
    kinds = [number for number, own in rows.groupby("substitutions") if len(own) >= FEWEST]
    for number in [None, *(kinds if len(kinds) > 1 else [])]:
        own = np.flatnonzero(rows["substitutions"] == number) if number else np.arange(len(rows))
        yield from scores(rows.iloc[own].reset_index(drop=True), {name: values[own] for name, values in found.items()})


def scores(rows: pd.DataFrame, found: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield a head, and a line a predictor."""
    true = rows["ddg"].to_numpy()
    owners = [own.index.to_numpy() for _, own in rows.groupby("wt_sequence") if len(own) >= FEWEST]
    numbers = sorted(rows["substitutions"].unique())
    together = "" if numbers == [1] else f" of {'-'.join(str(one) for one in {numbers[0]: 0, numbers[-1]: 0})}"
    together += " substitutions" if together else ""
    yield (
        f"{rows['wt_sequence'].nunique()} proteins ({len(owners)} of {FEWEST} mutants or more), {len(rows):,} mutants"
        + together
    )
    yield f"{'':16}{'within':>8}{'pooled':>8}{'Pearson':>9}{'RMSE':>7}"
    for name, values in found.items():
        within = [spearmanr(true[own], values[own])[0] for own in owners]
        root = np.sqrt(np.mean(np.square(values - true)))
        error = f"{root:7.3f}" if name in ("model", "both ways", "pair", "ridge") else ""
        pooled, r = spearmanr(true, values)[0], pearsonr(true, values)[0]
        yield f"{name:16}{np.nanmean(within):8.3f}{pooled:8.3f}{r:9.3f}{error}"


def gaps(wild: str, homologs: list[str]) -> np.ndarray:
    """Return the share of homologs that lack each residue, (L,), over three places, since a gap's place is unsure."""
    aligner = Align.PairwiseAligner(mode="global", substitution_matrix=substitution_matrices.load("BLOSUM62"))
    aligner.open_gap_score, aligner.extend_gap_score, aligner.end_gap_score = -11, -1, 0
    lack, seen = np.zeros(len(wild)), np.zeros(len(wild))
    for other in homologs:
        spans, others = aligner.align(wild, other)[0].aligned
        same = sum(
            a == b
            for (start, end), (first, last) in zip(spans, others, strict=True)
            for a, b in zip(wild[start:end], other[first:last], strict=True)
        )
        if same >= ALIKE * len(wild):
            seen[spans[0][0] : spans[-1][1]] += 1
            for (_, before), (after, _) in itertools.pairwise(spans):
                lack[before:after] += 1
    rate = np.pad(lack / np.maximum(seen, 1), 1, mode="edge")
    return (rate[:-2] + rate[1:-1] + rate[2:]) / 3


def deletions(names: list[str], tables: list[str], domains: str, homologs: str) -> str:
    """Return the line about deletions."""
    wild_of = pd.read_csv(domains).groupby("wt_id")["wt_sequence"].first()
    by_domain = pd.read_csv(homologs).groupby("domain")["sequence"].unique()
    known = {wild_of[domain]: list(own) for domain, own in by_domain.items() if domain in wild_of}
    found = []
    for name, path in zip(names, tables, strict=True):
        table = pd.read_csv(path)
        stored = load_model(name)
        for wild in table.loc[table["split"] == "valid", "wt_sequence"].unique():
            inner = slice(END, len(wild) - END)
            lacking = gaps(wild, [one for one in known.get(wild, []) if LETTERS.issuperset(one)])[inner]
            if (lacking > 0).sum() >= GAPS:
                shorter = [wild[:place] + wild[place + 1 :] for place in range(len(wild))]
                found.append(spearmanr(by_model(stored, [wild] * len(wild), shorter)[inner], lacking)[0])
    error = np.std(found, ddof=1) / len(found) ** 0.5
    return f"deletions and gaps of homologs, {len(found)} domains: Spearman {np.mean(found):.3f} ± {error:.3f}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tables", nargs="+", required=True)
    parser.add_argument("--target", default="ddg", help="column of the measured effect")
    parser.add_argument("--deletions", nargs=2, metavar=("DOMAINS", "HOMOLOGS"))
    asked = parser.parse_args()
    if asked.deletions:
        print(deletions(asked.models, asked.tables, *asked.deletions))
        return
    parts = [predictions(*pair, asked.target) for pair in zip(asked.models, asked.tables, strict=True)]
    rows = pd.concat([part[0] for part in parts], ignore_index=True)
    names = set.intersection(*(set(part[1]) for part in parts))
    found = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1] if name in names}
    for line in lines(rows, found):
        print(line)
    for place, name in enumerate(("model", "both ways")):
        print(f"{name}, effects and effects of the way back: r {max(part[2][place] for part in parts):.3f}")


if __name__ == "__main__":
    main()
