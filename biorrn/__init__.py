"""Recurrent networks on biological sequences: protein properties and nanopore basecalling.

The names in `__all__` are the public API, see `docs/api.md`. Every other module is private and may change. Nothing
heavy is imported until one of the names is used.
"""

from typing import TYPE_CHECKING, Any

from biorrn.version import __version__ as __version__

if TYPE_CHECKING:
    from biorrn.api import (
        BiorrnError,
        Evaluation,
        Model,
        basecall,
        evaluate,
        load_model,
        predict,
        read_proteins,
        read_signal,
        scan,
        suggest,
        train,
    )

__all__ = [
    "BiorrnError",
    "Evaluation",
    "Model",
    "basecall",
    "evaluate",
    "load_model",
    "predict",
    "read_proteins",
    "read_signal",
    "scan",
    "suggest",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'biorrn' has no attribute '{name}'")
    from biorrn import api
    from biorrn.base.compute import prepare_libraries

    prepare_libraries()  # before a function imports torch
    return getattr(api, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
