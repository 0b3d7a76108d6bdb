"""Writes a run down as it happens, and tells it again from what is written."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

import anyio
from anyio.lowlevel import checkpoint

from agentkit.decisions import REVIEW, Decision, OnUnknown, PendingReason
from agentkit.errors import DecisionError, LogError, ReplayDiverged, RunPaused, RunTaken, UnknownRun
from agentkit.journal import Beginning, CallOutcome, CallState, ReviewOutcome
from agentkit.messages import Message, SystemMessage, UserMessage
from agentkit.models.base import Model, ModelEvent, ModelRequest, ModelResponse
from agentkit.models.replay import replay
from agentkit.sessions.conversation import (
    LoggedTurn,
    beginning_of,
    messages_of,
    state_after,
    turns_of,
)
from agentkit.sessions.log import RunLog, RunState
from agentkit.sessions.records import (
    Answered,
    Began,
    CallBegan,
    CallEnded,
    Failed,
    Finished,
    Paused,
    Record,
    Resumed,
    Reviewed,
    Said,
    Stopped,
)
from agentkit.sessions.verdicts import Verdict, verdicts_on
from agentkit.tool import Tool


class LoggedJournal(ABC):
    """The `Journal` of a run in a `RunLog`; the only writer of its records.

    An answer is written before its calls run, a call before it takes effect, and its outcome
    before the model sees it. What an earlier owner wrote is told to the loop in place of asking
    the model and running the tools, and is not written again.
    """

    def __init__(self, log: RunLog, run_id: str, on_unknown: OnUnknown) -> None:
        self.on_unknown = on_unknown
        self._log = log
        self._run_id = run_id
        self._turns: list[LoggedTurn] = []
        self._turn = -1
        self._num_seen = 0
        self._num_records = 0
        self._is_finished = False
        self._lock = anyio.Lock()

    @abstractmethod
    async def recall(
        self, prompt: str, history: Sequence[Message], tools: Mapping[str, Tool]
    ) -> Beginning: ...

    @abstractmethod
    async def _open(self, given: Sequence[Message]) -> None:
        """Makes the run ours. `given` are the messages before the prompt."""

    @asynccontextmanager
    async def kept(self, messages: Sequence[Message], num_given: int) -> AsyncIterator[None]:
        self._num_seen = len(messages)
        await self._open(tuple(messages[:num_given]))
        try:
            yield
            self._check_all_told()
        except (RunPaused, RunTaken):
            raise
        except (DecisionError, ReplayDiverged):  # not the run's fault: it waits for another try
            await self._end(Paused(), RunState.PAUSED)
            raise
        except anyio.get_cancelled_exc_class():
            await self._end(Stopped(), RunState.STOPPED)
            raise
        except Exception as error:
            await self._end(Failed(type(error).__name__, str(error)), RunState.FAILED)
            raise
        if not self._is_finished:
            said = map(Said, self._newly_said(messages))
            await self._write([*said, Finished()], RunState.FINISHED)

    @asynccontextmanager
    async def stream(
        self, model: Model, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        if self._turn + 1 < len(self._turns):
            answer = self._told(request.messages)
            response = ModelResponse(
                answer.message, answer.usage, answer.finish_reason, confidence=answer.confidence
            )
            async with replay(response) as parts:
                yield parts
        else:
            self._check_unfinished()
            async with (
                model.stream(request) as parts,
                aclosing(self._written(parts, request.messages)) as written,
            ):
                yield written

    def state_of(self, index: int) -> CallState:
        return self._turns[self._turn].calls[index]

    async def call_begins(self, index: int) -> None:
        await checkpoint()  # a run that is cancelled begins no call
        await self._write([CallBegan(index)])

    async def call_ended(self, index: int, outcome: CallOutcome) -> None:
        calls = self._turns[self._turn].calls
        if calls[index].outcome is None:
            record = CallEnded(index, outcome.content, outcome.is_error, outcome.retry)
            calls[index] = state_after(calls[index], record)
            await self._write([record])

    def known_review(self) -> ReviewOutcome | None:
        return self._turns[self._turn].review

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        self._turns[self._turn].review = outcome
        await self._write([Reviewed(outcome.passed, outcome.reason)])

    def decided_review(self) -> Decision | None:
        return None

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        await self._write([Paused(tuple(pending.items()))], RunState.PAUSED)

    def _newly_said(self, messages: Sequence[Message]) -> tuple[str, ...]:
        """What was said on the user's behalf since the last look."""
        new, self._num_seen = messages[self._num_seen :], len(messages)
        return tuple(message.content for message in new if isinstance(message, UserMessage))

    async def _written(
        self, parts: AsyncIterator[ModelEvent], messages: Sequence[Message]
    ) -> AsyncGenerator[ModelEvent, None]:
        """Passes the parts on. The turn is only taken with the answer: a model that fails
        before is asked again."""
        async for part in parts:
            if isinstance(part, ModelResponse):
                said = self._newly_said(messages)
                answer = Answered(part.message, part.usage, part.finish_reason, part.confidence)
                states = [CallState() for _ in part.message.tool_calls]
                self._turns.append(LoggedTurn(said, answer, states))
                self._turn += 1
                await self._write([*map(Said, said), answer])
            yield part

    def _told(self, messages: Sequence[Message]) -> Answered:
        """The next answer in the log."""
        said = self._newly_said(messages)
        self._turn += 1
        turn = self._turns[self._turn]
        if turn.said != said:
            raise ReplayDiverged(
                self._run_id, f"turn {self._turn} was asked {turn.said}, and is now asked {said}"
            )
        return turn.answer

    def _check_unfinished(self) -> None:
        if self._is_finished:
            raise ReplayDiverged(self._run_id, "it finished, and would now go on")

    def _check_all_told(self) -> None:
        if self._turn + 1 < len(self._turns):
            raise ReplayDiverged(
                self._run_id, f"it ends after {self._turn + 1} of {len(self._turns)} logged turns"
            )

    async def _write(self, records: Sequence[Record], state: RunState | None = None) -> None:
        """Not to be interrupted: what has happened is written down."""
        self._check_unfinished()
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._log.append(self._run_id, self._num_records, records, state)
                self._num_records += len(records)

    async def _end(self, record: Record, state: RunState) -> None:
        """For a run that ends with an error, which nothing that happens here may hide."""
        with suppress(LogError, ReplayDiverged, RunTaken, UnknownRun):
            await self._write([record], state)


