"""Copying where the context repeats itself, denoising elsewhere."""

from dataclasses import dataclass, replace

from decoding.modes.base import Decodable
from decoding.modes.drafters.base import Drafter, Drafting
from decoding.modes.drafters.diffusion import DiffusionDrafter
from decoding.modes.drafters.lookup import LookupDrafter
from decoding.modes.fitting import check_count
from decoding.network.base import Network


@dataclass(frozen=True, slots=True)
class CombinedDrafter:
    """The first drafter's guesses where there are at least `enough`, or as many as there may be,
    else the second's if there are more.

    Forced tokens do not count. By default copies of what followed a match of three tokens,
    which cost no forward, come before the diffusion pathway's guesses.
    """

    first: Drafter = LookupDrafter(min_match=3)
    second: Drafter = DiffusionDrafter(hints=LookupDrafter(min_match=2))
    enough: int = 2

    def __post_init__(self) -> None:
        check_count("enough", self.enough)

    def fit(self, network: Network) -> Drafter:
        return replace(self, first=self.first.fit(network), second=self.second.fit(network))

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        draft = yield from self.first.draft(sequence, block_length, threshold)
        if draft.num_chosen >= min(self.enough, block_length - 1, sequence.room - 1):
            return draft
        other = yield from self.second.draft(sequence, block_length, threshold)
        return other if other.num_chosen > draft.num_chosen else draft
