"""Low-rank adapters (LoRA) beside frozen weights, for image and text models alike.

Source: Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models. The layers are peft's;
importing this package does not import it.
"""
