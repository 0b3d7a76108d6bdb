"""`ShortlistModel`: what the wrapped model is shown."""

import pytest

from agentkit.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage
from agentkit.models import FunctionModel, ShortlistModel
from agentkit.models.base import ModelRequest, ToolDefinition

pytestmark = pytest.mark.anyio
CITY = ToolDefinition("city.weather", "Tells the weather in a city.", {"type": "object"})
MAIL = ToolDefinition("sendMail", "Sends a letter to a person.", {"type": "object"})
LONG = ToolDefinition(
    "archive", "Sends old things, and weather and city and letters, away.", {"type": "object"}
)
TOOLS = (LONG, CITY, MAIL)


async def shown(request: ModelRequest, most: int) -> tuple[str, ...]:
    seen: list[ModelRequest] = []

    def note(given: ModelRequest) -> str:
        seen.append(given)
        return "done"

    model = ShortlistModel(FunctionModel(note, name="inner"), most=most)
    assert model.name == "inner"
    async with model.stream(request) as events:
        assert [event async for event in events]
    [given] = seen
    assert given.messages == request.messages
    return tuple(tool.name for tool in given.tools)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("How is the WEATHER in these cities?", "city.weather"),
        ("I am sending mails to Ann", "sendMail"),
        ("zzz", "archive"),
    ],
)
async def test_the_tool_with_most_words_of_the_question_is_shown(question: str, name: str) -> None:
    assert await shown(ModelRequest((UserMessage(question),), TOOLS), 1) == (name,)


async def test_tools_keep_their_order_and_all_may_stay() -> None:
    request = ModelRequest((UserMessage("Mail a person in a city."),), TOOLS)
    assert await shown(request, 3) == ("archive", "city.weather", "sendMail")
    assert await shown(request, 2) == ("city.weather", "sendMail")


async def test_the_last_question_counts_also_behind_results() -> None:
    messages = (
        UserMessage("Send a letter"),
        UserMessage("Weather of the city?"),
        AssistantMessage(tool_calls=(ToolCall("1", "city.weather", "{}"),)),
        ToolMessage("1", "city.weather", "send a mail"),
    )
    assert await shown(ModelRequest(messages, TOOLS), 1) == ("city.weather",)


@pytest.mark.parametrize("said", ["Now carry out the plan.", "It is too early. Call a tool."])
async def test_what_a_strategy_says_between_is_no_question(said: str) -> None:
    messages = (UserMessage("Weather of the city?"), AssistantMessage("Hm."), UserMessage(said))
    assert await shown(ModelRequest(messages, TOOLS), 1) == ("city.weather",)


async def test_without_a_question_all_tools_are_shown() -> None:
    assert len(await shown(ModelRequest((SystemMessage("Be brief."),), TOOLS), 1)) == 3


@pytest.mark.parametrize("most", [0, -1, True, 1.5])
def test_counts_that_cannot_be(most: int) -> None:
    with pytest.raises(ValueError, match="most must be"):
        ShortlistModel(FunctionModel(lambda request: ""), most=most)


class Far(FunctionModel):
    """A model that says who decodes."""

    provider = "far"


def test_it_names_the_provider_of_the_wrapped_model() -> None:
    far = Far(lambda request: "done")
    assert ShortlistModel(ShortlistModel(far)).provider == "far"
    assert not hasattr(ShortlistModel(FunctionModel(lambda request: "done")), "provider")
