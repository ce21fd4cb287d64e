"""Protein and DNA sequences: files, tables, alphabets, similarity and splits.

- alphabets: residues, bases, codons, states of residues, amino-acid scales
- descriptors: numeric descriptors of whole proteins
- fasta: FASTA, PIR and other sequence files of proteins
- fastq: FASTQ, and FASTA of nucleotides
- flags: flags of a prediction: unknown residues, unusual length, distant variants
- guard: readers that run in a child process
- prediction_files: tables of predictions, joined with prepared files
- prepared: prepared HDF5 files
- records: records that readers yield: proteins, measured values, reads, labels
- rows: proteins with measured values, from tables and FASTA
- sequence_set: sequences as one flat token array
- similarity: sequence identity, clusters, families, leakage between splits
- splits: train, valid and test
- tables: tables in text, Excel and parquet
- tally: counts and messages of a streaming command
- tokenisers: residue, base, k-mer and byte-pair tokenisers
- variants: mutations and HGVS protein variants
- vectors: tables of residue and k-mer vectors
"""
