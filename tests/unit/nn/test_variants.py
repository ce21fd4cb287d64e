"""What differs from a reference, position by position."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Variant as Recipe
from biorrn.nn.batch import place
from biorrn.nn.frontends import Variant
from biorrn.sequences.alphabets import RESIDUES, sequence, tokens

REFERENCE = "MKVLAWTGHEYR"
LETTERS = st.text(RESIDUES, min_size=1, max_size=30)


def rows(*texts: str) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for row, text in enumerate(texts):
        x[row, : len(text)] = torch.from_numpy(tokens(text)).long()
    return x, torch.tensor([len(text) for text in texts])


def placed(text: str, reference: str = REFERENCE) -> tuple[str, list[int]]:
    symbols, inserted = place(*rows(text), torch.from_numpy(tokens(reference)).long())
    letters = "".join("-" if code == 0 else sequence(torch.tensor([code]).numpy()) for code in symbols[0].tolist())
    return letters, inserted[0].tolist()


@pytest.mark.parametrize(
    ("text", "letters", "where", "many"),
    [
        (REFERENCE, REFERENCE, 0, 0),
        ("MKVLAWTGHEYC", "MKVLAWTGHEYC", 0, 0),
        ("MKVAWTGHEYR", "MKV-AWTGHEYR", 0, 0),
        ("VLAWTGHEYR", "--VLAWTGHEYR", 0, 0),
        ("MKVLAWTGHE", "MKVLAWTGHE--", 0, 0),
        ("MKVLAWCCTGHEYR", REFERENCE, 6, 2),
        ("CMKVLAWTGHEYR", REFERENCE, 0, 1),
        ("MKVLAWTGHEYRCC", REFERENCE, 11, 2),
    ],
)
def test_one_run_of_residues_deleted_or_inserted(text: str, letters: str, where: int, many: int) -> None:
    found, inserted = placed(text)
    assert found == letters
    assert inserted[where] == many
    assert sum(inserted) == many


@given(LETTERS, LETTERS)
def test_every_residue_is_at_a_position_or_inserted(text: str, reference: str) -> None:
    letters, inserted = placed(text, reference)
    assert len(letters) == len(reference)
    assert len(letters.replace("-", "")) + sum(inserted) == len(text)


def test_the_reference_alone_is_all_zeros_and_a_substitution_is_not() -> None:
    torch.manual_seed(0)
    part = Variant(Recipe(width=3, reference=REFERENCE))
    out, _ = part(*rows(REFERENCE, "MKVLAWTGHEYC", "MKVLAWTGHEY", REFERENCE + "C"))
    assert (out[0] == 0).all()
    for row in (1, 2, 3):
        assert (out[row] != 0).any(1).nonzero().flatten().tolist() == [11]


def test_effects_of_two_substitutions_add_up() -> None:
    torch.manual_seed(0)
    part = Variant(Recipe(width=3, reference=REFERENCE))
    one, other, both = (part(*rows(text))[0].sum(1) for text in ("CKVLAWTGHEYR", "MKVLAWTGHEYC", "CKVLAWTGHEYC"))
    assert torch.allclose(one + other, both)


def test_without_a_reference_it_is_an_error() -> None:
    with pytest.raises(ConfigError, match="reference"):
        Variant(Recipe())
