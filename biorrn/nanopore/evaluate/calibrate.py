"""Fit of a basecaller's stay score and quality calibration to reads that the model was not trained on.

The stay score of a CRF (`head.blank` of the recipe) balances insertions and deletions; that of training is not the best
for calling.

The quality calibration is that of `nanopore.basecall.quality`. Bases of reads that align to their genome are wrong or
right (`nanopore.evaluate.reliability`). Reads without sequence for the model are added: synthetic noise, and reads of
another chemistry if given; their bases are right by chance, one in four. The model is fitted by penalised maximum
likelihood, with fixed signs for monotone terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.network import CRFHead
from biorrn.nanopore.alignment import DELETION, INSERTION, MATCH, Alignment, Region
from biorrn.nanopore.basecall.quality import FEATURES, Calibration, Curve, entry_of, features, phred
from biorrn.nanopore.evaluate.identity import MIN_BASES
from biorrn.nanopore.evaluate.reliability import calibration_error, q_gap, wrong_columns
from biorrn.nanopore.readers.calls import BaseCall, mean_phred
from biorrn.sequences.alphabets import decode_bases
from biorrn.sequences.fastq import MAX_Q
from biorrn.sequences.records import SignalRecord

if TYPE_CHECKING:
    from biorrn.nanopore.basecall.caller import Call, Scored
    from biorrn.nanopore.basecall.decode import Decoded
    from biorrn.nn.store import Stored


FEWEST_READS, FEWEST_ERRORS = 5, 100  # of a fit
MOST_BASES = 300_000  # drawn at random for a fit
ALIGNED = 0.5  # part of a read that must align; less is chance or a chimera
CHANCE = 0.75  # error of a random base
NOISE_SHARE = 0.15  # weight of the reads without sequence, relative to all bases
SHORTEST = 20  # bases of a read without sequence
FOLDS = 2  # of cross-validation over reads
KNOTS = (0.0, 0.01, 0.05, 0.15, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)  # quantiles of a feature
RIDGE, FINAL_RIDGE = 3.0, 0.1  # on the change of the log-odds between two knots


@dataclass(frozen=True, slots=True)
class Judged:
    """A read and its wrong bases.

    Attributes
    ----------
    own : uint8 array (L,): the model's own quality of each base.
    features : float32 array (L, F).
    scored : int array (n,): bases known to be right or wrong; empty for a read without sequence.
    wrong : bool array (n,).
    identity : float: NaN for a read without sequence.
    """

    own: np.ndarray
    features: np.ndarray
    scored: np.ndarray
    wrong: np.ndarray
    identity: float = float("nan")


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration with its data and its quality.

    Attributes
    ----------
    calibration : Calibration, fitted to all reads.
    reads, bases, errors : int: scored reads, their scored bases, and the wrong ones.
    unmapped : int: reads that are unmapped or align by less than half; not used.
    noise : int: reads without sequence.
    before, after : dict: measures of the model's own qualities, and of calibrated ones by two-fold cross-validation:
        "calibration_error"; "q_gap"; "correlation" of mean Q and identity of reads (Pearson); "noise_q", the median of
        the mean Q of reads without sequence.
    """

    calibration: Calibration
    reads: int
    bases: int
    errors: int
    unmapped: int
    noise: int
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


STEP, REACH = 0.1, 5  # stay scores tried: so many steps below and above the model's own


