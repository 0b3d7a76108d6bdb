"""Runs made up by hand: every origin, every purpose, tools, and a gap."""

from collections import Counter
from collections.abc import Sequence

from agentkit import ModelUsage, StepKind
from agentkit.trace import (
    CallTrace,
    DecodingStats,
    DecodingTrace,
    Ending,
    ForwardPurpose,
    ForwardTrace,
    RunTrace,
    TokenOrigin,
    TokenRegion,
    TokenTrace,
    TurnTrace,
)

FREE, CONSTRAINED = TokenRegion.FREE, TokenRegion.CONSTRAINED


def token(
    text: str,
    origin: TokenOrigin = TokenOrigin.AUTOREGRESSIVE,
    forward: int = 0,
    step: int = 0,
    mode: str = "autoregressive",
    region: TokenRegion = FREE,
) -> TokenTrace:
    return TokenTrace(text, origin, mode, region, forward, step)


def forwards(*purposes: ForwardPurpose, rows: int = 8) -> tuple[ForwardTrace, ...]:
    """One after the other, 40 ms each, the first at 10 ms."""
    return tuple(
        ForwardTrace(purpose, 300 if purpose is ForwardPurpose.PREFILL else rows, 1, start, 0.04)
        for start, purpose in ((0.01 + 0.05 * index, each) for index, each in enumerate(purposes))
    )


def decoding(tokens: Sequence[TokenTrace], runs: tuple[ForwardTrace, ...]) -> DecodingTrace:
    """With the counts that belong to it."""
    origins = Counter(each.origin for each in tokens)
    accepted = origins[TokenOrigin.ACCEPTED] + origins[TokenOrigin.COPIED]
    prefills = sum(each.purpose is ForwardPurpose.PREFILL for each in runs)
    stats = DecodingStats(
        prompt_tokens=300,
        cached_prompt_tokens=120,
        new_tokens=len(tokens),
        forwards=len(runs) - prefills,
        prefill_forwards=prefills,
        drafted=accepted + origins[TokenOrigin.CORRECTED],
        accepted=accepted,
        forced=origins[TokenOrigin.FORCED],
        modes=Counter(each.mode for each in tokens),
        regions=Counter(each.region.value for each in tokens),
        mask_microseconds=38.0 * len(tokens),
        seconds_to_first_token=0.06,
        seconds=0.01 + 0.05 * len(runs),
    )
    return DecodingTrace(tuple(tokens), runs, stats)


def all_origins() -> DecodingTrace:
    """Eight forwards; every origin at least once, one forced token before any forward."""
    spec, diffusion = "self-speculation", "diffusion"
    return decoding(
        [
            token("<call>", TokenOrigin.FORCED, -1, mode=spec, region=CONSTRAINED),
            token(" one", TokenOrigin.AUTOREGRESSIVE, 1),
            token(" two", TokenOrigin.ACCEPTED, 3, 1, spec, CONSTRAINED),
            token(" three", TokenOrigin.COPIED, 3, 0, spec, CONSTRAINED),
            token(" four", TokenOrigin.CORRECTED, 3, 0, spec, CONSTRAINED),
            token('":"', TokenOrigin.FORCED, 3, 0, spec, CONSTRAINED),
            token(" six", TokenOrigin.DENOISED, 6, 1, diffusion),
            token(" seven", TokenOrigin.DENOISED, 6, 3, diffusion),
            token(" eight", TokenOrigin.DENOISED, 6, 1, diffusion),
            token("\n", TokenOrigin.AUTOREGRESSIVE, 7, 0, diffusion),
            token("}", TokenOrigin.CLOSING, 7, 0, diffusion, CONSTRAINED),
        ],
        forwards(
            ForwardPurpose.PREFILL,
            ForwardPurpose.NEXT,
            ForwardPurpose.DRAFT,
            ForwardPurpose.VERIFY,
            ForwardPurpose.DENOISE,
            ForwardPurpose.DENOISE,
            ForwardPurpose.DENOISE,
            ForwardPurpose.NEXT,
        ),
    )


def sample_run() -> RunTrace:
    """A turn with two calls at once, a gap while they run, and an answer."""
    first = all_origins()
    last = decoding(
        [token(" fine", forward=0), token("<|end|>", forward=1)],
        forwards(ForwardPurpose.NEXT, ForwardPurpose.NEXT, rows=1),
    )
    asked = 0.05 + first.seconds
    calls = (
        CallTrace("c1", "search", '{"text":"lunch"}', asked, asked + 0.5, "soup"),
        CallTrace("c2", "weather", '{"city":"Lund"}', asked, asked + 0.3, "no such city", True),
    )
    again = asked + 0.5
    answered = again + last.seconds
    turns = (
        TurnTrace(0, StepKind.ACT, 0.0, again, asked, "", ModelUsage(), first, calls),
        TurnTrace(1, StepKind.ANSWER, again, answered, answered, "fine", ModelUsage(), last),
    )
    return RunTrace("What is for lunch?", "tiny", turns, Ending.FINISHED, answered)


def run_of(
    tokens: Sequence[TokenTrace], *, prompt: str = "go", ending: Ending = Ending.FINISHED
) -> RunTrace:
    """One answer, one forward."""
    trace = decoding(tokens, forwards(ForwardPurpose.NEXT))
    turn = TurnTrace(0, StepKind.ANSWER, 0.0, 0.1, 0.1, trace.text, ModelUsage(), trace)
    return RunTrace(prompt, "tiny", (turn,), ending, 0.1)
