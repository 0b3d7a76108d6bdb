"""`LocalModel` over a scripted network: valid calls from any weights, and ids that are kept."""

import json
from dataclasses import replace
from enum import Enum
from typing import Any

import anyio
import pytest
from jsonschema import Draft202012Validator

from agentkit import (
    Act,
    Agent,
    ModelAnswered,
    ModelBroken,
    ModelError,
    ModelSettings,
    PlanAct,
    Step,
    Tool,
    tool,
)
from agentkit.confidence import mean_logprob
from agentkit.decoding_trace import (
    ForwardPurpose,
    ForwardTrace,
    TokenOrigin,
    TokenRegion,
    TokenTrace,
)
from agentkit.messages import AssistantMessage, Message, SystemMessage, ToolCall, UserMessage
from agentkit.models import LocalModel
from agentkit.models.base import ModelRequest, ModelResponse, ToolCallEnd
from agentkit.models.dialect import Spelling
from agentkit.models.local import _grammar, decoding_trace, encode_history
from agentkit.usage import UsageLimits
from decoding import AsyncEngine, BlockDiffusion, Completion, Engine, Grammar, Origin, Stats
from decoding.record import ForwardRecord, Region, TokenRecord
from decoding.span import Purpose
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

pytestmark = pytest.mark.anyio
TOKENIZER = byte_tokenizer()


def local(seed: int = 0, positions: int = 2000, spaced: bool = False) -> LocalModel:
    def make() -> Engine:
        network = ScriptedNetwork(288, seed=seed, max_positions=positions)
        return Engine(network, TOKENIZER, cache_tokens=16384)

    return LocalModel("scripted", engine=AsyncEngine(make), spaced_json=spaced)


@tool
def weather(city: str, days: int = 1) -> str:
    """The weather in a city.

    Args:
        city: its name
        days: how many days ahead
    """
    return f"{city} {days}: sun"


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_weights_calls_are_valid(seed: int) -> None:
    spaced = seed % 2 == 1
    model = local(seed, spaced=spaced)
    request = ModelRequest(
        (UserMessage("hi"),),
        (weather.definition,),
        settings=ModelSettings(max_tokens=120, temperature=1.0, seed=seed),
        allow_final=False,
    )
    async with model.stream(request) as events:
        responses = [event async for event in events if isinstance(event, ModelResponse)]
    await model._engine.aclose()
    (response,) = responses
    assert response.finish_reason == "stop"
    assert response.message.tool_calls
    for call in response.message.tool_calls:
        assert call.name == "weather"
        arguments = json.loads(call.arguments)
        Draft202012Validator(weather.definition.parameters).validate(arguments)
        assert (": " in call.arguments.split('"city"')[1][:2]) is spaced


@pytest.mark.parametrize("spaced", [False, True])
async def test_a_run_reuses_its_own_turns(spaced: bool) -> None:
    model = local(3, spaced=spaced)
    agent = Agent(model, tools=[weather], settings=ModelSettings(max_tokens=60))
    result = await agent.run("hi there, how are you today?", usage_limits=UsageLimits(turns=30))
    second = await agent.run("and again?", message_history=result.messages)
    await model._engine.aclose()
    previous = result.trace[-1].usage
    first = second.trace[0].usage
    # All but the end token of the answer is encoded by then.
    assert first.cached_input_tokens >= previous.input_tokens + previous.output_tokens - 1


async def test_a_plan_is_typed_and_its_tokens_are_counted() -> None:
    model = local(5)
    agent = Agent(
        model, tools=[weather], strategy=PlanAct(), settings=ModelSettings(max_tokens=300)
    )
    result = await agent.run("hi", usage_limits=UsageLimits(turns=20))
    stats = model.stats()
    await model._engine.aclose()
    assert result.trace[0].output.steps
    assert stats.new_tokens == result.usage.output_tokens
    assert stats.prompt_tokens == result.usage.input_tokens
    assert stats.cached_prompt_tokens == result.usage.cached_input_tokens


