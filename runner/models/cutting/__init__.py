"""Models cut at the boundaries of their layer groups: what comes before a cut, and what after.

The outputs of frozen layers are a function of the example and the weights alone. A prefix computes
them, a suffix goes on from them, and the two together are the model, to floating-point noise.
"""
