"""K-mer embeddings of proteins: word2vec training, comparison with BLOSUM62, figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import atomic_path, sha256
from biorrn.sequences.alphabets import N_TOKENS, RESIDUES, STANDARD, blosum62, sequence
from biorrn.sequences.prepared.files import ProteinFile
from biorrn.sequences.rows import TableOptions, protein_rows
from biorrn.sequences.sequence_set import is_prepared
from biorrn.sequences.tables.reader import Reading
from biorrn.sequences.tokenisers import SPECIAL, Tokeniser
from biorrn.sequences.vectors import LONGEST, Vectors, read_vectors
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Drawing, as_bytes, draw, plain

Epoch = Callable[[int], None]


def sentences(proteins: Iterable[str], k: int) -> Iterator[list[str]]:
    """Yield the k-mers of each reading frame of each protein; a k-mer with an unknown residue X parts a sentence.

    As in ProtVec (Asgari and Mofrad 2015, PLoS ONE 10:e0141287): frame i holds the k-mers that start at i, i + k, ...

    >>> list(sentences(["MKVLAT"], 3))
    [['MKV', 'LAT'], ['KVL'], ['VLA']]
    """
    for protein in proteins:
        for frame in range(min(k, len(protein) - k + 1)):
            words = [protein[start : start + k] for start in range(frame, len(protein) - k + 1, k)]
            sentence: list[str] = []
            for word in words:
                if "X" not in word:
                    sentence.append(word)
                elif sentence:
                    yield sentence
                    sentence = []
            if sentence:
                yield sentence


def read_sequences(
    path: str | Path, column: str = "sequence", split: str | None = None, reading: Reading | None = None
) -> list[str]:
    """Return the proteins of FASTA, of a table, or of one split of a prepared file (None: all of it).

    `reading` takes records and rows that cannot be used; without it, the first is an error.

    Raises
    ------
    InputError: the file cannot be read, or a sequence cannot be cleaned.
    """
    if is_prepared(path):
        with ProteinFile(path) as file:
            if file.alphabet != RESIDUES:
                raise InputError(path, f"holds sequences of {file.alphabet}; expected residues")
            return [sequence(file.tokens(int(row))) for row in file.rows(split)]
    rows = protein_rows(path, (), Counter(), options=TableOptions(column), unlabelled=True, reading=reading)
    return [row.sequence for row in rows]


def train_word2vec(
    sentences: Iterable[list[str]],
    *,
    width: int = 64,
    window: int = 10,
    epochs: int = 5,
    negative: int = 5,
    min_count: int = 2,
    seed: int = 0,
    after_epoch: Epoch = lambda epoch: None,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return words (N), sorted, their vectors, float32 (N, width), and how often each came, int64 (N,).

    One thread: more would make each run another one. The same sentences and seed give the same vectors.

    Parameters
    ----------
    sentences : iterated several times.
    window : most words to either side that a word predicts.
    negative : random words drawn for each of them (negative sampling).
    min_count : rarer words are left out.

    Raises
    ------
    BiorrnError: no word comes `min_count` times.
    """
    from gensim.models import Word2Vec
    from gensim.models.callbacks import CallbackAny2Vec

    class AfterEpoch(CallbackAny2Vec):  # type: ignore[misc]
        def __init__(self) -> None:
            self.done = 0

        def on_epoch_end(self, model: Any) -> None:
            self.done += 1
            after_epoch(self.done)

    model = Word2Vec(
        vector_size=width, window=window, min_count=min_count, sg=1, hs=0, negative=negative, seed=seed, workers=1
    )
    model.build_vocab(sentences)
    if not len(model.wv):
        raise BiorrnError(f"word2vec: no word comes {min_count} times or more; allow rarer ones, or give more proteins")
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs, callbacks=[AfterEpoch()])
    words = sorted(model.wv.index_to_key)
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words], np.int64)
    return words, np.array(model.wv[words], np.float32), counts


