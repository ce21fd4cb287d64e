"""What stands beside the weights of a model: facts of its training data, checked before anything is built of them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biorrn.config import LONGEST, MANY, WIDEST, Recipe
from biorrn.encoders.alphabets import BASES, RESIDUES
from biorrn.errors import InputError

Count = Annotated[int, Field(ge=0, le=LONGEST)]
Residues = Annotated[str, Field(max_length=WIDEST, pattern=f"^[{RESIDUES}]*$")]
Text = Annotated[str, Field(max_length=WIDEST)]


class Part(BaseModel):
    """A mapping whose known keys have known types; other keys are left alone, as versions to come may need them."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class Target(Part):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    unit: Text = ""


class Gaussian(Part):
    reference: Residues
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]]
    rows: list[Count] = Field(max_length=MANY)


class Interval(Part):
    quantiles: list[Annotated[float, Field(ge=0)] | None] = Field(min_length=50, max_length=50)
    floor: Annotated[float, Field(ge=0)] | None = None


class Novelty(Part):
    mean: list[float]
    unit: list[Annotated[float, Field(gt=0)]]
    root: list[float]
    threshold: float


class Score(Part):
    slope: Annotated[float, Field(ge=0)]
    shift: float


class Facts(Part):
    """The keys that inference uses. Of a regression: targets; of basecalling: normaliser, sample_rate, stride."""

    task: Literal["regression", "basecalling", "language"] | None = None
    outputs: int = Field(1, ge=1, le=WIDEST)
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)
    alphabet: Text | None = None
    reference: Residues | None = None
    min_length: Count = 0
    max_length: Count = 0
    gaussian: Gaussian | None = None
    neighbours: list[Count] | None = Field(None, min_length=2, max_length=2)
    members: list[Facts] | None = Field(None, max_length=MANY)
    conformal: dict[str, Interval | None] | None = None
    novelty: Novelty | None = None
    normaliser: Text | None = None
    sample_rate: float | None = Field(None, gt=0, le=1e9)
    stride: int | None = Field(None, ge=1, le=LONGEST)
    early: Count = 0
    qscore: Score | None = None


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
        raise InputError(str(source), f"is no basecaller: found {facts['outputs']} outputs; needed are {len(BASES)}")


# task -> facts without which it cannot be
NEEDED = {"regression": ("targets",), "basecalling": ("outputs", "normaliser", "sample_rate", "stride")}
