"""Simulated nanopore signal.

pore_model       table of the current of each k-mer: reader, writer, shipped models
molecules        adapters, barcodes, primers and tails around a fragment
current          noise, drift and filter of the simulated current
reads            simulated reads and their writers (POD5, BLOW5, FAST5, truth table)
labelled_signal  labelled signal as flat arrays
estimate         estimation of a pore model from labelled signal
recombine        new training sequences spliced from real signal
"""