async def test_a_budget_below_every_answer_is_an_error_of_the_model_s() -> None:
    model = local()
    agent = Agent(model, output_type=list[bool], settings=ModelSettings(max_tokens=1))
    with pytest.raises(ModelError, match="no answer within max_new_tokens=1"):
        await agent.run("hi")
    await model._engine.aclose()


async def test_leaving_early_frees_the_engine() -> None:
    model = local()
    request = ModelRequest((UserMessage("hi"),), settings=ModelSettings(max_tokens=1000))
    async with model.stream(request) as events:
        await anext(aiter(events))
    assert model.stats().live_sequences == 0
    await model._engine.aclose()


async def test_an_answer_ends_before_its_stop_strings() -> None:
    model = local(7)
    plain = await Agent(model).run("hi", settings=ModelSettings(max_tokens=40))
    word = plain.output[10:13]
    cut = await Agent(model).run("hi", settings=ModelSettings(max_tokens=40, stop=(word,)))
    await model._engine.aclose()
    assert cut.output == plain.output[: plain.output.index(word)]
    assert cut.finish_reason == "stop"


async def test_errors_of_the_reader_are_left_alone() -> None:
    async def read(model: LocalModel) -> None:
        async with model.stream(ModelRequest((UserMessage("hi"),))) as parts:
            await anext(aiter(parts))
            raise ValueError("mine")

    model = local()
    with pytest.raises(ValueError, match=r"^mine$"):
        await read(model)
    assert model.stats().live_sequences == 0
    await model._engine.aclose()


async def test_what_the_engine_refuses_is_a_model_error() -> None:
    model = local(positions=64)
    with pytest.raises(ModelError, match="context holds 64"):
        await Agent(model).run("x" * 200)
    await model._engine.aclose()
    with pytest.raises(ModelBroken, match="closed"):
        await Agent(model).run("hi")
    with pytest.raises(ModelBroken, match="there is no model"):
        async with LocalModel("no/such-model"):
            pass


async def test_only_short_grammars_are_remembered() -> None:
    def lark(letters: int) -> str:
        return json.dumps({"const": "x" * letters})

    for letters, is_kept in ((10, True), (10**5, False)):
        text = f"start: %json {lark(letters)}\n"
        made = [_grammar(text, Spelling.COMPACT) for _ in range(2)]
        assert made[0] == made[1]
        assert (made[0] is made[1]) is is_kept


async def test_a_mode_that_the_weights_cannot_do_is_a_model_error() -> None:
    model = local()
    agent = Agent(model, settings=ModelSettings(mode=BlockDiffusion()))
    with pytest.raises(ModelError, match=r"^scripted cannot decode in mode diffusion: "):
        await agent.run("hi")
    await model._engine.aclose()


def test_one_model_serves_several_event_loops() -> None:
    model = local()
    agent = Agent(model, settings=ModelSettings(max_tokens=5))
    first = agent.run_sync("hi")
    again = agent.run_sync("hi")
    assert first.output == again.output
    anyio.run(model._engine.aclose)


class TestEncodeHistory:
    """The prompt's ids, with the model's own answers as it decoded them."""

    def encode(self, *messages: Message, tools: tuple[Tool, ...] = ()) -> list[int]:
        definitions = tuple(each.definition for each in tools)
        return encode_history(TOKENIZER, ModelRequest(messages, definitions), "scripted")

    def test_without_own_answers_it_is_the_rendered_chat(self) -> None:
        ids = self.encode(SystemMessage("a"), UserMessage("b"))
        chat = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
        assert ids == TOKENIZER.encode_chat(chat)

    def test_own_ids_are_kept_even_where_encoding_anew_would_differ(self) -> None:
        letters = [TOKENIZER.encode(letter)[0] for letter in "the end"]
        assert letters != TOKENIZER.encode("the end")
        answer = AssistantMessage(
            "the end", model="scripted", token_ids=(*letters, *TOKENIZER.eos_token_ids)
        )
        ids = self.encode(UserMessage("a"), answer, UserMessage("b"))
        prompt = self.encode(UserMessage("a"))
        assert ids[: len(prompt) + len(letters)] == prompt + letters
        assert ids[len(prompt) + len(letters)] == TOKENIZER.eos_token_ids[0]
        whole = self.encode(
            UserMessage("a"), AssistantMessage("the end", model="other"), UserMessage("b")
        )
        assert TOKENIZER.decode(ids) == TOKENIZER.decode(whole)

    def test_ids_of_another_model_are_not_used(self) -> None:
        answer = AssistantMessage("x", model="other", token_ids=(1, 2, 3))
        ids = self.encode(UserMessage("a"), answer, UserMessage("b"))
        plain = self.encode(UserMessage("a"), AssistantMessage("x"), UserMessage("b"))
        assert ids == plain


