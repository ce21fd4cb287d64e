"""Effects of single substitutions on proteins that a model has not seen, beside simple predictors.

    python benchmarks/bench_effects.py ddg --tables mutants.csv
    python benchmarks/bench_effects.py results/models/ddg_[0-4] --tables results/models/ddg_[0-4].csv

The table has the columns wt_sequence, mutation, ddg and split; `workflow/scripts/protein_sources.py mutants` writes it.
Rows of split valid are predicted, those of split train fit the predictors beside the model; without the column all rows
are predicted, as those of `protein_sources.py pairs`. Printed are the mean over proteins of Spearman's correlation
within a protein (of those with `FEWEST` mutants or more), that of all mutants together, Pearson's correlation and the
root mean square error in the unit of the table; and of the model, and of it with `--antisymmetric` (`both ways`), how
well effects and effects of the way back correlate. A model of scores, as `stability`, is judged by its differences.
With several tables, each for the model of the same place, the proteins of all are taken together.

Beside the model: `pair` is the mean of the training rows with the same two residues; `ridge` a ridge regression on the
pair and the residues of a window of 11; `blosum62` and `hydropathy` (of Kyte and Doolittle, of the mutant minus that of
the wild type) are not fitted, so that they have no error; nor has `language model`, where the model has such a part:
the log odds of the two residues in the protein.
"""

import argparse
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.stats import pearsonr, spearmanr
from sklearn.linear_model import Ridge

from biorrn.nn.frontends import Scores, Trained
from biorrn.nn.store import Stored, load_model
from biorrn.proteins.predict import predict
from biorrn.sequences.alphabets import STANDARD, blosum62, scale, tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import mutate, parse_variant

FEWEST = 20  # mutants of a protein whose order is scored
WINDOW = 5  # residues on each side
PENALTY = 300.0  # of ridge; chosen on other proteins than those of the valid split
SCORE = 1.364  # kcal/mol of a unit of the score of stability, a tenfold concentration
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
    data, columns, starts = [], [], [0]
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


def fitted(train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the values of the predictors that the training rows fit."""
    means = train.assign(pair=train["mutation"].str[0] + train["mutation"].str[-1]).groupby("pair")["ddg"].mean()
    pair = (rows["mutation"].str[0] + rows["mutation"].str[-1]).map(means).fillna(means.mean()).to_numpy()
    return {"pair": pair, "ridge": Ridge(PENALTY).fit(features(train), train["ddg"]).predict(features(rows))}


def predictions(name: str, path: str) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[float]]:
    """Return the valid rows of a table, the values of each predictor, and the correlations with the way back."""
    table = pd.read_csv(path)
    table["split"] = table.get("split", "valid")
    train, rows = table[table["split"] == "train"], table[table["split"] == "valid"].reset_index(drop=True)
    stored = load_model(name)
    wild = rows["wt_sequence"].tolist()
    other = [mutate(one, parse_variant(text)) for one, text in zip(wild, rows["mutation"], strict=True)]
    found = {"model": by_model(stored, wild, other), "both ways": by_model(stored, wild, other, True)}
    some = np.random.default_rng(0).permutation(len(rows))[:BACK]
    turned = [other[k] for k in some], [wild[k] for k in some]
    r = [
        float(pearsonr(found[name][some], by_model(stored, *turned, name == "both ways"))[0])
        for name in ("model", "both ways")
    ]
    if len(train):
        found |= fitted(train, rows)
    old, new = ([STANDARD.index(text[k]) for text in rows["mutation"]] for k in (0, -1))
    found["blosum62"] = blosum62()[old, new]
    hydropathy = scale("hydropathy")
    found["hydropathy"] = hydropathy[new] - hydropathy[old]
    odds = log_odds(stored, rows)
    return rows, found | ({} if odds is None else {"language model": odds}), r


def lines(rows: pd.DataFrame, found: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield a line a predictor."""
    true = rows["ddg"].to_numpy()
    owners = [own.index.to_numpy() for _, own in rows.groupby("wt_sequence") if len(own) >= FEWEST]
    yield f"{rows['wt_sequence'].nunique()} proteins ({len(owners)} of {FEWEST} mutants or more), {len(rows):,} mutants"
    yield f"{'':16}{'within':>8}{'pooled':>8}{'Pearson':>9}{'RMSE':>7}"
    for name, values in found.items():
        within = [spearmanr(true[own], values[own])[0] for own in owners]
        root = np.sqrt(np.mean(np.square(values - true)))
        error = f"{root:7.3f}" if name in ("model", "both ways", "pair", "ridge") else ""
        pooled, r = spearmanr(true, values)[0], pearsonr(true, values)[0]
        yield f"{name:16}{np.nanmean(within):8.3f}{pooled:8.3f}{r:9.3f}{error}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tables", nargs="+", required=True)
    asked = parser.parse_args()
    parts = [predictions(*pair) for pair in zip(asked.models, asked.tables, strict=True)]
    rows = pd.concat([part[0] for part in parts], ignore_index=True)
    names = set.intersection(*(set(part[1]) for part in parts))
    found = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1] if name in names}
    for line in lines(rows, found):
        print(line)
    for place, name in enumerate(("model", "both ways")):
        print(f"{name}, effects and effects of the way back: r {max(part[2][place] for part in parts):.3f}")


if __name__ == "__main__":
    main()