@dataclass(frozen=True, slots=True)
class StayFit:
    """Errors of the same reads at several stay scores.

    Attributes
    ----------
    own : float: the model's own.
    tried : float array (N,), increasing; `own` is in the middle.
    columns : int array (R, N, 4): matches, mismatches, insertions and deletions of each read at each score.
    """

    own: float
    tried: np.ndarray
    columns: np.ndarray

    @property
    def identity(self) -> np.ndarray:
        """Return the identity of each read at each score, (R, N)."""
        return np.asarray(self.columns[..., 0] / self.columns.sum(2))

    @property
    def best(self) -> float:
        """Return the score of the highest mean identity; the own one if the gain is within its standard error."""
        identity = self.identity
        best = int(identity.mean(0).argmax())
        gains = identity[:, best] - identity[:, len(self.tried) // 2]
        sure = gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5
        return float(self.tried[best]) if sure else self.own

    def lines(self) -> list[str]:
        """Return the fit as lines of text."""
        best = self.best
        places = len(self.tried) // 2, int(np.searchsorted(self.tried, best))
        means = [float(self.identity[:, place].mean()) for place in places]
        rates = [self.columns[:, place].sum(0) / self.columns[:, place].sum() for place in places]
        edge = "; the last one tried, so fit it again" if places[1] in (0, len(self.tried) - 1) else ""
        return [
            f"stay score: {self.own:g} before, {best:g} after, of {self.tried[0]:g} to {self.tried[-1]:g}{edge}",
            f"mean identity of {len(self.columns):,} reads: {means[0]:.4f} before, {means[1]:.4f} after",
            *(
                f"{name}: {rates[0][kind]:.2%} before, {rates[1][kind]:.2%} after"
                for kind, name in enumerate(("mismatches", "insertions", "deletions"), 1)
            ),
        ]


def fit_stay(
    stored: Stored,
    records: Iterable[SignalRecord],
    align: Callable[[BaseCall], Alignment | None],
    regions: Sequence[Region] = (),
    min_bases: int = MIN_BASES,
    advance: Callable[[int], None] = lambda samples: None,
    **options: Any,
) -> StayFit:
    """Decode reads at several stay scores; the network scores each read once.

    Parameters
    ----------
    align, regions, min_bases : as for `judge`. Reads that it would not score at every stay score are left out.
    options : of `nanopore.basecall.caller.Caller`.

    Raises
    ------
    ConfigError: the model has no fixed stay score.
    BiorrnError: fewer than 5 reads.
    """
    from biorrn.nanopore.basecall.caller import Caller

    head = stored.recipe.network.head
    if not isinstance(head, CRFHead) or head.blank is None:
        found = "stay scores that are learned" if isinstance(head, CRFHead) else f"head {head.name}"
        raise ConfigError(f"--blank: {stored.name}: found {found}; allowed is head crf with a number for blank")
    caller, states = Caller(stored, **options), 4**head.state_len
    tried = np.round(head.blank + STEP * np.arange(-REACH, REACH + 1), 4)
    columns: list[list[np.ndarray]] = []

    def counts(scored: Scored) -> Iterator[np.ndarray]:
        for blank in tried:
            scored.scores[:, :states] = blank
            called = caller.call(scored).bases
            bases = decode_bases(called[::-1] if caller.rna else called)
            found = _inside(BaseCall("", bases, np.zeros(len(bases), np.uint8)), align, regions)
            kinds = np.zeros(4, np.int64) if found is None else np.bincount(found[0].kind[found[1]], minlength=4)
            if kinds.sum() - kinds[INSERTION] < min_bases:
                break
            yield kinds

    for record in records:
        if caller.fault(record) is None and len(row := list(counts(caller.score(record)))) == len(tried):
            columns.append(row)
        advance(len(record.raw))
    if len(columns) < FEWEST_READS:
        raise BiorrnError(f"--blank: found {len(columns)} scored reads; expected {FEWEST_READS}")
    return StayFit(float(head.blank), tried, np.array(columns))


def own_calls(stored: Stored, records: Iterable[SignalRecord], **options: Any) -> Iterator[Call]:
    """Call reads with the model's own, uncalibrated qualities; options as for `basecall`."""
    from biorrn.nanopore.basecall.caller import basecall

    bare = replace(stored, facts={key: value for key, value in stored.facts.items() if key != "qscore"})
    return basecall(bare, records, **options)


def remembering(records: Iterable[SignalRecord], kept: list[np.ndarray], most: int = 16) -> Iterator[SignalRecord]:
    """Yield reads and store the currents (picoamperes) of the first ones, for `noise_records`."""
    for record in records:
        if len(kept) < most and len(record.raw) and np.isfinite(record.offset * record.scale):
            kept.append(record.picoamperes()[:40_000])
        yield record


def judge(
    call: Call | Decoded,
    align: Callable[[BaseCall], Alignment | None],
    regions: Sequence[Region] = (),
    min_bases: int = MIN_BASES,
) -> Judged | None:
    """Return the wrong bases of a call; None if it is unmapped or aligns by less than half.

    Parameters
    ----------
    align : `nanopore.alignment.AlignmentMapper.align`.
    regions : only columns inside one of them count; empty for all.
    min_bases : int: aligned reference bases that a read needs inside the regions to be scored.
    """
    found = _inside(BaseCall("", call.bases, call.quals), align, regions)
    if found is None:
        return None
    alignment, inside = found
    kind = alignment.kind[inside]
    called = kind != DELETION
    wrong = wrong_columns(alignment)[0][inside][called]
    places = alignment.read_position[inside][called]
    if regions and (kind != INSERTION).sum() < min_bases:
        places, wrong = places[:0], wrong[:0]
    identity = float((kind == MATCH).mean()) if len(kind) else 0.0
    return judged(call.bases, call.quals, call.evidence, places, wrong, identity)


def _inside(
    call: BaseCall, align: Callable[[BaseCall], Alignment | None], regions: Sequence[Region]
) -> tuple[Alignment, np.ndarray] | None:
    """Return the alignment of a call and its columns inside the regions, bool (C,); None if less than half aligns."""
    alignment = align(call)
    if alignment is None or alignment.aligned < ALIGNED * len(call.bases):
        return None
    inside = np.zeros(len(alignment.kind), bool) if regions else alignment.inside(None)
    for region in regions:
        inside |= alignment.inside(region)
    return alignment, inside


def judged(
    bases: str,
    own: np.ndarray,
    evidence: np.ndarray | None,
    scored: np.ndarray | None = None,
    wrong: np.ndarray | None = None,
    identity: float = float("nan"),
) -> Judged:
    """Return a call for `fit`; without `scored` and `wrong`, as a read without sequence."""
    assert evidence is not None
    none = np.zeros(0, np.int64)
    return Judged(
        np.asarray(own, np.uint8),
        features(bases, evidence),
        none if scored is None else np.asarray(scored, np.int64),
        none.astype(bool) if wrong is None else np.asarray(wrong, bool),
        identity,
    )


def fit(reads: Sequence[Judged], noise: Sequence[Judged], unmapped: int = 0) -> Fit:
    """Fit a calibration.

    Parameters
    ----------
    reads : at least 5 with scored bases.
    noise : reads without sequence; those of fewer than 20 bases are ignored.
    unmapped : int: unmapped reads, for the report.

    Raises
    ------
    BiorrnError: fewer than 5 scored reads or 100 wrong bases.
    """
    reads = [read for read in reads if len(read.scored)]
    noise = [read for read in noise if len(read.own) >= SHORTEST]
    errors = int(sum(read.wrong.sum() for read in reads))
    if len(reads) < FEWEST_READS or errors < FEWEST_ERRORS:
        raise BiorrnError(
            f"calibration: found {len(reads)} scored reads with {errors} wrong bases; "
            f"expected {FEWEST_READS} reads and {FEWEST_ERRORS} wrong bases"
        )
    found: list[tuple[Judged, np.ndarray]] = []
    for fold in range(FOLDS):
        some, empty = ([read for n, read in enumerate(part) if n % FOLDS != fold] for part in (reads, noise))
        made = fit_calibration(some, empty, most=MOST_BASES // 3)
        for part in (reads, noise):
            found += [(read, phred(1 - made.errors(read.features))) for read in part[fold::FOLDS]]
    return Fit(
        calibration=fit_calibration(reads, noise),
        reads=len(reads),
        bases=sum(len(read.scored) for read in reads),
        errors=errors,
        unmapped=unmapped,
        noise=len(noise),
        before=worth([(read, read.own) for read in [*reads, *noise]]),
        after=worth(found),
    )


def worth(found: Sequence[tuple[Judged, np.ndarray]]) -> dict[str, float]:
    """Return measures of qualities uint8 (L,) of the bases of reads, see `Fit.before`."""
    counts = np.zeros((2, MAX_Q + 1), np.int64)  # all or wrong
    for read, quals in found:
        counts[0] += np.bincount(quals[read.scored], minlength=MAX_Q + 1)
        counts[1] += np.bincount(quals[read.scored[read.wrong]], minlength=MAX_Q + 1)
    pairs = np.array([(mean_phred(quals), read.identity) for read, quals in found if len(read.scored)])
    empty = [mean_phred(quals) for read, quals in found if not len(read.scored)]
    varied = len(pairs) > 1 and (pairs.std(0) > 0).all()
    return {
        "calibration_error": calibration_error(*counts),
        "q_gap": q_gap(*counts),
        "correlation": float(np.corrcoef(pairs.T)[0, 1]) if varied else float("nan"),
        "noise_q": float(np.median(empty)) if empty else float("nan"),
    }


def fit_calibration(
    reads: Sequence[Judged], noise: Sequence[Judged], seed: int = 0, most: int = MOST_BASES
) -> Calibration:
    """Return the calibration of highest penalised likelihood; reads without sequence have equal weights."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([read.features[read.scored] for read in reads])
    y = np.concatenate([read.wrong for read in reads]).astype(np.float32)
    if len(y) > most:
        drawn = rng.choice(len(y), most, replace=False)
        x, y = x[drawn], y[drawn]
    weights = np.ones(len(y))
    if noise:
        few = max(SHORTEST, most // 3 // len(noise))
        parts = [read.features[rng.permutation(len(read.own))[:few]] for read in noise]
        each = NOISE_SHARE * len(y) / len(noise)
        weights = np.concatenate([weights, *(np.full(len(part), each / len(part)) for part in parts)])
        x = np.concatenate([x, *parts])
        y = np.append(y, np.full(len(x) - len(y), CHANCE, np.float32))
    intercept, curves = additive(x, y, weights, list(FEATURES.values()), RIDGE)
    terms = {name: curve for name, curve in zip(FEATURES, curves, strict=True) if len(curve.at) > 1}
    made = Calibration(intercept, terms, Curve(np.zeros(1), np.zeros(1)))
    base, [last] = additive(made.sums(x)[:, None], y, weights, [1], FINAL_RIDGE)
    return replace(made, final=Curve(last.at, np.round(last.gives + base, 4)))


def additive(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, signs: Sequence[int], ridge: float
) -> tuple[float, list[Curve]]:
    """Return intercept and curves of a generalised additive logistic model, rounded to four decimals.

    Parameters
    ----------
    x : float array (N, F). y : float array (N,): 0 to 1. weights : float array (N,).
    signs : (F,): 1 for a non-decreasing curve, -1 for a non-increasing one, 0 for any.
    ridge : float: penalty on the squared change between neighbouring knots.
    """
    from scipy.optimize import minimize

    places = [np.unique(np.round(np.quantile(column, KNOTS).astype(np.float64), 4)) for column in x.T]
    basis = np.concatenate([_steps(column, at) for column, at in zip(x.T, places, strict=True)], axis=1)
    bounds: list[tuple[float | None, float | None]] = [(None, None)]
    for at, sign in zip(places, signs, strict=True):
        bounds += [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None)] * (len(at) - 1)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        odds = (basis @ values[1:].astype(np.float32)).astype(np.float64) + values[0]
        slope = weights * (1 / (1 + np.exp(-odds)) - y)
        total = float(weights @ (np.logaddexp(0, odds) - y * odds)) + ridge / 2 * float(values[1:] @ values[1:])
        return total, np.append(slope.sum(), slope.astype(np.float32) @ basis + ridge * values[1:])

    mean = float(np.clip(weights @ y / weights.sum(), 1e-4, 1 - 1e-4))
    start = np.append(np.log(mean / (1 - mean)), np.zeros(basis.shape[1]))
    values = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300}).x
    curves, place = [], 1
    for at in places:
        changes = values[place : place + len(at) - 1]
        place += len(at) - 1
        curves.append(Curve(at, np.round(np.append(0.0, np.cumsum(changes)), 4)))
    return round(float(values[0]), 4), curves


def _steps(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return float32 (N, K - 1): position of each value between neighbouring knots, clipped to 0 to 1."""
    spans = (np.asarray(values, np.float64)[:, None] - at[:-1]) / np.diff(at)
    return np.clip(spans, 0, 1).astype(np.float32)


def entries(fit: Fit) -> dict[str, Any]:
    """Return the entries of a calibration in a model's facts: `qscore` and `qscore_fit`."""

    def rounded(values: dict[str, float]) -> dict[str, float | None]:
        return {name: round(value, 4) if np.isfinite(value) else None for name, value in values.items()}

    counts = {"reads": fit.reads, "bases": fit.bases, "errors": fit.errors, "noise": fit.noise}
    return {
        "qscore": entry_of(fit.calibration),
        "qscore_fit": counts | {"before": rounded(fit.before), "after": rounded(fit.after)},
    }


def summary_lines(fit: Fit) -> list[str]:
    """Return a fit as lines of text."""
    shown = {
        "calibration error": ("calibration_error", ".4f"),
        "mean |predicted - observed Q|, Q3 to Q25": ("q_gap", ".2f"),
        "correlation of mean Q and identity": ("correlation", ".2f"),
        "mean Q of reads without sequence": ("noise_q", ".1f"),
    }
    return [
        f"reads: {fit.reads:,} scored, {fit.unmapped:,} unmapped or aligned by less than half, "
        f"{fit.noise:,} without sequence",
        f"bases: {fit.bases:,}, of which {fit.errors:,} wrong (Q {-10 * np.log10(fit.errors / fit.bases):.1f})",
        *(
            f"{name}: {fit.before[key]:{form}} before, {fit.after[key]:{form}} after (cross-validated)"
            for name, (key, form) in shown.items()
        ),
    ]


def noise_records(like: Sequence[np.ndarray], rate: float, each: int = 16, seed: int = 0) -> Iterator[SignalRecord]:
    """Yield reads without sequence, `each` of every kind in `NOISE`, of 1,500 to 40,000 samples.

    Parameters
    ----------
    like : currents in picoamperes, at least one; some kinds shuffle their samples.
    rate : float: samples per second.
    """
    rng = np.random.default_rng(seed)
    for name, make in NOISE.items():
        for number in range(each):
            samples = int(np.exp(rng.uniform(np.log(1_500), np.log(40_000))))
            current = make(rng, samples, np.resize(like[int(rng.integers(len(like)))], samples))
            raw = np.clip(np.rint(current / 0.2), -32_768, 32_767).astype(np.int16)
            yield SignalRecord(f"{name} {number}", raw, offset=0.0, scale=0.2, sample_rate=rate)


def _gaussian(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    return rng.normal(rng.uniform(60, 120), rng.uniform(3, 25), n)


def _open_pore(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    return rng.normal(rng.uniform(180, 260), rng.uniform(0.8, 4), n) + np.cumsum(rng.normal(0, 0.01, n))


def _saturated(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    """Switches between the two limits of the digitiser."""
    return np.where(rng.random(n) < rng.uniform(0.02, 0.98), 6_000.0, -6_000.0)


def _scrambled(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    return rng.permutation(like)


def _blocks(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    """Shuffled blocks of 2 to 6 samples of a read."""
    width = int(rng.integers(2, 7))
    return rng.permutation(like[: n // width * width].reshape(-1, width)).ravel()


def _smooth(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    width = int(rng.integers(2, 30))
    return 85 + 14 * np.convolve(rng.normal(0, 1, n + width), np.full(width, width**-0.5), "valid")[:n]


def _drift(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    """First-order autoregressive process."""
    from scipy.signal import lfilter

    keep = rng.uniform(0.9, 0.999)
    return 85 + 14 * np.asarray(lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(0, 1, n)))


def _hum(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    phase = 2 * np.pi * rng.uniform(0.005, 0.15) * np.arange(n)
    return 85 + 14 * np.sin(phase) + rng.normal(0, rng.uniform(1, 6), n)


def _levels(rng: np.random.Generator, n: int, like: np.ndarray) -> np.ndarray:
    """Random levels with the dwells of bases."""
    lengths = rng.geometric(1 / rng.uniform(6, 14), n)
    return np.repeat(rng.normal(85, 14, n), lengths)[:n] + rng.normal(0, rng.uniform(1, 3), n)


NOISE: dict[str, Callable[[np.random.Generator, int, np.ndarray], np.ndarray]] = {
    "gaussian": _gaussian,
    "open_pore": _open_pore,
    "saturated": _saturated,
    "scrambled": _scrambled,
    "blocks": _blocks,
    "smooth": _smooth,
    "drift": _drift,
    "hum": _hum,
    "levels": _levels,
}
