"""Where the arithmetic runs, and with how many threads."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from biorrn.errors import BiorrnError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def quiet_threads() -> None:
    """Let idle OpenMP threads of this process and its children sleep, unless the environment says otherwise.

    Threads that spin slow an LSTM 10 to 80 times beside a busy neighbour. It has an effect only before torch is
    imported, so the command line, the public functions and each program of its own call it first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device that `name` stands for; `auto` prefers CUDA, then MPS, then the CPU.

    Raises
    ------
    BiorrnError: the name is unknown, or this machine has no such device.
    """
    quiet_threads()
    import torch

    if name.split(":")[0] not in DEVICES:
        raise BiorrnError(f"--device: found '{name}'; allowed is one of {', '.join(DEVICES)}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present[name.split(":")[0]]:
        raise BiorrnError(f"--device: found '{name}', which torch does not see on this machine; use auto or cpu")
    return torch.device(name)


def has_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Tell whether networks can run in bfloat16 on a device; decided once a process by running a small LSTM.

    torch casts to bfloat16 on any CPU, but its LSTM refuses where the processor lacks AVX-512 (with bfloat16) or AMX,
    and what torch tells of itself differs between versions and is not what the CPU library does.
    """
    import torch

    return _runs_bfloat16(torch.device(device).type)


@functools.cache
def _runs_bfloat16(kind: str) -> bool:
    import torch

    if kind == "cuda" and not torch.cuda.is_bf16_supported():
        return False
    state = torch.random.get_rng_state()  # first weights of a model that is made later do not depend on this test
    try:
        layer = torch.nn.LSTM(8, 8).to(kind)
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16):
            layer(torch.zeros(2, 1, 8, device=kind))
    except RuntimeError:  # "could not create a primitive descriptor", and what other devices say
        return False
    finally:
        torch.random.set_rng_state(state)
    return True


def set_threads(threads: int | None = None) -> int:
    """Use `threads` CPU threads in torch (None: as many as this process may use) and return that number."""
    quiet_threads()
    import torch

    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise BiorrnError(f"--threads: found {threads}; allowed is 1 or more")
    torch.set_num_threads(threads)
    return threads