class TestDecodingTrace:
    """What the decoder wrote down, as agentkit tells it."""

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [(TokenOrigin, Origin), (TokenRegion, Region), (ForwardPurpose, Purpose)],
    )
    def test_every_word_of_the_decoder_has_its_own(
        self, ours: type[Enum], theirs: type[Enum]
    ) -> None:
        assert {each.value for each in ours} == {each.value for each in theirs}

    def test_a_character_belongs_to_the_token_that_completes_it(self) -> None:
        euro = "€".encode()
        ids = (*TOKENIZER.encode("the"), *euro, 0xF0, *TOKENIZER.eos_token_ids)
        completion = Completion(
            "",
            ids,
            "stop",
            Stats(new_tokens=len(ids)),
            records=tuple(
                TokenRecord(Origin.DENOISED, "diffusion", Region.FREE, 0, 2) for _ in ids
            ),
            forwards=(ForwardRecord(Purpose.DENOISE, 8, 2, 0.5, 0.25),),
        )
        trace = decoding_trace(TOKENIZER, completion)
        assert trace.text == TOKENIZER.decode(ids)
        assert [token.text for token in trace.tokens][:5] == ["the", "", "", "€", ""]
        assert trace.tokens[0] == TokenTrace(
            "the", TokenOrigin.DENOISED, "diffusion", TokenRegion.FREE, 0, 2
        )
        assert trace.forwards == (ForwardTrace(ForwardPurpose.DENOISE, 8, 2, 0.5, 0.25),)
        assert trace.seconds == 0.75

    async def test_an_answer_carries_its_trace(self) -> None:
        model = local(1)
        agent = Agent(model, settings=ModelSettings(max_tokens=7))
        async with agent.run_stream("hi") as run:
            [answered] = [event async for event in run if isinstance(event, ModelAnswered)]
        await model._engine.aclose()
        assert answered.trace is not None
        assert answered.trace.text.startswith(run.result.output)
        assert answered.trace.stats.new_tokens == answered.usage.output_tokens == 7
        assert len(answered.trace.forwards) == answered.usage.forwards


async def answer_of(model: LocalModel, settings: ModelSettings) -> ModelResponse:
    request = ModelRequest(
        (UserMessage("hi there, how are you today? Tell me all about the weather."),),
        (weather.definition,),
        settings=settings,
        allow_final=False,
    )
    async with model.stream(request) as parts:
        *told, response = [part async for part in parts]
    assert isinstance(response, ModelResponse)
    early = [] if (settings.best_of or 1) > 1 else [*response.message.tool_calls]
    assert [part.call for part in told if isinstance(part, ToolCallEnd)] == early
    return response


@pytest.mark.parametrize("number", [1, 2, 4])
async def test_the_surest_of_several_answers_is_taken(number: int) -> None:
    settings = ModelSettings(max_tokens=120, temperature=1.0, seed=11)
    model = local(3)
    singles = [
        await answer_of(model, replace(settings, seed=11 + index)) for index in range(number)
    ]
    best = await answer_of(model, replace(settings, best_of=number))
    await model._engine.aclose()
    surest = max(singles, key=lambda each: sureness(each))
    assert best.message.token_ids == surest.message.token_ids
    assert [call.arguments for call in best.message.tool_calls] == [
        call.arguments for call in surest.message.tool_calls
    ]
    assert len({each.message.token_ids for each in singles}) == number
    assert best.usage.output_tokens == sum(each.usage.output_tokens for each in singles)
    assert best.usage.input_tokens == singles[0].usage.input_tokens


