"""An agent of the embedded 135M model works in a bicycle shop: `python -m examples.bike_shop`.

It answers questions by calling tools over a real database and a folder of text files. Every
step is printed as it happens. So small a model gets things wrong, and that is shown as it
is; what it cannot get wrong is the form of a call.
"""

import json
from dataclasses import dataclass
from typing import Any

import anyio
from rich.console import Console

from agentkit import (
    Agent,
    AgentError,
    AssistantMessage,
    Message,
    PlanAct,
    ToolCall,
    ToolMessage,
    UsageLimits,
    UserMessage,
)
from agentkit.cli.show import EventPrinter
from agentkit.models import LocalModel
from decoding import Progress
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


def worked(
    question: str, tool: str, arguments: dict[str, str], result: str, answer: str
) -> list[Message]:
    """A worked example: how a question was once answered."""
    call = ToolCall(f"example-{tool}", tool, json.dumps(arguments, separators=(",", ":")))
    return [
        UserMessage(question),
        AssistantMessage(tool_calls=(call,)),
        ToolMessage(call.call_id, tool, result),
        AssistantMessage(answer),
    ]


# Small models learn the job from examples. They are encoded once and shared by all runs.
EXAMPLES = [
    *worked("What is 3 times 17?", "calculate", {"expression": "3*17"}, "51", "3 times 17 is 51."),
    *worked(
        "How much is the pump?",
        "price",
        {"product": "pump"},
        "12.5 euros",
        "The pump costs 12.5 euros.",
    ),
    *worked(
        "Who lives in Oslo?",
        "customers_in",
        {"city": "Oslo"},
        "2 customers: Emil Hansen, Nora Berg",
        "2 customers live in Oslo: Emil Hansen and Nora Berg.",
    ),
    *worked(
        "What did Nora Berg order?",
        "orders_of",
        {"customer": "Nora Berg"},
        "1 bell",
        "Nora Berg ordered 1 bell.",
    ),
    *worked(
        "Are there any chains left?",
        "stock",
        {"product": "chain"},
        "22 pieces",
        "Yes, 22 chains are in stock.",
    ),
    *worked(
        "What does the handbook say about receipts?",
        "search_files",
        {"text": "receipt"},
        "returns.txt:1: Returns: goods can be returned within 30 days with the receipt.",
        "Goods can be returned within 30 days with the receipt.",
    ),
]


@dataclass(frozen=True)
class Offer:
    """A typed answer."""

    product: str
    price_in_euros: float


async def main() -> None:
    console = Console(highlight=False)
    console.print("loading smollm2-135m")
    async with LocalModel("smollm2-135m", progress=report) as model:
        clerk = Agent(model, tools=TOOLS, instructions=INSTRUCTIONS)
        for question in QUESTIONS:
            await ask(clerk, question, console)
        planner = Agent(model, tools=TOOLS, instructions=INSTRUCTIONS, strategy=PlanAct())
        await ask(planner, "How much does the lock cost?", console)
        seller = Agent(model, tools=TOOLS, instructions=INSTRUCTIONS, output_type=Offer)
        await ask(seller, "Offer me a basket.", console)
        stats = model.stats()
        console.print(
            f"\n{stats.new_tokens} tokens decoded in {stats.forwards} forwards; "
            f"{stats.hit_rate:.0%} of {stats.prompt_tokens} prompt tokens were already encoded"
        )


def report(progress: Progress) -> None:
    print(f"  {progress.stage}: {progress.done} of {progress.total}")


async def ask(agent: Agent[None, Any], question: str, console: Console) -> None:
    printer = EventPrinter(console)
    console.rule(question, align="left")
    limits = UsageLimits(turns=4)
    try:
        async with agent.run_stream(question, message_history=EXAMPLES, usage_limits=limits) as run:
            async for event in run:
                printer.show(event)
    except AgentError as error:
        console.print(f"the run ended: {error}", style="yellow", markup=False)


if __name__ == "__main__":
    anyio.run(main)
