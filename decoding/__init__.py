"""A tri-mode decoder: one set of weights, one cache, and a grammar wherever it is wanted.

`Engine` is the synchronous core, `AsyncEngine` the same for asyncio and trio. A `Request`
names its decoding mode, its `Grammar` and its `Sampling`; a `Completion` comes back.
"""

from decoding.async_engine import AsyncEngine, EventStream
from decoding.engine import Engine, Profile
from decoding.engine_stats import EngineStats
from decoding.errors import (
    BudgetTooSmall,
    CacheExhausted,
    ContextOverflow,
    DecodingError,
    EngineClosed,
    GrammarDeadEnd,
    GrammarError,
    NotFinite,
    QueueFull,
    UnsupportedMode,
    WeightsError,
)
from decoding.grammar import Grammar, Matcher
from decoding.modes import (
    Auto,
    Autoregressive,
    Block,
    BlockDiffusion,
    ConfidenceThreshold,
    Decodable,
    DecodeMode,
    Fastest,
    FixedSchedule,
    Preview,
    RevealPolicy,
    SelfSpeculation,
    Step,
)
from decoding.modes.draft import Candidate, Draft, Guess, SideDraft, empty_draft, extend_draft
from decoding.modes.drafters import (
    CombinedDrafter,
    DiffusionDrafter,
    Drafter,
    Drafting,
    HeadDrafter,
    LookupDrafter,
    NgramDrafter,
)
from decoding.modes.trained_sampler import TrainedSampler
from decoding.ngrams import NgramTable
from decoding.pace import Curve, ForwardCost, Guesser, KeptCost, Outlook, PaceStats, calibrate
from decoding.record import ForwardRecord, Origin, Region, Stats, TokenRecord
from decoding.request import (
    ChatMessage,
    Committed,
    Completion,
    DeadlineExceeded,
    Event,
    Failed,
    Finished,
    FinishReason,
    Prompt,
    Request,
)
from decoding.sampling import Sampling
from decoding.span import MASK, Attention, Pick, Purpose, Ranking, Scores, Span
from decoding.tokenizer import Tokenizer
from decoding.weights import Progress

__all__ = [
    "MASK",
    "AsyncEngine",
    "Attention",
    "Auto",
    "Autoregressive",
    "Block",
    "BlockDiffusion",
    "BudgetTooSmall",
    "CacheExhausted",
    "Candidate",
    "ChatMessage",
    "CombinedDrafter",
    "Committed",
    "Completion",
    "ConfidenceThreshold",
    "ContextOverflow",
    "Curve",
    "DeadlineExceeded",
    "Decodable",
    "DecodeMode",
    "DecodingError",
    "DiffusionDrafter",
    "Draft",
    "Drafter",
    "Drafting",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "Event",
    "EventStream",
    "Failed",
    "Fastest",
    "FinishReason",
    "Finished",
    "FixedSchedule",
    "ForwardCost",
    "ForwardRecord",
    "Grammar",
    "GrammarDeadEnd",
    "GrammarError",
    "Guess",
    "Guesser",
    "HeadDrafter",
    "KeptCost",
    "LookupDrafter",
    "Matcher",
    "NgramDrafter",
    "NgramTable",
    "NotFinite",
    "Origin",
    "Outlook",
    "PaceStats",
    "Pick",
    "Preview",
    "Profile",
    "Progress",
    "Prompt",
    "Purpose",
    "QueueFull",
    "Ranking",
    "Region",
    "Request",
    "RevealPolicy",
    "Sampling",
    "Scores",
    "SelfSpeculation",
    "SideDraft",
    "Span",
    "Stats",
    "Step",
    "TokenRecord",
    "Tokenizer",
    "TrainedSampler",
    "UnsupportedMode",
    "WeightsError",
    "calibrate",
    "empty_draft",
    "extend_draft",
]
