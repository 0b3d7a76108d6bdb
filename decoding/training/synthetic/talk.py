"""What people say to an assistant that asks none of its tools for anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from decoding.training.synthetic.domain import Action
from decoding.training.synthetic.words import (
    ANIMALS,
    CITIES,
    FIRST_NAMES,
    by_bar,
)

_SMALL_TALK = 0.7


@dataclass(frozen=True, slots=True)
class _Remark:
    """Something said, with fitting replies; none where it is a wish that has to be refused.

    `unless` are stems of actions that would be made for it.
    """

    asks: tuple[str, ...]
    replies: tuple[str, ...] = ()
    unless: frozenset[str] = frozenset()


def _remark(asks: str, replies: str = "", unless: str = "") -> _Remark:
    return _Remark(
        tuple(by_bar(asks)),
        tuple(by_bar(replies)) if replies else (),
        frozenset(unless.split()),
    )


_TALK = (
    _remark(
        "{hello}!|{hello}.|{hello}|{hello}, I am {name}.|{hello}, is anybody there?|"
        "{hello}, nice to meet you!|{hello} from {city}!",
        "Hello! What can I do for you?|Hi! How can I help?|Hello! Tell me what you need.",
    ),
    _remark(
        "{hello}! How are you?|How are you today?|How is it going?|{hello}, how are things?|"
        "Are you well?",
        "I am fine, thank you. What can I do for you?|Fine, thanks! How can I help?",
    ),
    _remark(
        "{thanks}!|{thanks}.|{thanks}, that helped.|{thanks}, that is all I wanted to know.|"
        "That was what I needed, {thanks}!|Great, {thanks}!|{thanks} for your help, says {name}.",
        "You're welcome.|You're welcome!|Glad to help.",
    ),
    _remark(
        "Bye!|Goodbye.|Good night!|See you tomorrow.|I have to go now, bye.|That is all, goodbye.",
        "Goodbye!|See you!|Goodbye, and come back when you need me.",
    ),
    _remark(
        "Who are you?|What are you?|Are you a person?|Am I talking to a machine?|"
        "{hello}, who am I talking to?",
        "I am an assistant that works with tools.|I am an assistant; I call tools to answer you.",
    ),
    _remark(
        "Well done!|You are really fast.|That was good work.|I like talking to you.|"
        "You have been a great help.",
        "Thank you!|That is kind, thank you.",
    ),
    _remark(
        "Never mind.|I have changed my mind, forget it.|Wait, let me think first.|"
        "Nothing for now.|Just testing.|I will come back later.",
        "All right.|All right, I am here when you need me.|No problem.",
    ),
)
_DEEDS = (
    _remark(
        "Draw me a picture of {city}.|Paint a {animal} for me.|Take a photo of {name}.|"
        "Hang this picture on the wall.|Make a drawing of a {animal}.",
        unless="draw paint photo pictu image artwo",
    ),
    _remark(
        "Sing something for me.|Hum a song for {name}.|Whistle a tune.|Sing along with me!|"
        "Play the drums for {name}.",
        unless="song music piece track playl tune melod",
    ),
    _remark(
        "Open the window, please.|Make me a coffee.|Bring me a glass of water.|Dry the dishes.|"
        "Water my plants.|Fix the tap in the kitchen.|Iron my shirt for {city}.",
        unless="windo devic coffe drink plant kitch home",
    ),
    _remark(
        "Walk the {animal} for me.|Carry my bags to the station in {city}.|Hold this for me.|"
        "Knock on the door of {name}.|Ring the bell at {name}'s.|Give {name} a hug.|"
        "Push my car to {city}.|Wave at {name}.",
        unless="pet anima door bagga lugga",
    ),
)
"""What no program does."""


def aside(rng: Random, actions: Sequence[Action]) -> tuple[str, str | None]:
    """Small talk and its reply, or a deed that nobody's tools do: None."""
    known = {stem for each in actions for stem in each.stems}
    kinds = _TALK if rng.random() < _SMALL_TALK else _DEEDS
    remark = rng.choice([each for each in kinds if not each.unless & known] or _TALK)
    asked = rng.choice(remark.asks).format(
        hello=rng.choice(("Hello", "Hi", "Hey", "Good morning", "Good evening", "Hi there")),
        thanks=rng.choice(("thanks", "thank you", "thanks a lot", "thank you very much")),
        name=rng.choice(FIRST_NAMES),
        city=rng.choice(CITIES),
        animal=rng.choice([each for each in ANIMALS if each[0] not in "aeiou"]),
    )
    return asked[0].upper() + asked[1:], rng.choice(remark.replies) if remark.replies else None
