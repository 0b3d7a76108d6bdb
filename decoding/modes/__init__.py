"""The ways of decoding, all over the same spans, cache and grammars."""

from decoding.modes.autoregressive import Autoregressive
from decoding.modes.base import Decodable, DecodeMode, Step

__all__ = ["Autoregressive", "Decodable", "DecodeMode", "Step"]
