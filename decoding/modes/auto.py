"""The mode that chooses, step by step."""

from dataclasses import dataclass, replace

from decoding.errors import UnsupportedMode
from decoding.modes.autoregressive import Autoregressive
from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.fitting import check_record
from decoding.modes.self_speculation import SelfSpeculation
from decoding.network.base import Network
from decoding.record import Region


@dataclass(frozen=True, slots=True)
class Auto:
    """One mode for constrained regions of the text, one for free text.

    None takes self-speculation where the network has a diffusion pathway, autoregressive
    decoding elsewhere; so does a mode that the network cannot do. Both defaults leave the text
    as it would be decoded autoregressively; a `BlockDiffusion` for `free` does not.
    """

    constrained: DecodeMode | None = None
    free: DecodeMode | None = None

    def __post_init__(self) -> None:
        for mode in (self.constrained, self.free):
            if mode is not None:
                check_record("a mode of Auto", mode, "step", "SelfSpeculation()")

    @property
    def name(self) -> str:
        return "auto"

    def fit(self, network: Network) -> DecodeMode:
        return replace(
            self, constrained=_fitted(self.constrained, network), free=_fitted(self.free, network)
        )

    def select(self, sequence: Decodable) -> DecodeMode:
        chosen = self.free if sequence.region is Region.FREE else self.constrained
        assert chosen is not None, "fit the mode to a network first"
        return chosen.select(sequence)

    def step(self, sequence: Decodable) -> Step:
        yield from self.select(sequence).step(sequence)


def _fitted(mode: DecodeMode | None, network: Network) -> DecodeMode:
    if mode is None:
        mode = Autoregressive() if network.mask_token_id is None else SelfSpeculation()
    try:
        return mode.fit(network)
    except UnsupportedMode:
        return Autoregressive()
