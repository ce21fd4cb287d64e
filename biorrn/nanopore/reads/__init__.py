"""Work on called reads.

qc        yield, length, quality and channel statistics of a sequencing summary
map       mapping to a reference with minimap2: BAM or PAF, depth, error rates
assemble  assembly with minimap2, miniasm and racon
"""
