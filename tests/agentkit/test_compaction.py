"""Long results and long histories: what the model sees of them, and what the run keeps."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import (
    Agent,
    AssistantMessage,
    Compaction,
    DropMiddle,
    DropResults,
    HistoryCompacted,
    Message,
    ModelSettings,
    SystemMessage,
    Tool,
    ToolCall,
    ToolError,
    ToolMessage,
    UserMessage,
    tool,
)
from agentkit.compaction import LEFT_OUT, RESULT_LEFT_OUT, num_chars
from agentkit.messages import ModelUsage
from agentkit.models import ModelResponse, ScriptedModel
from agentkit.models.base import ModelRequest
from agentkit.models.local import encode_history
from agentkit.tool_result import capped
from tests.agentkit.support import events_of
from tests.agentkit.test_local import TOKENIZER, local

FETCH = ToolCall("c", "fetch", "{}")


def fetch() -> str:
    """Fetches much."""
    return "x" * 999


def exchanges() -> st.SearchStrategy[list[Message]]:
    user = st.text(max_size=9).map(lambda text: [UserMessage(text)])
    answer = st.text(max_size=9).map(lambda text: [AssistantMessage(text)])
    call = st.integers(1, 3).map(
        lambda n: [
            AssistantMessage(tool_calls=tuple(ToolCall(f"c{i}", "fetch", "{}") for i in range(n))),
            *(ToolMessage(f"c{i}", "fetch", "result") for i in range(n)),
        ]
    )
    some = st.lists(st.one_of(user, answer, call), max_size=12)
    return some.map(lambda lists: [UserMessage("task"), *(m for each in lists for m in each)])


def policies() -> st.SearchStrategy[Compaction]:
    counts = st.integers(1, 4)
    return st.one_of(
        st.builds(DropMiddle, st.just(1), st.integers(0, 2), counts),
        st.builds(DropResults, st.just(1), counts),
    )


@given(exchanges(), policies(), st.booleans())
def test_any_history_stays_fit_to_be_answered(
    history: list[Message], policy: Compaction, instructed: bool
) -> None:
    history = [SystemMessage("be kind")] * instructed + history
    assert policy.compact(history, 1) == history
    shown = list(policy.compact(history, 2))
    check_calls(shown)
    assert len(shown) <= len(history) + 1
    assert shown[0] == history[0] or isinstance(policy, DropMiddle)
    assert (not instructed) or shown[0] == history[0]
    assert list(policy.compact(shown, 2)) == shown  # nothing is left to do
    if any(isinstance(message, ToolMessage) for message in history[-1:]):
        assert shown[-1] == history[-1]  # the model has yet to read it


@given(exchanges(), st.integers(0, 12), st.integers(1, 12))
def test_the_last_ones_stay_however_few_there_are(
    history: list[Message], keep_first: int, keep_last: int
) -> None:
    shown = list(DropMiddle(1, keep_first, keep_last).compact(history, 2))
    begins = [at for at, message in enumerate(history) if not isinstance(message, ToolMessage)]
    kept = history[begins[-keep_last] if keep_last <= len(begins) else 0 :]
    assert shown[-len(kept) :] == kept
    emptied = DropResults(1, keep_last).compact(history, 2)
    left = [each.content for each in emptied if isinstance(each, ToolMessage)]
    assert left[-keep_last:] == ["result"] * min(len(left), keep_last)
    assert set(left[:-keep_last]) <= {RESULT_LEFT_OUT}


def check_calls(messages: Sequence[Message]) -> None:
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.call_id == waiting.pop(0)
        else:
            assert waiting == []
        if isinstance(message, AssistantMessage):
            waiting = [call.call_id for call in message.tool_calls]
    assert waiting == []


def turns(count: int, input_tokens: int = 0) -> list[ModelResponse]:
    call = AssistantMessage(tool_calls=(FETCH,))
    answer = AssistantMessage("done")
    usage = ModelUsage(input_tokens=input_tokens)
    return [*[ModelResponse(call, usage)] * count, ModelResponse(answer, usage)]


def test_the_head_stays_and_the_run_keeps_all() -> None:
    with ScriptedModel(turns(8)) as model:
        agent = Agent(
            model,
            tools=[fetch],
            instructions="Be kind.",
            compaction=DropMiddle(max_tokens=1200, keep_last=2),
        )
        result = agent.run_sync("go")
    assert len(result.messages) == 2 + 8 * 2 + 1
    assert sum(message == UserMessage(LEFT_OUT) for message in result.messages) == 0
    for request in model.requests:
        assert request.messages[:2] == (SystemMessage("Be kind."), UserMessage("go"))
        assert num_chars(request.messages) < 1300 * 4
    longest = max(len(request.messages) for request in model.requests)
    assert longest < len(result.messages)
    assert any(UserMessage(LEFT_OUT) == request.messages[2] for request in model.requests[1:])


@pytest.mark.anyio
async def test_old_results_are_emptied_and_it_is_told() -> None:
    with ScriptedModel(turns(3)) as model:
        agent = Agent(model, tools=[fetch], compaction=DropResults(max_tokens=500, keep_last=1))
        events = await events_of(agent)
    contents = [m.content for m in model.requests[-1].messages if isinstance(m, ToolMessage)]
    assert contents == [RESULT_LEFT_OUT, RESULT_LEFT_OUT, "x" * 999]
    assert [event for event in events if isinstance(event, HistoryCompacted)] == [
        HistoryCompacted(2, 5, 5),
        HistoryCompacted(3, 7, 7),
    ]


def test_the_model_s_own_counts_decide() -> None:
    """A letter is a token here, so that the second result is too much already."""
    with ScriptedModel(turns(2, input_tokens=1000)) as model:
        agent = Agent(model, tools=[fetch], compaction=DropResults(max_tokens=1500, keep_last=1))
        agent.run_sync("x" * 1000)
    assert RESULT_LEFT_OUT in str(model.requests[2].messages)
    assert RESULT_LEFT_OUT not in str(model.requests[1].messages)


@pytest.mark.anyio
async def test_only_the_tail_is_encoded_again() -> None:
    model = local(3, positions=4000)
    settings = ModelSettings(max_tokens=30)
    history: tuple[Message, ...] = ()
    for number in range(8):
        agent = Agent(model, settings=settings, instructions="Count, and be kind.")
        history = (await agent.run(f"question {number}", message_history=history)).messages
    short = Agent(
        model,
        settings=settings,
        instructions="Count, and be kind.",
        compaction=DropMiddle(max_tokens=10, keep_first=6, keep_last=3),
    )
    result = await short.run("the last", message_history=history)
    await model._engine.aclose()
    [step] = result.trace
    head = encode_history(TOKENIZER, ModelRequest(history[:6]), "scripted")
    assert step.usage.cached_input_tokens >= len(head)
    shown = [*history[:7], UserMessage(LEFT_OUT), *history[-2:], UserMessage("the last")]
    whole = encode_history(TOKENIZER, ModelRequest(tuple(shown)), "scripted")
    assert step.usage.input_tokens == len(whole)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DropMiddle(0),
        lambda: DropMiddle(1, keep_first=-1),
        lambda: DropMiddle(1, keep_last=0),
        lambda: DropResults(1, keep_last=0),
    ],
)
def test_numbers_out_of_range(make: object) -> None:
    with pytest.raises(ValueError, match="give"):
        make()  # type: ignore[operator]


@given(st.text(max_size=60), st.integers(1, 40))
def test_a_capped_text(text: str, limit: int) -> None:
    shown = capped(text, limit)
    if len(text) <= limit:
        assert shown == text
        return
    start, marker, end = shown.partition(f"\n[{len(text) - limit} of {len(text)} characters")
    assert marker
    end = end.partition("were left out here]\n")[2]
    assert text.startswith(start)
    assert text.endswith(end)
    assert len(start) + len(end) == limit


def test_what_a_tool_complains_is_capped_too() -> None:
    @tool(name="fetch", max_result_chars=40)
    def refuse() -> str:
        """Fetches nothing."""
        raise ToolError("x" * 999)

    with ScriptedModel(turns(1)) as model:
        result = Agent(model, tools=[refuse]).run_sync("go")
    message = result.messages[2]
    assert isinstance(message, ToolMessage)
    assert message.is_error
    assert message.content.count("x") == 40


@pytest.mark.parametrize(
    ("given", "agents", "length"),
    [(None, 100, 100), (50, 100, 50), (200, None, 200), (None, None, 999)],
)
def test_results_are_capped(given: int | None, agents: int | None, length: int) -> None:
    capped_tool: Tool = tool(max_result_chars=given)(fetch)
    with ScriptedModel(turns(1)) as model:
        result = Agent(model, tools=[capped_tool], max_result_chars=agents).run_sync("go")
    message = result.messages[2]
    assert isinstance(message, ToolMessage)
    assert message.content.count("x") == length
    assert ("were left out here" in message.content) is (length < 999)
