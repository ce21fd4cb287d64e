"""Prepared HDF5 files of proteins, signal, tags and pairs.

- files: writers and readers
- integrity: a full check of a file, in a child process
- schema: the datasets and attributes of each kind
- summary: counts, lengths, composition and leakage of a file
"""
