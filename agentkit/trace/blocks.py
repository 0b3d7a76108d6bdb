"""Which forwards belong together, and which of them chose a token."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.decoding_trace import (
    DecodingTrace,
    ForwardPurpose,
    TokenOrigin,
    TokenTrace,
)


@dataclass(frozen=True, slots=True)
class Blocks:
    """`block_of` gives each forward's block: the denoise forwards of one block share one, and so
    do draft forwards and the check that follows. `makers` gives for each token the forward that
    chose it, -1 where none had run yet."""

    block_of: tuple[int, ...]
    makers: tuple[int, ...]

    @classmethod
    def of(cls, trace: DecodingTrace) -> "Blocks":
        purposes = [forward.purpose for forward in trace.forwards]
        return cls(
            tuple(_blocks(purposes)), tuple(_maker(token, purposes) for token in trace.tokens)
        )


def _blocks(purposes: Sequence[ForwardPurpose]) -> list[int]:
    blocks: list[int] = []
    for index, purpose in enumerate(purposes):
        before = purposes[index - 1] if index else None
        goes_on = before is ForwardPurpose.DENOISE and purpose is ForwardPurpose.DENOISE
        goes_on |= before is ForwardPurpose.DRAFT and purpose in (
            ForwardPurpose.DRAFT,
            ForwardPurpose.VERIFY,
        )
        blocks.append(blocks[-1] if goes_on else index)
    return blocks


def _maker(token: TokenTrace, purposes: Sequence[ForwardPurpose]) -> int:
    """A block is committed as a whole, after its last denoise forward; the token's step tells
    which of them uncovered it. A draft counts only once the check has agreed."""
    first = token.forward
    uncovered = token.origin is TokenOrigin.DENOISED and token.denoise_step > 0
    if not uncovered or first < 0 or purposes[first] is not ForwardPurpose.DENOISE:
        return token.forward
    while first > 0 and purposes[first - 1] is ForwardPurpose.DENOISE:
        first -= 1
    return min(first + token.denoise_step - 1, token.forward)


def modes_of(trace: DecodingTrace) -> list[str]:
    """The mode of each forward: that of the tokens it committed, else of the next that
    committed any, else of the last."""
    known = {token.forward: token.mode for token in reversed(trace.tokens)}
    modes = [known.get(index, "") for index in range(len(trace.forwards))]
    for index in reversed(range(len(modes) - 1)):
        modes[index] = modes[index] or modes[index + 1]
    for index in range(1, len(modes)):
        modes[index] = modes[index] or modes[index - 1]
    return modes
