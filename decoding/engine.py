"""The engine as callers use it: loading, and one answer or many without an own loop."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Literal, cast

import torch

from decoding.core import Core
from decoding.errors import DecodingError
from decoding.grammar import Grammar
from decoding.modes import Autoregressive, DecodeMode
from decoding.network.captured import captured_on_gpu
from decoding.network.numerics import ChooseNumerics, exact_numerics, plain_numerics
from decoding.pace import KeptCost
from decoding.request import Committed, Completion, Event, Failed, Finished, Prompt, Request
from decoding.sampling import Sampling
from decoding.weights import DEFAULT_ADAPTER, Precision, Progress, load

Profile = Literal["exact", "fast"]
"""The numbers a network computes with; the table is in `docs/architecture.md`."""

_NUMERICS: dict[Profile, tuple[torch.dtype, ChooseNumerics, Precision]] = {
    "exact": (torch.float32, exact_numerics, Precision.FINE),
    "fast": (torch.bfloat16, plain_numerics, Precision.COARSE),
}


class Engine(Core):
    """A `Core`, with drivers for callers that want one answer or a list of them.

    `generate`, `generate_many` and `stream` step it until their requests are over.
    """

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "cpu",
        profile: Profile = "exact",
        adapter: str | Path | None = DEFAULT_ADAPTER,
        cache_tokens: int = 32768,
        kept_tokens: int | None = None,
        max_live: int = 64,
        max_waiting: int | None = None,
        max_forward_rows: int = 512,
        clock: Callable[[], float] = time.monotonic,
        cache_dir: Path | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> "Engine":
        """Loads "smollm2-135m", a local Hugging Face directory, or a cached hub id.

        `profile` "exact" computes as finely as float32, and a token's numbers never depend on what
        they are computed with, to the last bit. "fast" keeps that on the compiled forward, with
        rows of 8 bits; elsewhere it computes in bfloat16, where near-ties may fall differently in
        different modes. `adapter` names the draft adapter's sub-folder
        of the checkpoint, or a folder elsewhere; the default one may be absent, and None loads
        none. `cache_tokens` bounds the tokens of all sequences together; memory is touched as
        it is used. `progress` is told about slow work (converting the embedded weights, the
        first time). The other limits are those of `Core`. Raises `WeightsError`.
        """
        if profile not in _NUMERICS:
            raise ValueError(f"profile must be 'exact' or 'fast', not {profile!r}")
        place = torch.device(device)
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} is not there: torch sees no GPU; use 'cpu'")
        dtype, numerics, precision = _NUMERICS[profile]
        loaded = load(
            source,
            device=place,
            dtype=dtype,
            adapter=adapter,
            numerics=numerics,
            native=precision,
            cache_dir=cache_dir,
            progress=progress,
        )
        # Replays round otherwise than plain forwards, which "exact" promises not to.
        network = captured_on_gpu(loaded.network) if profile == "fast" else loaded.network
        return cls(
            network,
            loaded.tokenizer,
            cache_tokens=cache_tokens,
            kept_tokens=kept_tokens,
            max_live=max_live,
            max_waiting=max_waiting,
            max_forward_rows=max_forward_rows,
            profile=profile,
            clock=clock,
            forward_cost=KeptCost((profile, *_named(place), str(adapter)), cache_dir),
        )

    def __enter__(self) -> "Engine":
        return self

    def generate(
        self,
        prompt: Prompt,
        *,
        mode: DecodeMode = Autoregressive(),
        grammar: Grammar | None = None,
        sampling: Sampling = Sampling(),
        max_new_tokens: int = 256,
        stop: tuple[str, ...] = (),
        stop_token_ids: tuple[int, ...] = (),
        close_at_budget: bool = False,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Completion:
        """One answer. Parameters as in `Request`; raises what `add` and decoding raise."""
        request = Request(
            prompt,
            mode=mode,
            grammar=grammar,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
            stop=stop,
            stop_token_ids=stop_token_ids,
            close_at_budget=close_at_budget,
            priority=priority,
            deadline=deadline,
        )
        return self.generate_many([request])[0]

    def generate_many(self, requests: Many[Request]) -> list[Completion]:
        """Answers in the order asked, decoded together; each the same as on its own.

        Where one fails, its error is raised and the others are given up. What does not fit
        `max_waiting` is added as room appears.
        """
        ids: list[int] = []
        done: dict[int, Completion] = {}
        try:
            for event in self._events(ids, deque(requests)):
                if isinstance(event, Finished):
                    done[event.request_id] = event.completion
        finally:
            self._forget(ids)
        return [done[request_id] for request_id in ids]

    def stream(self, request: Request) -> Iterator[Committed | Finished]:
        """The events of one request as they happen. Closing the iterator aborts it.

        Raises at once what `add` raises.
        """
        stream = self._stream([self.add(request)])
        next(stream)  # closing what was never begun would end nothing
        return cast("Iterator[Committed | Finished]", stream)

    def _stream(self, ids: list[int]) -> Iterator[Committed | Finished | None]:
        try:
            yield None
            yield from self._events(ids, deque())
        finally:
            self._forget(ids)

    def _events(self, ids: list[int], later: deque[Request]) -> Iterator[Committed | Finished]:
        """Steps until the requests are over; keeps other requests' events.

        Requests for `later` are added when there is room for them, their ids put into `ids`.
        """
        wanted = set(ids)
        while wanted or later:
            while later and self.has_room:
                ids.append(self.add(later[0]))
                wanted.add(ids[-1])
                later.popleft()
            if wanted and not any(map(self._is_owed, wanted)):
                raise DecodingError(
                    "the last events of the request were taken by another caller of step(); "
                    "let one of step, generate and stream drive an engine at a time"
                )
            for event in self._sift(self.step(), wanted):
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Finished):
                    wanted.discard(event.request_id)
                yield event

    def _is_owed(self, request_id: int) -> bool:
        """Whether events of the request are still to come."""
        return self._find(request_id) is not None or any(
            event.request_id == request_id for event in self._undelivered
        )

    def _sift(self, events: list[Event], wanted: set[int]) -> list[Event]:
        self._undelivered += [event for event in events if event.request_id not in wanted]
        return [event for event in events if event.request_id in wanted]

    def _forget(self, ids: Many[int]) -> None:
        """Aborts what is still live of these requests and drops their events."""
        for request_id in ids:
            self.abort(request_id)
        self._undelivered = [event for event in self._undelivered if event.request_id not in ids]


def _named(device: torch.device) -> tuple[str, str]:
    """The device and what it is: forwards cost something else on another GPU."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return str(device), kind
