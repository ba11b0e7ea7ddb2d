"""transformers' text encoders behind the same words as timm's image classifiers.

Importing this package imports nothing heavy; most of its modules import transformers.
"""
