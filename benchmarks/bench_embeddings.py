"""Benchmark of protein embeddings: what they encode, and what they add to predictors with few labels.

Run: python benchmarks/bench_embeddings.py --language RUN [--backward RUN] [--table TABLE]
         [--families TABLE.csv [--others TABLE.csv]]
         [--labelled TABLE.csv --target COLUMN [--held-out COLUMN=VALUE]]

  probes       properties predicted from the mean vector of a protein, by ridge or nearest neighbour fitted on half of
               the proteins and measured on the other half: length, composition, family, and which of two sources
  few labels   predictors with 100, 300 or 1,000 labels, with and without the mean hidden state of the language model,
               over random draws of the labels, on held-out rows: those with VALUE in COLUMN, or a quarter of the
               clusters of similar sequences. As a control, also with the states of the untrained network

Predictors: ridge on descriptors or on residues (one-hot by position if all proteins have nearly the same length, else
composition), with the penalty chosen by leave-one-out; a Gaussian process on descriptors (one length scale, amplitude
and noise by marginal likelihood). Features are standardised on the labelled rows; blocks have equal weight whatever
their width. Differences are paired by draw, with 95 % intervals of Student's t over the draws: the variation with
other labels and the same held-out proteins.
"""

# ruff: noqa: E402
import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from biorrn.base.compute import prepare_libraries, set_threads

prepare_libraries()  # before torch

import numpy as np  # isort: skip
import torch  # isort: skip

from scipy.stats import spearmanr
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biorrn.base.files import open_text
from biorrn.config.recipe import LanguageModel, Vectors
from biorrn.nn.sequence import build_frontend
from biorrn.nn.store import models_of
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.descriptors import descriptors
from biorrn.sequences.fasta import cleaned
from biorrn.sequences.similarity import cluster
from biorrn.training.batches import ordered_batches, pad_tokens

Features = Callable[[list[np.ndarray]], np.ndarray]  # N token arrays -> (N, F)
DRAWS = 10
LABELS = (100, 300, 1000)
POOL = 2500  # proteins that labels are drawn from, at most


def read(path: Path, column: str | None) -> tuple[list[np.ndarray], list[str]]:
    """Return the tokens of each protein of a table, and the cells of a column."""
    with open_text(path) as stream:
        rows = list(csv.DictReader(stream))
    return [tokens(cleaned(row["sequence"]).residues) for row in rows], [row[column] if column else "" for row in rows]


# -- features ----------------------------------------------------------------------------------------------------------
def composition(proteins: list[np.ndarray]) -> np.ndarray:
    return np.array([np.bincount(protein, minlength=22)[1:21] / len(protein) for protein in proteins])


def described(proteins: list[np.ndarray]) -> np.ndarray:
    return descriptors(np.concatenate(proteins), np.array([len(protein) for protein in proteins])).astype(np.float64)


def mean_of(frontend: torch.nn.Module) -> Features:
    def features(proteins: list[np.ndarray]) -> np.ndarray:
        found = np.zeros((len(proteins), int(frontend.width)))
        with torch.inference_mode():
            for batch in ordered_batches(np.array([len(protein) for protein in proteins]), 32):
                x, lengths = pad_tokens([proteins[row] for row in batch])
                found[batch] = (frontend(x, lengths)[0].sum(1) / lengths[:, None]).numpy()
        return found

    return features


