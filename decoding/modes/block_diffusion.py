"""Block diffusion: denoise a block, then encode it causally."""

from dataclasses import dataclass, replace

from decoding.modes.autoregressive import pick_next
from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.denoise import can_denoise, denoise
from decoding.modes.fitting import (
    check_adapter,
    check_block_fits,
    check_count,
    check_denoises,
    check_record,
    needs_adapter,
)
from decoding.modes.reveal import ConfidenceThreshold, FixedSchedule, RevealPolicy
from decoding.modes.trained_sampler import TrainedSampler
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Purpose


@dataclass(frozen=True, slots=True)
class BlockDiffusion:
    """A seed and `block_length` - 1 masks, revealed over several forwards; one causal forward
    then encodes the block and picks the next seed. The first seed is picked behind the prompt.

    `threshold` is the confidence from which on a position is revealed at once; None reveals
    evenly over `max_denoise_steps` (by default one position per forward). `sampler` replaces
    both as the policy. The last permitted step reveals everything. With `block_length` 1 this
    is autoregressive decoding. `adapter` None uses the draft adapter where the network cannot
    denoise without it.

    The text is the network's own in this mode: not the one it would decode autoregressively.
    Source: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3.3.
    """

    block_length: int = 8
    threshold: float | None = 0.9
    sampler: RevealPolicy | None = None
    max_denoise_steps: int | None = None
    adapter: bool | None = None

    def __post_init__(self) -> None:
        check_count("block_length", self.block_length)
        if self.threshold is not None:
            ConfidenceThreshold(self.threshold)
        if self.sampler is not None:
            check_record("sampler", self.sampler, "reveal", "FixedSchedule()")
        if self.max_denoise_steps is not None:
            check_count("max_denoise_steps", self.max_denoise_steps)

    @property
    def name(self) -> str:
        return "diffusion"

    @property
    def policy(self) -> RevealPolicy:
        """What decides which positions are revealed."""
        if self.sampler is not None:
            return self.sampler
        return FixedSchedule() if self.threshold is None else ConfidenceThreshold(self.threshold)

    def fit(self, network: Network) -> DecodeMode:
        check_denoises(self.name, network)
        check_block_fits(self.block_length, network)
        if isinstance(self.sampler, TrainedSampler):
            self.sampler.check_vocabulary(network.vocab_size, network.name)
        if self.adapter:
            check_adapter(self.name, network)
        return self if self.adapter is not None else replace(self, adapter=needs_adapter(network))

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        masks = min(self.block_length - 1, sequence.room)
        if masks and can_denoise(sequence, self.block_length):
            draft = yield from denoise(
                sequence,
                masks,
                self.policy,
                self.max_denoise_steps or masks,
                purpose=Purpose.DENOISE,
                origin=Origin.DENOISED,
                adapter=bool(self.adapter),
            )
            for guess in draft.guesses:
                if sequence.finished:
                    return
                if not guess.is_forced:  # forced tokens follow what they follow from
                    chosen = guess.candidate
                    sequence.commit(
                        chosen.token, chosen.logprob, chosen.origin, chosen.denoise_step
                    )
        if not sequence.finished:
            yield from pick_next(sequence)
