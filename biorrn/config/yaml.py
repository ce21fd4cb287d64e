"""YAML of recipes: JSON types only, of bounded size; `--set`; validation errors as one line.

`yaml.safe_load` raises many types of exceptions on odd text, accepts a repeated key, and expands nested aliases without
limit.
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.lookup import nearest

MOST_TEXT = 1 << 22  # characters
MOST_NODES = 200_000  # values, each alias counted as all that it stands for
DEEPEST = 40  # mappings and lists in each other
KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it, is 8 times faster


class _Loader(_Base):  # type: ignore[misc]
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping whose keys differ."""
        seen: set[str] = set()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen and key != "<<":
                raise yaml.YAMLError(f"key '{key}' is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        """Return a whole number that fits into 64 bits."""
        value = super().construct_yaml_int(node)
        if not -(2**63) <= value < 2**63:
            raise yaml.YAMLError(f"the number {node.value[:20]}... is out of range")
        return int(value)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in KINDS]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make for tag, make in _Base.yaml_constructors.items() if tag is None or tag.rpartition(":")[2] in KINDS
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _measure(text: str) -> None:
    """Check the depth of a text and its number of values, aliases expanded, before anything is built from it."""
    nodes = 0
    sizes: dict[str, int] = {}  # anchor -> nodes that an alias of it stands for
    opened: list[tuple[str | None, int]] = []  # anchor and first node of the mappings and lists that are open
    for event in yaml.parse(text, Loader=_Base):  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor in [anchor for anchor, _ in opened]:
                    raise yaml.YAMLError(f"alias '{event.anchor}' refers to itself")
                nodes += sizes.get(str(event.anchor), 0)
            elif isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, nodes))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
            nodes += 1
        if nodes > MOST_NODES:
            raise yaml.YAMLError(f"more than {MOST_NODES:,} values, with aliases expanded")
        if len(opened) > DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} mappings and lists in each other")


def load_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds: mappings, lists, texts, numbers, truth values and null.

    Raises
    ------
    InputError: not YAML, another type (as a date written with its tag, or a Python object), a key given twice, nested
        too deeply, or too large.

    >>> load_yaml("a: [1, 2.5, yes, 2020-01-01]", "recipe")
    {'a': [1, 2.5, True, '2020-01-01']}
    """
    if len(text) > MOST_TEXT:
        raise InputError(source, f"has {len(text):,} characters; allowed are {MOST_TEXT:,}")
    try:
        _measure(text)
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(source, f"not YAML{where}: {getattr(error, 'problem', None) or error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # what its constructors raise on a value that its tag does not fit
        raise InputError(source, f"not YAML: a value cannot be read: {str(error)[:100]}") from error


# tags of unions, which pydantic adds to the location of an error
NESTED = ("network", "gaussian_process", "forest", "recurrent", "self_attention", "cores")
MOST_SHOWN = 200  # characters of a value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first fault of a validation as one line, with the nearest known key for an unknown one."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in NESTED)
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
