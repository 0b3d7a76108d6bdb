"""How sure a decoder was of what it wrote, read off the probabilities of its tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp

from agentkit.decoding_trace import DecodingTrace, TokenOrigin, TokenTrace
from agentkit.messages import AssistantMessage

_NOT_CHOSEN = frozenset({TokenOrigin.FORCED, TokenOrigin.CLOSING})


@dataclass(frozen=True, slots=True)
class Confidence:
    """Confidences are above 0 and at most 1: the geometric mean of the probabilities of a span's
    tokens, those left out that a grammar or a budget left no choice about.

    `answer` is over the text, None for an answer without any; `arguments` are over the JSON
    arguments of each call, by call id.
    """

    answer: float | None = None
    arguments: Mapping[str, float] = field(default_factory=dict)

    @property
    def lowest(self) -> float | None:
        """The least of all; None where nothing is known."""
        known = [*self.arguments.values(), *([] if self.answer is None else [self.answer])]
        return min(known, default=None)


def mean_logprob(trace: DecodingTrace) -> float:
    """The mean log-probability of the answer's tokens, those left out that a grammar or a budget
    left no choice about; 0.0 where none is left."""
    chosen = [token.logprob for token in trace.tokens if _was_chosen(token)]
    return sum(chosen) / len(chosen) if chosen else 0.0


def confidence_of(message: AssistantMessage, trace: DecodingTrace) -> Confidence:
    """The confidence in `message`, which was decoded as `trace` tells.

    Spans are found in the decoded text by their content; one that is not there word for word
    has no confidence.
    """
    written = trace.text
    answer, end = None, 0
    if message.text and (start := written.find(message.text)) >= 0:
        end = start + len(message.text)
        answer = _mean(trace, start, end)
    arguments: dict[str, float] = {}
    for call in message.tool_calls:
        name = max(written.find(call.name, end), end)
        if (start := written.find(call.arguments, name)) >= 0:
            end = start + len(call.arguments)
            arguments[call.call_id] = _mean(trace, start, end)
    return Confidence(answer, arguments)


def _mean(trace: DecodingTrace, start: int, end: int) -> float:
    """Over the tokens that have characters between `start` and `end`; 1.0 where nothing was
    left to choose."""
    chosen: list[float] = []
    place = 0
    for token in trace.tokens:
        after = place + len(token.text)
        if place < end and max(after, place + 1) > start and _was_chosen(token):
            chosen.append(token.logprob)
        place = after
    return exp(min(sum(chosen) / len(chosen), 0.0)) if chosen else 1.0


def _was_chosen(token: TokenTrace) -> bool:
    return token.origin not in _NOT_CHOSEN
