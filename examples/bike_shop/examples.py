"""Worked examples: small models learn a job from them.

They stand before each question as earlier turns of the conversation, are encoded once, and
are shared by all runs.
"""

import json

from agentkit import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage

Use = tuple[str, str, str]
"""A tool, its argument, and the argument's value."""


def worked(question: str, use: Use, result: str, answer: str) -> list[Message]:
    """How a question was once answered by one call."""
    return [UserMessage(question), *called(use, result, answer)]


def called(use: Use, result: str, answer: str) -> list[Message]:
    tool, argument, value = use
    call = ToolCall(f"{tool}-{value}", tool, json.dumps({argument: value}, separators=(",", ":")))
    return [
        AssistantMessage(tool_calls=(call,)),
        ToolMessage(call.call_id, tool, result),
        AssistantMessage(answer),
    ]


EXAMPLES: list[Message] = [
    *worked(
        "What is 3 times 17?",
        ("calculate", "expression", "3*17"),
        "51",
        "3 times 17 is 51.",
    ),
    *worked(
        "What is 90 divided by 6?",
        ("calculate", "expression", "90/6"),
        "15",
        "90 divided by 6 is 15.",
    ),
    *worked(
        "How much is the pump?",
        ("price", "product", "pump"),
        "12.5 euros",
        "The pump costs 12.5 euros.",
    ),
    *worked(
        "What is the price of the saddle?",
        ("price", "product", "saddle"),
        "44 euros",
        "The price of the saddle is 44 euros.",
    ),
    *worked(
        "Who lives in Oslo?",
        ("customers_in", "city", "Oslo"),
        "2 customers: Emil Hansen, Nora Berg",
        "2 customers live in Oslo: Emil Hansen and Nora Berg.",
    ),
    *worked(
        "What does the handbook say about bicycles?",
        ("search_files", "text", "bicycles"),
        "delivery.txt:2: Bicycles are delivered assembled within the city.",
        "Bicycles are delivered assembled within the city.",
    ),
    *worked(
        "What did Nora Berg order?",
        ("orders_of", "customer", "Nora Berg"),
        "1 bell",
        "Nora Berg ordered 1 bell.",
    ),
    *worked(
        "What did Lea Martin order?",
        ("orders_of", "customer", "Lea Martin"),
        "1 gravel bike",
        "Lea Martin ordered 1 gravel bike.",
    ),
    *worked(
        "Are there any chains left?",
        ("stock", "product", "chain"),
        "22 pieces",
        "Yes, 22 chains are in stock.",
    ),
    *worked(
        "How many bells are left?",
        ("stock", "product", "bell"),
        "60 pieces",
        "60 bells are left.",
    ),
    *worked(
        "What does the handbook say about receipts?",
        ("search_files", "text", "receipt"),
        "returns.txt:1: Returns: goods can be returned within 30 days with the receipt.",
        "Goods can be returned within 30 days with the receipt.",
    ),
]

PLANNED: list[Message] = [
    UserMessage("How much is the chain?"),
    UserMessage("First write a plan: the steps that lead to the answer."),
    AssistantMessage('{"steps":["look up the price of the chain"]}'),
    UserMessage("Now carry out the plan."),
    *called(("price", "product", "chain"), "18 euros", "The chain costs 18 euros."),
]
"""The same with a plan first, as `PlanAct` asks for it."""
