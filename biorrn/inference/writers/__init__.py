"""Calls and predictions as files. Each appears whole or not at all; `-` is standard output."""

from biorrn.inference.writers.fastq import fastq_text
from biorrn.inference.writers.formats import FORMATS, WRITERS, Style, format_of
from biorrn.inference.writers.predictions import open_predictions

__all__ = ["FORMATS", "WRITERS", "Style", "fastq_text", "format_of", "open_predictions"]
