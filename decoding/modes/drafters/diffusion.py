"""The network's own diffusion pathway as a drafter."""

from dataclasses import dataclass, replace

from decoding.modes.base import Decodable
from decoding.modes.denoise import Hint, can_denoise, denoise
from decoding.modes.draft import empty_draft
from decoding.modes.drafters.base import Drafting
from decoding.modes.drafters.lookup import CopySource, LookupDrafter
from decoding.modes.fitting import check_adapter, check_denoises
from decoding.modes.reveal import ConfidenceThreshold
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Purpose


@dataclass(frozen=True, slots=True)
class DiffusionDrafter:
    """One denoising forward guesses the whole block.

    `adapter` says whether drafts use the draft adapter; None uses it where there is one.
    Behind the prompt, or a tail that is longer than a block, nothing is drafted: the causal
    forward that encodes them comes first. The guesses of one forward do not know each other:
    with `hints`, what followed the last ones when they stood in the context before is taken
    instead of a guess that is not much more probable. Source: Nemotron-Labs-Diffusion,
    arXiv 2607.05722, section 3.4.
    """

    adapter: bool | None = None
    hints: LookupDrafter | None = None

    def fit(self, network: Network) -> "DiffusionDrafter":
        check_denoises("self-speculation", network)
        if self.adapter:
            check_adapter("self-speculation", network)
        return self if self.adapter is not None else replace(self, adapter=network.has_adapter)

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        masks = min(block_length, sequence.room) - 1
        if masks < 1 or not can_denoise(sequence, block_length):
            return empty_draft(sequence)
        if threshold > 0.0:
            return (yield from self._denoised(sequence, masks, threshold, masks, None))
        if self.hints is None:
            return (yield from self._denoised(sequence, masks, threshold, 1, None))
        source = CopySource.of(sequence, self.hints)
        try:
            return (yield from self._denoised(sequence, masks, threshold, 1, source.token))
        finally:
            source.close()

    def _denoised(
        self, sequence: Decodable, masks: int, threshold: float, max_steps: int, hint: Hint | None
    ) -> Drafting:
        return (
            yield from denoise(
                sequence,
                masks,
                ConfidenceThreshold(threshold),
                max_steps,
                purpose=Purpose.DRAFT,
                origin=Origin.ACCEPTED,
                adapter=bool(self.adapter),
                hint=hint,
            )
        )
