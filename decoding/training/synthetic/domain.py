"""What synthetic tools of one domain can do."""

from dataclasses import dataclass

from decoding.training.synthetic.slots import Slot
from decoding.training.synthetic.words import by_space

Slots = Slot | tuple[Slot, ...]
"""A slot, or several of which a tool has one."""

_COMMON = frozenset(
    by_space(
        "about after anoth betwe calcu chang compa facts find from info inter list many name numbe "
        "other over place point price searc sever size some somet that their time under value what "
        "when where with work"
    )
)
"""Stems of words that tell little of what a tool does."""


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

    @property
    def stems(self) -> frozenset[str]:
        """How the telling words of its nouns and description begin."""
        words = " ".join((*self.nouns, self.description)).replace("_", " ").lower().split()
        singular = (each.strip(",").removesuffix("s") for each in words)
        return frozenset(each[:5] for each in singular if len(each) > 3) - _COMMON


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
