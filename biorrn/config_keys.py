"""Keys of a recipe: which one a fault concerns, and how one is set from the command line."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from biorrn.config_yaml import DEEPEST
from biorrn.errors import ConfigError
from biorrn.lookup import nearest

# of a model: pydantic puts them into the place of a fault, but they are no keys
KINDS = ("network", "gaussian_process", "forest", "recurrent", "self_attention", "cores")
MOST_SHOWN = 200  # characters of a value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first fault of a validation as one line, with the nearest known key for an unknown one."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in KINDS)
    if first["type"] == "extra_forbidden":
        close = nearest(str(first["loc"][-1]), sorted(_keys(model, set())))
        return f"key '{place}' is unknown" + (f"; did you mean '{close}'?" if close else "")
    if first["type"] == "missing":
        return f"key '{place}' is missing"
    message = first["msg"][0].lower() + first["msg"][1:]
    if first["type"] == "value_error" and isinstance(first["input"], dict):  # of keys that do not go together
        return (f"key '{place}': " if place else "") + message.removeprefix("value error, ")
    return f"key '{place}': found {_short(first['input'])}; {message}"


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= MOST_SHOWN else words[:MOST_SHOWN] + "..."


def set_key(content: dict[str, Any], key: str, value: Any) -> None:
    """Set `KEY.KEY` of a recipe's mapping; a part that is a number chooses an entry of a list, `*` all of them.

    `training.KEY` of an ensemble is set in each member, where its training stands.

    Raises
    ------
    ConfigError: a part of the key but the last holds no keys, or the list has no such entry.
    """
    parts = key.split(".")
    if len(parts) > DEEPEST:
        raise ConfigError(f"--set: key '{key[:60]}...' has {len(parts)} parts; allowed are {DEEPEST}")
    if content.get("members") and parts[0] == "training":
        parts = ["members", "*", "recipe", *parts]
    _set(content, parts, value, key, "the recipe")


def _set(place: Any, parts: list[str], value: Any, key: str, name: str) -> None:
    first, *rest = parts
    if isinstance(place, list):
        chosen = range(len(place)) if first == "*" else [int(first)] if first.isdecimal() and len(first) < 10 else []
        if not chosen or chosen[-1] >= len(place):
            raise ConfigError(
                f"--set: key '{key}': found '{first}'; '{name}' has entries 0 to {len(place) - 1}, * is all"
            )
        for entry in chosen:
            if rest:
                _set(place[entry], rest, value, key, first)
            else:
                place[entry] = value
    elif not isinstance(place, dict):
        raise ConfigError(f"--set: key '{key}': '{name}' holds no keys")
    elif rest:
        _set(place.setdefault(first, {}), rest, value, key, first)
    else:
        place[first] = value


def _keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    if model in seen:  # a recipe holds recipes
        return set()
    seen.add(model)
    keys: set[str] = set()
    for name, info in model.model_fields.items():
        keys.add(name)
        for kind in _models(info.annotation):
            keys |= _keys(kind, seen)
    return keys


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _models(part)]
