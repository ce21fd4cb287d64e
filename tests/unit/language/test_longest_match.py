"""The longest shared stretch, against brute force."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biorrn.language.generated import longest_matches
from biorrn.sequences.alphabets import tokens

proteins = st.lists(st.text(alphabet="ACD", max_size=12), max_size=5)


def flat(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in sequences])]).astype(np.int64)
    return tokens("".join(sequences)), offsets


def brute(query: str, others: list[str]) -> int:
    pieces = {query[a:b] for a in range(len(query)) for b in range(a + 1, len(query) + 1)}
    return max((len(piece) for piece in pieces if any(piece in other for other in others)), default=0)


@given(proteins, proteins)
def test_it_is_that_of_brute_force(queries: list[str], others: list[str]) -> None:
    lengths, found, ends = longest_matches(*flat(queries), *flat(others))
    assert lengths.tolist() == [brute(query, others) for query in queries]
    for query, length, where, end in zip(queries, lengths, found, ends, strict=True):
        assert (where >= 0) == (length > 0)
        if length:
            assert query[end - length : end] in others[where]


def test_long_sequences_with_a_copied_part() -> None:
    rng = np.random.default_rng(3)
    others = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 300)) for _ in range(200)]
    queries = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 100)) for _ in range(20)]
    queries[7] = queries[7][:30] + others[123][40:81] + queries[7][71:]
    lengths, found, ends = longest_matches(*flat(queries), *flat(others))
    assert lengths[7] >= 41
    assert found[7] == 123
    assert 71 <= ends[7] <= 74  # chance may lengthen it
    assert all(lengths[i] == brute(queries[i], others) for i in (0, 7, 19))
    assert max(np.delete(lengths, 7)) < 12
