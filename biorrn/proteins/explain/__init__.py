"""Explanations of predictions.

attribution.py : integrated gradients, occlusion, attention pooling weights.
attention_maps.py : attention weights by layer and head.
"""
