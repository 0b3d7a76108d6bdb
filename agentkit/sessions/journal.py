"""Writes a run down as it happens, and tells it again from what is written."""

from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace

import anyio
from anyio.lowlevel import checkpoint

from agentkit.decisions import Decision, OnUnknown, PendingReason
from agentkit.errors import (
    DecisionError,
    LogError,
    ReplayDiverged,
    RunPaused,
    RunTaken,
    UnknownRun,
)
from agentkit.history import behind_instructions
from agentkit.journal import Beginning, CallOutcome, CallState, ReviewOutcome
from agentkit.messages import Message, ToolCall, UserMessage
from agentkit.models.base import Model, ModelEvent, ModelRequest, ModelResponse
from agentkit.models.replay import replay
from agentkit.sessions.conversation import (
    LoggedTurn,
    beginning_of,
    history_of,
    new_turn,
    state_after,
    turns_of,
    usage_of,
)
from agentkit.sessions.log import RunLog, RunState
from agentkit.sessions.records import (
    Answered,
    Began,
    CallBegan,
    CallEnded,
    Charged,
    Failed,
    Finished,
    Instructed,
    OutputBegan,
    OutputEnded,
    Paused,
    Record,
    Resumed,
    Reviewed,
    Said,
    Stopped,
)
from agentkit.sessions.verdicts import check_known, verdicts_on
from agentkit.tool import Tool
from agentkit.unicode import as_unicode
from agentkit.usage import Usage


