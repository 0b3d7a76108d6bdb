"""What synthetic tools of one domain can do."""

from dataclasses import dataclass

from decoding.training.synthetic.slots import Slot


@dataclass(frozen=True, slots=True)
class Action:
    """A family of tools: `verbs` x `nouns` are their names, `asks` how people ask for it.

    An ask is a command ("book a flight") or a question ("what is ..."). Every tool has the
    `core` slots and a few of `more`.
    """

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    description: str
    asks: tuple[str, ...]
    core: tuple[Slot, ...]
    more: tuple[Slot, ...]


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
    core: tuple[Slot, ...],
    more: tuple[Slot, ...] = (),
) -> Action:
    """The words of `verbs` and `nouns` are separated by spaces, the `asks` by bars."""
    return Action(
        tuple(verbs.split()), tuple(nouns.split()), description, tuple(asks.split("|")), core, more
    )
