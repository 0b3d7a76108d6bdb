"""The ways of decoding, all over the same spans, cache and grammars."""

from decoding.modes.auto import (
    Auto,
    decides_by_cost,
    head_of,
    mode_in,
    most_side_guesses,
    ngrams_of,
)
from decoding.modes.autoregressive import Autoregressive
from decoding.modes.base import Decodable, DecodeMode, Preview, Step
from decoding.modes.block_diffusion import BlockDiffusion
from decoding.modes.fastest import Fastest, asks_head, foreseen
from decoding.modes.reveal import Block, ConfidenceThreshold, FixedSchedule, RevealPolicy
from decoding.modes.self_speculation import SelfSpeculation

__all__ = [
    "Auto",
    "Autoregressive",
    "Block",
    "BlockDiffusion",
    "ConfidenceThreshold",
    "Decodable",
    "DecodeMode",
    "Fastest",
    "FixedSchedule",
    "Preview",
    "RevealPolicy",
    "SelfSpeculation",
    "Step",
    "asks_head",
    "decides_by_cost",
    "foreseen",
    "head_of",
    "mode_in",
    "most_side_guesses",
    "ngrams_of",
]
