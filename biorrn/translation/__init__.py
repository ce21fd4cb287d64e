"""Translation: from one sequence to another by an encoder-decoder with attention.

data         data sets of pairs: readers, prepared file, batches, synthetic coding sequences
task         training task: model, loss, validation metrics
predict      greedy or beam search, FASTA output, figures of the attention
evaluate     symbol error rate; on signal, comparison with CTC and CRF
"""
