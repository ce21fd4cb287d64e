"""What stands beside the weights of a model: facts of its training data, checked before anything is built of them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biorrn.config import Recipe, Tokens
from biorrn.config_frontends import LONGEST, MANY, WIDEST
from biorrn.encoders import tokenisers
from biorrn.encoders.alphabets import BASES, RESIDUES
from biorrn.encoders.symbols import ALPHABETS
from biorrn.errors import BiorrnError, InputError

Count = Annotated[int, Field(ge=0, le=LONGEST)]
Residues = Annotated[str, Field(max_length=WIDEST, pattern=f"^[{RESIDUES}]*$")]
Text = Annotated[str, Field(max_length=WIDEST)]


class Part(BaseModel):
    """A mapping whose known keys have known types; other keys are left alone, as versions to come may need them."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class Target(Part):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    unit: Text = ""
    sign: Text = ""
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None


class Gaussian(Part):
    reference: Residues
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]]
    rows: list[Count] = Field(max_length=MANY)


Quantiles = Annotated[list[Annotated[float, Field(ge=0)] | None], Field(min_length=50, max_length=50)]


class Difference(Part):
    quantiles: Quantiles
    unlike: Difference | None = None


class Forest(Part):
    reference: Residues
    nodes: list[Count] = Field(max_length=MANY)


class Interval(Part):
    quantiles: Quantiles
    floor: Annotated[float, Field(ge=0)] | None = None
    difference: Quantiles | None = None
    unlike: Interval | None = None


class Novelty(Part):
    mean: list[float]
    unit: list[Annotated[float, Field(gt=0)]]
    root: list[float]
    threshold: float


class Tokeniser(Part):
    name: Text
    alphabet: Text
    k: Count
    merges: list[Annotated[list[Count], Field(min_length=2, max_length=2)]] = Field(max_length=WIDEST)


class Facts(Part):
    """The keys that inference uses. Of a regression: targets; of basecalling: normaliser, sample_rate, stride,
    and chemistry: entries of `readers.chemistry.CHEMISTRIES`, where the training reads said what they are of."""

    task: Literal["regression", "basecalling", "language", "tagging", "translation"] | None = None
    kind: Literal["states", "values"] | None = None
    states: Text | None = None
    state_names: list[Text] = Field(default_factory=list, max_length=WIDEST)
    outputs: int = Field(1, ge=1, le=WIDEST)
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)
    alphabet: Text | None = None
    tokeniser: Tokeniser | None = None
    reference: Residues | None = None
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
    predicts: Text = ""  # these four, and unit, sign and bounds of targets: see `About`
    inputs: Text = ""
    measured: Text = ""
    mutants: bool | None = None
    source: Text | None = None
    target: Text | None = None
    symbols_a_step: float | None = Field(None, gt=0, le=1e6)
    normaliser: Text | None = None
    sample_rate: float | None = Field(None, gt=0, le=1e9)
    chemistry: list[Text] | None = Field(None, max_length=MANY)
    stride: int | None = Field(None, ge=1, le=LONGEST)
    early: Count = 0
    qscore: dict[str, Any] | None = None  # checked by `inference.quality.calibration_of`


class About(BaseModel):
    """What `about.yaml` says of a model, for its user.

    predicts is what a value is; inputs which proteins or reads it is for; measured how good it was, on what; mutants
    whether mutants of its proteins were among the training rows; of a target the unit, what a larger value means, and
    between which bounds values lie.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    predicts: Text
    inputs: Text
    measured: Text
    mutants: bool | None = None
    most_mutations: Count | None = None
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)


def parse_about(text: str, source: object) -> dict[str, Any]:
    """Return what the text of an `about.yaml` says, without what it leaves out.

    Raises
    ------
    InputError: it is no YAML, or not as `About` has it.
    """
    import yaml

    try:
        return About.model_validate(yaml.safe_load(text)).model_dump(exclude_unset=True)
    except yaml.YAMLError as error:
        raise InputError(str(source), f"is no YAML: {' '.join(str(error).split())[:100]}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(str(source), f"key '{'.'.join(map(str, first['loc']))}': {first['msg'].lower()}") from error


def parse_facts(text: str | None, source: object) -> dict[str, Any]:
    """Return the facts that the metadata of a weights file holds as JSON, checked; `source` names the file.

    Raises
    ------
    InputError: there are none, they are not JSON, or one is of another type or out of range.
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
    """Check that the facts have what inference needs for the task of their recipe.

    Raises
    ------
    InputError: another task than the recipe's, a fact is missing, or a basecaller has other symbols than the bases.
    """
    task = facts.get("task")
    if task is None:
        return  # weights of a part of a model
    if task != recipe.task:
        raise InputError(str(source), f"is of a model for {task}; the recipe beside it is for {recipe.task}")
    missing = [name for name in NEEDED.get(task, ()) if not facts.get(name)]
    if missing:
        raise InputError(str(source), f"fact '{missing[0]}' is missing; a model for {task} needs it")
    if task == "basecalling" and facts["outputs"] != len(BASES):
        # compiled decoders trust that there are as many
        raise InputError(str(source), f"is no basecaller: found {facts['outputs']} outputs; expected {len(BASES)}")
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


# task -> facts without which it cannot be
NEEDED = {
    "regression": ("targets",),
    "basecalling": ("outputs", "normaliser", "sample_rate", "stride"),
    "language": ("tokeniser",),
    "tagging": ("outputs", "kind", "alphabet"),
    "translation": ("outputs", "source", "target", "symbols_a_step"),
}