def sureness(response: ModelResponse) -> float:
    assert response.trace is not None
    return mean_logprob(response.trace)


async def test_several_answers_encode_their_prompt_once() -> None:
    model = local(3)
    response = await answer_of(model, ModelSettings(max_tokens=120, best_of=4))
    stats = model.stats()
    await model._engine.aclose()
    prompt = response.usage.input_tokens
    assert stats.prompt_tokens == 4 * prompt
    # Of the prompt's last token each needs the logits.
    assert stats.prompt_tokens - stats.cached_prompt_tokens <= prompt + 3
    assert response.usage.cached_input_tokens == 0
    assert response.usage.output_tokens == stats.new_tokens


async def test_the_trace_tells_which_candidate_was_chosen() -> None:
    model, alone = local(3), local(3)
    response = await answer_of(
        model, ModelSettings(max_tokens=60, best_of=4, seed=5, temperature=1.0)
    )
    first = await answer_of(alone, ModelSettings(max_tokens=60, seed=5, temperature=1.0))
    for each in (model, alone):
        await each._engine.aclose()
    assert response.trace is not None
    assert first.trace is not None
    stats = response.trace.stats
    assert stats.candidates == 4
    assert (stats.chosen == 0) == (response.message == first.message)
    assert (first.trace.stats.candidates, first.trace.stats.chosen) == (1, 0)


async def test_calls_are_named_otherwise_than_those_of_the_history() -> None:
    """A conversation may have begun in another process, whose count began at 1, too."""
    model = local(3)
    said = AssistantMessage(
        "", (ToolCall("call-1-1", "add", "{}"), ToolCall("call-3-2", "add", "{}"))
    )
    assert [model._call_prefix([UserMessage("hi"), said]) for _ in range(2)] == [
        "call-2-",
        "call-4-",
    ]
    await model._engine.aclose()


async def test_leaving_early_ends_all_candidates() -> None:
    model = local(3)
    with anyio.move_on_after(0.05):
        await answer_of(model, ModelSettings(max_tokens=1500, best_of=3))
    assert model.stats().live_sequences == 0
    await model._engine.aclose()


async def test_greedy_best_of_is_repeatable() -> None:
    model = local(3)
    settings = ModelSettings(max_tokens=100, best_of=3)
    first, second = [await answer_of(model, settings) for _ in range(2)]
    await model._engine.aclose()
    assert first.message.token_ids == second.message.token_ids


@pytest.mark.parametrize("best_of", [1, 2])
async def test_without_tools_an_answer_may_look_like_a_call(best_of: int) -> None:
    text = '<tool_call>{"name":"x","arguments":{"a":1}}</tool_call> is how'
    model = local()
    step = Step(grammar=Grammar.choice([text]), allow_calls=False, best_of=best_of)
    result = await Agent(model, strategy=Act(step)).run("hi")
    await model._engine.aclose()
    assert result.output == text


def test_there_is_no_best_of_none() -> None:
    with pytest.raises(ValueError, match="best_of"):
        Step(best_of=0)
    assert Step(best_of=2).settings.best_of == 2


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"max_tokens": 0}, ValueError),
        ({"temperature": -0.1}, ValueError),
        ({"temperature": float("nan")}, ValueError),
        ({"top_p": 0}, ValueError),
        ({"top_p": 1.1}, ValueError),
        ({"best_of": 0}, ValueError),
        ({"stop": "end"}, ValueError),
        ({"stop": ("",)}, ValueError),
        ({"max_tokens": "9"}, TypeError),
        ({"temperature": True}, TypeError),
    ],
)
def test_settings_that_mean_nothing(given: dict[str, Any], error: type[Exception]) -> None:
    [name] = given
    with pytest.raises(error, match=name):
        ModelSettings(**given)
