"""A run as one HTML page that needs nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agentkit.decoding_trace import DecodingTrace, ForwardPurpose, TokenOrigin, TokenTrace
from agentkit.trace.blocks import Blocks
from agentkit.trace.numbers import Number, Numbers
from agentkit.trace.pieces import Piece, PieceKind, pieces, spelt
from agentkit.trace.records import CallTrace, Ending, RunTrace, TurnTrace
from agentkit.trace.timeline import (
    WITHOUT_CHOICE,
    Timeline,
    call_state,
    forward_key,
    timeline,
    turn_name,
)
from agentkit.trace.words import ENDINGS, ORIGINS, PURPOSES, REGIONS, WITHOUT_TEXT, counted, seconds

_GENERATOR = "agentkit trace"


_COLUMNS = {
    "model-seconds": "Model",
    "tool-seconds": "Tools",
    "tokens": "Tokens",
    "forwards": "Forwards",
    "tokens-per-forward": "Per forward",
    "drafted": "Drafted",
    "accepted": "Accepted",
    "acceptance": "Acceptance",
    "copied": "Copied",
    "forced": "Forced",
    "mask": "Masks",
    "prompt": "Prompt",
    "cached": "Cached",
}
"""What the table of turns shows: a number's key and the head of its column."""


@dataclass(frozen=True, slots=True)
class _Token:
    """`key` is the forward that chose it, `block` what that forward belongs to."""

    name: str
    key: str
    block: str
    origin: TokenOrigin
    step: int
    pieces: tuple[Piece, ...]
    about: str


@dataclass(frozen=True, slots=True)
class _Turn:
    name: str
    title: str
    summary: str
    tokens: tuple[_Token, ...]
    text: tuple[Piece, ...]
    calls: tuple["_Call", ...]
    row: tuple[str, ...]
    is_broken_off: bool
    retry: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: tuple[Piece, ...]
    result: tuple[Piece, ...]
    state: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class _Origin:
    origin: TokenOrigin
    name: str
    meaning: str
    count: int | None


@dataclass(frozen=True, slots=True)
class _Page:
    generator: str
    title: str
    headline: str
    prompt: tuple[Piece, ...]
    model: tuple[Piece, ...]
    ending: Ending
    ending_words: str
    reason: tuple[Piece, ...]
    timeline: Timeline
    turns: tuple[_Turn, ...]
    origins: tuple[_Origin, ...]
    origins_note: str
    purposes: tuple[tuple[ForwardPurpose, str, str], ...]
    numbers: tuple[Number, ...]
    columns: tuple[str, ...]


def render(trace: RunTrace) -> str:
    """The page. Whatever the run's texts hold is shown, and does nothing."""
    template = _environment().get_template("page.html")
    return template.render(
        page=_page(trace),
        kinds=PieceKind,
        riders=WITHOUT_CHOICE,
        style=_part("style.css"),
        script=_part("highlight.js"),
    )


