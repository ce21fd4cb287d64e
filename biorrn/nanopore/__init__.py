"""Nanopore sequencing: from raw signal to reads.

readers    FAST5, POD5, SLOW5 and BLOW5 files, and files of called reads
chemistry  flow cell, kit and sample rate of a run; which model is for which chemistry
signal     normalisation of the current, trimming of the adapter
basecall   signal to called reads: reading, chunking, engine, decoding, writing, resuming
alignment  called reads mapped to a reference
reads      mapping, quality control and assembly of called reads
labels     training labels of signal; prepared signal files
dataset    windows of a prepared signal file as batches
task       training of a basecaller
evaluate   called reads compared with a reference
simulate   simulated signal, and pore models estimated from reads
"""
