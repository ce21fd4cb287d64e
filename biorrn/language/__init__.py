"""Language models: prediction of the next residue, base or symbol of a sequence.

data         data sets: whole sequences, or windows with a carried state
task         training task: model, loss, validation metrics
generate     generation: temperature, top-k and nucleus sampling
generated    comparison of generated sequences with the training set; outputs
evaluate     perplexity, compared with n-gram models; figures
"""
