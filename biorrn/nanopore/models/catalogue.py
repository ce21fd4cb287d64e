"""Available models, shipped or in the folders of BIORRN_MODELS and --models-dir: list, and choice by chemistry."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import read_json, read_text, tsv_line
from biorrn.config.samples import CALLER
from biorrn.nanopore.basecall.intake import Survey
from biorrn.nanopore.chemistry import MAKERS, Purpose, chemistry_of, same_rate
from biorrn.nanopore.models.importer import CHECKPOINT, TENSOR
from biorrn.nn.facts import targets_of
from biorrn.nn.store import (
    RECIPE,
    VARIABLE,
    WEIGHTS,
    find_model,
    load_facts,
    model_bytes,
    model_folders,
    models_in,
    shipped_models,
    short_names,
)
from biorrn.sequences.records import SignalRecord

SHIPPED = "shipped"
BASECALLING = re.compile(r"^task: *['\"]?basecalling\b", re.MULTILINE)  # in a recipe
LARGE = 50e6  # bytes of weights; larger basecallers (sup) are too slow for a CPU to be a default there
# models of others, by the name of their folder; measured here, see docs/results.md
MEASURED = {
    "dna_r9.4.1_e8.1_fast@v3.4": "median identity 0.916 on 50 reads of phage lambda",
    "TINYX0111": "median identity 0.886 on 8 reads of phage lambda",
    "TINYX011": "median identity 0.878 on 8 reads of phage lambda",
    "TINYX01": "median identity 0.849 on 8 reads of phage lambda",
    "TINYX2": "median identity 0.801 on 8 reads of phage lambda",
    "TINYX3": "median identity 0.709 on 8 reads of phage lambda",
}
COLUMNS = ("model", "task", "predicts", "chemistry", "sample_rate", "unit", "sign", "inputs", "size", "licence",
           "measured", "folder", "problem")  # fmt: skip
SHOWN = ("model", "for", "size", "licence", "measured")  # on a terminal
NARROW = 36  # characters of a column on a terminal, but for the last


@dataclass(frozen=True, slots=True)
class Entry:
    """A model folder.

    Attributes
    ----------
    folder : Path.
    source : str: `SHIPPED`, or the folder that it lies in.
    facts : as `nn.facts.Facts`, completed by the folder's `about.yaml`.
    problem : str: why the model cannot be used; "" where it can.
    """

    folder: Path
    source: str
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def name(self) -> str:
        """Return the name of the folder; of a shipped model it is its id."""
        return self.folder.resolve().name

    @property
    def purpose(self) -> Purpose:
        """Return the chemistries and sample rate that a basecalling model is for."""
        return Purpose.of(self.facts, self.name)

    @property
    def size(self) -> int:
        """Return the bytes of its weights."""
        return model_bytes(self.folder)

    def suits(self, run: SignalRecord, rate: bool = True) -> bool:
        """Return whether the model states a chemistry that a run may be of; with `rate`, also its sample rate."""
        purpose = self.purpose
        fits = bool(purpose.names) and purpose.fits(chemistry_of(run)) is not False
        return fits and (not rate or same_rate(run.sample_rate, purpose.rate))


def models_at_hand(folders: Iterable[str | Path] = (), basecalling: bool = False) -> list[Entry]:
    """Return the models in `folders`, in those of the variable BIORRN_MODELS, and the shipped ones, in that order.

    Parameters
    ----------
    folders : folders of model folders, or model folders.
    basecalling : leave out models of other tasks, before their facts are read.

    Raises
    ------
    ConfigError, InputError: a folder is not there or cannot be read. A model that cannot be used has a `problem`.
    """
    places = [(model, str(place)) for place in model_folders(folders) for model in models_in(place)]
    places += [(find_model(name), SHIPPED) for name in shipped_models()]
    return [_entry(*place) for place in places if not basecalling or _calls(place[0])]


def _calls(folder: Path) -> bool:
    """Return whether a model folder is one for basecalling, or its recipe cannot be read."""
    try:
        return not (folder / RECIPE).is_file() or bool(BASECALLING.search(read_text(folder / RECIPE)))
    except BiorrnError:
        return True


def _entry(folder: Path, source: str) -> Entry:
    try:
        facts = load_facts(folder)
        if not (folder / WEIGHTS).is_file() and not any(_is_weights(path.name) for path in folder.iterdir()):
            raise InputError(folder, f"holds no weights; expected are *{TENSOR} (Dorado) or weights_N.tar (Bonito)")
    except BiorrnError as error:
        return Entry(folder, source, problem=error.problem if isinstance(error, InputError) else str(error))
    if not facts.get("measured") and (found := _validated(folder) or MEASURED.get(folder.resolve().name, "")):
        facts = facts | {"measured": found}
    return Entry(folder, source, facts)


def _is_weights(name: str) -> bool:
    return name.endswith(TENSOR) or bool(CHECKPOINT.fullmatch(name))


def _validated(folder: Path) -> str:
    """Return the validation score of a run folder; "" without one."""
    try:
        best = read_json(folder / "provenance.json")["best"]
        return f"{str(best['metric']).replace('_', ' ')} {float(best['value']):.3f}, of its own validation split"
    except (BiorrnError, KeyError, TypeError, ValueError):
        return ""


def table(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the models as lines of a TSV with a header, each with its end."""
    yield tsv_line(*COLUMNS)
    for entry in entries:
        facts = entry.facts
        cells = {
            **{name: facts.get(name) for name in ("task", "predicts", "inputs", "licence", "measured")},
            **{name: _of(facts, name) for name in ("unit", "sign")},
            "model": entry.name,
            "chemistry": ", ".join(facts.get("chemistry") or ()),
            "sample_rate": f"{facts['sample_rate']:g}" if facts.get("sample_rate") else "",
            "size": f"{entry.size / 1e6:.1f} MB",
            "folder": entry.folder,
            "problem": entry.problem,
        }
        yield tsv_line(*(cells[name] or "." for name in COLUMNS))


