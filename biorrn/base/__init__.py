"""Foundations that know no biology.

- compute: devices, threads, numba compilation
- errors: exceptions for faults of the user, and how readers report a bad record
- files: text input in any encoding and packing; atomic output; JSON, TSV, checksums
- journal: the journal of an interrupted command, for `--resume`
- locks: file locks, one process in a folder at a time
- lookup: a choice by name, with the nearest known name in the error
- terminal: progress lines, safe terminal output, the command line as text
"""