def untrained(frontend: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Return the states of the same network with its initial weights."""
    torch.manual_seed(seed)
    settled = frontend.settled
    return build_frontend(LanguageModel(parts=settled.parts, tokenisers=settled.tokenisers)).eval()


# -- what a mean vector tells ------------------------------------------------------------------------------------------
def ridge() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))


def nearest_family(fit: np.ndarray, fit_names: np.ndarray, test: np.ndarray, test_names: np.ndarray) -> float:
    """Return the fraction of proteins whose nearest neighbour (Euclidean, standardised) is of the same family."""
    scale = StandardScaler().fit(fit)
    a, b = scale.transform(fit), scale.transform(test)
    known = np.isin(test_names, fit_names)
    found = (a**2).sum(1)[None] - 2 * b[known] @ a.T
    return float((fit_names[found.argmin(1)] == test_names[known]).mean())


def show_probes(representations: dict[str, Features], families: Path, others: Path | None, seed: int) -> None:
    proteins, names = read(families, "family_accession")
    labels, half = np.array(names), np.random.default_rng(seed).permutation(len(proteins)) < len(proteins) // 2
    length = np.log([len(protein) for protein in proteins])
    frequencies = composition(proteins)
    second: list[np.ndarray] = []
    if others is not None:  # cut to the lengths of the first source, which else would tell
        rng = np.random.default_rng(seed)
        for protein, like in zip(read(others, None)[0], rng.permutation(len(proteins)), strict=False):
            size = len(proteins[like])
            if len(protein) >= size:
                start = int(rng.integers(0, len(protein) - size + 1))
                second.append(protein[start : start + size])
    print(
        f"\nprobes of the mean vector: {len(proteins):,} domains of {len(set(names)):,} families, {len(second):,} more"
    )
    print(f"{'':14}{'width':>6}{'R2 log length':>15}{'R2 composition':>16}{'same family':>13}{'AUC source':>12}")
    first = np.random.default_rng(seed).permutation(len(proteins))[: len(second)]
    for name, features in representations.items():
        x = features(proteins)
        scores = [ridge().fit(x[half], y[half]).score(x[~half], y[~half]) for y in (length, frequencies)]
        family = nearest_family(x[half], labels[half], x[~half], labels[~half])
        auc = float("nan")
        if second:
            both = np.concatenate([x[first], features(second)])
            source, side = np.repeat([0, 1], len(second)), np.random.default_rng(1).permutation(len(both)) % 2 == 0
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(
                both[side], source[side]
            )
            auc = roc_auc_score(source[~side], model.decision_function(both[~side]))
        print(f"{name:14}{x.shape[1]:6}{scores[0]:15.2f}{scores[1]:16.2f}{family:13.2f}{auc:12.2f}", flush=True)


# -- few labels --------------------------------------------------------------------------------------------------------
def by_place(proteins: list[np.ndarray]) -> np.ndarray:
    """Return one-hot residues by position; the composition if lengths differ too much."""
    lengths = np.array([len(protein) for protein in proteins])
    if lengths.max() > 1.5 * lengths.min():
        return composition(proteins)
    found = np.zeros((len(proteins), lengths.max(), 21), np.float32)
    for row, protein in enumerate(proteins):
        found[row, np.arange(len(protein)), protein - 1] = 1
    return found.reshape(len(proteins), -1)


def process(x: np.ndarray, y: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the predictions of a Gaussian process with one length scale.

    Length scale (of four around the median distance), noise and amplitude maximise the marginal likelihood, with one
    decomposition per length scale (Rasmussen and Williams 2006, section 5.4).
    """
    squares, far = distances(x, x), distances(others, x)
    middle, mean = np.median(squares[np.triu_indices(len(x), 1)]), y.mean()
    best, found = -np.inf, np.zeros(len(others))
    for scale in middle * np.array([0.1, 0.3, 1.0, 3.0]):
        values, vectors = np.linalg.eigh(np.exp(-squares / (2 * scale)))
        along = vectors.T @ (y - mean)
        for noise in np.logspace(-2, 1.5, 15):  # variance over the amplitude
            spread = np.maximum(values, 0) + noise
            amplitude = (along**2 / spread).mean()
            likelihood = -0.5 * (len(y) * np.log(amplitude) + np.log(spread).sum())
            if likelihood > best:
                best, found = likelihood, mean + np.exp(-far / (2 * scale)) @ (vectors @ (along / spread))
    return found


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances (N, M)."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)


def learn(name: str, widths: list[int], x: np.ndarray, y: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the predictions of ridge or a Gaussian process, from blocks of features of equal weight."""
    scale, weights = StandardScaler().fit(x), np.concatenate([np.full(width, width**-0.5) for width in widths])
    x, others = scale.transform(x) * weights, scale.transform(others) * weights
    return process(x, y, others) if name == "process" else RidgeCV(np.logspace(-3, 4, 15)).fit(x, y).predict(others)


def held_out_rows(path: Path, proteins: list[np.ndarray], asked: str | None, seed: int) -> np.ndarray:
    """Return the mask of the held-out rows, bool (N,)."""
    if asked is not None:
        column, _, value = asked.partition("=")
        return np.array([cell == value for cell in read(path, column)[1]])
    offsets = np.concatenate([[0], np.cumsum([len(protein) for protein in proteins])]).astype(np.int64)
    group = cluster(np.concatenate(proteins), offsets, 0.5)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    return np.isin(group, order[: len(order) // 4])


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and the 95 % interval of paired differences (D,) by Student's t."""
    half = student.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean()), float(differences.mean() - half), float(differences.mean() + half)


def show_few_labels(trained: Features, blank: Features, path: Path, target: str, asked: str | None, seed: int) -> None:
    proteins, cells = read(path, target)
    y = np.array([float(cell) for cell in cells])
    test = held_out_rows(path, proteins, asked, seed)
    pool = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(~test))[:POOL])
    draws = [np.random.default_rng([seed, draw]).permutation(pool)[: max(LABELS)] for draw in range(DRAWS)]
    used = np.unique(np.concatenate([*draws, np.flatnonzero(test)]))  # features of no other row are needed
    place = np.full(len(proteins), -1)
    place[used] = np.arange(len(used))
    chosen, y = [proteins[row] for row in used], y[used]
    rest = place[test]
    residues = by_place(chosen)
    base = {"descriptors": described(chosen), "residues": residues}
    added = {"language model": trained(chosen), "untrained": blank(chosen)}
    kind = "one-hot by place" if residues.shape[1] > 20 else "composition"
    print(f"\nfew labels: {target}, {len(rest):,} held-out proteins, {DRAWS} draws from {len(pool):,} others")
    widths = {name: block.shape[1] for name, block in (base | added).items()}
    print(f"widths {widths}; residues are {kind}; Spearman (R2)")
    scores: dict[tuple[str, str, int], np.ndarray] = {}
    plans = [("ridge", "descriptors"), ("ridge", "residues"), ("process", "descriptors"), ("ridge", "")]
    for learner, known in plans:
        for more in ("", "language model", "untrained"):
            blocks = [part for part in (base.get(known), added.get(more)) if part is not None]
            if not blocks:
                continue
            x = np.concatenate(blocks, axis=1)
            for count in LABELS:
                found = []
                for draw in draws:
                    fit = place[draw[:count]]
                    predicted = learn(learner, [block.shape[1] for block in blocks], x[fit], y[fit], x[rest])
                    found.append((spearmanr(y[rest], predicted).statistic, r2_score(y[rest], predicted)))
                scores[f"{learner} {known}".strip(), more, count] = np.array(found)  # (D, 2)
    show_differences(scores)


