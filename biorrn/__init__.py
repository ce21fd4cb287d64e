"""Recurrent networks on biological sequences: protein properties and nanopore basecalling."""

__version__ = "0.1.0"
