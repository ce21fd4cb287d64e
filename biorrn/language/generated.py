"""Comparison of generated sequences with the training set: copies, similarity, composition, lengths.

Held-out sequences of the same prepared file are measured for reference: their similarity to the training sequences is
due to common descent, not to copying. The longest exact match is found with a suffix automaton of the generated
sequences. Outputs: FASTA, a table, a summary as JSON, and a figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.base.compute import jit
from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import atomic_path, write_text
from biorrn.language.generate import Generated
from biorrn.sequences.alphabets import DNA
from biorrn.sequences.fasta import fasta_text
from biorrn.sequences.sequence_set import SequenceSet, as_set, is_prepared, read_set
from biorrn.sequences.similarity import nearest, word_length
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.figures import BLUE, GREY, ORANGE, PALE, Drawing, as_bytes, draw
from biorrn.stats.results import described, write_result

CODES = 32  # letters are 1 to 31; 0 separates the queries


def longest_matches(
    queries: np.ndarray, bounds: np.ndarray, tokens: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each query the longest exact match with a sequence of a set.

    Parameters
    ----------
    queries : uint8 array: letters, 1 to 31, of all queries; query i is queries[bounds[i]:bounds[i + 1]].
    tokens, offsets : the set, in the same form.

    Returns
    -------
    lengths : int64 array (N,): letters of the match.
    found : int64 array (N,): a sequence of the set that contains it, -1 if the length is 0.
    ends : int64 array (N,): end of the match in the query (exclusive).
    """
    text = np.zeros(len(queries) + len(bounds), np.uint8)
    starts = bounds[:-1] + np.arange(len(bounds) - 1)  # a 0 after each query
    for i, start in enumerate(starts):
        text[start : start + bounds[i + 1] - bounds[i]] = queries[bounds[i] : bounds[i + 1]]
    follow, link, longest, states = _automaton(text)
    best, where = _read(follow[:states], link[:states], longest[:states], tokens, offsets)
    return _collect(text, starts, np.diff(bounds), follow, best, where)


