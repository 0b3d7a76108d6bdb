"""A switch that keeps models away from the network: for tests, and for programs that must stay on
this machine.

For authors of models: call `check_remote_allowed(self.name)` at the beginning of `Model.stream`
if the answer comes over the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from agentkit.errors import AgentError


class RemoteModelForbidden(AgentError):
    """A model was about to use the network where that is forbidden. Not a `ModelError`, since
    no other model should step in: whoever forbids wants to know."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"model {model!r} was about to use the network, which is forbidden here; replace it "
            "by agent.override(model=...) with a TestModel, ScriptedModel or FunctionModel, or "
            "allow it with agentkit.testing.allow_remote_models()"
        )
        self.model = model


class _Guard:
    """What the contexts that are open say, the innermost last. One for the process: models
    answer in any task and thread, also in those that began before a context was opened."""

    def __init__(self) -> None:
        self._said: list[bool] = []
        self._lock = Lock()

    @property
    def allows(self) -> bool:
        with self._lock:
            return not self._said or self._said[-1]

    @contextmanager
    def saying(self, is_allowed: bool) -> Iterator[None]:
        with self._lock:
            self._said.append(is_allowed)
        try:
            yield
        finally:
            with self._lock:
                self._said.pop()


_guard = _Guard()


def check_remote_allowed(model: str) -> None:
    """Raises `RemoteModelForbidden` while models must not use the network. `model` is the name
    of the one that asks."""
    if not _guard.allows:
        raise RemoteModelForbidden(model)


@contextmanager
def forbid_remote_models() -> Iterator[None]:
    """Models that use the network raise `RemoteModelForbidden` in this process while the
    context is open. Contexts nest, and the innermost counts; open and close them in turn."""
    with _guard.saying(False):
        yield


@contextmanager
def allow_remote_models() -> Iterator[None]:
    """Undoes `forbid_remote_models` while the context is open, for tests that mean it."""
    with _guard.saying(True):
        yield
