"""What a model answered lately, found again in histories that come back as text."""

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock

from agentkit.messages import AssistantMessage, Message

_KEPT = 512
_Key = tuple[str, tuple[tuple[str, str], ...]]


class Answers:
    """The last answers of one model, with the token ids they were decoded as.

    Other frameworks keep no token ids. Without them a history is encoded anew, into other tokens
    perhaps than those in the cache, which then has to be filled again. Safe to use from any
    thread.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[_Key, AssistantMessage] = OrderedDict()
        self._lock = Lock()

    def keep(self, message: AssistantMessage) -> None:
        if not message.token_ids:
            return
        key = _key(message)
        with self._lock:
            self._answers[key] = message
            self._answers.move_to_end(key)
            if len(self._answers) > _KEPT:
                self._answers.popitem(last=False)

    def restored(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """`messages`, each that says what an answer said replaced by that answer. Calls keep the
        ids they have in `messages`, which their results go by."""
        return tuple(
            self._restored(message) if isinstance(message, AssistantMessage) else message
            for message in messages
        )

    def _restored(self, message: AssistantMessage) -> AssistantMessage:
        kept = self._answers.get(_key(message))
        if kept is None:
            return message
        pairs = zip(kept.tool_calls, message.tool_calls, strict=True)
        calls = tuple(replace(said, call_id=call.call_id) for said, call in pairs)
        return replace(kept, tool_calls=calls)


def _key(message: AssistantMessage) -> _Key:
    return message.text, tuple((call.name, _plain(call.arguments)) for call in message.tool_calls)


def _plain(arguments: str) -> str:
    """The arguments however a framework writes them."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