def embed_kmers(
    source: str | Path,
    *,
    k: int = 3,
    width: int = 64,
    window: int = 10,
    epochs: int = 5,
    min_count: int = 2,
    sequence_column: str = "sequence",
    split: str | None = None,
    seed: int = 0,
    after_epoch: Epoch = lambda epoch: None,
    reading: Reading | None = None,
) -> Vectors:
    """Return word2vec vectors of the k-mers of proteins, with what they were made from.

    The vector of unknown k-mers is the mean over the table, each k-mer counted as often as it came.

    Parameters
    ----------
    source : FASTA, table or prepared file; see `read_sequences`.
    k : int: residues a word; others as in `proteins.embedding.train_word2vec`.
    reading : takes records and rows that cannot be used; without it, the first is an error.

    Raises
    ------
    ConfigError: a number out of range.
    InputError: the proteins cannot be read, or hold no k-mer `min_count` times.
    """
    limits = {"k": (k, LONGEST), "width": (width, 4096), "window": (window, 1000), "epochs": (epochs, 10_000)}
    for name, (found, most) in limits.items():
        if not 1 <= found <= most:
            raise ConfigError(f"--{name}: found {found}; allowed is 1 to {most}")
    if min_count < 1 or seed < 0:
        raise ConfigError(f"--min-count, --seed: found {min_count}, {seed}; allowed is 1 or more, and 0 or more")
    proteins = read_sequences(source, sequence_column, split, reading)
    corpus = list(sentences(proteins, k))
    if not corpus:
        raise InputError(source, f"no protein holds {k} known residues in a row")
    words, vectors, counts = train_word2vec(
        corpus, width=width, window=window, epochs=epochs, min_count=min_count, seed=seed, after_epoch=after_epoch
    )
    facts = {
        "method": "word2vec",
        "k": k,
        "width": width,
        "window": window,
        "epochs": epochs,
        "min_count": min_count,
        "seed": seed,
        "alphabet": RESIDUES,
        "source": {"path": str(source), "sha256": sha256(source) if Path(source).is_file() else "", "split": split},
        "proteins": len(proteins),
        "words": int(counts.sum()),
    }
    return Vectors(words, vectors, np.average(vectors, axis=0, weights=counts).astype(np.float32), facts)


