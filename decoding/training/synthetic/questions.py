"""Questions in plain English that a drawn call answers."""

from random import Random

from decoding.training.synthetic.domain import Slots, alternatives
from decoding.training.synthetic.slots import Slot
from decoding.training.synthetic.specs import Call, Mention
from decoding.training.synthetic.words import CITIES, FIRST_NAMES

_QUESTION_WORDS = {"what", "which", "how", "where", "who", "when", "is"}
_STATEMENT_WORDS = {"i", "my", "let", "do"}
_COMMANDS = (
    "{}.",
    "{}.",
    "{}.",
    "{}",
    "please {}.",
    "could you {}?",
    "can you {}?",
    "would you {}, please?",
    "I need you to {}.",
    "I would like you to {}.",
    "help me: {}.",
)
_OPENERS = (
    "Hi!",
    "Hello!",
    "Good morning.",
    "I have a question.",
    "One more thing.",
    "I am in a hurry.",
    "My friend {name} asked me about this.",
    "It is for my sister {name}.",
    "I am in {city} at the moment.",
    "{name} told me that you can do this.",
    "We talked about it yesterday.",
    "I am not good at such things.",
    "I am {number} years old and new to this.",
    "{name} and I have thought about it for {number} days.",
    "Last year I did it {number} times by hand.",
    "There are {number} of us in {city}.",
)
_CLOSERS = (
    "Thanks!",
    "Thank you.",
    "That would be great.",
    "I need it today.",
    "Take your time.",
    "That is all.",
    "{name} is waiting for it.",
)
_JOINS = (
    "{} Also, {}",
    "{} And then: {}",
    "First: {} Second: {}",
    "{} Besides that, {}",
    "{} After that, {}",
)
_AGAIN = ("And {}?", "And the same {}.", "Now {}, please.", "What about the same {}?", "Now {}.")


def question(rng: Random, call: Call, *, is_bare: bool = False) -> str:
    """Tells every value of the call; `is_bare` leaves out small talk."""
    asked = _asked(rng, call)
    if is_bare:
        return asked
    if rng.random() < 0.2:
        asked = f"{_small_talk(rng, _OPENERS)} {asked}"
    if rng.random() < 0.15:
        asked = f"{ended(asked)} {_small_talk(rng, _CLOSERS)}"
    return asked


def joined(rng: Random, questions: list[str]) -> str:
    """Several questions in one turn."""
    whole = ended(questions[0])
    form = rng.choice(_JOINS)
    for each in map(ended, questions[1:]):
        whole = form.format(whole, each if each[:2] == "I " else each[0].lower() + each[1:])
        form = "{} Also, {}"
    return whole


def ended(sentence: str) -> str:
    """With a full stop where nothing ends it."""
    return sentence if sentence[-1] in ".?!" else f"{sentence}."


def asked_again(rng: Random, mention: Mention) -> str:
    """The last question once more, with another value."""
    return rng.choice(_AGAIN).format(fragment(rng, mention))


def fragment(rng: Random, mention: Mention) -> str:
    phrase = rng.choice(mention.slot.phrases)
    if mention.spoken[0] in "aeiou":
        phrase = phrase.replace(" a {}", " an {}").replace("(a {}", "(an {}")
    return phrase.format(mention.spoken)


def labelled(mention: Mention) -> str:
    if mention.slot.is_flag:
        return mention.spoken
    # "A dozen of" needs a word behind it.
    return f"{_words(mention.path[-1])}: {mention.spoken.removesuffix(' of')}"


def _asked(rng: Random, call: Call) -> str:
    sentence = rng.choice(("", *call.tool.action.sentences))
    places = _places(call)
    if sentence and places is not None:
        return _completed(rng, sentence, places, call)
    ask = rng.choice((rng.choice(call.tool.action.asks), call.tool.wish))
    mentions = list(call.mentions)
    if rng.random() < 0.25:
        rng.shuffle(mentions)
    told = len(mentions)
    if rng.random() < 0.1:
        told = 0
    elif len(mentions) > 3 and rng.random() < 0.6:
        told = rng.randint(2, 3)
    head = _phrased(rng, ask, _inline(rng, mentions[:told]))
    rest = rng.choice((", ", "; ")).join(labelled(each) for each in mentions[told:])
    if not rest:
        return head
    return f"{ended(head)} {rest[0].upper()}{rest[1:]}."


def _places(call: Call) -> list[Mention] | None:
    """What is mentioned of the core slots, in their order; None where the tool lacks one."""
    found = [
        next((each for each in call.mentions if _is_one_of(each.slot, slots)), None)
        for slots in call.tool.action.core
    ]
    places = [each for each in found if each is not None]
    return places if len(places) == len(found) else None


def _is_one_of(slot: Slot, slots: Slots) -> bool:
    """Its allowed values may be spelled in another way."""
    known = [(each.names, each.phrases) for each in alternatives(slots)]
    return (slot.names, slot.phrases) in known


def _completed(rng: Random, sentence: str, places: list[Mention], call: Call) -> str:
    """The sentence with its wordings, and what else is to be told."""
    # People do not write "3x + -2".
    asked = sentence.format(*(each.spoken for each in places)).replace("+ -", "- ")
    asked = asked[0].upper() + asked[1:]
    rest = [each for each in call.mentions if each not in places]
    if not rest:
        return asked
    if len(rest) <= 2 and rng.random() < 0.8:
        return f"{asked[:-1]}{_inline(rng, rest)}{asked[-1]}"
    told = rng.choice((", ", "; ", ". ")).join(labelled(each) for each in rest)
    return f"{asked} {told[0].upper()}{told[1:]}."


def _inline(rng: Random, mentions: list[Mention]) -> str:
    told = ""
    for each in mentions:
        told += ", " if each.slot.is_flag else " "
        told += fragment(rng, each)
    return told


def _phrased(rng: Random, ask: str, told: str) -> str:
    first = ask.split()[0]
    if first in _QUESTION_WORDS:
        sentence = f"{ask}{told}?"
    elif first.lower() in _STATEMENT_WORDS:
        sentence = f"{ask}{told}."
    else:
        sentence = rng.choice(_COMMANDS).format(ask + told)
    return sentence[0].upper() + sentence[1:]


def _small_talk(rng: Random, forms: tuple[str, ...]) -> str:
    return rng.choice(forms).format(
        name=rng.choice(FIRST_NAMES), city=rng.choice(CITIES), number=rng.randint(2, 90)
    )


def _words(name: str) -> str:
    """`maxPrice` and `max_price` as words."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced.replace("_", " ")
