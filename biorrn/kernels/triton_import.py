"""Triton where it is installed, which is beside PyTorch for CUDA; elsewhere files of kernels can still be imported."""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

if find_spec("triton"):
    import triton.language as tl
    from triton import jit
else:
    tl = SimpleNamespace(constexpr=None)

    def jit(function: Any) -> Any:  # type: ignore[no-redef,unused-ignore]
        """Return the function, which cannot be called: it is no Python."""
        return function
