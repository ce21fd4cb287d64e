"""Tagging: a state, or values, for each residue of a protein or base of DNA.

data             data sets: batches of a prepared file for training, whole rows for evaluation
readers          labelled sequences from FASTA, FLIP archives, tables and BED
prepare          conversion to a prepared file with a split, and its summary
pseudo_labels    states of unlabelled proteins from a teacher model and homologs
task             training task: model, losses, validation metrics
predict          prediction of records; outputs TSV, FASTA, .ss2, JSONL
metrics          accuracy, segment overlap, precision, recall, F1
baselines        GOR and linear models over a window
evaluate         evaluation of a model or of its predictions
figures          state tracks, confusion matrix, reliability
"""
