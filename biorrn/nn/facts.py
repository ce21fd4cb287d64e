"""Facts of a model: what inference must know beside the weights, checked when they are read.

They are JSON in the metadata of the weights file; `about.yaml` beside it adds a description for users.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from biorrn.base.errors import BiorrnError, InputError
from biorrn.config.network import LONGEST, MANY, WIDEST
from biorrn.config.recipe import Recipe, Tokens
from biorrn.sequences import tokenisers
from biorrn.sequences.alphabets import ALPHABETS, BASES, RESIDUES

Features = Annotated[int, Field(ge=0, le=WIDEST)]  # of a substitution, that another model tells
Count = Annotated[int, Field(ge=0, le=LONGEST)]
Residues = Annotated[str, Field(max_length=WIDEST, pattern=f"^[{RESIDUES}]*$")]
Text = Annotated[str, Field(max_length=WIDEST)]


class FactPart(BaseModel):
    """A mapping whose known keys are checked; unknown keys, as of later versions, are kept."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class Target(FactPart):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    unit: Text = ""
    sign: Text = ""
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None


class Gaussian(FactPart):
    reference: Residues
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]]
    rows: list[Count] = Field(max_length=MANY)
    told: Features = 0


Quantiles = Annotated[list[Annotated[float, Field(ge=0)] | None], Field(min_length=50, max_length=50)]


class Difference(FactPart):
    quantiles: Quantiles
    unlike: Difference | None = None


class Forest(FactPart):
    reference: Residues
    nodes: list[Count] = Field(max_length=MANY)
    told: Features = 0


class Profile(FactPart):
    at: list[float] = Field(min_length=1)
    size: list[Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def rising(self) -> Profile:
        if len(self.at) != len(self.size) or sorted(set(self.at)) != self.at:
            raise ValueError("'at' has to rise, with a size for each")
        return self


class Interval(FactPart):
    quantiles: Quantiles
    floor: Annotated[float, Field(ge=0)] | None = None
    profile: Profile | None = None
    difference: Quantiles | None = None
    unlike: Interval | None = None


class ClassCalibration(FactPart):
    """How scores of classes become probabilities, sets and a flag; see `proteins.classes.calibration`."""

    rows: Count
    temperature: Annotated[float, Field(gt=0)]
    shifts: list[float] = Field(default_factory=list, max_length=WIDEST)  # of sets: one a class
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5  # of sets: the least probability of a class that is called
    quantiles: Quantiles
    doubt: Annotated[float, Field(ge=0, le=1)]  # a protein with a less probable class is of none that is known


class Novelty(FactPart):
    mean: list[float]
    unit: list[Annotated[float, Field(gt=0)]]
    root: list[float]
    threshold: float


class Tokeniser(FactPart):
    name: Text
    alphabet: Text
    k: Count
    merges: list[Annotated[list[Count], Field(min_length=2, max_length=2)]] = Field(max_length=WIDEST)


class Facts(FactPart):
    """The facts that inference uses: for regression targets; for basecalling normaliser, sample_rate, stride, and
    chemistry (entries of `nanopore.chemistry.CHEMISTRIES`) if the training reads name it."""

    task: Literal["regression", "classification", "basecalling", "language", "tagging", "translation"] | None = None
    kind: Literal["states", "values"] | None = None
    states: Text | None = None
    state_names: list[Text] = Field(default_factory=list, max_length=WIDEST)
    name: Text | None = None  # of the states, or of what the classes are of
    classes: list[Text] = Field(default_factory=list, max_length=WIDEST)
    sets: bool = False  # whether a protein may have several classes, or none
    class_calibration: ClassCalibration | None = None
    outputs: int = Field(1, ge=1, le=WIDEST)
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)
    alphabet: Text | None = None
    tokeniser: Tokeniser | None = None
    reference: Residues | None = None  # consensus of the training rows, variants of one protein
    wild_type: Residues | None = None  # what the mutations of the training table were of
    effect: Target | None = None  # of a tagging model whose values are what a residue does in the place of another
    min_length: Count = 0
    max_length: Count = 0
    gaussian: Gaussian | None = None
    forest: Forest | None = None
    neighbours: list[Count] | None = Field(None, min_length=2, max_length=2)
    members: list[Facts] | None = Field(None, max_length=MANY)
    conformal: dict[str, Interval | None] | None = None
    difference: dict[str, Difference | None] | None = None
    novelty: Novelty | None = None
    relatives: Annotated[str, Field(max_length=1 << 24)] | None = None
    most_mutations: Count | None = None
    predicts: Text = ""  # for these five, and unit, sign and bounds of targets, see `About`
    inputs: Text = ""
    measured: Text = ""
    licence: Text = ""
    mutants: bool | None = None
    source: Text | None = None
    target: Text | None = None
    symbols_a_step: float | None = Field(None, gt=0, le=1e6)
    normaliser: Text | None = None
    sample_rate: float | None = Field(None, gt=0, le=1e9)
    chemistry: list[Text] | None = Field(None, max_length=MANY)
    stride: int | None = Field(None, ge=1, le=LONGEST)
    early: Count = 0
    qscore: dict[str, Any] | None = None  # checked by `nanopore.basecall.quality.calibration_of`


