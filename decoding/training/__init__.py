"""Training of the diffusion pathway and of the sampler, against a frozen autoregressive pathway.

`python -m decoding.training` runs it. See `docs/training.md`.
"""
