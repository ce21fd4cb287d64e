"""Gaussian processes on proteins.

kernels : base classes, kernel of few sites, kernel of descriptors.
model : posterior, the model of several targets, and the table `KERNELS`.
proteins : kernel on natural proteins.
embeddings : kernel on embeddings of a large language model.
substitutions : kernel of additive substitution effects.
"""
