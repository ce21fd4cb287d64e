"""Basecalling models: those at hand, and the model folders of Dorado and Bonito, read as data."""
