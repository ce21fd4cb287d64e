"""The loss of the validation rows does not depend on how they are cut into batches."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from biorrn.nn.batch import Batch
from biorrn.training.learner import Learner, weighted_mean

ERRORS = torch.tensor([1.0, 2.0, 3.0, 10.0, float("nan"), float("nan"), 20.0])  # NaN: no label


def loss(model: Any, outputs: torch.Tensor, lengths: Any, batch: Batch, recipe: Any) -> torch.Tensor:
    known = outputs.isfinite()
    return outputs[known].sum() / known.sum().clamp(min=1)


def valid_loss(sizes: list[int], share: Any) -> float:
    learner: Any = SimpleNamespace(
        best_model=lambda x, lengths: (x, lengths), recipe=None, _valid_losses=[], _collected=[],
        task=SimpleNamespace(loss=loss, share=share, collect=lambda *_: None),
    )  # fmt: skip
    for index, part in enumerate(ERRORS.split(sizes)):
        Learner.validation_step(learner, Batch(part, torch.ones(len(part), dtype=torch.int64)), index)
    return weighted_mean(learner._valid_losses)


@pytest.mark.parametrize("sizes", [[7], [5, 2], [4, 2, 1], [1] * 7])
def test_the_loss_of_validation_is_that_of_its_labels_however_batched(sizes: list[int]) -> None:
    assert valid_loss(sizes, lambda batch, recipe: float(batch.x.isfinite().sum())) == pytest.approx(36 / 5)


def test_a_loss_without_a_denominator_is_weighted_by_rows() -> None:
    assert valid_loss([3, 4], lambda batch, recipe: None) == pytest.approx((3 * 2 + 4 * 15) / 7)
