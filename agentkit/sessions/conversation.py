"""The messages that the records of a run stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agentkit.decisions import PendingCall, PendingReason
from agentkit.history import behind_instructions, instructed, opening
from agentkit.journal import CallOutcome, CallState, ReviewOutcome
from agentkit.messages import Message, ToolCall, ToolMessage, UserMessage
from agentkit.sessions.log import LoggedRun, RunState
from agentkit.sessions.records import (
    Answered,
    Began,
    CallApproved,
    CallBegan,
    CallEnded,
    Charged,
    Instructed,
    OutputBegan,
    OutputEnded,
    Paused,
    Record,
    Reviewed,
    Said,
)
from agentkit.usage import Usage


@dataclass(slots=True)
class LoggedTurn:
    """One answer of the model: what was said to it just before, and what came of its calls.
    `instructions` are those that begin to hold with it."""

    said: tuple[str, ...]
    answer: Answered
    instructions: str | None = None
    calls: list[CallState] = field(default_factory=list)
    review: ReviewOutcome | None = None
    output: CallState = field(default_factory=CallState)

    def messages(self) -> list[Message]:
        """Calls without an outcome have no message."""
        answer = self.answer.message
        results = [
            ToolMessage(call.call_id, call.name, state.outcome.content, state.outcome.is_error)
            for call, state in zip(answer.tool_calls, self.calls, strict=True)
            if state.outcome is not None
        ]
        return [*map(UserMessage, self.said), answer, *results]

    @property
    def waits_for_review(self) -> bool:
        """Whether nothing is known of its review, or an output function began and did not end."""
        is_open = self.output.has_begun and self.output.outcome is None
        return self.review is None or is_open

    def open_calls(self) -> dict[int, ToolCall]:
        """Those without an outcome, by index."""
        calls = self.answer.message.tool_calls
        return {index: calls[index] for index, state in enumerate(self.calls) if not state.outcome}


def turns_of(records: Sequence[Record]) -> list[LoggedTurn]:
    """The answers in a run's records, in order."""
    turns: list[LoggedTurn] = []
    said: list[str] = []
    instructions: str | None = None
    for record in records:
        match record:
            case Instructed(content):
                instructions = content
            case Said(content):
                said.append(content)
            case Answered():
                turns.append(new_turn(tuple(said), record, instructions))
                said, instructions = [], None
            case CallApproved(index) | CallBegan(index) | CallEnded(index):
                turns[-1].calls[index] = state_after(turns[-1].calls[index], record)
            case Reviewed(passed, reason):
                turns[-1].review = ReviewOutcome(passed, reason)
            case OutputBegan():
                turns[-1].output = replace(turns[-1].output, has_begun=True)
            case OutputEnded(content, retry):
                turns[-1].output = CallState(CallOutcome(content, retry, retry))
            case _:
                pass
    return turns


def new_turn(said: tuple[str, ...], answer: Answered, instructions: str | None) -> LoggedTurn:
    """A turn of whose calls nothing is known."""
    states = [CallState() for _ in answer.message.tool_calls]
    return LoggedTurn(said, answer, instructions, states)


def state_after(state: CallState, record: CallApproved | CallBegan | CallEnded) -> CallState:
    """What is known of a call once `record` is written."""
    match record:
        case CallApproved(_, arguments):
            return CallState(is_approved=True, arguments=arguments or state.arguments)
        case CallBegan():
            return replace(state, has_begun=True)
        case CallEnded(_, content, is_error, retry):
            return replace(state, outcome=CallOutcome(content, is_error, retry))


def beginning_of(run: LoggedRun) -> Began:
    began = run.records[0]
    assert isinstance(began, Began), "the log begins every run with Began"
    return began


def messages_of(chain: Sequence[LoggedRun]) -> list[Message]:
    """The messages of the last run of a chain, as they were at its end."""
    messages: list[Message] = []
    for run in chain:
        began = beginning_of(run)
        messages = opening(began.prompt, [*behind_instructions(messages), *began.history])
        turns = turns_of(run.records)
        for number, turn in enumerate(turns):
            if turn.instructions is not None:
                # Of an agent that was handed over to, even none replace those before.
                before = messages if number == 0 else behind_instructions(messages)
                messages = instructed(before, turn.instructions)
            messages += turn.messages()
        messages += map(UserMessage, last_words(run.records))
    return messages


def history_of(chain: Sequence[LoggedRun]) -> list[Message]:
    """What the next run goes on from: the same without the instructions of the agent that ended
    it, as the next one has its own or none."""
    return behind_instructions(messages_of(chain))


def last_words(records: Sequence[Record]) -> list[str]:
    """What was said on the user's behalf after the last answer of a run that finished."""
    words: list[str] = []
    for record in records:
        if isinstance(record, Answered):
            words.clear()
        elif isinstance(record, Said):
            words.append(record.content)
    return words


def usage_of(records: Sequence[Record]) -> Usage:
    """What agents have used up that the run's calls asked."""
    return sum((each.usage for each in records if isinstance(each, Charged)), Usage())


def _is_settled(state: CallState, reason: PendingReason) -> bool:
    """One that was approved may wait all the same: for its result, or as its outcome is unknown."""
    return state.is_approved and reason is PendingReason.APPROVAL


def pending_of(run: LoggedRun) -> tuple[PendingCall, ...]:
    """The calls a paused run waits for; none for other runs."""
    turns = turns_of(run.records)
    if run.info.state is not RunState.PAUSED or not turns:
        return ()
    pauses = [record for record in run.records if isinstance(record, Paused) and record.pending]
    reasons = dict(pauses[-1].pending) if pauses else {}
    return tuple(
        PendingCall(call, reasons[index])
        for index, call in turns[-1].open_calls().items()
        if index in reasons and not _is_settled(turns[-1].calls[index], reasons[index])
    )
