"""The network of predicted structure: padded rows, what it says of a helix, and its pools."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from biorrn.nn.residue_profile import POOLED, STATES, SUMMARY, Profile, moments, shipped_profile, summary
from biorrn.sequences.alphabets import tokens

HELIX = "MSEELLKKAEELLKKGDPEAAALLAEAARLAEELGDPELAKRALELLEKL"
STRANDS = "MKVTVEVNGKTYTVEVPEGTKVTVRVGDTEYTFTVSSPGTYTVTVTVE"


def batch(*sequences: str) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(tokens(sequence)).long() for sequence in sequences]
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def test_a_padded_row_is_as_alone() -> None:
    network, sequences = shipped_profile(), (HELIX, STRANDS[:7], "M", HELIX * 3)
    together = network.pooled(*batch(*sequences))
    assert together.shape == (4, POOLED)
    for row, sequence in enumerate(sequences):
        alone = network.pooled(*batch(sequence))[0]
        assert torch.allclose(alone, together[row], atol=1e-4)


def test_it_tells_helices_from_strands() -> None:
    x, lengths = batch(HELIX, STRANDS)
    means = summary(shipped_profile()(x, lengths), lengths)[:, : len(STATES)]
    assert means.sum(1) == pytest.approx([1.0, 1.0], abs=1e-4)
    assert float(means[0, 0]) > 0.5 > float(means[0, 1])
    assert float(means[1, 1]) > float(means[0, 1]) + 0.2


def test_pools_see_valid_steps_only() -> None:
    hidden = torch.full((1, 30, 2), 100.0)
    hidden[:, :20] = torch.arange(20.0)[None, :, None]
    hidden[:, 20:] = 0.0
    mean, spread, top = moments(hidden, torch.tensor([20])).view(3, 2)[:, 0].tolist()
    assert mean == pytest.approx(9.5)
    assert spread == pytest.approx(torch.arange(20.0).std(correction=0).item())
    assert top == pytest.approx(18.5)  # of two of twenty


def test_segments_are_counted_once() -> None:
    states = torch.zeros(1, 6, 3)
    states[0, [0, 1, 4], 0], states[0, [2, 3], 1], states[0, 5, 2] = 9.0, 9.0, 9.0
    profile = Profile(torch.zeros(1, 6, 2), states, torch.full((1, 6), 9.0))
    found = summary(profile, torch.tensor([5]))
    assert found.shape == (1, SUMMARY)
    assert found[0, 6:9].tolist() == pytest.approx([2 / 5, 1 / 5, 0.0])
    assert found[0, 12].item() == pytest.approx(1.0, abs=1e-3)  # all resolved


def test_an_empty_row_is_finite() -> None:
    x, lengths = batch(HELIX)
    found = shipped_profile().pooled(torch.cat([x, torch.zeros_like(x)]), torch.tensor([len(HELIX), 0]))
    assert bool(found.isfinite().all())
    assert lengths.item() == len(HELIX)
