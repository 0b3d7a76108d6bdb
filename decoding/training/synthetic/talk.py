"""What people say to an assistant that asks none of its tools for anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from decoding.training.synthetic.domain import Action
from decoding.training.synthetic.words import (
    ANIMALS,
    CITIES,
    FIRST_NAMES,
    LANGUAGES,
    SENTENCES,
    TOPICS,
    by_bar,
)

_SMALL_TALK = 0.5


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
_WHY = (
    "Why do cats purr?|Why is snow white?|Why do leaves fall in autumn?|Why do we yawn?|"
    "Why is the sea salty?|Why do onions make us cry?|Why does ice float?|Why do we dream?|"
    "How does a fridge keep things cold?|Why is the night dark?|How is glass made?|"
    "How does soap work?|What makes bread rise?|What is the meaning of life?|"
    "Who came up with the alphabet?|What is a metaphor?|How do candles burn?"
)
_GENERAL = (
    _remark(_WHY, unless="speci anima histo event figur life perso langu"),
    _remark(
        "Write a poem about {topic}.|Write me a short story about a {animal}.|"
        "I need a few funny lines about {topic} for a card.|Make up a bedtime story with a "
        "{animal} in it.|Could you write a limerick about {city}?|Draft a speech on {topic}.|"
        "Improve this sentence for me: {sentence}",
        unless="text sente phras messa email mail docum write gramm spell",
    ),
    _remark(
        'Translate "{sentence}" into {language}.|How do you say "{sentence}" in {language}?|'
        'What does "{sentence}" mean in {language}?',
        unless="text sente phras trans langu",
    ),
    _remark(
        "Tell me a joke.|Tell me a joke about a {animal}.|Sing something for me.|"
        "Do you think that {name} is a nice name?|What is your favourite colour?|"
        "Should I learn {language} or stay in bed?|Do you like {city}?|"
        "What would you name a {animal}?|Are you afraid of a {animal}?",
        unless="song music piece track",
    ),
    _remark(
        'Where does the word "{noun}" come from?|Write a poem about the {noun}.|'
        'How do you spell "{noun}"?|Tell me a joke about the {noun}.|'
        "Why do people care about the {noun} at all?|Do you find the {noun} interesting?|"
        "Which film has something to do with the {noun}?|Who was the first to think of the "
        "{noun}?|Draw me a picture of the {noun}.|I dreamed of the {noun}. What does that mean?",
        unless="text sente phras langu gramm spell movie films books novel paint artwo histo event",
    ),
)


def aside(rng: Random, actions: Sequence[Action]) -> tuple[str, str | None]:
    """Small talk and its reply, or a wish that tools with these actions do not fulfil: None."""
    known = {stem for each in actions for stem in each.stems}
    kinds = _TALK if rng.random() < _SMALL_TALK else _GENERAL
    remark = rng.choice([each for each in kinds if not each.unless & known] or _TALK)
    asked = rng.choice(remark.asks).format(
        hello=rng.choice(("Hello", "Hi", "Hey", "Good morning", "Good evening", "Hi there")),
        thanks=rng.choice(("thanks", "thank you", "thanks a lot", "thank you very much")),
        name=rng.choice(FIRST_NAMES),
        city=rng.choice(CITIES),
        animal=rng.choice([each for each in ANIMALS if each[0] not in "aeiou"]),
        topic=rng.choice(TOPICS),
        language=rng.choice(LANGUAGES),
        sentence=rng.choice(SENTENCES),
        noun=rng.choice(rng.choice(actions).nouns).replace("_", " "),
    )
    return asked[0].upper() + asked[1:], rng.choice(remark.replies) if remark.replies else None
