"""Scripted agents of a shop's service desk: each turn calls a tool, the last one answers.

What the model decodes is measured and thrown away: the calls and results that the next prompt
shows are scripted, so that every contender reads and re-uses the same tokens. A turn's schema is
that of the one tool that is due, and no argument is free text: contenders whose weights are
rounded differently still write as much. (With a name as free text, four-bit weights left it
empty, and were faster for it.)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.base import Ask, Conversation
from decoding import Tokenizer

TURNS = 8
CONCURRENT_TURNS = 3
CALL_TOKENS, ANSWER_TOKENS = 96, 64


def _closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_ORDER = {"type": "string", "pattern": "^K-[0-9]{5}$"}
_ITEM = {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$"}
_DATE = {"type": "string", "pattern": "^2026-[01][0-9]-[0-3][0-9]$"}
TOOLS: Mapping[str, dict[str, Any]] = {
    "find_customer": _closed(order=_ORDER, country={"enum": ["DE", "FR", "GB", "US"]}),
    "list_orders": _closed(
        customer={"type": "string", "pattern": "^C[0-9]{4}$"},
        state={"enum": ["open", "shipped", "delivered"]},
        newest_first={"type": "boolean"},
    ),
    "get_order": _closed(order=_ORDER, with_items={"type": "boolean"}),
    "track_parcel": _closed(order=_ORDER, carrier={"enum": ["post", "courier", "freight"]}),
    "check_stock": _closed(
        item=_ITEM, colour={"enum": ["red", "green", "blue", "black"]}, on_date=_DATE
    ),
    "change_delivery": _closed(
        order=_ORDER, on_date=_DATE, slot={"enum": ["morning", "afternoon", "evening"]}
    ),
    "write_note": _closed(
        order=_ORDER,
        reason={"enum": ["delivery moved", "parcel delayed", "item exchanged", "order refunded"]},
        priority={"enum": ["low", "normal", "high"]},
    ),
}
_SYSTEM = "\n".join(
    [
        "You work at the service desk of a shop for bicycles and answer customers.",
        'To use a tool, write only a JSON object {"name": ..., "arguments": {...}}. Its result',
        "comes back as the next message. Never guess what a tool can tell you. Once you know",
        "enough, answer the customer in two or three friendly sentences without any JSON.",
        "These are the tools and their arguments:",
        *(f"- {name}({', '.join(tool['properties'])})" for name, tool in TOOLS.items()),
        "Orders have numbers such as K-12345, items such as AB1234, customers such as C1234.",
        "Dates are written as year, month and day. Parcels go by post unless they are heavy.",
    ]
)
_NAMES = (
    "Maria Lindqvist", "Tom Baker", "Aisha Khan", "Pierre Dubois", "Greta Vogel", "Sam Porter",
    "Ines Moreau", "Jonas Weber", "Olivia Stone", "Karl Brandt", "Chloe Martin",
)  # fmt: skip
_GOODS = ("helmet", "rear light", "saddle", "pair of panniers", "chain guard", "child seat", "lock")
_COLOURS = ("red", "green", "blue", "black")


@dataclass(frozen=True, slots=True)
class Case:
    """One customer's matter. Different numbers give different matters."""

    number: int

    @property
    def name(self) -> str:
        return _NAMES[self.number % len(_NAMES)]

    @property
    def goods(self) -> str:
        return f"{_COLOURS[self.number % 4]} {_GOODS[self.number % len(_GOODS)]}"

    @property
    def order(self) -> str:
        return f"K-{10007 + 7919 * self.number % 89989}"

    @property
    def customer(self) -> str:
        return f"C{1009 + 613 * self.number % 8987}"

    @property
    def item(self) -> str:
        return f"BK{1013 + 577 * self.number % 8983}"

    @property
    def date(self) -> str:
        return f"2026-{1 + self.number % 9:02}-{10 + self.number % 18}"

    def question(self) -> str:
        return (
            f"Hello, this is {self.name} from Germany. My order {self.order} with the {self.goods} "
            f"has not come yet. When will I get it, and could it come on {self.date} instead?"
        )

    def script(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Tool, arguments and result of every turn but the last."""
        order = {"order": self.order}
        colour = self.goods.split()[0]
        return [
            (
                "find_customer",
                order | {"country": "DE"},
                {"customer": self.customer, "name": self.name, "since": 2019},
            ),
            (
                "get_order",
                order | {"with_items": True},
                order | {"state": "shipped", "items": [{"item": self.item, "count": 1}]},
            ),
            (
                "list_orders",
                {"customer": self.customer, "state": "open", "newest_first": True},
                {"orders": [self.order], "total": 1},
            ),
            (
                "track_parcel",
                order | {"carrier": "post"},
                order | {"place": "sorting centre", "expected": self.date, "delayed": True},
            ),
            (
                "check_stock",
                {"item": self.item, "colour": colour, "on_date": self.date},
                {"item": self.item, "in_stock": 3, "warehouse": "north"},
            ),
            (
                "change_delivery",
                order | {"on_date": self.date, "slot": "morning"},
                order | {"accepted": True, "on_date": self.date, "slot": "morning"},
            ),
            (
                "write_note",
                order | {"reason": "delivery moved", "priority": "normal"},
                {"note": 100 + self.number, "saved": True},
            ),
        ]


def conversation(case: Case, turns: int, tokenizer: Tokenizer) -> Conversation:
    """The asks of so many turns, the last of which is the answer to the customer."""
    messages = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": case.question()},
    ]
    kept: dict[int, Sequence[int]] = {}
    asks: list[Ask] = []
    for name, arguments, result in case.script()[: turns - 1]:
        asks.append(_ask(messages, kept, tokenizer, CALL_TOKENS, _call(name)))
        call = json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))
        kept[len(messages)] = tokenizer.encode(call)
        messages.append({"role": "assistant", "content": call})
        messages.append({"role": "user", "content": f"Result of {name}: {json.dumps(result)}"})
    asks.append(_ask(messages, kept, tokenizer, ANSWER_TOKENS, None))
    return tuple(asks)


def _ask(
    messages: Sequence[Mapping[str, str]],
    kept: Mapping[int, Sequence[int]],
    tokenizer: Tokenizer,
    max_tokens: int,
    schema: dict[str, Any] | None,
) -> Ask:
    # The calls are kept as the ids they have alone, so that each prompt begins with the last.
    return Ask(tuple(tokenizer.encode_chat(messages, kept=kept)), max_tokens, schema)


def _call(name: str) -> dict[str, Any]:
    return _closed(name={"const": name}, arguments=TOOLS[name])
