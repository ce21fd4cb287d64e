"""How many numbers a model may be made of, checked before memory is asked for.

A recipe is a few words, and with one digit too many it asks for a terabyte.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from biorrn.base.errors import ConfigError

MOST = 1 << 30  # numbers of a model that is to be trained: 4 GB as float32, and four times that with its gradients
SPARE = 1 << 22  # numbers beyond those of its file that a stored model may be made of, as tables that are not kept


class Budget(TorchFunctionMode):
    """Within this context, tensors of more than `numbers` numbers in all are refused.

    Parameters
    ----------
    what : str: the recipe or file that asks for them, for the message.

    Raises
    ------
    ConfigError: on the tensor that goes beyond.

    >>> with Budget(1000, "recipe 'wide'"):
    ...     torch.nn.Linear(100, 100)
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: recipe 'wide': asks for a model of more than 1,000 numbers; allowed are as many
    """

    def __init__(self, numbers: int, what: object) -> None:
        super().__init__()
        self.left = self.numbers = numbers
        self.what = what

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in MAKERS:
            self.left -= MAKERS[func](args, kwargs or {})
            if self.left < 0:
                message = f"asks for a model of more than {self.numbers:,} numbers; allowed are as many"
                raise ConfigError(f"{self.what}: {message}")
        return func(*args, **(kwargs or {}))


def _size(args: Any, kwargs: dict[str, Any]) -> int:
    size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
    return math.prod(int(length) for length in size)


def _square(args: Any, kwargs: dict[str, Any]) -> int:
    return int(args[0]) * int(args[1] if len(args) > 1 else args[0])


def _range(args: Any, kwargs: dict[str, Any]) -> int:
    return int(max(abs(float(number)) for number in args))


# what makes a tensor out of numbers -> how many numbers it will have
MAKERS: dict[Any, Callable[[Any, dict[str, Any]], int]] = {
    **dict.fromkeys((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn), _size),
    torch.eye: _square,
    torch.arange: _range,
}
