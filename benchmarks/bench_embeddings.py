"""What embeddings of proteins hold: perplexity beside counting, what a mean vector tells, and whether it helps.

Run: python benchmarks/bench_embeddings.py PREPARED --language RUN [--table TABLE]
         [--families TABLE.csv] [--labelled TABLE.csv --target COLUMN] [--others TABLE.csv]

  perplexity   of the residues of the test rows of PREPARED, ends not counted: of the language model, and
               of counts on its training rows (uniform, unigram, and bigram and trigram with Witten-Bell smoothing)
  told         what the mean of a protein's vectors says of it, by ridge or nearest neighbour on half of the proteins,
               measured on the other half: length, composition, family, and which of two sources it is of
  few labels   R2 and Spearman of ridge on the mean vectors after so many labels, over random draws, measured on all
               other proteins of --labelled; beside descriptors and beside vectors of the same model untrained

The penalty of every ridge is chosen by leave-one-out on the rows that it is fitted to. The mean vector is taken over
the residues of a protein; "composition" is the frequency of the 20 residues.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from biorrn.device import set_threads  # before torch: it sets how idle threads wait

import numpy as np  # isort: skip
import torch  # isort: skip

from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biorrn.config import LanguageModel, Vectors
from biorrn.datasets.next_symbols import IGNORED, SymbolDataset
from biorrn.datasets.proteins import ordered_batches, pad_tokens
from biorrn.encoders.alphabets import N_TOKENS, PADDING
from biorrn.encoders.descriptors import descriptors
from biorrn.encoders.residues import tokens
from biorrn.files import open_text
from biorrn.models.frontends import FRONTENDS
from biorrn.models.store import load_model
from biorrn.readers.sequences import clean_sequence
from biorrn.tasks import language

Features = Callable[[list[np.ndarray]], np.ndarray]  # N token arrays -> (N, F)
DRAWS = 10
LABELS = (50, 100, 200, 500)


def read(path: Path, column: str | None) -> tuple[list[np.ndarray], list[str]]:
    """Return the tokens of each protein of a table, and the cells of a column."""
    with open_text(path) as stream:
        rows = list(csv.DictReader(stream))
    return [tokens(clean_sequence(row["sequence"])[0]) for row in rows], [row[column] if column else "" for row in rows]


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
    """Return the states of the same network with the weights that training began from."""
    torch.manual_seed(seed)
    parts = frontend.settled.parts
    return FRONTENDS["language_model"](LanguageModel(parts=parts)).eval()


# -- perplexity --------------------------------------------------------------------------------------------------------
def symbols(data: SymbolDataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the symbols that a protein is read as, and its targets."""
    for row in range(len(data)):
        batch = data.collate([row])
        steps = int(batch.lengths[0])
        yield batch.x[0, :steps].numpy(), batch.targets[0, :steps].numpy()


def perplexity_of_counts(train: SymbolDataset, test: SymbolDataset, order: int) -> float:
    """Return the perplexity of an n-gram model of `order`, interpolated with lower ones (Witten and Bell 1991)."""
    seen: list[dict[int, np.ndarray]] = [{} for _ in range(order)]

    def contexts(x: np.ndarray) -> list[np.ndarray]:
        known, found = np.zeros(len(x), np.int64), [np.zeros(len(x), np.int64)]
        for back in range(order - 1):
            known = known * N_TOKENS + np.concatenate([np.zeros(back, np.int64), x[: len(x) - back]])
            found.append(known.copy())
        return found

    for x, targets in symbols(train):
        there = targets != IGNORED
        for level, context in enumerate(contexts(x)):
            for key, target in zip(context[there].tolist(), targets[there].tolist(), strict=True):
                seen[level].setdefault(key, np.zeros(N_TOKENS))[target] += 1
    nats, count = 0.0, 0
    smooth: list[dict[int, np.ndarray]] = [{} for _ in range(order)]
    for x, targets in symbols(test):
        found = contexts(x)
        for place in np.flatnonzero((targets != IGNORED) & (targets != PADDING)):
            p = np.full(N_TOKENS, 1 / N_TOKENS)
            for level in range(order):
                key = int(found[level][place])
                if key not in seen[level]:
                    break
                if key not in smooth[level]:
                    counts = seen[level][key]
                    kinds = np.count_nonzero(counts)
                    smooth[level][key] = (counts + kinds * p) / (counts.sum() + kinds)
                p = smooth[level][key]
            nats -= np.log(p[targets[place]])
            count += 1
    return float(np.exp(nats / count))