def show_differences(scores: dict[tuple[str, str, int], np.ndarray]) -> None:
    """Print Spearman (R2) of each predictor without and with states, one row per number of labels."""
    print(f"{'predictor':22}{'labels':>7}{'alone':>18}{'+ untrained':>18}{'+ language model':>18}"
          f"{'gain over alone (95 %)':>28}{'gain over untrained (95 %)':>30}")  # fmt: skip

    def cell(key: tuple[str, str, int]) -> str:
        return f"{scores[key][:, 0].mean():.3f} ({scores[key][:, 1].mean():+.3f})" if key in scores else "-"

    def gain(key: tuple[str, str, int], other: tuple[str, str, int]) -> str:
        if other not in scores:
            return "-"
        mean, low, high = interval(scores[key][:, 0] - scores[other][:, 0])
        return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"

    for name, count in dict.fromkeys((name, count) for name, _, count in scores):
        full = (name, "language model", count)
        print(f"{name if name != 'ridge' else 'ridge, nothing else':22}{count:7}{cell((name, '', count)):>18}"
              f"{cell((name, 'untrained', count)):>18}{cell(full):>18}{gain(full, (name, '', count)):>28}"
              f"{gain(full, (name, 'untrained', count)):>30}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", required=True, help="model folder of a recipe of task language, forward")
    parser.add_argument("--backward", help="a backward model, whose states are appended")
    parser.add_argument("--table", type=Path, help="table of k-mer vectors")
    parser.add_argument("--families", type=Path, help="CSV with the columns sequence and family_accession")
    parser.add_argument("--others", type=Path, help="CSV with sequences of another source")
    parser.add_argument("--labelled", type=Path, help="CSV with the columns sequence and --target")
    parser.add_argument("--target", default="solubility")
    parser.add_argument("--held-out", help="COLUMN=VALUE: rows to measure on; default: a quarter of the clusters")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    set_threads(given.threads)
    named = LanguageModel(path=given.language, backward=given.backward)
    states = build_frontend(named, models_of(named)).eval()
    trained, blank = mean_of(states), mean_of(untrained(states))
    if given.families is not None:
        representations: dict[str, Features] = {"composition": composition}
        if given.table is not None:
            representations["k-mer table"] = mean_of(build_frontend(Vectors(path=str(given.table))))
        representations |= {"untrained": blank, "language model": trained}
        show_probes(representations, given.families, given.others, given.seed)
    if given.labelled is not None:
        show_few_labels(trained, blank, given.labelled, given.target, given.held_out, given.seed)


if __name__ == "__main__":
    main()