@jit()
def _automaton(text: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the suffix automaton: transitions (2T + 2, CODES), suffix links, longest lengths, number of states."""
    most = 2 * len(text) + 2
    follow = np.full((most, CODES), -1, np.int32)
    link, longest = np.full(most, -1, np.int32), np.zeros(most, np.int32)
    states, last = 1, 0
    for code in text:
        new = states
        states += 1
        longest[new] = longest[last] + 1
        state = last
        while state >= 0 and follow[state, code] < 0:
            follow[state, code] = new
            state = link[state]
        if state < 0:
            link[new] = 0
        else:
            other = follow[state, code]
            if longest[other] == longest[state] + 1:
                link[new] = other
            else:
                clone = states
                states += 1
                follow[clone] = follow[other]
                link[clone], longest[clone] = link[other], longest[state] + 1
                while state >= 0 and follow[state, code] == other:
                    follow[state, code] = clone
                    state = link[state]
                link[other] = link[new] = clone
        last = new
    return follow, link, longest, states


@jit()
def _read(
    follow: np.ndarray, link: np.ndarray, longest: np.ndarray, tokens: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each state the length of its longest suffix that the set contains, and a sequence with it.

    If the set contains a string, it contains all its suffixes: matches are first passed down the suffix links, and
    then those of the suffixes are passed up.
    """
    states = len(link)
    best, where = np.zeros(states, np.int32), np.full(states, -1, np.int64)
    for sequence in range(len(offsets) - 1):
        state, length = 0, 0
        for place in range(offsets[sequence], offsets[sequence + 1]):
            code = tokens[place]
            while state > 0 and follow[state, code] < 0:
                state = link[state]
                length = longest[state]
            if follow[state, code] >= 0:
                state, length = follow[state, code], length + 1
            if length > best[state]:
                best[state], where[state] = length, sequence
    order = np.argsort(-longest)
    for state in order:  # longest strings first
        below = link[state]
        if below >= 0 and best[state] > 0 and longest[below] > best[below]:
            best[below], where[below] = longest[below], where[state]
    for state in order[::-1]:
        below = link[state]
        if below >= 0 and best[below] > best[state]:
            best[state], where[state] = best[below], where[below]
    return best, where


@jit()
def _collect(
    text: np.ndarray, starts: np.ndarray, sizes: np.ndarray, follow: np.ndarray, best: np.ndarray, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts)
    lengths, found, ends = np.zeros(count, np.int64), np.full(count, -1, np.int64), np.zeros(count, np.int64)
    state, query = 0, 0
    for place in range(len(text)):
        state = follow[state, text[place]]  # state of the whole prefix
        while query + 1 < count and place >= starts[query + 1]:
            query += 1
        inside = place - starts[query] if count else sizes.sum()
        # matches never cross a 0, because no sequence contains it
        if count and inside < sizes[query] and best[state] > lengths[query]:
            lengths[query], found[query], ends[query] = best[state], where[state], inside + 1
    return lengths, found, ends


LEAST = 0.3  # minimum identity to the nearest sequence; lower ones are by chance, and reported as 0
COPY = 0.9  # a copy has at least this identity, or a match that covers this fraction of it
STRETCH = {DNA: 30}  # minimum letters of such a match: shorter ones occur by chance
STRETCH_OF_RESIDUES = 15
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 30  # of the histogram of lengths
MATCHES = 40  # letters: last bin of the histogram of matches, which includes longer ones


@dataclass(frozen=True, slots=True)
class Similarity:
    """Similarity of sequences to a set; arrays (N,).

    Attributes
    ----------
    match : int64: letters of the longest exact match with a sequence of the set.
    match_row : int64: that sequence; -1 if there is no match.
    identity : float64: identity to the nearest sequence, 1 - edits / length of the longer; 0 if below `LEAST`.
    nearest_row : int64: that sequence, or -1.
    lengths : int64: letters of each sequence.
    least : int: minimum letters of a match that counts as a copy.
    """

    match: np.ndarray
    match_row: np.ndarray
    identity: np.ndarray
    nearest_row: np.ndarray
    lengths: np.ndarray
    least: int = STRETCH_OF_RESIDUES

    def rows(self, chosen: np.ndarray) -> Similarity:
        """Return the similarity of some of the sequences."""
        match, row = self.match[chosen], self.match_row[chosen]
        identity, nearest_row = self.identity[chosen], self.nearest_row[chosen]
        return Similarity(match, row, identity, nearest_row, self.lengths[chosen], self.least)

    def copies(self, identity: float = COPY) -> np.ndarray:
        """Return which sequences are copies, bool (N,): identity or fraction in the match is at least `identity`."""
        part = np.where(self.match >= self.least, self.match / np.maximum(self.lengths, 1), 0.0)
        return np.asarray((np.maximum(part, self.identity) >= identity - 1e-9) & (self.lengths > 0))


def similarity(sequences: SequenceSet, others: SequenceSet, alphabet: str) -> Similarity:
    """Return the similarity of sequences to the most similar ones of a set.

    The nearest sequence is found by shared words (see `sequences.similarity`): below an identity of about 0.65, and
    more often for nucleotides, it may be missed.
    """
    match, match_row, _ = longest_matches(sequences.tokens, sequences.offsets, others.tokens, others.offsets)
    row, identity = nearest(
        sequences.tokens, sequences.offsets, others.tokens, others.offsets, LEAST, word_length(LEAST), 1.0
    )
    least = STRETCH.get(alphabet, STRETCH_OF_RESIDUES)
    return Similarity(match, match_row, identity, row, sequences.lengths, least)


def check_threshold(identity: float | None, against: object) -> None:
    """Check the option --drop-copies.

    Raises
    ------
    ConfigError: the identity is not above `LEAST` and at most 1, or there is no training set.
    """
    if identity is not None and against is None:
        raise ConfigError("--drop-copies: needs --against, the sequences that the model was trained on")
    if identity is not None and not LEAST < identity <= 1:
        raise ConfigError(f"--drop-copies: found {identity:g}; allowed is above {LEAST:g}, at most 1")


def duplicates(sequences: Sequence[str]) -> np.ndarray:
    """Return which sequences repeat an earlier one, bool (N,).

    >>> duplicates(["MK", "MV", "MK"]).tolist()
    [False, False, True]
    """
    seen: Counter[str] = Counter()
    found = []
    for text in sequences:
        found.append(seen[text] > 0)
        seen[text] += 1
    return np.array(found, bool)


def composition(sequences: SequenceSet, alphabet: str) -> np.ndarray:
    """Return the frequencies of the letters of the alphabet, without the last (unknown): float64, sum 1."""
    counts = np.bincount(sequences.tokens, minlength=len(alphabet) + 1)[1 : len(alphabet)].astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1))


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the total variation distance of two distributions (S,), 0 to 1."""
    return float(np.abs(a - b).sum() / 2)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two sets of lengths.

    >>> ks_distance(np.array([1, 2, 3, 4]), np.array([3, 4]))
    0.5
    """
    places = np.union1d(a, b)
    shares = [np.searchsorted(np.sort(x), places, side="right") / max(len(x), 1) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max(initial=0.0))


