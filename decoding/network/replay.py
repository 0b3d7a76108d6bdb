"""Everything that is CUDA's own about a captured forward; a CPU does the same without it.

Tests run its CPU halves only; `benchmarks.gpu` checks captured forwards on a GPU (`docs/log.md`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Run = Callable[[], Tensor]
"""Reads and writes tensors at fixed addresses only. Returns the same tensor, refilled, at each
call of a replay."""

Record = Callable[[Run], Run]
"""Takes a run, may call it, and returns what does the same from then on."""


def record_nothing(run: Run) -> Run:
    """For devices without graphs: a replay is the run itself."""
    return run


class GraphRecorder:
    """Records CUDA graphs that share one pool of memory.

    They share it because no two run at once and nobody keeps what one has returned while
    another runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None  # a handle without a public type

    def __call__(self, run: Run) -> Run:
        with torch.cuda.device(self._device):
            return self._record(run)

    def _record(self, run: Run) -> Run:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        # Libraries set themselves up in their first calls, which must not be recorded.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            out = run()

        def replay() -> Tensor:
            graph.replay()
            return out

        return replay


def recorder_for(device: torch.device) -> Record:
    return GraphRecorder(device) if device.type == "cuda" else record_nothing


class Staging:
    """Numbers that are written on the host and read on the device: one copy moves them all."""

    def __init__(self, count: int, device: torch.device) -> None:
        is_cuda = device.type == "cuda"
        self.host_X = torch.zeros(count, dtype=torch.int32, pin_memory=is_cuda)
        self.device_X = torch.zeros(count, dtype=torch.int32, device=device)
        self._copied = torch.cuda.Event() if is_cuda else None

    def wait(self) -> None:
        """Returns when the host's numbers may be written again."""
        if self._copied is not None:
            self._copied.synchronize()

    def send(self) -> None:
        """Starts the copy; what is launched on the device afterwards sees it."""
        self.device_X.copy_(self.host_X, non_blocking=True)
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self.device_X.device))
