"""Word2vec on sentences of any words: skip-gram with negative sampling (Mikolov et al. 2013), by gensim."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from biorrn.errors import BiorrnError

Epoch = Callable[[int], None]


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
    sentences : can be gone through several times.
    window : words to either side that a word shall tell, at most.
    negative : words drawn at random that it shall not, for each of them.
    min_count : rarer words are left out.

    Raises
    ------
    BiorrnError: no word comes `min_count` times.
    """
    from gensim.models import Word2Vec
    from gensim.models.callbacks import CallbackAny2Vec

    class Told(CallbackAny2Vec):  # type: ignore[misc]
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
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs, callbacks=[Told()])
    words = sorted(model.wv.index_to_key)
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words], np.int64)
    return words, np.array(model.wv[words], np.float32), counts
