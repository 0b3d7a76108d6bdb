"""A tri-mode decoder: one set of weights, one cache, and a grammar wherever it is wanted.

`Engine` is the synchronous core, `AsyncEngine` the same for asyncio and trio. A `Request`
names its decoding mode, its `Grammar` and its `Sampling`; a `Completion` comes back.
"""

from decoding.async_engine import AsyncEngine, EventStream
from decoding.engine import Engine, EngineStats, Profile
from decoding.errors import (
    CacheExhausted,
    ContextOverflow,
    DecodingError,
    EngineClosed,
    GrammarDeadEnd,
    GrammarError,
    UnsupportedMode,
    WeightsError,
)
from decoding.grammar import Grammar, Matcher
from decoding.modes import Autoregressive, Decodable, DecodeMode, Step
from decoding.request import (
    ChatMessage,
    Committed,
    Completion,
    Event,
    Failed,
    Finished,
    Origin,
    Prompt,
    Request,
    Stats,
)
from decoding.sampling import Sampling
from decoding.span import Attention, Pick, Scores, Span
from decoding.tokenizer import Tokenizer
from decoding.weights import Progress

__all__ = [
    "AsyncEngine",
    "Attention",
    "Autoregressive",
    "CacheExhausted",
    "ChatMessage",
    "Committed",
    "Completion",
    "ContextOverflow",
    "Decodable",
    "DecodeMode",
    "DecodingError",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "Event",
    "EventStream",
    "Failed",
    "Finished",
    "Grammar",
    "GrammarDeadEnd",
    "GrammarError",
    "Matcher",
    "Origin",
    "Pick",
    "Profile",
    "Progress",
    "Prompt",
    "Request",
    "Sampling",
    "Scores",
    "Span",
    "Stats",
    "Step",
    "Tokenizer",
    "UnsupportedMode",
    "WeightsError",
]
