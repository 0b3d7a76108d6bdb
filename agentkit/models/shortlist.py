"""Fewer tools for a small model: those whose words the question shares."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from math import sqrt

from agentkit.messages import UserMessage
from agentkit.models.base import Model, ModelEvent, ModelRequest, ToolDefinition

_WORD = re.compile(r"[^\W\d_]{3,}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ENDING = re.compile(r"(ings?|ations?|ed|es|s|e)$")
# In most questions, and said of most tools.
_COMMON = re.compile("the|for|and|are|was|with|from|given|what|which|find|get|calculate")


class ShortlistModel:
    """A model that is shown only the `most` tools nearest to the last question that is near any.

    Nearness is shared words, of English at best: it needs no model and no index, and very small
    models choose worse than it does. It knows no synonyms, and a tool that is needed for a later
    step only may be left out; so give it where a question is answered by one tool. As the tools
    in the prompt change with the question, less of the prompt is found in the cache. The wrapped
    model stays yours to close.
    """

    def __init__(self, model: Model, *, most: int = 1) -> None:
        if type(most) is not int or most < 1:
            raise ValueError(f"most must be a whole number of at least 1, not {most!r}")
        self._model = model
        self._most = most

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def provider(self) -> str:
        """Who decodes, where the wrapped model says it; else there is no such attribute."""
        provider: str = self._model.provider  # type: ignore[attr-defined]
        return provider

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """As `Model.stream`, with fewer tools in the request."""
        questions = [each.content for each in request.messages if isinstance(each, UserMessage)]
        if questions:
            tools = shortlist(_telling(questions, request.tools), request.tools, self._most)
            request = replace(request, tools=tools)
        return self._model.stream(request)


def shortlist(
    question: str, tools: tuple[ToolDefinition, ...], most: int
) -> tuple[ToolDefinition, ...]:
    """The `most` nearest tools in their given order; of equally near ones the first."""
    asked = _words(question)
    nearest = sorted(tools, key=lambda tool: -_nearness(asked, tool))[:most]
    return tuple(tool for tool in tools if tool in nearest)


def _telling(questions: list[str], tools: tuple[ToolDefinition, ...]) -> str:
    """The last that shares a word with a tool: a strategy's own words ("Now carry out the plan.")
    are questions, too, and mostly say nothing of tools. Else the last."""
    for question in reversed(questions):
        asked = _words(question)
        if any(_nearness(asked, tool) for tool in tools):
            return question
    return questions[-1]


def _nearness(asked: frozenset[str], tool: ToolDefinition) -> float:
    """Words in common; many words in a description count less."""
    words = _words(f"{tool.name} {tool.description}")
    return len(words & asked) / sqrt(1 + len(words))


def _words(text: str) -> frozenset[str]:
    """Stems of the words that tell something."""
    words = (each.lower() for each in _WORD.findall(_HUMP.sub(" ", text)))
    return frozenset(_ENDING.sub("", word) for word in words if not _COMMON.fullmatch(word))