class LoggedJournal(ABC):
    """The `Journal` of a run in a `RunLog`; the only writer of its records.

    An answer is written before its calls run, a call before it takes effect, and its outcome
    before the model sees it. What an earlier owner wrote is told to the loop in place of asking
    the model and running the tools, and is not written again. What only an answer or an outcome
    gives a meaning (instructions, what agents used up) is written with the next of them.
    """

    is_kept = True

    def __init__(
        self, log: RunLog, run_id: str, on_unknown: OnUnknown, session: str | None = None
    ) -> None:
        self.on_unknown = on_unknown
        self._session = session
        self._log = log
        self._run_id = run_id
        self._turns: list[LoggedTurn] = []
        self._turn = -1
        self._num_seen = 0
        self._num_records = 0
        self._is_finished = False
        self._is_ours = False
        self._state_before = RunState.RUNNING
        self._told_instructions: Iterator[str] = iter(())
        self._new_instructions: str | None = None
        self._charges: list[Charged] = []
        self._lock = anyio.Lock()

    @abstractmethod
    async def recall(self, prompt: str, history: Sequence[Message]) -> Beginning: ...

    @abstractmethod
    async def _open(self) -> None:
        """Makes the run ours."""

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        try:
            await _to_the_end(self._open)
            yield
        except (RunPaused, RunTaken):
            raise
        except (DecisionError, ReplayDiverged) as error:
            # Not the run's fault: it waits for another try.
            await self._end(*self._unchanged(error))
            raise
        except anyio.get_cancelled_exc_class():
            await self._end(Stopped(), RunState.STOPPED)
            raise
        except Exception as error:
            await self._end(Failed(type(error).__name__, as_unicode(str(error))), RunState.FAILED)
            raise

    def _unchanged(self, error: Exception) -> tuple[Record, RunState]:
        """The state that the run had before this try."""
        match self._state_before:
            case RunState.FAILED:
                return Failed(type(error).__name__, as_unicode(str(error))), RunState.FAILED
            case RunState.STOPPED:
                return Stopped(), RunState.STOPPED
            case _:
                return Paused(), RunState.PAUSED

    async def finishes(self, messages: Sequence[Message]) -> None:
        if self._turn + 1 < len(self._turns):
            raise ReplayDiverged(
                self._run_id, f"it ends after {self._turn + 1} of {len(self._turns)} logged turns"
            )
        if not self._is_finished:
            said = map(Said, self._newly_said(messages))
            await self._write([*said, Finished()], RunState.FINISHED)

    async def instructions(self, write: Callable[[], Awaitable[str]]) -> str:
        told = next(self._told_instructions, None)
        if told is not None:
            return told
        self._new_instructions = await write()
        return self._new_instructions

    @asynccontextmanager
    async def stream(
        self, model: Model, request: ModelRequest, messages: Sequence[Message]
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        if self._turn + 1 < len(self._turns):
            async with replay(self._told(messages), is_new=False) as parts:
                yield parts
        else:
            self._check_unfinished()
            async with (
                model.stream(replace(request, session=self._session)) as parts,
                aclosing(self._written(parts, messages)) as written,
            ):
                yield written

    async def decide(self, calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> None:
        return

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
            charges, self._charges = self._charges, []
            await self._write([*charges, record])

    def charged(self, usage: Usage) -> None:
        self._charges.append(Charged(usage))

    def known_review(self) -> ReviewOutcome | None:
        return self._turns[self._turn].review

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        self._turns[self._turn].review = outcome
        await self._write([Reviewed(outcome.passed, outcome.reason)])

    def decided_review(self) -> Decision | None:
        return None

    def output_state(self) -> CallState:
        return self._turns[self._turn].output

    async def output_begins(self) -> None:
        await checkpoint()
        await self._write([OutputBegan()])

    async def output_ended(self, outcome: CallOutcome) -> None:
        self._turns[self._turn].output = CallState(outcome)
        charges, self._charges = self._charges, []
        await self._write([*charges, OutputEnded(outcome.content, outcome.retry)])

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        await self._write([Paused(tuple(pending.items()))], RunState.PAUSED)

    async def _written(
        self, parts: AsyncIterator[ModelEvent], messages: Sequence[Message]
    ) -> AsyncGenerator[ModelEvent, None]:
        """Passes the parts on. The turn is only taken with the answer: a model that fails
        before is asked again."""
        async for part in parts:
            if isinstance(part, ModelResponse):
                await self._take(part, self._newly_said(messages))
            yield part

    async def _take(self, response: ModelResponse, said: tuple[str, ...]) -> None:
        answer = Answered.of(response)
        instructions, self._new_instructions = self._new_instructions, None
        self._turns.append(new_turn(said, answer, instructions))
        self._turn += 1
        led = [] if instructions is None else [Instructed(instructions)]
        await self._write([*led, *map(Said, said), answer])

    def _told(self, messages: Sequence[Message]) -> ModelResponse:
        """The next answer in the log."""
        said = self._newly_said(messages)
        self._turn += 1
        turn = self._turns[self._turn]
        if turn.said != said:
            raise ReplayDiverged(
                self._run_id, f"turn {self._turn} was asked {turn.said}, and is now asked {said}"
            )
        return turn.answer.response()

    def _newly_said(self, messages: Sequence[Message]) -> tuple[str, ...]:
        """What was said on the user's behalf since the last look."""
        others = behind_instructions(messages)
        new, self._num_seen = others[self._num_seen :], len(others)
        return tuple(message.content for message in new if isinstance(message, UserMessage))

    def _check_unfinished(self) -> None:
        if self._is_finished:
            raise ReplayDiverged(
                self._run_id, f"it finished, and would now go on from turn {self._turn}"
            )

    async def _write(self, records: Sequence[Record], state: RunState | None = None) -> None:
        """Not to be interrupted: what has happened is written down."""
        self._check_unfinished()

        async def append() -> None:
            async with self._lock:
                await self._log.append(self._run_id, self._num_records, records, state)
                self._num_records += len(records)
            # Whatever comes now, cancelling too, is not the run's end any more.
            self._is_finished = self._is_finished or state is RunState.FINISHED
            self._is_ours = self._is_ours and state is not RunState.PAUSED

        await _to_the_end(append)

    async def _end(self, record: Record, state: RunState) -> None:
        """For a run that ends with an error, which nothing that happens here may hide."""
        if not self._is_ours:
            return
        with suppress(LogError, ReplayDiverged, RunTaken, UnknownRun):
            await self._write([*self._charges, record], state)

    def _begins_with(self, prompt: str, history: Sequence[Message]) -> None:
        """Takes note of what is there before the first step."""
        self._num_seen = len(behind_instructions(history)) + bool(prompt.strip())


class NewJournal(LoggedJournal):
    """Of a run that begins: after the conversation of `session`, if it has one."""

    def __init__(self, log: RunLog, run_id: str, agent: str, session: str | None) -> None:
        super().__init__(log, run_id, OnUnknown.RAISE, session)
        self._began = Began(agent, "")
        self._parent: str | None = None

    async def recall(self, prompt: str, history: Sequence[Message]) -> Beginning:
        self._began = Began(self._began.agent, prompt, tuple(history))
        if self._session is not None:
            self._parent = await self._log.head(self._session)
        if self._parent is not None:
            history = history_of(await self._log.chain(self._parent))
        self._begins_with(prompt, history)
        return Beginning(prompt, history)

    async def _open(self) -> None:
        began = self._began
        await self._log.begin(self._run_id, [began], began.agent, self._session, self._parent)
        self._num_records, self._is_ours = 1, True


class ResumedJournal(LoggedJournal):
    """Of a run that is in the log already."""

    def __init__(
        self,
        log: RunLog,
        run_id: str,
        approvals: Mapping[str, Decision],
        review: Decision | None,
        on_unknown: OnUnknown,
    ) -> None:
        super().__init__(log, run_id, on_unknown)
        self._approvals = approvals
        self._review = review
        self._num_logged_turns = 0

    async def recall(self, prompt: str, history: Sequence[Message]) -> Beginning:
        """Raises `UnknownRun`, and `DecisionError` for an approval of what does not wait."""
        run = await self._log.read(self._run_id)
        self._turns = turns_of(run.records)
        self._num_logged_turns = len(self._turns)
        self._num_records = len(run.records)
        self._state_before = run.info.state
        self._is_finished = isinstance(run.records[-1], Finished)
        led = (turn.instructions for turn in self._turns)
        self._told_instructions = iter([text for text in led if text is not None])
        self._check_approvals()
        self._session = run.info.session
        began = beginning_of(run)
        history = began.history
        if run.info.parent is not None:
            history = history_of(await self._log.chain(run.info.parent))
        self._begins_with(began.prompt, history)
        return Beginning(began.prompt, history, len(self._turns), usage_of(run.records))

    async def decide(self, calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> None:
        if not self._is_last():
            return
        turn = self._turns[self._turn]
        verdicts = verdicts_on(turn.open_calls(), self._approvals, tools)
        if verdicts:
            await self._write(verdicts)
        for verdict in verdicts:
            turn.calls[verdict.index] = state_after(turn.calls[verdict.index], verdict)

    def decided_review(self) -> Decision | None:
        return self._review if self._is_last() else None

    def _is_last(self) -> bool:
        """Whether this turn is the last in the log."""
        return self._turn == self._num_logged_turns - 1

    def _check_approvals(self) -> None:
        turn = self._turns[-1] if self._turns else None
        check_known({} if turn is None else turn.open_calls(), self._approvals)
        waits = turn is not None and not turn.calls and turn.waits_for_review
        if self._review is not None and (self._is_finished or not waits):
            raise DecisionError(f"nothing of run {self._run_id!r} waits for a review")

    async def _open(self) -> None:
        if not self._is_finished:
            await self._log.reopen(self._run_id, self._num_records, [Resumed()])
            self._num_records += 1
        self._is_ours = True


async def _to_the_end(work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` whoever cancels, also an event loop's own way that knows no shields: such a one
    is waited for in a task group. Raises what `work` raises."""
    failures: list[Exception] = []

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                failures.append(error)

    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
    if failures:
        raise failures[0]
