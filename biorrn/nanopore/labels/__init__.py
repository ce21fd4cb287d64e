"""Labels of nanopore reads for training: which base produced which samples.

transfer  base starts of a call moved to the sequence it aligns to
sources   labels from Tombo events, a truth table, BAM move tables, calls or a model
prepare   prepared signal files: segments, mixes, import and export of chunks
"""
