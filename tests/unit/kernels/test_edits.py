"""Gains of edits: equal to scoring the edited template anew, and to summing over all alignments where that is small."""

import numpy as np
import pytest

from biorrn.kernels.edits import DELETE, EDGE, EDITS, INSERT, UNKNOWN, edit_gains, run_classes
from biorrn.kernels.error_model import RUN, ErrorModel, estimate, first_model


def straight(template: np.ndarray, read: np.ndarray) -> np.ndarray:
    return np.arange(len(template) + 1) * len(read) // max(len(template), 1)


def some_model(seed: int) -> ErrorModel:
    rng = np.random.default_rng(seed)
    emit = rng.random((RUN, 4, 5)) + 0.1
    return ErrorModel(emit / emit.sum(axis=2, keepdims=True), rng.random((4, 4)) * 0.1)


def noisy(template: np.ndarray, rng: np.random.Generator, errors: float = 0.05) -> np.ndarray:
    """Return a read of a template: deletions, mismatches and insertions, each at `errors` a base."""
    read: list[int] = []
    for base in template:
        draw = rng.random()
        read += [] if draw < errors else [int(rng.integers(4))] if draw < 2 * errors else [int(base)]
        read += [int(rng.integers(4))] if rng.random() < errors else []
    return np.array(read, np.uint8)


def edited(template: np.ndarray, place: int, column: int) -> np.ndarray:
    if column == DELETE:
        return np.delete(template, place)
    if column > DELETE:
        return np.insert(template, place, column - INSERT)
    return np.concatenate([template[:place], [column], template[place + 1 :]]).astype(np.uint8)


def by_recursion(template: np.ndarray, read: np.ndarray, model: ErrorModel, i: int = 0, j: int = 0) -> float:
    """Return the probability of the rest of the read, from the definition of the model and without any scaling."""
    if i == len(template) and j == len(read):
        return 1.0
    total, stop = 0.0, 1.0
    if i:
        stop -= model.insert[template[i - 1]].sum()
        if j < len(read):
            total += model.insert[template[i - 1], read[j]] * by_recursion(template, read, model, i, j + 1)
    if i < len(template):
        before = template[:i][::-1]
        run = min(RUN - 1, int(np.argmax(np.append(before, 9) != template[i])))
        emit = model.emit[run, template[i]]
        total += stop * emit[4] * by_recursion(template, read, model, i + 1, j)
        if j < len(read):
            total += stop * emit[read[j]] * by_recursion(template, read, model, i + 1, j + 1)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_is_the_sum_over_all_alignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    template, read = rng.integers(0, 2, 6).astype(np.uint8), rng.integers(0, 3, 5).astype(np.uint8)
    model = some_model(seed)
    known = edit_gains(template, read, straight(template, read), model)[0]
    assert known == pytest.approx(np.log(by_recursion(template, read, model)))


@pytest.mark.parametrize("seed", range(3))
def test_gain_of_every_edit_is_that_of_scoring_the_edited_template(seed: int) -> None:
    rng = np.random.default_rng(seed)
    template = rng.integers(0, 4, 40).astype(np.uint8)
    template[12:18] = 2  # a run longer than RUN
    read, model = noisy(template, rng), some_model(seed)
    wide = len(read) + 1
    known, gains, *_ = edit_gains(template, read, straight(template, read), model, width=wide)
    scored = np.argwhere(gains != 0)
    assert len(scored) > 5 * len(template)
    assert scored[:, 0].min() >= EDGE
    assert scored[:, 0].max() < len(template) - EDGE
    for place, column in scored:
        other = edited(template, place, column)
        new = edit_gains(other, read, straight(other, read), model, width=wide)[0]
        assert max(new - known, -30) == pytest.approx(gains[place, column], abs=1e-9)


def test_every_edited_template_is_scored_just_once() -> None:
    template = np.array([0, 1, 2, 3, 3, 3, 0, 1, 1, 2, 0, 3], np.uint8)
    _, gains, *_ = edit_gains(template, template, straight(template, template), first_model())
    inner = range(EDGE, len(template) - EDGE)
    every = [edited(template, place, column).tobytes() for place in inner for column in range(EDITS)]
    scored = [edited(template, place, column).tobytes() for place, column in np.argwhere(gains != 0)]
    assert len(scored) == len(set(scored))
    # a run that leaves the inner part grows and shrinks at its end, by reads that see more of it
    assert set(scored) <= set(every) - {template.tobytes()}
    assert (gains <= 0).all()  # nothing is better than the template that the read is equal to


def test_path_follows_the_read() -> None:
    template = np.random.default_rng(0).integers(0, 4, 300).astype(np.uint8)
    read = np.delete(template, [50, 51, 200])
    known, _, path, *_ = edit_gains(template, read, straight(template, read), first_model())
    assert (np.diff(path) >= 0).all()
    assert path[[0, 150, 300]].tolist() == [0, 148, 297]
    wide = edit_gains(template, read, path, first_model(), width=len(read) + 1)[0]
    assert known == pytest.approx(wide)  # the band leaves out nothing that counts


