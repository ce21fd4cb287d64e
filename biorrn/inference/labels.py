"""The options of `biorrn prepare signal` that say where labels come from, checked together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biorrn.datasets.label_report import Limits, ReadReport
from biorrn.datasets.labelled_reads import LABELS, LabelledReads
from biorrn.errors import ConfigError
from biorrn.inference.basecall import Caller
from biorrn.inference.bootstrap import CALL_LABELS, Sources, labels_by_call
from biorrn.inference.intake import check_chemistry
from biorrn.lookup import lookup
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.signal import find_signal_files

LIMITS = ("reference", "min_identity", "min_coverage", "min_mean_q", "lead")
USES = {  # which options each kind of labels takes
    "events": (),
    "truth": ("truth",),
    "bam": ("bam", "moves", *LIMITS),
    "calls": ("calls", "moves", "model", "threads", "force", *LIMITS),
    "bootstrap": ("model", "threads", "force", *LIMITS),
}

# what a read must reach unless told otherwise; identity is with the reference, or of a model's call with the given one
DEFAULTS: dict[str, Limits] = {
    "bam": Limits(identity=0.8, coverage=0.5),
    "calls": Limits(identity=0.7, coverage=0.5),
    "bootstrap": Limits(identity=0.75, coverage=0.8),
}


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What the user gave; None, 0 and "" are nothing. For the meaning see `biorrn prepare signal --help`."""

    truth: Path | None = None
    bam: Path | None = None
    moves: Path | None = None
    calls: Path | None = None
    reference: Path | None = None
    model: str | None = None
    min_identity: float | None = None
    min_coverage: float | None = None
    min_mean_q: float = 0.0
    lead: int = 0
    threads: int | None = None
    force: bool = False

    def given(self) -> dict[str, Any]:
        """Return what was given, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value not in (None, 0)}

    def files(self) -> list[Path]:
        """Return the files that were named."""
        return [value for value in self.given().values() if isinstance(value, Path) and value.is_file()]

    def shown(self) -> dict[str, Any]:
        """Return what was given as JSON can hold it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self.given().items()}


def open_labels(
    paths: Sequence[str | Path], labels: str, options: LabelOptions, report: ReadReport, on_problem: OnProblem = stop
) -> LabelledReads | None:
    """Return labelled reads for `prepare_reads`; None for the kinds of labels that it reads itself.

    Raises
    ------
    ConfigError: unknown labels, an option that they do not take, or one that they need is missing.
    """
    lookup({**LABELS, **CALL_LABELS}, labels, "--labels")
    for name in options.given():
        if name not in USES[labels]:
            kinds = " or ".join(kind for kind, names in USES.items() if name in names)
            raise ConfigError(f"--{name.replace('_', '-')}: is for --labels {kinds}; found --labels {labels}")
    if labels not in CALL_LABELS:
        return None
    usual = DEFAULTS[labels]
    limits = Limits(
        identity=usual.identity if options.min_identity is None else options.min_identity,
        coverage=usual.coverage if options.min_coverage is None else options.min_coverage,
        mean_q=options.min_mean_q,
    )
    sources = Sources(
        options.bam,
        options.moves,
        options.calls,
        options.reference,
        limits,
        options.lead,
        lambda: make_scorer(options.model, options.threads, paths, options.force),
    )
    return labels_by_call(paths, labels, sources, report, on_problem)


def make_scorer(
    model: str | None, threads: int | None = None, paths: Sequence[str | Path] = (), force: bool = False
) -> Caller:
    """Return the model of a name, by default the shipped one, ready to score the reads of some files and folders.

    Raises
    ------
    InputError: the reads are of another chemistry or sample rate than the model is for, and `force` is False.
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.inference.defaults import default_batch_size, default_model
    from biorrn.models.store import load_model

    used, device = set_threads(threads), choose_device("auto")
    stored = load_model(model or default_model())
    scorer = Caller(stored, device=device, batch_size=default_batch_size(device), threads=used, force=force)
    for line in check_chemistry(find_signal_files(paths, lambda problem: None), scorer.purpose, force=force):
        print(f"biorrn: {line}", file=sys.stderr)
    return scorer
