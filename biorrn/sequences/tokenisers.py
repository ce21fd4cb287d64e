"""Tokenisers of language models: residues, bases, k-mers, byte-pair encoding.

Ids 0 to 3 are padding, begin and end of a sequence, and the unknown letter (X of residues, N of bases), which is always
a symbol of its own, so that decoding restores the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.lookup import lookup
from biorrn.sequences.alphabets import DNA, RESIDUES

LONGEST = 64  # letters of a symbol


def learn_merges(flat: np.ndarray, size: int, merges: int, first: int) -> list[tuple[int, int]]:
    """Return the merges of byte-pair encoding, in order; merge i makes the id `size + i`. Ends when no pair repeats.

    Ties go to the pair of lower ids, so that the same data gives the same symbols.

    Parameters
    ----------
    flat : int64 array (T,): ids.
    size : int: ids there are before the first merge.
    merges : int: pairs to learn, at most.
    first : int: no id below this is joined.
    """
    found: list[tuple[int, int]] = []
    letters = np.ones(size + merges, np.int64)
    for new in range(size, size + merges):
        left, right = flat[:-1], flat[1:]
        whole = (left >= first) & (right >= first) & (letters[left] + letters[right] <= LONGEST)
        counts = np.bincount(left[whole] * new + right[whole], minlength=1)
        if counts.max() < 2:
            break
        pair = divmod(int(counts.argmax()), new)
        flat = merge(flat, pair, new)
        letters[new] = letters[list(pair)].sum()
        found.append(pair)
    return found


def merge(flat: np.ndarray, pair: tuple[int, int], new: int) -> np.ndarray:
    """Return ids (T,) with every pair replaced by `new`, from the left: of three of the same the first two.

    >>> merge(np.array([5, 5, 5, 6]), (5, 5), 9).tolist()
    [9, 5, 6]
    """
    places = np.flatnonzero((flat[:-1] == pair[0]) & (flat[1:] == pair[1]))
    if not len(places):
        return flat
    if pair[0] == pair[1]:  # in a run of neighbouring places each second one begins within the pair before it
        starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        run = np.repeat(starts, np.diff(starts, append=len(places)))
        places = places[(np.arange(len(places)) - run) % 2 == 0]
    flat = flat.copy()
    flat[places] = new
    return np.delete(flat, places + 1)


PAD, BOS, EOS, UNK = range(4)
SPECIAL = 4  # ids before the first symbol
MOST = 1 << 15  # symbols of a tokeniser
LEARNED = 1_000_000  # letters that pairs are learned from, at most


@dataclass(frozen=True)
class Tokeniser:
    """Maps text to ids and back.

    Attributes
    ----------
    name : str: entry of `TOKENISERS`.
    alphabet : str: the letters; the last is the unknown one, which is `UNK` and in no symbol.
    symbols : list of str: id - 4 -> letters. The single letters stand first, in the order of the alphabet.
    k : int: letters of a k-mer.
    merges : list of (int, int): of pairs, the two ids that each symbol after the single letters was joined from.
    """

    name: str
    alphabet: str
    symbols: list[str]
    k: int = 1
    merges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the number of ids, the four special ones counted."""
        return SPECIAL + len(self.symbols)

    @property
    def letters(self) -> np.ndarray:
        """Return how many letters each id stands for, int64 (size,); padding, begin and end stand for none."""
        return np.array([0, 0, 0, 1, *map(len, self.symbols)], np.int64)

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of a text, int64 (T,), without begin and end.

        Raises
        ------
        BiorrnError: a letter is not in the alphabet.
        """
        singles = {letter: SPECIAL + place for place, letter in enumerate(self.alphabet[:-1])}
        singles[self.alphabet[-1]] = UNK
        odd = next((place for place, letter in enumerate(text) if letter not in singles), None)
        if odd is not None:
            raise BiorrnError(f"letter '{text[odd]}' at position {odd + 1} is not one of {self.alphabet}")
        return self.join(np.array([singles[letter] for letter in text], np.int64))

    def encode_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Return the ids of tokens of a prepared file (index in the alphabet + 1), int64 (T,); none is padding."""
        return self.join(np.where(tokens == len(self.alphabet), UNK, tokens.astype(np.int64) + SPECIAL - 1))

    def join(self, singles: np.ndarray) -> np.ndarray:
        """Return ids of single letters, int64 (T,), as this tokeniser's ids; no symbol reaches over a special id."""
        return JOINERS[self.name](self, singles)

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Return the text of ids up to the first end; padding and begin are left out.

        >>> tokeniser = residue_tokeniser(RESIDUES)
        >>> tokeniser.decode([BOS, *tokeniser.encode("MKXV"), EOS, PAD])
        'MKXV'
        """
        parts = []
        for number in map(int, ids):
            if number == EOS:
                break
            if number >= SPECIAL:
                parts.append(self.symbols[number - SPECIAL])
            elif number == UNK:
                parts.append(self.alphabet[-1])
        return "".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the tokeniser as JSON values, for `from_dict`."""
        return {
            "name": self.name,
            "alphabet": self.alphabet,
            "k": self.k,
            "merges": [[left, right] for left, right in self.merges],
        }

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Tokeniser:
        """Return the tokeniser of a `to_dict`; BiorrnError for an invalid value."""
        name, alphabet, k = (content.get(key) for key in ("name", "alphabet", "k"))
        if name not in TOKENISERS or alphabet not in (RESIDUES, DNA) or not isinstance(k, int):
            raise BiorrnError(f"tokeniser: found name {name!r:.40}, alphabet {alphabet!r:.40}, k {k!r:.40}")
        if name == "kmer":
            return kmer_tokeniser(alphabet, k)
        if name != "pairs":
            return TOKENISERS[name](alphabet)
        return _of_merges(alphabet, content.get("merges") or [])


