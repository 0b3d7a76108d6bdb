"""Which requests are out of time."""

from heapq import heapify, heappop, heappush


class Deadlines:
    """Times by request id. Asking who is over costs nothing while nobody is."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._open: set[int] = set()

    def add(self, request_id: int, at: float) -> None:
        heappush(self._heap, (at, request_id))
        self._open.add(request_id)

    def discard(self, request_id: int) -> None:
        """Forgets a request that is over."""
        self._open.discard(request_id)
        if len(self._heap) > 2 * len(self._open) + 32:
            self._heap = [entry for entry in self._heap if entry[1] in self._open]
            heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def pop_over(self, now: float) -> list[int]:
        """Takes out the requests whose time has come, earliest first."""
        over = []
        while self._heap and self._heap[0][0] <= now:
            _, request_id = heappop(self._heap)
            if request_id in self._open:
                self._open.discard(request_id)
                over.append(request_id)
        return over
