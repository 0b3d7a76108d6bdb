"""The page's plain words for how tokens come to be and what forwards are for."""

from agentkit.decoding_trace import ForwardPurpose, TokenOrigin, TokenRegion
from agentkit.trace.records import Ending

ORIGINS = {
    TokenOrigin.AUTOREGRESSIVE: ("next token", "picked one at a time, behind all that came before"),
    TokenOrigin.DENOISED: (
        "denoised",
        "uncovered inside a block of blanks; the small number is the step that uncovered it",
    ),
    TokenOrigin.ACCEPTED: (
        "accepted draft",
        "guessed ahead by diffusion or a draft head, and the check agreed",
    ),
    TokenOrigin.COPIED: (
        "accepted copy",
        "copied from earlier text or a table, and the check agreed",
    ),
    TokenOrigin.CORRECTED: ("corrected", "the check disagreed and put this in the guess's place"),
    TokenOrigin.FORCED: ("forced", "the grammar left no choice; it cost no forward"),
    TokenOrigin.CLOSING: ("closing", "taken to end validly before the tokens ran out"),
}
"""By origin, in the order of the legend: its name and what it means."""

PURPOSES = {
    ForwardPurpose.PREFILL: ("prompt", "reads part of the prompt"),
    ForwardPurpose.NEXT: ("next", "picks one token"),
    ForwardPurpose.DENOISE: ("denoise", "uncovers tokens of a block"),
    ForwardPurpose.DRAFT: ("draft", "guesses a block"),
    ForwardPurpose.VERIFY: ("check", "checks a guessed block"),
}
"""By purpose: its name and what such a forward does."""

WITHOUT_TEXT = "It is part of a character that a later token completes."

REGIONS = {
    TokenRegion.FREE: "free text",
    TokenRegion.CONSTRAINED: "under the grammar",
}

ENDINGS = {
    Ending.UNFINISHED: "not finished",
    Ending.FINISHED: "finished",
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.WAITS: "waits for its owner",
}


def counted(number: int, one: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A duration with three digits and a fitting unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale * 0.9995:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{_three_digits(value * 1e6)} µs" if value > 0 else "0 s"


def share(part: float, whole: float) -> str:
    """A percentage; "none" where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{decimals}f}"