def targets_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets of what a model predicts of a protein; of one of effects of substitutions, the effect."""
    effect = facts.get("effect")
    return [effect] if effect else list(facts.get("targets") or ())


def wild_type_of(facts: Mapping[str, Any]) -> str:
    """Return the protein whose variants trained a model: the wild type that was given, else their consensus, or ""."""
    return str(facts.get("wild_type") or facts.get("reference") or "")


class About(BaseModel):
    """The keys of `about.yaml`, the description of a model for its users.

    predicts: the meaning of a value; inputs: the proteins or reads that it is for; measured: accuracy, and on which
    data; licence: of the weights; mutants: whether the training rows hold mutants of its proteins; targets: unit, sign
    (the meaning of a larger value) and bounds of each.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    predicts: Text
    inputs: Text
    measured: Text
    licence: Text = ""
    mutants: bool | None = None
    most_mutations: Count | None = None
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)


def parse_about(text: str, source: object) -> dict[str, Any]:
    """Return the keys that the text of an `about.yaml` sets.

    Raises
    ------
    InputError: not YAML, or not valid as `About`.
    """
    import yaml

    try:
        return About.model_validate(yaml.safe_load(text)).model_dump(exclude_unset=True)
    except yaml.YAMLError as error:
        raise InputError(str(source), f"is not YAML: {' '.join(str(error).split())[:100]}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(str(source), f"key '{'.'.join(map(str, first['loc']))}': {first['msg'].lower()}") from error


def parse_facts(text: str | None, source: object) -> dict[str, Any]:
    """Return the checked facts from the metadata of a weights file, which are JSON; `source` names the file.

    Raises
    ------
    InputError: no facts, not JSON, or a fact of a wrong type or out of range.
    """
    try:
        facts = json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise InputError(str(source), f"its facts are not JSON: {str(error)[:100]}") from error
    if not isinstance(facts, dict):
        raise InputError(str(source), "holds no facts of the training data; was it written by biorrn?")
    try:
        checked = Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        found = repr(first["input"])[:100]
        raise InputError(str(source), f"fact '{place}': found {found}; {first['msg'].lower()}") from error
    if checked.targets and len(checked.targets) != checked.outputs:
        raise InputError(str(source), f"names {len(checked.targets)} targets for {checked.outputs} outputs")
    return facts


def check_task(facts: dict[str, Any], recipe: Recipe, source: object) -> None:
    """Check that the facts are those that inference needs for the recipe's task.

    Raises
    ------
    InputError: another task than the recipe's, a missing fact, or a wrong number of outputs.
    """
    task = facts.get("task")
    if task is None:
        return  # weights of a part of a model
    if task != recipe.task:
        raise InputError(str(source), f"is of a model for {task}; the recipe in its folder is for {recipe.task}")
    missing = [name for name in NEEDED.get(task, ()) if not facts.get(name)]
    if missing:
        raise InputError(str(source), f"fact '{missing[0]}' is missing; a model for {task} needs it")
    if task == "basecalling" and facts["outputs"] != len(BASES):
        # compiled decoders rely on this number
        raise InputError(str(source), f"is not a basecaller: found {facts['outputs']} outputs; expected {len(BASES)}")
    if task == "classification" and not 2 <= len(set(facts["classes"])) == facts["outputs"]:
        raise InputError(str(source), f"names {len(set(facts['classes']))} classes for {facts['outputs']} outputs")
    if task == "classification":
        own = facts.get("class_calibration") or {}
        if own.get("shifts") and len(own["shifts"]) != facts["outputs"]:
            raise InputError(str(source), f"has {len(own['shifts'])} shifts for {facts['outputs']} classes")
    if task == "translation":
        _check_translation(facts, source)
    if task == "tagging":
        needed = "states" if facts["kind"] == "states" else "targets"
        if len(facts.get(needed) or ()) != facts["outputs"]:
            raise InputError(str(source), f"has {facts['outputs']} outputs for {len(facts.get(needed) or ())} {needed}")
        if needed == "states" and len(set(facts["states"])) != len(facts.get("state_names") or ()):
            raise InputError(str(source), "fact 'state_names': expected one name for each of its states")
    if task == "language":
        if not isinstance(getattr(recipe.model, "frontend", None), Tokens):
            raise InputError(str(source), "is of a language model; its recipe has another front end than tokens")
        try:
            symbols = tokenisers.Tokeniser.from_dict(facts["tokeniser"]).size
        except BiorrnError as error:
            raise InputError(str(source), f"fact 'tokeniser': {error}") from error
        if facts.get("outputs") != symbols:
            raise InputError(str(source), f"has {facts.get('outputs')} outputs; its tokeniser has {symbols} symbols")


def _check_translation(facts: dict[str, Any], source: object) -> None:
    known = {"source": [*ALPHABETS, "signal"], "target": [*ALPHABETS, "bases"]}
    for side, names in known.items():
        if facts[side] not in names:
            raise InputError(str(source), f"fact '{side}': found {facts[side]!r:.60}; allowed is {', '.join(names)}")
    symbols = len(BASES) if facts["target"] == "bases" else len(ALPHABETS[facts["target"]].symbols) + 1
    if facts["outputs"] != symbols:
        raise InputError(str(source), f"has {facts['outputs']} outputs; {facts['target']} and the end are {symbols}")
    if facts["source"] == "signal" and not (facts.get("normaliser") and facts.get("stride")):
        raise InputError(str(source), "fact 'normaliser' or 'stride' is missing; a model of signal needs both")


# task -> facts that it requires
NEEDED = {
    "regression": ("targets",),
    "classification": ("name", "classes", "outputs"),
    "basecalling": ("outputs", "normaliser", "sample_rate", "stride"),
    "language": ("tokeniser",),
    "tagging": ("outputs", "kind", "alphabet"),
    "translation": ("outputs", "source", "target", "symbols_a_step"),
}
