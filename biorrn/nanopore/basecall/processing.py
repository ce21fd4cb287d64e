"""Processing of reads around their call: they are split, their tails measured, adapters and barcodes cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.splitting import Splitter
from biorrn.nanopore.basecall.tails import Tails
from biorrn.nanopore.basecall.trimming import OwnTrimmer, Trimmer
from biorrn.nanopore.reads.kits import Kit
from biorrn.sequences.records import SignalRecord


class Processing:
    """The steps before and after a caller.

    Parameters
    ----------
    rna : bool: the model is of direct RNA.
    chemistries : names of those of the model.
    kit : Kit, optional: reads get its barcodes, and are cut by it instead of the kit in their metadata.
    trim : str, optional: one of `reads.trim.WHAT`; default: adapters, with a kit all.
    split : bool: reads of two molecules are split.
    tails : bool: poly(A) and poly(T) tails are measured; the caller has to keep the signal.

    Attributes
    ----------
    trim : str: what is cut.

    Raises
    ------
    ConfigError: as `Trimmer` and `OwnTrimmer`.
    """

    def __init__(
        self,
        rna: bool = False,
        chemistries: Sequence[str] = (),
        kit: Kit | None = None,
        trim: str | None = None,
        split: bool = False,
        tails: bool = False,
    ) -> None:
        self.trim = trim or ("adapters" if kit is None else "all")
        self._trimmer = OwnTrimmer(self.trim, rna) if kit is None else Trimmer(kit, self.trim, rna)
        self._splitter = Splitter(rna) if split else None
        self._tails = Tails(rna, kit, chemistries) if tails else None

    def records(self, records: Iterable[SignalRecord]) -> Iterable[SignalRecord]:
        """Return the reads to call, or parts of them."""
        return records if self._splitter is None else self._splitter.records(records)

    def calls(self, calls: Iterable[Call]) -> Iterator[Call]:
        """Return the calls as they are written, each after its parts, tail, barcode and ends were looked for."""
        calls = calls if self._splitter is None else self._splitter.calls(calls)
        calls = calls if self._tails is None else self._tails.measured(calls)
        return map(self._trimmer, calls)

    def lines(self) -> list[str]:
        """Return what was done, as lines for the user."""
        return [*self._trimmer.lines(), *([] if self._splitter is None else [self._splitter.line()])]
