"""The labels that `tombo resquiggle` writes into FAST5: which reference base was in the pore when."""

import h5py
import numpy as np

from biorrn.readers.fields import Fault, text
from biorrn.readers.records import ReadLabels

PLACE = ("mapped_chrom", "mapped_start", "mapped_end", "mapped_strand")
CODES = {b"A": 1, b"C": 2, b"G": 3, b"T": 4}


def labels(holder: h5py.Group, samples: int) -> ReadLabels:
    """Return the labels of one read: Analyses/RawGenomeCorrected_*/BaseCalled_template, the last that there is.

    Parameters
    ----------
    holder : the group that holds `Analyses`: the file of a single read, or the group of one read of many.
    samples : int: length of the read's signal.

    Raises
    ------
    Fault: there are no labels, Tombo failed on the read, it is RNA (whose events count from the other end), or the
        labels contradict the signal or the alignment.
    """
    analyses = holder.get("Analyses", {})
    names = sorted(name for name in analyses if name.startswith("RawGenomeCorrected"))
    if not names:
        raise Fault("holds no labels: there is no Analyses/RawGenomeCorrected_*")
    template = analyses[names[-1]].get("BaseCalled_template")
    if template is None:
        raise Fault(f"holds no labels: {names[-1]} has no BaseCalled_template")
    status = str(template.attrs.get("status", "success"))
    if status != "success":
        raise Fault(f"holds no labels: Tombo's status is '{' '.join(status.split())[:80]}'")
    if template.attrs.get("rna", False):
        raise Fault("holds labels of RNA, which Tombo counts on the reversed signal; allowed is DNA")
    events, alignment = template.get("Events"), template.get("Alignment")
    if not isinstance(events, h5py.Dataset) or alignment is None:
        raise Fault(f"holds no labels: {names[-1]}/BaseCalled_template has no Events and Alignment")
    return _checked(events, alignment, samples)


def _checked(events: h5py.Dataset, alignment: h5py.Group, samples: int) -> ReadLabels:
    missing = {"start", "length", "base"} - set(events.dtype.names or ())
    if missing:
        raise Fault(f"Events lack the column {', '.join(sorted(missing))}")
    if "read_start_rel_to_raw" not in events.attrs:
        raise Fault("Events lack the attribute read_start_rel_to_raw, so where they start is unknown")
    table = events[:]
    if len(table) == 0:
        raise Fault("Events hold no bases")
    unknown = sorted(set(table["base"].tolist()) - CODES.keys())
    if unknown:
        raise Fault(f"Events hold the base {unknown[0]!r}; allowed are A, C, G, T")
    letters = np.zeros(256, np.uint8)
    for letter, code in CODES.items():
        letters[letter[0]] = code
    starts = table["start"].astype(np.int64) + int(events.attrs["read_start_rel_to_raw"])
    end = int(starts[-1]) + int(table["length"][-1])
    if starts[0] < 0 or end > samples or (np.diff(starts) <= 0).any() or end <= starts[-1]:
        raise Fault(f"Events run from sample {starts[0]} to {end} or go back; the signal has {samples} samples")
    place = {name: alignment.attrs.get(name) for name in PLACE}
    if any(value is None for value in place.values()):
        raise Fault(f"Alignment lacks one of {', '.join(PLACE)}")
    reference, strand = (text(name, place[name]) for name in ("mapped_chrom", "mapped_strand"))
    first, last = int(place["mapped_start"]), int(place["mapped_end"])
    if last - first != len(table) or strand not in ("+", "-"):
        raise Fault(f"Events hold {len(table)} bases, but Alignment says {reference}:{first}-{last} ({strand})")
    bases = letters[np.frombuffer(np.ascontiguousarray(table["base"]), np.uint8)]
    return ReadLabels(bases, starts, end, reference, first, last, strand)