def _of(facts: dict[str, Any], key: str) -> str:
    return "; ".join(str(target[key]) for target in targets_of(facts) if target.get(key))


def listing(entries: Sequence[Entry], width: int | None = None) -> Iterator[str]:
    """Yield the models as lines for a terminal: by the folder that they lie in, in columns, at most `width` wide."""
    width = width or shutil.get_terminal_size().columns
    for source in dict.fromkeys(entry.source for entry in entries):
        here = [entry for entry in entries if entry.source == source]
        rows = [SHOWN, *(_cells(entry) for entry in here if not entry.problem)]
        widths = [min(NARROW, max(len(cells[place]) for cells in rows)) for place in range(len(SHOWN) - 1)]
        widths[0] = max(len(entry.name) for entry in here)  # a name is typed, so it is not shortened
        yield "shipped with biorrn" if source == SHIPPED else f"in {source}"
        yield from (_line(cells, widths, width) for cells in rows)
        for entry in here:
            if entry.problem:
                yield _cut(f"  {entry.name:{widths[0]}}  cannot be used: {entry.problem}", width)
        yield ""
    if any(entry.source == SHIPPED and entry.name == CALLER for entry in entries):
        others = " or ".join(size for size, name in short_names().items() if name != CALLER)
        yield f"biorrn basecall: default {CALLER}{f', --model {others} for another' if others else ''}"
    yield "biorrn models show NAME describes one; --tsv lists all columns"


def _cells(entry: Entry) -> tuple[str, ...]:
    facts = entry.facts
    use = str(facts.get("predicts") or facts.get("task") or "")
    if facts.get("task") == "basecalling":
        names = ", ".join(facts.get("chemistry") or ()) or "reads of unknown chemistry"
        use = f"{names}, {facts['sample_rate'] / 1000:g} kHz"
    size = f"{entry.size / 1e6:.1f} MB"
    return entry.name, use, size, str(facts.get("licence") or "."), str(facts.get("measured") or ".")