def test_expected_counts_are_derivatives_of_the_likelihood() -> None:
    rng = np.random.default_rng(5)
    template = np.repeat(rng.integers(0, 4, 20), rng.integers(1, 6, 20)).astype(np.uint8)
    read, model, small = noisy(template, rng), some_model(5), 1e-6
    path, wide = straight(template, read), len(read) + 1
    known, _, _, seen, extra = edit_gains(template, read, path, model, width=wide)
    assert seen.sum() == pytest.approx(len(template))  # each base is copied, miscopied or deleted
    assert seen[:, :, :4].sum() + extra.sum() == pytest.approx(len(read))
    for place in [(0, 1, 1), (1, 2, 4), (3, 0, 0), (2, 3, 2)]:
        emit = model.emit.copy()
        emit[place] *= 1 + small
        more = edit_gains(template, read, path, ErrorModel(emit, model.insert), width=wide)[0]
        assert (more - known) / small == pytest.approx(seen[place], abs=1e-3)
    left = seen.sum(axis=(0, 2)) - np.eye(4)[template[-1]]  # nothing has to stop behind the last base
    for before, base in [(0, 1), (2, 2), (3, 0)]:
        insert = model.insert.copy()
        insert[before, base] *= 1 + small
        more = edit_gains(template, read, path, ErrorModel(model.emit, insert), width=wide)[0]
        stops = left[before] * model.insert[before, base] / (1 - model.insert[before].sum())
        assert (more - known) / small == pytest.approx(extra[before, base] - stops, abs=1e-3)


def test_inactive_bases_have_no_gain() -> None:
    template = np.arange(40, dtype=np.uint8) % 4
    active = np.zeros(40, dtype=bool)
    active[20:24] = True
    gains = edit_gains(template, template, straight(template, template), first_model(), active)[1]
    assert np.flatnonzero(gains.any(axis=1)).tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("bases", [0, 1, 2, 7])
def test_short_and_empty_pairs(bases: int) -> None:
    template = np.zeros(bases, np.uint8)
    known, gains, path, *_ = edit_gains(template, template, straight(template, template), first_model())
    assert np.isfinite(known) == (bases > 0)
    assert gains.shape == (bases, EDITS)
    assert len(path) == bases + 1


def test_read_outside_the_band_is_said_to_be_impossible() -> None:
    template, read = np.zeros(10, np.uint8), np.zeros(200, np.uint8)
    path = np.full(11, 5)
    path[0], path[-1] = 0, 200
    assert edit_gains(template, read, path, first_model(), width=8)[0] == -np.inf


def test_path_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="path has 3 positions for a template of 4 bases"):
        edit_gains(np.zeros(4, np.uint8), np.zeros(4, np.uint8), np.zeros(3, np.int64), first_model())


def test_run_classes() -> None:
    assert run_classes(np.array([1, 1, 2, 2, 2, 2, 2, 0], np.uint8)).tolist() == [0, 1, 0, 1, 2, 3, 3, 0]


def test_estimate_finds_the_rates_and_keeps_probabilities_proper() -> None:
    true, rng = some_model(3), np.random.default_rng(3)
    seen = np.array([[rng.multinomial(100_000, row) for row in part] for part in true.emit]).astype(float)
    left = seen.sum(axis=(0, 2))
    extra = true.insert / (1 - true.insert.sum(axis=1, keepdims=True)) * left[:, None]
    found = estimate(seen, extra)
    np.testing.assert_allclose(found.emit, true.emit, atol=0.01)
    np.testing.assert_allclose(found.insert, true.insert, atol=0.001)
    for model in (found, first_model(), estimate(np.zeros((RUN, 4, 5)), np.zeros((4, 4)))):
        np.testing.assert_allclose(model.emit.sum(axis=2), 1)
        assert (model.insert.sum(axis=1) < 1).all()


@pytest.mark.parametrize("base", range(4))
def test_an_unknown_base_speaks_for_no_base(base: int) -> None:
    rng = np.random.default_rng(base)
    template = rng.integers(0, 4, 40).astype(np.uint8)
    template[18:23] = [(base + 1) % 4, (base + 2) % 4, base, (base + 3) % 4, (base + 2) % 4]
    read = template.copy()
    read[20] = UNKNOWN
    path = np.arange(len(template) + 1)
    known, gains, _, seen, extra = edit_gains(template, read, path, first_model())
    certain = edit_gains(template, template, path, first_model())
    assert known > certain[0]  # any base is likelier than the right one alone
    # putting another base there gains nothing and costs nothing, but for the runs that it makes or breaks
    other = [column for column in range(4) if column not in (base, template[19], template[21])]
    assert np.abs(gains[20, other]).max() < 0.2
    assert certain[1][20, other].max() < -3
    assert seen.sum() == pytest.approx(len(template) - 1, abs=0.1)  # it is counted as no base
    assert extra.shape == (4, 4)
