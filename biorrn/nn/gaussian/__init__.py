"""Gaussian processes on proteins.

kernels : base classes, kernel of few sites, kernel of descriptors.
model : posterior, the model of several targets, and the table `KERNELS`.
proteins : kernels on natural proteins.
substitutions : kernel of additive substitution effects.
"""
