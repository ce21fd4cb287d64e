"""Readers of signal files and of called reads.

files    any mix of files and folders: the formats by suffix, shards, what cannot be read
fast5    FAST5, with labels of Tombo and calls of Guppy
pod5     POD5
slow5    SLOW5 and BLOW5
fields   checks of metadata that the signal formats share
summary  a table row per read, and counts over many reads
calls    called reads: FASTA, FASTQ, SAM, BAM, CRAM and their move tables
"""
