"""Front ends: dilated convolutions and variants."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.config.recipe import Variant as Recipe
from biorrn.nn.batch import place
from biorrn.nn.convolutions import Along, ByteDropout
from biorrn.nn.frontends import FRONTENDS, Variant
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


def test_it_looks_as_far_as_its_dilations_say() -> None:
    torch.manual_seed(0)
    frontend = FRONTENDS["dilated"](config.Dilated(embedding=4, width=6, first=3, kernel=3, dilations=[1, 4])).eval()
    reach = 1 + 1 + 4
    x = torch.randint(1, 21, (1, 41))
    changed = x.clone()
    changed[0, 20] = 1 + x[0, 20] % 20
    lengths = torch.tensor([41])
    moved = (frontend(x, lengths)[0] - frontend(changed, lengths)[0]).abs().amax(-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == list(range(20 - reach, 20 + reach + 1))


def test_a_convolution_along_the_steps_is_that_of_torch() -> None:
    torch.manual_seed(1)
    along = Along(5, 7, 3, dilation=2)
    x = torch.randn(2, 11, 5)
    plain = torch.nn.functional.conv1d(x.transpose(1, 2), along.weight[:, :, 0], along.bias, padding=2, dilation=2)
    assert torch.allclose(along(x), plain.transpose(1, 2), atol=1e-6)


def test_dropout_by_bytes_drops_its_share_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(2)
    dropout = ByteDropout(0.25)
    x = torch.ones(3, 1001, 33)
    found = dropout(x)
    values = found.unique().tolist()
    assert values[0] == 0
    assert len(values) == 2
    assert abs(float((found == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(found.mean()) - 1) < 0.015
    assert torch.equal(dropout.eval()(x), x)
    assert torch.equal(ByteDropout(0.0)(x), x)


def test_the_same_seed_drops_the_same() -> None:
    x = torch.ones(5, 7, 3)
    torch.manual_seed(3)
    first = ByteDropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(first, ByteDropout(0.5)(x))
