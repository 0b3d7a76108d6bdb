"""Confidence: over the tokens of a span, and of those only that were chosen."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import AssistantMessage, Confidence, ModelSettings, ToolCall, UserMessage
from agentkit.confidence import confidence_of
from agentkit.decoding_trace import DecodingTrace, TokenOrigin, TokenRegion, TokenTrace
from agentkit.models import ModelRequest, ModelResponse
from tests.agentkit.test_local import local, weather

HEAD, TAIL = '<tool_call>{"name":"find","arguments":', "}</tool_call>"


def token(text: str, logprob: float, origin: TokenOrigin = TokenOrigin.ACCEPTED) -> TokenTrace:
    return TokenTrace(text, origin, "ar", TokenRegion.FREE, -1, logprob=logprob)


def trace(*tokens: TokenTrace) -> DecodingTrace:
    return DecodingTrace(tokens)


def test_the_mean_is_geometric_and_leaves_out_what_was_not_chosen() -> None:
    tokens = [
        token("ye", log(0.9)),
        token("s", log(0.4)),
        token("!", 0.0, TokenOrigin.FORCED),
        token("", log(0.01)),  # the end token
    ]
    confidence = confidence_of(AssistantMessage("yes!"), trace(*tokens))
    assert confidence.answer == pytest.approx((0.9 * 0.4) ** 0.5)
    assert confidence.arguments == {}


def test_where_nothing_was_left_to_choose_there_is_no_doubt() -> None:
    forced = trace(token("yes", 0.0, TokenOrigin.FORCED))
    assert confidence_of(AssistantMessage("yes"), forced) == Confidence(1.0)


def test_each_call_has_its_own() -> None:
    calls = (ToolCall("1", "find", "{}"), ToolCall("2", "find", "{}"))
    tokens = [token(HEAD, -5.0), token("{}", log(0.5)), token(TAIL + HEAD, -5.0)]
    tokens += [token("{}", log(0.25)), token(TAIL, -5.0)]
    confidence = confidence_of(AssistantMessage(tool_calls=calls), trace(*tokens))
    assert confidence.answer is None
    assert confidence.arguments == {"1": pytest.approx(0.5), "2": pytest.approx(0.25)}
    assert confidence.lowest == pytest.approx(0.25)


def test_a_span_that_was_not_decoded_word_for_word_has_none() -> None:
    call = ToolCall("1", "find", '{"a": 1}')
    message = AssistantMessage("Yes", (call,))
    confidence = confidence_of(message, trace(token('yes{"a":1}', -1.0)))
    assert confidence == Confidence()
    assert confidence.lowest is None


@given(st.data())
def test_any_cut_into_tokens(data: st.DataObject) -> None:
    """The oracle goes letter by letter: a token counts where one of its letters is in the span."""
    arguments = data.draw(st.sampled_from(["{}", '{"a":1}', '{"find":"find"}']))
    text = HEAD + arguments + TAIL
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=12)))
    bounds = list(zip([0, *cuts], [*cuts, len(text)], strict=True))
    origins = st.sampled_from(list(TokenOrigin))
    tokens = [
        token(text[a:b], data.draw(st.floats(-9.0, 0.0)), data.draw(origins)) for a, b in bounds
    ]
    inside = range(len(HEAD), len(HEAD) + len(arguments))
    unchosen = (TokenOrigin.FORCED, TokenOrigin.CLOSING)
    logprobs = [
        each.logprob
        for each, (a, b) in zip(tokens, bounds, strict=True)
        if each.origin not in unchosen and any(place in inside for place in range(a, b))
    ]
    expected = exp(sum(logprobs) / len(logprobs)) if logprobs else 1.0
    message = AssistantMessage(tool_calls=(ToolCall("1", "find", arguments),))
    found = confidence_of(message, trace(*tokens)).arguments["1"]
    assert found == pytest.approx(expected)
    assert 0.0 < found <= 1.0


@pytest.mark.anyio
@pytest.mark.parametrize("allow_final", [True, False])
async def test_a_local_model_knows_its_confidence(allow_final: bool) -> None:
    model = local(4)
    request = ModelRequest(
        (UserMessage("hi"),),
        () if allow_final else (weather.definition,),
        settings=ModelSettings(max_tokens=8 if allow_final else 120, temperature=1.0, seed=1),
        allow_final=allow_final,
    )
    async with model.stream(request) as events:
        [response] = [event async for event in events if isinstance(event, ModelResponse)]
    await model._engine.aclose()
    assert response.trace is not None
    assert response.confidence is not None
    assert any(each.logprob < 0.0 for each in response.trace.tokens)
    calls = response.message.tool_calls
    assert set(response.confidence.arguments) == {call.call_id for call in calls}
    assert (response.confidence.answer is None) is bool(calls)
    assert response.confidence.lowest is not None
    assert 0.0 < response.confidence.lowest < 1.0
    if allow_final:
        assert response.finish_reason == "length"  # so that all tokens are text
        tokens = response.trace.tokens
        mean = exp(sum(each.logprob for each in tokens) / len(tokens))
        assert response.confidence.answer == pytest.approx(mean)
