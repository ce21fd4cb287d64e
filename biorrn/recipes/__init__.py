"""Shipped recipes, one YAML file each: a model and its training; the file name is the recipe's name.

Properties of proteins
    stability, stability_attention, stability_gru, stability_lstm_attention, stability_net : mini-proteins.
    solubility, melting_temperature : natural proteins, by Gaussian processes.
    beta_lactamase, fluorescence, gb1, variant_net : variants of one protein.
    demo_motif, demo_stability : examples.
Classes of proteins
    protein_classes, protein_motifs : families, localisation and the like; three networks and one.
Basecalling
    fast, hac : CTC-CRF, for any machine and for a GPU.
    ctc_fast, chiron, quartz, signal_ctc : CTC.
    demo_basecall : example.
Tagging
    secondary_structure, secondary_structure_crf, secondary_structure_net : secondary structure of proteins.
    secondary_structure_teacher, secondary_structure_students : self-training of secondary_structure.
    dna_segments : segments of DNA.
Language models
    residue_lm, base_lm : residues and bases.
Translation
    codons : coding sequences to proteins.
    signal_decoder : signal to bases by a decoder.
"""
