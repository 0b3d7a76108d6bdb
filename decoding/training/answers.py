"""The model's own answers: made by the engine, kept as one JSON object per line."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from decoding.engine import Engine
from decoding.record import Origin
from decoding.request import Failed, Finished, Request
from decoding.sampling import Sampling
from decoding.training.tasks import Kind, Task, seed_of


@dataclass(frozen=True, slots=True)
class Answer:
    """One prompt and what the model wrote behind it, as token ids.

    `forced` has one letter per token of the answer: "1" where the grammar left no choice. Such
    tokens are never drafted.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    forced: str
    source: str
    kind: Kind
    temperature: float = 0.0

    @property
    def text(self) -> tuple[int, ...]:
        """Prompt and answer."""
        return self.prompt + self.tokens

    def to_json(self) -> str:
        values = {
            "source": self.source,
            "kind": self.kind.value,
            "temperature": self.temperature,
            "prompt": self.prompt,
            "tokens": self.tokens,
            "forced": self.forced,
        }
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "Answer":
        """Raises `ValueError` for a line that `to_json` did not write."""
        try:
            values = json.loads(line)
            answer = cls(
                tuple(values["prompt"]),
                tuple(values["tokens"]),
                values["forced"],
                values["source"],
                Kind(values["kind"]),
                float(values["temperature"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not an answer: {line[:80]!r}") from error
        if len(answer.forced) != len(answer.tokens) or not answer.tokens:
            raise ValueError(f"an answer whose tokens and marks differ in number: {line[:80]!r}")
        return answer


def read_answers(file: Path) -> list[Answer]:
    """All answers of a file. A last line that was cut off is left out.

    Raises `ValueError` naming the line for any other line that is no answer.
    """
    lines = file.read_text(encoding="utf-8").split("\n")
    answers = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            answers.append(Answer.from_json(line))
        except ValueError as error:
            raise ValueError(f"{file.name}, line {number}: {error}") from None
    return answers


def begun_answers(file: Path) -> list[Answer]:
    """As `read_answers`, of a file that is to be appended to: a last line that was cut off is taken
    out of it."""
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)
    return read_answers(file)


Answered = Mapping[tuple[int, ...], int]
"""How many answers of each prompt there are already."""
NOTHING: Answered = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Generation:
    """How answers are made. Each task is answered `samples` times; `temperatures` are taken in
    turn, answer by answer. `at_once` is how many are decoded together."""

    max_new_tokens: int = 160
    max_prompt_tokens: int = 640
    temperatures: tuple[float, ...] = (0.0, 0.0, 0.7)
    samples: int = 1
    at_once: int = 48
    seed: int = 0


def generate(
    engine: Engine,
    tasks: Iterable[Task],
    how: Generation,
    answered: Answered = NOTHING,
) -> Iterator[Answer]:
    """Answers in the order in which they are finished.

    Tasks with too long a prompt are left out, and so are those that fail under their grammar and
    as many answers of each prompt as are `answered`.
    """
    waiting = iter(_requests(engine, tasks, how, answered))
    asked: dict[int, tuple[Task, float]] = {}
    more = True
    while more or asked:
        while more and len(asked) < how.at_once:
            following = next(waiting, None)
            if following is None:
                more = False
                break
            task, request = following
            asked[engine.add(request)] = (task, request.sampling.temperature)
        for event in engine.step():
            if event.request_id not in asked:
                continue  # somebody else's
            if isinstance(event, Failed):
                del asked[event.request_id]
            elif isinstance(event, Finished):
                task, temperature = asked.pop(event.request_id)
                done = event.completion
                forced = "".join("01"[each.origin is Origin.FORCED] for each in done.records)
                yield Answer(
                    done.prompt_token_ids,
                    done.token_ids,
                    forced,
                    task.source,
                    task.kind,
                    temperature,
                )


def missing(done: Counter[tuple[int, ...]], prompt: tuple[int, ...], samples: int) -> int:
    """How many answers a task still needs; those it has are taken out of `done`."""
    found = min(done[prompt], samples)
    done[prompt] -= found
    return samples - found


def _requests(
    engine: Engine, tasks: Iterable[Task], how: Generation, answered: Answered
) -> Iterator[tuple[Task, Request]]:
    number, done = 0, Counter(answered)
    for task in tasks:
        prompt = engine.tokenizer.encode_chat(task.chat)
        if len(prompt) > how.max_prompt_tokens:
            continue
        wanted = missing(done, tuple(prompt), how.samples)
        number += how.samples - wanted
        for _ in range(wanted):
            temperature = how.temperatures[number % len(how.temperatures)]
            # Which of a prompt's seeds gave the answers there are is not known: no old one again.
            seed = seed_of(seed_of(how.seed, number), answered.get(tuple(prompt), 0))
            sampling = Sampling(temperature=temperature, seed=seed)
            number += 1
            yield (
                task,
                Request(
                    prompt,
                    grammar=task.grammar,
                    sampling=sampling,
                    max_new_tokens=how.max_new_tokens,
                ),
            )
