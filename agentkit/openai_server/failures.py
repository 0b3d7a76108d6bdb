"""Errors in the shape that OpenAI's clients read."""

from typing import Any

from pydantic import ValidationError

from agentkit.errors import ModelBroken, ModelError, RemoteModelError

_ABOUT_THE_REQUEST = (400, 413, 422)
"""What a model's server answers to a request that no server of it would serve."""


class Refused(Exception):
    """A request that cannot be served as it is. `param` names what is wrong in it."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = _body(message, "invalid_request_error", param, code)

    @classmethod
    def unsupported(cls, param: str, why: str) -> "Refused":
        return cls(f"{param}: {why}", param, "unsupported_parameter")

    @classmethod
    def of(cls, error: ValidationError) -> "Refused":
        """The first field that is wrong in a request; where it may be several things, by the last
        of them, which is the more complicated one."""
        details = error.errors(include_url=False, include_context=False)
        detail = [each for each in details if each["loc"][:1] == details[0]["loc"][:1]][-1]
        loc = [str(part) for part in detail["loc"] if "[" not in str(part)]
        param = ".".join(loc) or None
        if detail["type"] == "extra_forbidden":
            return cls(f"{param}: this server does not know it", param, "unknown_parameter")
        return cls(f"{param or 'the body'}: {detail['msg']}", param, "invalid_value")


def failure(error: ModelError) -> tuple[int, dict[str, Any]]:
    """The status and body for a model that cannot answer: whether it may pass, lies with the model,
    or with a request that asks for what the model cannot do: a schema, a length."""
    if error.retryable:
        return 503, _body(str(error), "server_error", None, "unavailable")
    if isinstance(error, ModelBroken):
        return 500, _body(str(error), "server_error", None, "model_broken")
    if isinstance(error, RemoteModelError) and error.status not in _ABOUT_THE_REQUEST:
        return 502, _body(str(error), "server_error", None, "bad_gateway")
    return 400, _body(str(error), "invalid_request_error", None, "model_cannot_answer")


def crash() -> dict[str, Any]:
    return _body("the server failed; its log says why", "server_error", None, None)


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
