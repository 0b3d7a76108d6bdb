"""What synthetic tools of one domain can do."""

from dataclasses import dataclass

from decoding.training.synthetic.slots import Slot

Slots = Slot | tuple[Slot, ...]
"""A slot, or several of which a tool has one."""


@dataclass(frozen=True, slots=True)
class Action:
    """A family of tools: `verbs` x `nouns` are their names, `asks` how people ask for it.

    An ask is a command ("book a flight") or a question ("what is ..."). Every tool has the
    `core` slots and a few of `more`. The `sentences` are whole questions, in which {0} is the
    wording of the first core slot.
    """

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    description: str
    asks: tuple[str, ...]
    core: tuple[Slots, ...]
    more: tuple[Slots, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """`results` are what its tools answer with."""

    name: str
    actions: tuple[Action, ...]
    results: tuple[Slot, ...]


def act(
    verbs: str,
    nouns: str,
    description: str,
    asks: str,
    core: tuple[Slots, ...],
    more: tuple[Slots, ...] = (),
    sentences: str = "",
) -> Action:
    """The words of `verbs` and `nouns` are separated by spaces, `asks` and `sentences` by bars."""
    return Action(
        tuple(verbs.split()),
        tuple(nouns.split()),
        description,
        tuple(asks.split("|")),
        core,
        more,
        tuple(sentences.split("|")) if sentences else (),
    )


def alternatives(slots: Slots) -> tuple[Slot, ...]:
    return slots if isinstance(slots, tuple) else (slots,)