def is_page(beginning: str) -> bool:
    """Whether a file that begins like this is such a page."""
    return f'<meta name="generator" content="{_GENERATOR}">' in beginning


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("agentkit.trace"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _part(name: str) -> Markup:
    """A part of the page that is our own and not to be escaped."""
    return Markup(resources.files("agentkit.trace").joinpath("templates", name).read_text("utf-8"))


def _page(trace: RunTrace) -> _Page:
    numbers = Numbers.of(trace.turns)
    layout = timeline(trace)
    is_recorded = numbers.recorded.told.known > 0
    used = {bar.purpose for bar in layout.forwards}
    return _Page(
        generator=_GENERATOR,
        title=_title(trace.prompt),
        headline=_headline(trace, numbers),
        prompt=pieces(trace.prompt),
        model=pieces(trace.model),
        ending=trace.ending,
        ending_words=f"{ENDINGS[trace.ending]} after {seconds(trace.seconds)}",
        reason=pieces(trace.reason),
        timeline=layout,
        turns=tuple(_turn(turn) for turn in trace.turns),
        origins=tuple(
            _Origin(origin, name, meaning, numbers.origins[origin] if is_recorded else None)
            for origin, (name, meaning) in ORIGINS.items()
        ),
        origins_note=numbers.recorded.told.note(),
        purposes=tuple(
            (purpose, name, does) for purpose, (name, does) in PURPOSES.items() if purpose in used
        ),
        numbers=numbers.listed(),
        columns=tuple(_COLUMNS.values()),
    )


def _title(prompt: str) -> str:
    shown = "".join(
        piece.text if piece.kind is PieceKind.TEXT else " " for piece in pieces(prompt[:60])
    )
    return " ".join(shown.split())


def _headline(trace: RunTrace, numbers: Numbers) -> str:
    stats = numbers.paced.stats
    if stats.new_tokens and stats.forwards:
        tokens, forwards = counted(stats.new_tokens, "token"), counted(stats.forwards, "forward")
        per_forward = f"{stats.tokens_per_forward:.2f} per forward"
        return f"{tokens} in {forwards}, {numbers.paced.told.note(per_forward)}"
    return f"{counted(len(trace.turns), 'turn')} in {seconds(trace.seconds)}"


def _turn(turn: TurnTrace) -> _Turn:
    numbers = Numbers.of([turn])
    return _Turn(
        name=f"turn-{turn.index}",
        title=turn_name(turn),
        summary=_summary(turn, numbers),
        tokens=() if turn.decoding is None else tuple(_tokens(turn.index, turn.decoding)),
        text=pieces(turn.text),
        calls=tuple(_call(turn, call) for call in turn.calls),
        row=_row(numbers.listed()),
        is_broken_off=turn.answered is None,
        retry=pieces(turn.retry),
    )


def _row(numbers: tuple[Number, ...]) -> tuple[str, ...]:
    values = {number.key: number.value for number in numbers}
    return tuple(values[key] for key in _COLUMNS)


def _summary(turn: TurnTrace, numbers: Numbers) -> str:
    tokens, paced, read = numbers.written.stats.new_tokens, numbers.paced.stats, numbers.read.stats
    parts = [seconds(turn.ended - turn.started)]
    if tokens:
        parts.append(counted(tokens, "token"))
    if paced.forwards:
        parts.append(counted(paced.forwards, "forward"))
        parts.append(f"{paced.tokens_per_forward:.2f} tokens per forward")
    if read.prompt_tokens:
        prompt = counted(read.prompt_tokens, "prompt token")
        parts.append(f"{read.cached_prompt_tokens:,} of {prompt} cached")
    return " · ".join(parts)


def _tokens(turn: int, decoding: DecodingTrace) -> Iterator[_Token]:
    blocks = Blocks.of(decoding)
    for index, (token, maker) in enumerate(zip(decoding.tokens, blocks.makers, strict=True)):
        step = token.denoise_step if token.origin is TokenOrigin.DENOISED else 0
        yield _Token(
            name=f"token-{turn}-{index}",
            key=forward_key(turn, maker),
            block=forward_key(turn, blocks.block_of[maker] if maker >= 0 else -1),
            origin=token.origin,
            step=step,
            pieces=pieces(token.text),
            about=_about(index, token, maker),
        )


def _about(index: int, token: TokenTrace, maker: int) -> str:
    name, meaning = ORIGINS[token.origin]
    if token.origin is TokenOrigin.DENOISED:
        name, meaning = f"denoised in step {token.denoise_step}", "uncovered inside a block"
    source = f"by forward {maker + 1}" if maker >= 0 else "before any forward"
    where = f"{spelt(token.mode)}, {REGIONS[token.region]}, {source}"
    about = f"Token {index + 1}, {name}: {meaning}. {where}."
    return about if token.text else f"{about} {WITHOUT_TEXT}"


def _call(turn: TurnTrace, call: CallTrace) -> _Call:
    end = turn.ended if call.ended is None else call.ended
    return _Call(
        name=spelt(call.name),
        arguments=pieces(call.arguments),
        result=pieces(call.result or ""),
        state=f"{call_state(call)}, {seconds(end - call.started)}",
        is_good=call.result is not None and not call.is_error,
    )
