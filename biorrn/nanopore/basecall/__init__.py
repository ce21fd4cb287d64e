"""Basecalling, in the order in which a read passes.

intake    reading: chooses and numbers the reads, checks that the model is for their chemistry
caller    the model and its settings: trims, normalises and plans a read, returns its call
chunking  cutting: overlapping chunks of signal, overlapping pieces of scores, joining of their calls
pipeline  threads: batches of chunks to the engine, pieces of scores to the decoder
engine    the network: compiled CPU kernels, or torch (torch_engine); reference has its equations in numpy
decode    scores to bases, raw qualities and the move table
quality   calibrated Phred qualities
splitting parts of reads of two molecules: of the signal before the call, of the call behind it
tails     lengths of poly(A) tails
trimming  adapters, barcodes and primers cut off the call
output    writing: the journal of finished reads, the output and the summary
formats   FASTQ, SAM, BAM and CRAM by suffix; the FASTQ writer
sam       records, tags and headers of SAM, BAM and CRAM
summary   the sequencing summary: a row per read
merge     outputs of several runs merged into one

Resuming an interrupted run: `biorrn.base.journal`, opened by `output.open_output`.
"""