def _histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, list[float]]:
    inside = np.clip(values, edges[0], edges[-1])  # the last bin includes larger values
    return {"edges": edges.tolist(), "counts": np.histogram(inside, edges)[0].tolist()}


def _side(sequences: SequenceSet, alphabet: str, edges: np.ndarray) -> dict[str, Any]:
    lengths = sequences.lengths
    return {
        "sequences": len(sequences),
        "length": {f"{q:g}": float(np.quantile(lengths, q)) for q in QUANTILES} if len(sequences) else {},
        "lengths": _histogram(lengths, edges),
        "composition": dict(zip(alphabet, composition(sequences, alphabet).tolist(), strict=False)),
    }


def _distances(sequences: SequenceSet, found: Similarity, others: SequenceSet, alphabet: str) -> dict[str, Any]:
    """Return the distances of a set from the training set."""
    size = max(len(sequences), 1)
    return {
        "composition_distance": total_variation(composition(sequences, alphabet), composition(others, alphabet)),
        "length_distance": ks_distance(sequences.lengths, others.lengths),
        "copies": float(found.copies().sum() / size),
        "identity_median": float(np.median(found.identity)) if len(sequences) else math.nan,
        "identity_most": float(found.identity.max(initial=0.0)),
        **{f"identity_{t:g}": float((found.identity >= t - 1e-9).sum() / size) for t in (0.5, 0.8, COPY)},
        "match_median": float(np.median(found.match)) if len(sequences) else math.nan,
        "match_most": int(found.match.max(initial=0)),
        "identities": _histogram(found.identity, np.linspace(0, 1, 21)),
        "matches": _histogram(found.match, np.arange(MATCHES + 2.0)),
    }


def summarise(
    made: Sequence[Generated],
    alphabet: str,
    found: Similarity | None = None,
    training: SequenceSet | None = None,
    held_out: tuple[SequenceSet, Similarity] | None = None,
) -> dict[str, Any]:
    """Return the summary of generated sequences.

    Parameters
    ----------
    made : the sequences.
    found, training : their similarity to the training set, and that set; None without a training set.
    held_out : sequences that the model was not trained on, and their similarity.

    Returns
    -------
    dict: "generated" and, if given, "training" and "held_out", each with sequences, quantiles and histogram of lengths,
    and composition. For generated also ended (fraction with an end), duplicates (fraction) and log_likelihood (mean,
    nats). For generated and held_out also the distances from training: composition_distance (total variation),
    length_distance (Kolmogorov-Smirnov), copies (fraction), identity_*, match_* and their histograms.
    """
    own = as_set([str(one.number) for one in made], [one.sequence for one in made], alphabet)
    size = max(len(made), 1)
    known = [one.log_likelihood for one in made if not math.isnan(one.log_likelihood)]
    longest = max(float(np.quantile(one.lengths, 0.99)) for one in (own, training) if one is not None and len(one))
    edges = np.linspace(0, max(longest, 1), BINS + 1)
    generated = _side(own, alphabet, edges) | {
        "ended": sum(one.ended for one in made) / size,
        "duplicates": float(duplicates([one.sequence for one in made]).sum() / size),
        "log_likelihood": float(np.mean(known)) if known else math.nan,
    }
    summary: dict[str, Any] = {"generated": generated}
    if found is not None and training is not None:
        generated |= _distances(own, found, training, alphabet)
        summary["training"] = _side(training, alphabet, edges)
        if held_out is not None:
            summary["held_out"] = _side(held_out[0], alphabet, edges) | _distances(*held_out, training, alphabet)
    return summary


def sample(sequences: SequenceSet, count: int, seed: int) -> SequenceSet:
    """Return a random sample of `count` sequences, or all if there are fewer."""
    rows = np.arange(len(sequences))
    if len(rows) > count:
        rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    return sequences.take(rows)


