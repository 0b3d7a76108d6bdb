"""An agent of the embedded 135M model works in a bicycle shop.

    python -m examples.bike_shop ["A question of your own?" ...]

It answers questions by calling tools over a real database and a folder of text files. Every
step is printed as it happens, with what it cost. So small a model gets things wrong, and that
is shown as it is; what it cannot get wrong is the form of a call.
"""

import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from rich.console import Console

from agentkit import Agent, AgentError, Message, PlanAct, Step, Turn, UsageLimits
from agentkit.cli.show import EventPrinter
from agentkit.models import LocalModel
from decoding import Progress, SelfSpeculation
from examples.bike_shop.examples import EXAMPLES, PLANNED
from examples.bike_shop.shop import TOOLS

INSTRUCTIONS = "You work in a bicycle shop and answer questions with the help of tools."
QUESTIONS = (
    "How much does the helmet cost?",
    "How many customers live in Berlin?",
    "What did Jonas Weber order?",
    "What is 12 times 34?",
    "What does the handbook say about delivery?",
    "How many locks are in stock?",
    "What does the handbook say about Saturday?",
)


@dataclass(frozen=True)
class LookItUp:
    """A strategy of our own: look something up, then answer. Nothing is guessed."""

    def steps(self) -> Generator[Step, Turn, None]:
        yield Step(allow_final=False)
        yield Step(allow_calls=False)


@dataclass(frozen=True)
class Offer:
    """A typed answer."""

    product: str
    price_in_euros: float


async def main(questions: Sequence[str] = QUESTIONS) -> None:
    console = Console(highlight=False)
    console.print("loading smollm2-135m")
    async with LocalModel("smollm2-135m", mode=SelfSpeculation(), progress=report) as model:
        clerk = Agent(model, tools=TOOLS, instructions=INSTRUCTIONS, strategy=LookItUp())
        for question in questions:
            await ask(clerk, question, EXAMPLES, console)
        planner = Agent(model, tools=TOOLS, instructions=INSTRUCTIONS, strategy=PlanAct())
        await ask(planner, "How much does the lock cost?", [*EXAMPLES, *PLANNED], console)
        seller = Agent(
            model,
            tools=TOOLS,
            instructions=INSTRUCTIONS,
            strategy=LookItUp(),
            output_type=Offer,
        )
        await ask(seller, "What is the price of the basket?", EXAMPLES, console)
        stats = model.stats()
    console.rule(align="left")
    console.print(
        f"{stats.new_tokens} tokens decoded in {stats.forwards} forwards; "
        f"{stats.hit_rate:.0%} of {stats.prompt_tokens} prompt tokens were encoded before"
    )


def report(progress: Progress) -> None:
    print(f"  {progress.stage}: {progress.done} of {progress.total}", flush=True)


async def ask(
    agent: Agent[None, Any], question: str, history: Sequence[Message], console: Console
) -> None:
    console.rule(question, align="left")
    printer = EventPrinter(console)
    limits = UsageLimits(turns=4)
    try:
        async with agent.run_stream(question, message_history=history, usage_limits=limits) as run:
            async for event in run:
                printer.show(event)
    except AgentError as error:
        printer.end_line()
        console.print(f"the run ended: {error}", style="yellow", markup=False)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1:] or QUESTIONS)