class NewJournal(LoggedJournal):
    """Of a run that begins: after the conversation of `session`, if it has one."""

    def __init__(self, log: RunLog, run_id: str, agent: str, session: str | None) -> None:
        super().__init__(log, run_id, OnUnknown.RAISE)
        self._agent = agent
        self._session = session
        self._parent: str | None = None
        self._prompt = ""

    async def recall(
        self, prompt: str, history: Sequence[Message], tools: Mapping[str, Tool]
    ) -> Beginning:
        self._prompt = prompt
        if self._session is not None:
            self._parent = await self._log.head(self._session)
        if self._parent is not None:
            history = messages_of(await self._log.chain(self._parent))
        return Beginning(prompt, history)

    async def _open(self, given: Sequence[Message]) -> None:
        head = given[0] if given else None
        instructions = head.content if isinstance(head, SystemMessage) else ""
        history = () if self._parent is not None else given[1 if instructions else 0 :]
        began = Began(self._agent, self._prompt, instructions, tuple(history))
        await self._log.begin(self._run_id, [began], self._agent, self._session, self._parent)
        self._num_records = 1


class ResumedJournal(LoggedJournal):
    """Of a run that is in the log already."""

    def __init__(
        self, log: RunLog, run_id: str, approvals: Mapping[str, Decision], on_unknown: OnUnknown
    ) -> None:
        super().__init__(log, run_id, on_unknown)
        self._approvals = approvals
        self._num_logged_turns = 0
        self._verdicts: Sequence[Verdict] = ()

    async def recall(
        self, prompt: str, history: Sequence[Message], tools: Mapping[str, Tool]
    ) -> Beginning:
        """Raises `UnknownRun`, and `DecisionError` for approvals that cannot be carried out."""
        run = await self._log.read(self._run_id)
        self._turns = turns_of(run.records)
        self._num_logged_turns = len(self._turns)
        self._num_records = len(run.records)
        self._is_finished = isinstance(run.records[-1], Finished)
        calls = {key: value for key, value in self._approvals.items() if key != REVIEW}
        self._verdicts = verdicts_on(self._turns, calls, tools)
        self._check_review()
        began = beginning_of(run)
        if run.info.parent is None:
            history = began.history
        else:
            history = messages_of(await self._log.chain(run.info.parent))
        return Beginning(began.prompt, history, began.instructions, len(self._turns))

    def decided_review(self) -> Decision | None:
        is_last = self._turn == self._num_logged_turns - 1
        return self._approvals.get(REVIEW) if is_last else None

    def _check_review(self) -> None:
        """Only a last answer without calls can wait for a review."""
        turn = self._turns[-1] if self._turns else None
        waits = turn is not None and not turn.calls and turn.review is None
        if REVIEW in self._approvals and (self._is_finished or not waits):
            raise DecisionError(f"nothing of run {self._run_id!r} waits for a review")

    async def _open(self, given: Sequence[Message]) -> None:
        if self._is_finished:
            return
        records: list[Record] = [Resumed(), *self._verdicts]
        await self._log.reopen(self._run_id, self._num_records, records)
        self._num_records += len(records)
        for verdict in self._verdicts:
            calls = self._turns[-1].calls
            calls[verdict.index] = state_after(calls[verdict.index], verdict)