def lines(summary: dict[str, Any]) -> list[str]:
    """Return a summary as lines for the terminal."""
    own = summary["generated"]
    text = [
        f"{own['sequences']:,} sequences, median length {own['length'].get('0.5', 0):.0f}; "
        f"{100 * own['ended']:.0f} % with an end, {100 * own['duplicates']:.1f} % duplicates; "
        f"mean log-likelihood {own['log_likelihood']:.3f} nats per symbol"
    ]
    for name in ("generated", "held_out"):
        if "copies" in summary.get(name, {}):
            side = summary[name]
            text.append(
                f"{name.replace('_', '-')} vs training: copies {100 * side['copies']:.1f} %; identity to the "
                f"nearest at most {side['identity_most']:.2f}, of 0.5 or more {100 * side['identity_0.5']:.0f} %; "
                f"longest match median {side['match_median']:.0f}, at most {side['match_most']}; distance of "
                f"composition {side['composition_distance']:.3f}, of length {side['length_distance']:.2f}"
            )
    return text


@dataclass(frozen=True, slots=True)
class Batch:
    """Generated sequences to write.

    Attributes
    ----------
    made : list of Generated (N,): those that are kept.
    dropped : int: number of dropped copies.
    found : Similarity (N,) or None: similarity to the training set.
    training : SequenceSet or None.
    summary : dict: see `summarise`; includes the dropped ones.
    """

    made: list[Generated]
    dropped: int
    found: Similarity | None
    training: SequenceSet | None
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The sequences to compare with.

    Attributes
    ----------
    training : SequenceSet: the training set.
    held_out : SequenceSet or None: the validation split of the same prepared file.
    """

    training: SequenceSet
    held_out: SequenceSet | None


def read_training_set(path: str | Path | None, alphabet: str) -> TrainingSet | None:
    """Read the train and valid splits of a prepared file, or all sequences of another file.

    Raises
    ------
    InputError: see `sequences.sequence_set.read_set`.
    """
    if path is None:
        return None
    held_out = None
    if is_prepared(path):
        try:
            held_out = read_set(path, alphabet, "valid")
        except InputError as error:
            if "holds no sequence" not in str(error):
                raise
    return TrainingSet(read_set(path, alphabet, "train"), held_out)


def compare(
    made: Sequence[Generated], alphabet: str, against: TrainingSet | None, drop: float | None = None, seed: int = 0
) -> Batch:
    """Compare generated sequences with the training set, and drop copies if `drop` is given.

    Parameters
    ----------
    drop : float or None: minimum identity of a dropped sequence, see `Similarity.copies`.
    seed : int: seed of the sample of held-out sequences.

    Raises
    ------
    ConfigError: `drop` is out of range.
    """
    check_threshold(drop, against)
    if against is None:
        return Batch(list(made), 0, None, None, summarise(made, alphabet))
    own = as_set([str(one.number) for one in made], [one.sequence for one in made], alphabet)
    found = similarity(own, against.training, alphabet)
    held_out = None
    if against.held_out is not None:
        chosen = sample(against.held_out, len(made), seed)
        held_out = (chosen, similarity(chosen, against.training, alphabet))
    summary = summarise(made, alphabet, found, against.training, held_out)
    kept = np.arange(len(made)) if drop is None else np.flatnonzero(~found.copies(drop))
    left = len(made) - len(kept)
    return Batch([made[int(row)] for row in kept], left, found.rows(kept), against.training, summary)


def _header(one: Generated) -> str:
    ended = "yes" if one.ended else "no"
    return f"generated_{one.number} length={len(one.sequence)} log_likelihood={one.log_likelihood:.4f} end={ended}"


def _name(ids: list[str], row: int) -> str:
    return "_".join(ids[row].split()) if row >= 0 else "."


def write_fasta(path: str | Path, batch: Batch) -> None:
    """Write sequences as FASTA; `-` is standard output, `.gz` is compressed.

    A header has id, length, log_likelihood (mean, nats per symbol), end (whether it was drawn), and with a training
    set longest_match (letters:id), identity (to the nearest:id, 0 below 0.3) and copy (yes or no).
    """
    found, training = batch.found, batch.training
    copies = found.copies() if found is not None else None
    with write_text(path) as stream:
        for row, one in enumerate(batch.made):
            header = _header(one)
            if found is not None and training is not None and copies is not None:
                header += f" longest_match={found.match[row]}:{_name(training.ids, int(found.match_row[row]))}"
                header += f" identity={found.identity[row]:.3f}:{_name(training.ids, int(found.nearest_row[row]))}"
                header += f" copy={'yes' if copies[row] else 'no'}"
            stream.write(fasta_text(header, one.sequence))


def write_table(path: str | Path | None, batch: Batch) -> None:
    """Write one row per sequence: the fields of the FASTA header, and whether it is a duplicate. None writes none."""
    if path is None:
        return
    columns: dict[str, type] = {"id": str, "length": int, "log_likelihood": float, "end": str, "duplicate": str}
    found, training = batch.found, batch.training
    if found is not None:
        columns |= {"longest_match": int, "match_id": str, "identity": float, "nearest_id": str, "copy": str}
    word = {False: "no", True: "yes"}
    with open_table(path, columns | {"sequence": str}) as write:
        again = duplicates([one.sequence for one in batch.made])
        for row, one in enumerate(batch.made):
            cells: list[Any] = [f"generated_{one.number}", len(one.sequence), one.log_likelihood]
            cells += [word[one.ended], word[bool(again[row])]]
            if found is not None and training is not None:
                cells += [int(found.match[row]), _name(training.ids, int(found.match_row[row]))]
                cells += [float(found.identity[row]), _name(training.ids, int(found.nearest_row[row]))]
                cells += [word[bool(found.copies()[row])]]
            write([*cells, one.sequence])


def write_summary(path: str | Path | None, batch: Batch, model: str, against: str | None, seed: int) -> None:
    """Write the summary as JSON, with its inputs. None writes none."""
    if path is not None:
        head = described("generated", model, {"against": against} if against else {})
        write_result(path, {**head, "seed": seed, "dropped": batch.dropped, **batch.summary})


SIDES = {"training": ("training", GREY), "held_out": ("held out", ORANGE), "generated": ("generated", BLUE)}


def _sides(summary: dict[str, Any], key: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(*SIDES[name], summary[name][key]) for name in SIDES if key in summary.get(name, {})]


def _composition(axes: Axes, summary: dict[str, Any]) -> None:
    shown = [side for side in _sides(summary, "composition") if side[0] != "held out"]
    first = shown[0][2]
    letters = sorted(first, key=lambda letter: -first[letter])
    places, wide = np.arange(len(letters)), 0.8 / len(shown)
    for number, (name, colour, shares) in enumerate(shown):
        heights = [100 * shares[letter] for letter in letters]
        shift = (number - (len(shown) - 1) / 2) * wide
        axes.bar(places + shift, heights, wide, color=PALE if name == "training" else colour, label=name)
    axes.set_xticks(places, letters, fontsize=8)
    axes.set_ylabel("letters, %")
    axes.grid(visible=False, axis="x")
    axes.legend()


def _steps(axes: Axes, summary: dict[str, Any], key: str, label: str) -> None:
    for name, colour, histogram in _sides(summary, key):
        counts = np.array(histogram["counts"], float)
        axes.stairs(100 * counts / max(counts.sum(), 1), histogram["edges"], color=colour, label=name, linewidth=1.4)
    axes.set_ylabel("sequences, %")
    axes.set_xlabel(label)
    axes.legend()


def figure(summary: dict[str, Any]) -> Drawing:
    """Draw a summary: composition and lengths, and with a training set identities and matches."""
    compared = "identities" in summary["generated"]

    def paint(canvas: Figure) -> None:
        panels = canvas.subplots(4 if compared else 2, 1)
        _composition(panels[0], summary)
        _steps(panels[1], summary, "lengths", "length, letters")
        if compared:
            _steps(panels[2], summary, "identities", "identity to the nearest training sequence (0: below 0.3)")
            _steps(panels[3], summary, "matches", "longest exact match with a training sequence, letters")

    count = summary["generated"]["sequences"]
    caption = f"{count:,} generated sequences" + (" compared with the training sequences" if compared else "")
    return draw("generated", caption, paint, 8.4 if compared else 4.4)


def check_figure(path: str | Path | None) -> None:
    """Check the suffix of a figure before the work; None is no figure.

    Raises
    ------
    ConfigError: the suffix is neither .svg nor .png.
    """
    if path is not None and Path(path).suffix.lower() not in (".svg", ".png"):
        raise ConfigError(f"--figure: found '{path}'; allowed is a name that ends in .svg or .png")


def save_figure(path: str | Path | None, summary: dict[str, Any]) -> None:
    """Write the figure, SVG or PNG by its suffix. None writes none.

    Raises
    ------
    ConfigError: see `check_figure`.
    """
    check_figure(path)
    if path is None:
        return
    picture = as_bytes(figure(summary).figure, Path(path).suffix.lower()[1:])
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
