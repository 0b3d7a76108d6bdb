"""Ways to guess what comes next, for self-speculation to verify."""

from decoding.modes.drafters.base import Drafter, Drafting
from decoding.modes.drafters.combined import CombinedDrafter
from decoding.modes.drafters.diffusion import DiffusionDrafter
from decoding.modes.drafters.head import HeadDrafter
from decoding.modes.drafters.lookup import LookupDrafter
from decoding.modes.drafters.ngrams import NgramDrafter

__all__ = [
    "CombinedDrafter",
    "DiffusionDrafter",
    "Drafter",
    "Drafting",
    "HeadDrafter",
    "LookupDrafter",
    "NgramDrafter",
]
