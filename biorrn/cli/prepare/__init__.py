"""Commands of `biorrn prepare`.

app           protein, and the group of commands
signal        signal, mix, recombine, export, import: labelled reads
tags          tags and pseudo-labels: labels per residue
pairs         pairs and codons: pairs of sequences
pore_model    pore-model: current levels of k-mers, from reads
"""