def _line(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    padded = [f"{_cut(cell, wide):{wide}}" for cell, wide in zip(cells, widths, strict=False)]
    return _cut("  " + "  ".join([*padded, cells[-1]]), width)


def _cut(text: str, width: int) -> str:
    """Return a text of at most `width` characters.

    >>> _cut("dna_r9.4.1_e8", 9)
    'dna_r9...'
    """
    return text if len(text) <= width else f"{text[: width - 3]}..."


# -- choice by chemistry ---------------------------------------------------------------------------------------------


def default_model() -> Path:
    """Return the folder of the shipped basecalling model that is taken where none is named, `CALLER`.

    Raises
    ------
    ConfigError: it is not shipped.
    """
    if CALLER not in shipped_models():
        raise ConfigError(
            f"--model: name a basecalling model, a run folder or a shipped id; this version ships no {CALLER}"
        )
    return find_model(CALLER)


def choose_model(
    survey: Survey,
    folders: Iterable[str | Path] = (),
    say: Callable[[str], None] = lambda line: None,
    *,
    device: str = "cpu",
    force: bool = False,
) -> Path:
    """Return the folder of the model for reads, by their chemistry and sample rate, among `models_at_hand`.

    Where several fit, those in `folders` come first, then those of BIORRN_MODELS, then the shipped ones, of which
    `CALLER` is first. In a folder it is the largest, which is the most accurate; on a CPU the largest below `LARGE`. Of
    equal sizes it is the newest by name. Where the metadata leave the chemistry of all reads open, and with `force`
    where none fits, it is `CALLER`.

    Parameters
    ----------
    survey : Survey of the reads.
    folders : as for `models_at_hand`.
    say : called with one line: the model, and how many others fit.

    Raises
    ------
    InputError: no available model is for the reads, or no single one is for all.
    """
    stated = [run for run in survey.runs if chemistry_of(run).names or chemistry_of(run).conflict]
    entries = models_at_hand(folders, basecalling=True) if stated else []
    fitting = _fitting(entries, stated, device)
    if not fitting:
        if stated and not force:
            raise refusal(survey, stated, entries, device)
        folder = default_model()
        say(f"model {folder.name} (default)")
        return folder
    chosen, *others = fitting
    names = " or ".join(dict.fromkeys(chemistry_of(run).name for run in stated))
    also = f", of {len(fitting)} for {names}; the others: {', '.join(entry.name for entry in others)}" if others else ""
    say(f"model {chosen.name} ({'default' if chosen.source == SHIPPED else chosen.source}{also})")
    return chosen.folder


def _fitting(entries: Iterable[Entry], runs: Sequence[SignalRecord], device: str) -> list[Entry]:
    """Return the models for all runs, the one to be chosen first."""
    entries = list(entries)
    fitting = order([entry for entry in entries if all(entry.suits(run) for run in runs)], device)
    # of another rate than usual: the check of the reads says so
    return fitting or order([entry for entry in entries if all(entry.suits(run, False) for run in runs)], device)


def order(entries: Iterable[Entry], device: str = "cpu") -> list[Entry]:
    """Return usable models, the one to be chosen first; see `choose_model`. Their order by folder is kept."""
    usable = [entry for entry in entries if not entry.problem]
    sources = list(dict.fromkeys(entry.source for entry in usable))

    def rank(entry: Entry) -> tuple[Any, ...]:
        size = round(entry.size / 1e6)
        slow = device == "cpu" and size > LARGE / 1e6
        other = entry.source == SHIPPED and entry.name != CALLER
        return sources.index(entry.source), other, slow, size if slow else -size, _newest(entry.name), entry.name

    return sorted(usable, key=rank)


def _newest(name: str) -> list[int]:
    """Return the numbers of a version, negative, so that the newest of names like hac@v4.3.0 is the least.

    >>> _newest("hac@v5.0.0") < _newest("hac@v4.3.0")
    True
    """
    return [-int(number) for number in re.findall(r"\d+", name.rpartition("@")[2])[:4]]


def refusal(
    survey: Survey, stated: Sequence[SignalRecord], entries: Sequence[Entry], device: str = "cpu"
) -> InputError:
    """Return the error for reads that no single available model is for: of one chemistry, or of several."""
    groups: dict[str, list[SignalRecord]] = {}
    for run in stated:
        groups.setdefault(chemistry_of(run).name, []).append(run)
    found = {name: _fitting(entries, runs, device) for name, runs in groups.items()}
    first = stated[0]
    if len(groups) == 1:
        known = chemistry_of(first)
        evidence = "" if known.conflict else f" ({known.evidence})"
        return InputError(
            first.source, f"found {known.label}{evidence}; no available model is for it{_makers(known.names)}. Name "
            "a model with --model; --force calls with the shipped one, with poor results"
        )  # fmt: skip
    ways = [f"--chemistry {name} (model {models[0].name})" for name, models in found.items() if models]
    lacking = ", ".join(name for name, models in found.items() if not models)
    parts = ["call each by itself: " + ", ".join(ways)] * bool(ways)
    parts += [f"no model is available for {lacking}"] * bool(lacking)
    counts = ", ".join(f"{name} {count}" for name, count in survey.chemistries().most_common())
    return InputError(
        first.source, f"the files hold reads of several chemistries ({counts}), and no available model is for all; "
        f"{'; '.join(parts)}; then biorrn merge"
    )  # fmt: skip


def _makers(chemistries: Iterable[str]) -> str:
    """Return which of Oxford Nanopore's models are for chemistries and where they go, as the end of a message."""
    names = [name for chemistry in chemistries for name in MAKERS.get(chemistry, ())]
    if not names:
        return ""
    return (
        f"; Oxford Nanopore's {' or '.join(names)} {'is' if len(names) == 1 else 'are'}: dorado download --model NAME "
        f"--models-directory FOLDER fetches it, and {VARIABLE} or --models-dir names FOLDER"
    )
