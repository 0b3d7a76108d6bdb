"""Plans and answers that pass only with the word of the run's owner."""

from collections.abc import Mapping
from typing import Any

from agentkit.context import RunContext
from agentkit.decisions import Decision, Denied, Returned, decision_json
from agentkit.errors import DecisionError, ModelRetry, ReviewRequired
from agentkit.output import OutputSpec


def ask_owner(context: RunContext[Any], output: Any) -> Any:
    """A review, as in `PlanAct(review=ask_owner)`, that pauses the run with `ReviewRequired` until
    it is resumed with `review=...`: True lets the output pass, a mapping or
    `Returned` replaces it, False or `Denied` has it written again."""
    raise ReviewRequired(context.run_id, output)


def decided(decision: Decision, output: OutputSpec, answer: Any) -> Any:
    """The answer that passes by `decision`. Raises `ModelRetry` where none does, and
    `DecisionError` for a replacement that is no valid output."""
    match decision:
        case True:
            return answer
        case False:
            raise ModelRetry(Denied().reason)
        case Denied(reason):
            raise ModelRetry(reason)
        case Returned(value) | (Mapping() as value):
            is_text = output.format.is_text
            written = decision_json("review", str(value) if is_text else value)
            try:
                return output.validate(str(value) if is_text else written)
            except ModelRetry as error:
                raise DecisionError(f"review: {error}") from error
        case _:
            raise DecisionError(
                f"review: {decision!r} is no decision; give True, False, Denied, Returned, or "
                "a mapping"
            )