# -- single letters ---------------------------------------------------------------------------------------------------
def residue_tokeniser(alphabet: str = RESIDUES) -> Tokeniser:
    """Return the tokeniser of single residues; `alphabet` must be that of residues."""
    return _single("residue", alphabet, RESIDUES)


def base_tokeniser(alphabet: str = DNA) -> Tokeniser:
    """Return the tokeniser of single bases; `alphabet` must be that of DNA."""
    return _single("base", alphabet, DNA)


def _single(name: str, alphabet: str, needed: str) -> Tokeniser:
    if alphabet != needed:
        raise ConfigError(f"tokens '{name}': the prepared file holds letters {alphabet}; expected {needed}")
    return Tokeniser(name, alphabet, list(alphabet[:-1]))


# -- k-mers -----------------------------------------------------------------------------------------------------------
def kmer_tokeniser(alphabet: str, k: int) -> Tokeniser:
    """Return the tokeniser of k-mers side by side: letters 1 to k, k + 1 to 2k, ...

    They do not overlap: of overlapping ones all but one letter of the next is known, which makes a letter model of it.
    What is left at the end, or holds an unknown letter, is spelled in single letters.

    Raises
    ------
    ConfigError: fewer than 2 letters a word, or more k-mers than `MOST`.
    """
    letters = alphabet[:-1]
    if k < 2 or len(letters) ** k > MOST:
        most = max(k for k in range(20) if len(letters) ** k <= MOST)
        raise ConfigError(f"tokens.k: found {k}; allowed is 2 to {most} for {len(letters)} letters")
    words = ["".join(word) for word in itertools.product(letters, repeat=k)]
    return Tokeniser("kmer", alphabet, [*letters, *words], k)


def _join_kmers(tokeniser: Tokeniser, singles: np.ndarray) -> np.ndarray:
    k, base = tokeniser.k, len(tokeniser.alphabet) - 1
    words = singles[: len(singles) // k * k].reshape(-1, k)
    whole: np.ndarray = np.all(words >= SPECIAL, axis=1)
    codes = SPECIAL + base + (words - SPECIAL) @ base ** np.arange(k - 1, -1, -1)
    if whole.all():
        return np.concatenate([codes, singles[len(words) * k :]])
    parts = [codes[i : i + 1] if whole[i] else words[i] for i in range(len(words))]
    return np.concatenate([*parts, singles[len(words) * k :]])


# -- learned pairs ----------------------------------------------------------------------------------------------------
def learn_pairs(alphabet: str, tokens: np.ndarray, offsets: np.ndarray, merges: int) -> Tokeniser:
    """Return the tokeniser of the commonest pairs of sequences; see `sequences.tokenisers`.

    Parameters
    ----------
    tokens : uint8 array (total,): all sequences as a prepared file has them; about the first `LEARNED` are used.
    offsets : int64 array (N + 1,): where each starts.
    merges : int: symbols to learn.
    """
    used = max(1, int(np.searchsorted(offsets, LEARNED, side="right")) - 1)
    singles = Tokeniser("pairs", alphabet, list(alphabet[:-1]))
    flat = np.insert(singles.encode_tokens(tokens[: offsets[used]]), offsets[1:used], EOS)  # no pair reaches over EOS
    return _of_merges(alphabet, learn_merges(flat, singles.size, merges, SPECIAL))


def _join_pairs(tokeniser: Tokeniser, singles: np.ndarray) -> np.ndarray:
    first = SPECIAL + len(tokeniser.alphabet) - 1
    for number, pair in enumerate(tokeniser.merges):
        singles = merge(singles, pair, first + number)
    return singles


def _of_merges(alphabet: str, merges: Sequence[Sequence[int]]) -> Tokeniser:
    symbols = list(alphabet[:-1])
    for pair in merges:
        if len(pair) != 2 or not all(SPECIAL <= part < SPECIAL + len(symbols) for part in pair):
            raise BiorrnError(f"tokeniser: found merge {pair!r:.40}; allowed are two ids of symbols before it")
        symbols.append("".join(symbols[part - SPECIAL] for part in pair))
        if len(symbols[-1]) > LONGEST:
            raise BiorrnError(f"tokeniser: found a symbol of {len(symbols[-1])} letters; allowed are {LONGEST}")
    return Tokeniser("pairs", alphabet, symbols, 1, [(int(left), int(right)) for left, right in merges])


def make_tokeniser(name: str, k: int, merges: int, alphabet: str, tokens: np.ndarray, offsets: np.ndarray) -> Tokeniser:
    """Return the tokeniser that a recipe asks for; pairs are learned from the sequences, see `learn_pairs`.

    Raises
    ------
    ConfigError: the alphabet is not the tokeniser's, or k is out of range.
    """
    make = lookup(TOKENISERS, name, "tokens.name")
    if name == "kmer":
        return kmer_tokeniser(alphabet, k)
    return learn_pairs(alphabet, tokens, offsets, merges) if name == "pairs" else make(alphabet)


def _as_they_are(tokeniser: Tokeniser, singles: np.ndarray) -> np.ndarray:
    return singles


JOINERS: dict[str, Any] = {"residue": _as_they_are, "base": _as_they_are, "kmer": _join_kmers, "pairs": _join_pairs}
TOKENISERS: dict[str, Any] = {
    "residue": residue_tokeniser,
    "base": base_tokeniser,
    "kmer": kmer_tokeniser,
    "pairs": learn_pairs,
}
