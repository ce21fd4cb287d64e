"""Classification of proteins: one class for each sequence, or a set of them (multi-label).

task.py : training task `classification`: data, loss, validation score.
calibration.py : temperature, conformal sets, and the flag of proteins of no known class.
predict.py : tables of predicted classes.
evaluate.py : metrics, confusion, calibration, coverage of sets.
baselines.py : majority, k-mers, nearest neighbour, embeddings.
figures.py : confusion matrix, reliability diagram, baselines.
"""