def show_perplexity(prepared: Path, run: str) -> None:
    train, test = SymbolDataset(prepared, "train"), SymbolDataset(prepared, "test")
    stored = load_model(run)
    collected = []
    with torch.inference_mode():
        for rows in ordered_batches(test.lengths, 32):
            batch = test.collate(rows)
            collected.append(language.collect(*stored.model(batch.x, batch.lengths), batch))
    scores = language.score(collected)
    print(f"\nperplexity of {prepared.name}, {sum(part[0] for part in collected):,.0f} residues of test rows")
    print(f"{'uniform':14}{20:8.2f}")
    for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram")):
        print(f"{name:14}{perplexity_of_counts(train, test, order):8.2f}", flush=True)
    print(f"{'model':14}{scores['perplexity']:8.2f}  accuracy {scores['accuracy']:.3f}")


# -- what a mean vector tells ------------------------------------------------------------------------------------------
def ridge() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))


def nearest_family(fit: np.ndarray, fit_names: np.ndarray, test: np.ndarray, test_names: np.ndarray) -> float:
    """Return how often the nearest protein by Euclidean distance, columns standardised, is of the same family."""
    scale = StandardScaler().fit(fit)
    a, b = scale.transform(fit), scale.transform(test)
    known = np.isin(test_names, fit_names)
    found = (a**2).sum(1)[None] - 2 * b[known] @ a.T
    return float((fit_names[found.argmin(1)] == test_names[known]).mean())


def show_told(representations: dict[str, Features], families: Path, others: Path | None, seed: int) -> None:
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
        f"\ntold by the mean vector: {len(proteins):,} domains of {len(set(names)):,} families, {len(second):,} others"
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
def show_few_labels(representations: dict[str, Features], path: Path, target: str, seed: int) -> None:
    proteins, cells = read(path, target)
    y = np.array([float(cell) for cell in cells])
    made = {name: features(proteins) for name, features in representations.items()}
    made["descriptors"] = described(proteins)
    for name in ("language model", "untrained", "k-mer table"):
        if name in made:
            made[f"+ {name}"] = np.concatenate([made["descriptors"], made[name]], axis=1)
    print(f"\nfew labels: {target} of {len(y):,} proteins, {DRAWS} draws: R2 (its standard deviation) / Spearman")
    print(f"{'':18}" + "".join(f"{count:>22} labels" for count in LABELS))
    for name, x in made.items():
        shown = []
        for count in LABELS:
            scores = []
            for draw in range(DRAWS):
                order = np.random.default_rng([seed, draw]).permutation(len(y))
                fit, rest = order[:count], order[count:]
                predicted = ridge().fit(x[fit], y[fit]).predict(x[rest])
                scores.append((r2_score(y[rest], predicted), spearmanr(y[rest], predicted).statistic))
            (r2, rho), spread = np.mean(scores, axis=0), np.std(scores, axis=0)[0]
            shown.append(f"{r2:14.3f} ({spread:.3f}) / {rho:.3f}")
        print(f"{name:18}" + "".join(f"{text:>29}" for text in shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "prepared", type=Path, help="file of `biorrn prepare protein` that the language model learned of"
    )
    parser.add_argument("--language", required=True, help="model folder of a recipe of task language, forward")
    parser.add_argument("--table", type=Path, help="table of k-mer vectors")
    parser.add_argument("--families", type=Path, help="CSV with the columns sequence and family_accession")
    parser.add_argument("--others", type=Path, help="CSV with sequences of another source")
    parser.add_argument("--labelled", type=Path, help="CSV with the columns sequence and --target")
    parser.add_argument("--target", default="solubility")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    set_threads(given.threads)
    states = FRONTENDS["language_model"](LanguageModel(path=given.language)).eval()
    representations: dict[str, Features] = {"composition": composition}
    if given.table is not None:
        representations["k-mer table"] = mean_of(FRONTENDS["table"](Vectors(path=str(given.table))))
    representations |= {"untrained": mean_of(untrained(states)), "language model": mean_of(states)}
    show_perplexity(given.prepared, given.language)
    if given.families is not None:
        show_told(representations, given.families, given.others, given.seed)
    if given.labelled is not None:
        show_few_labels(representations, given.labelled, given.target, given.seed)


if __name__ == "__main__":
    main()
