"""How a run's messages begin: earlier messages, instructions, prompt."""

from collections.abc import Sequence

from agentkit.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage


def opening(prompt: str, history: Sequence[Message]) -> list[Message]:
    """`history` followed by `prompt`.

    An empty prompt continues a history that ends with something to answer. Raises `ValueError`
    where there is nothing to answer, or where a call in `history` has no result.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt is {type(prompt).__name__}; give a str")
    _refuse_unanswered_calls(history)
    if prompt.strip():
        return [*history, UserMessage(prompt)]
    if history and isinstance(history[-1], UserMessage | ToolMessage):
        return list(history)
    raise ValueError(
        "the prompt is empty; give some text, or a message_history that ends in a user message"
    )


def behind_instructions(messages: Sequence[Message]) -> list[Message]:
    """`messages` without those that lead them."""
    has_system = bool(messages) and isinstance(messages[0], SystemMessage)
    return list(messages[1 if has_system else 0 :])


def instructed(messages: Sequence[Message], instructions: str) -> list[Message]:
    """`messages` led by `instructions`, which replace those that led them before. Without
    instructions the messages stay as they are."""
    if not instructions:
        return list(messages)
    return [SystemMessage(instructions), *behind_instructions(messages)]


def _refuse_unanswered_calls(history: Sequence[Message]) -> None:
    waiting: dict[str, str] = {}
    for message in history:
        if isinstance(message, AssistantMessage):
            waiting.update((call.call_id, call.name) for call in message.tool_calls)
        elif isinstance(message, ToolMessage):
            waiting.pop(message.call_id, None)
    for call_id, name in waiting.items():
        raise ValueError(
            f"message_history has no result for the call {call_id!r} of {name!r}; "
            "add its ToolMessage, or drop the message that calls it"
        )
