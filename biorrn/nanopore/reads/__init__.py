"""Work on called reads.

qc        yield, length, quality and channel statistics of a sequencing summary
trim      adapters and primers, cut with all tags; kits: their sequences
demux     the barcode of each read, one file for each
split     two molecules in one read
unaligned writing of called reads
map       mapping to a reference with minimap2: BAM or PAF, depth, error rates
assemble  assembly with minimap2, miniasm and racon
"""
