"""What the tests of evaluations share."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from biorrn.nanopore.alignment import Alignment, _alignment, parse_cigar, reverse_complement
from biorrn.nanopore.readers.calls import BaseCall

Aligned = Callable[..., tuple[BaseCall, Alignment]]


@pytest.fixture(scope="session")
def aligned() -> Aligned:
    """Return a function that makes a read and its alignment from text.

    The CIGAR and the reference are in the direction of the read, whatever the strand: on the reverse strand the
    reference file holds the other strand of it, as it would.
    """

    def make(
        cigar: str, read: str, reference: str, strand: int = 1, start: int = 0, id: str = "r"
    ) -> tuple[BaseCall, Alignment]:
        steps, span = parse_cigar(cigar), reference if strand > 0 else reverse_complement(reference)
        hit = SimpleNamespace(
            q_st=0, q_en=len(read), strand=strand, ctg="g", r_st=start, r_en=start + len(reference), mapq=60,
            cigar=(steps if strand > 0 else steps[::-1]).tolist(),
        )  # fmt: skip
        call = BaseCall(id, read, np.full(len(read), 20, np.uint8))
        return call, _alignment(call, hit, span, False)

    return make