PERMUTATIONS = 9_999  # of the residues, for the p-value


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of an embedding with BLOSUM62; residues in the order of `STANDARD`.

    Attributes
    ----------
    similarity : float array (20, 20): cosine of the residues' vectors, their mean taken away before.
    blosum : float array (20, 20): BLOSUM62 scores, in half-bits.
    spearman : float: rank correlation of the two over the pairs of different residues.
    pairs : int: how many these are.
    p_value : float: part of the relabellings of residues that correlate as well (Mantel 1967), the true one counted.
    places : float array (20, 2): principal components of the vectors.
    explained : float array (2,): part of the variance that each axis shows.
    """

    similarity: np.ndarray
    blosum: np.ndarray
    spearman: float
    pairs: int
    p_value: float
    places: np.ndarray
    explained: np.ndarray

    def sentence(self) -> str:
        """Return the comparison in one line."""
        return (
            f"cosine similarity and BLOSUM62: Spearman {self.spearman:.2f} (n = {self.pairs} pairs of residues, "
            f"p {'≤' if self.p_value <= 1 / (PERMUTATIONS + 1) else '='} {self.p_value:.2g} by relabelling); "
            f"the map shows {100 * self.explained.sum():.0f} % of the variance"
        )


def residue_vectors(source: str | Path) -> np.ndarray:
    """Return the vectors of the 20 residues, float64 (20, F), of a table of vectors or of a model.

    Of k-mers, a residue has the mean over those that hold it, each as often as it does. Of an ensemble, the vectors of
    its members side by side. Of a language model, those by which its head tells residues apart: of its input vectors
    most stay near their random start (measured: Spearman with BLOSUM62 0.67 and 0.20).

    Raises
    ------
    ConfigError: no such table or model, or its front end learns no vectors of residues.
    InputError: it cannot be read, or has no vector of a residue.
    """
    if Path(source).is_file():
        table = read_vectors(source)
        return _of_words(source, table.words, table.vectors)
    from biorrn.nn.heads import Tokens
    from biorrn.nn.store import load_model

    stored = load_model(source)
    models: Any = getattr(stored.model, "members", [stored.model])
    found = []
    for model in models:
        if isinstance(getattr(model, "head", None), Tokens):
            tokeniser = Tokeniser.from_dict(stored.facts["tokeniser"])
            found.append(_of_symbols(source, tokeniser, model.head.output[-1].weight))
        elif (vectors := _of_frontend(source, getattr(model, "frontend", None))) is not None:
            found.append(vectors)
    if not found:
        raise ConfigError(f"{source}: its front end learns no vectors of residues; expected embedding or table")
    return np.concatenate(found, axis=1)


def _of_frontend(source: str | Path, frontend: Any) -> np.ndarray | None:
    if hasattr(frontend, "learned"):
        return _rows(frontend.learned.weight)
    if hasattr(frontend, "codes"):
        digits = frontend.codes.numpy()[:, None] // N_TOKENS ** np.arange(frontend.k - 1, -1, -1) % N_TOKENS  # (N, k)
        words = ["".join((STANDARD + "X")[digit - 1] for digit in row) for row in digits]
        return _of_words(source, words, frontend.vectors.detach().numpy()[:-1])
    if hasattr(frontend, "readers"):
        readers = frontend.readers
        return np.concatenate([_of_symbols(source, one.tokeniser, one.frontend.learned.weight) for one in readers], 1)
    return None


def _of_symbols(source: str | Path, tokeniser: Tokeniser, weight: Any) -> np.ndarray:
    """Return the vectors of the standard residues of a table (size, F); the mean of longer symbols with the residue."""
    return _of_words(source, tokeniser.symbols, np.asarray(weight.detach().double())[SPECIAL:])


def _rows(weight: Any) -> np.ndarray:
    """Return the rows of the standard residues of a tensor (N_TOKENS, F)."""
    return np.asarray(weight.detach().double())[1 : len(STANDARD) + 1]


def _of_words(source: str | Path, words: list[str], vectors: np.ndarray) -> np.ndarray:
    counts = np.array([[word.count(residue) for residue in STANDARD] for word in words], np.float64)  # (N, 20)
    absent = [residue for residue, number in zip(STANDARD, counts.sum(0), strict=True) if not number]
    if absent:
        raise InputError(source, f"no word holds residue {absent[0]}; expected a vector for each of {STANDARD}")
    return (counts / counts.sum(0)).T @ vectors.astype(np.float64)


def compare(vectors: np.ndarray, seed: int = 0) -> Comparison:
    """Compare the vectors of the 20 residues, (20, F), with BLOSUM62.

    >>> from biorrn.sequences.alphabets import TABLES
    >>> compare(TABLES["blosum62"][1:21]).spearman > 0.7
    True
    """
    centred = vectors - vectors.mean(0)  # what all residues share says nothing of one
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    blosum = blosum62()
    upper = np.triu_indices(len(STANDARD), 1)
    rho = float(spearmanr(similarity[upper], blosum[upper]).statistic)
    rng = np.random.default_rng(seed)
    ranks = np.zeros_like(blosum)
    ranks[upper] = np.argsort(np.argsort(similarity[upper])) - (len(upper[0]) - 1) / 2
    ranks += ranks.T
    wanted = blosum[upper] @ ranks[upper]
    hits = 1
    for _ in range(PERMUTATIONS):
        order = rng.permutation(len(STANDARD))
        hits += int(blosum[order][:, order][upper] @ ranks[upper] >= wanted)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    share = sizes**2 / max(float((sizes**2).sum()), 1e-12)
    places, explained = np.zeros((len(STANDARD), 2)), np.zeros(2)
    shown = min(2, len(sizes))
    places[:, :shown], explained[:shown] = (left * sizes)[:, :shown], share[:shown]
    return Comparison(similarity, blosum, rho, len(upper[0]), hits / (PERMUTATIONS + 1), places, explained)


# chemistry -> residues and colour; the heat map has this order
CHEMISTRY = {
    "aliphatic": ("IVLMA", ORANGE),
    "aromatic": ("FYW", PURPLE),
    "special": ("CGP", GREY),
    "polar": ("STNQ", GREEN),
    "positive": ("HKR", BLUE),
    "negative": ("DE", RED),
}
ORDER = "".join(residues for residues, _ in CHEMISTRY.values())
COLOUR = {residue: colour for residues, colour in CHEMISTRY.values() for residue in residues}


def _matrix(axes: Axes, figure: Figure, found: Comparison) -> None:
    places = [STANDARD.index(residue) for residue in ORDER]
    similarity, blosum = (matrix[np.ix_(places, places)] for matrix in (found.similarity, found.blosum))
    off = ~np.eye(len(ORDER), dtype=bool)
    lower, upper = np.tri(len(ORDER), k=-1, dtype=bool), np.tri(len(ORDER), k=-1, dtype=bool).T
    reach = float(np.abs(similarity[off]).max()) or 1.0
    for values, shown, limit, side, label in (
        (similarity, lower, reach, "bottom", "below: cosine similarity"),
        (blosum, upper, 4.0, "top", "above: BLOSUM62, half-bits"),
    ):
        drawn = axes.imshow(np.where(shown, values, np.nan), cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(drawn, ax=axes, label=label, shrink=0.6, aspect=30, pad=0.02, location=side)
    axes.set_xticks(range(len(ORDER)), list(ORDER), fontsize=8)
    axes.set_yticks(range(len(ORDER)), list(ORDER), fontsize=8)
    for letter in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        letter.set_color(COLOUR[letter.get_text()])
        letter.set_fontweight("bold")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for edge in np.cumsum([len(residues) for residues, _ in CHEMISTRY.values()])[:-1] - 0.5:
        axes.axhline(edge, color="white", linewidth=1)
        axes.axvline(edge, color="white", linewidth=1)


def _map(axes: Axes, found: Comparison) -> None:
    x, y = found.places.T
    axes.scatter(x, y, s=0)  # for the limits
    for residue, across, up in zip(STANDARD, x, y, strict=True):
        axes.text(
            across, up, residue, color="white", ha="center", va="center", fontsize=8, fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": COLOUR[residue], "edgecolor": "white", "alpha": 0.9},
        )  # fmt: skip
    axes.margins(0.12)
    axes.set_xlabel(f"component 1 ({100 * found.explained[0]:.0f} % of the variance)")
    axes.set_ylabel(f"component 2 ({100 * found.explained[1]:.0f} %)")
    axes.ticklabel_format(style="sci", scilimits=(-2, 3))
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, (_, colour) in CHEMISTRY.items()
    ]
    axes.legend(handles=handles, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.22), handletextpad=0.2)


def embedding_figure(found: Comparison, name: str) -> Drawing:
    """Draw similarity and BLOSUM62 as the two halves of one matrix, and below it the map of the residues."""

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, height_ratios=[1.6, 1])
        _matrix(above, figure, found)
        p_value = f"p {'<' if found.p_value <= 1e-4 else '='} {max(found.p_value, 1e-4):.1g}"
        figure.suptitle(
            f"{plain(name)}\nSpearman {found.spearman:.2f}, {found.pairs} pairs, {p_value}", fontsize=10, color=INK
        )
        _map(below, found)

    return draw("embedding", found.sentence(), paint, 8.8)


def save_embedding_figure(found: Comparison, path: str | Path, name: str) -> None:
    """Write the figure of an embedding as its suffix says.

    Raises
    ------
    ConfigError: the suffix is neither .svg nor .png.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".png"):
        raise ConfigError(f"{path}: a figure is written to a file ending in .svg or .png")
    picture = as_bytes(embedding_figure(found, name).figure, suffix[1:])
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
