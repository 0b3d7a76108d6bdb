"""The mode that chooses, step by step."""

from dataclasses import dataclass, replace

from decoding.errors import UnsupportedMode
from decoding.modes.autoregressive import Autoregressive
from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.drafters import HeadDrafter, NgramDrafter
from decoding.modes.fastest import Fastest
from decoding.modes.fitting import check_record
from decoding.modes.self_speculation import SelfSpeculation
from decoding.network.base import Network
from decoding.record import Region


@dataclass(frozen=True, slots=True)
class Auto:
    """One mode for constrained regions of the text, one for free text.

    None takes `Fastest()`: whatever is fastest here and now of the steps that leave the text as it
    would be decoded autoregressively. A mode that is named is the one taken in its region, or
    autoregressive decoding where the network cannot do it; a `BlockDiffusion` changes the text.
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
        return self.mode_in(sequence.region).select(sequence)

    def mode_in(self, region: Region) -> DecodeMode:
        """The mode that takes the steps of a region."""
        chosen = self.free if region is Region.FREE else self.constrained
        assert chosen is not None, "fit the mode to a network first"
        return mode_in(chosen, region)

    def step(self, sequence: Decodable) -> Step:
        yield from self.select(sequence).step(sequence)


def mode_in(mode: DecodeMode, region: Region) -> DecodeMode:
    """The mode that takes the steps of a region: one of those of an `Auto`, else itself."""
    return mode.mode_in(region) if isinstance(mode, Auto) else mode


def decides_by_cost(mode: DecodeMode) -> bool:
    """Whether a mode that is fitted needs the cost of forwards to be measured."""
    return any(isinstance(mode_in(mode, region), Fastest) for region in Region)


def most_side_guesses(mode: DecodeMode) -> int:
    """How many guesses a step may have beside its draft's own: what scratch is leased for."""
    if isinstance(mode, Auto):
        return max(
            (most_side_guesses(each) for each in (mode.constrained, mode.free) if each), default=0
        )
    return mode.side_guesses if isinstance(mode, SelfSpeculation) else 0


def ngrams_of(mode: DecodeMode, region: Region) -> NgramDrafter | None:
    """The table that steps of a region may be drafted from: what is to be judged."""
    taken = mode_in(mode, region)
    return taken.ngrams if isinstance(taken, Fastest) else None


def head_of(mode: DecodeMode, region: Region) -> HeadDrafter | None:
    """The draft head that steps of a region may be drafted by: what is to be judged."""
    taken = mode_in(mode, region)
    return taken.head if isinstance(taken, Fastest) else None


def _fitted(mode: DecodeMode | None, network: Network) -> DecodeMode:
    try:
        return (Fastest() if mode is None else mode).fit(network)
    except UnsupportedMode:
        return Autoregressive()
