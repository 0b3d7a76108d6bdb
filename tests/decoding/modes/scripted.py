"""Scripted engines whose drafts are sometimes right, and strategies over modes and requests."""

from hypothesis import strategies as st

from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    CombinedDrafter,
    Curve,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    ForwardCost,
    Grammar,
    LookupDrafter,
    NgramDrafter,
    NgramTable,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.ngrams import Continuation
from decoding.testing import ScriptedHead, ScriptedNetwork
from tests.decoding.branching import Sure
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
VOCAB = 288  # wider than the tokenizer, as padded checkpoints are
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
}
JSON = Grammar.json_schema(SCHEMA)
PROSE = Grammar.regex(r"[ab][a-d ]*")  # may end anywhere behind its first letter
TABLE = NgramTable(
    {(0, token): Continuation((token * 7) % 256, 1 + token % 5) for token in range(256)}
)
COST = ForwardCost(Curve((1, 9), (1.0, 1.8)))
FORCED = Grammar.json_schema({"const": {"name": "forced", "list": [1, 2, 3]}})


def scripted_engine(
    *,
    skill: float = 0.8,
    seed: int = 0,
    cost: ForwardCost = COST,
    table: NgramTable | None = TABLE,
    head_skill: float | None = 0.7,
    **limits: int,
) -> Engine:
    network = ScriptedNetwork(
        VOCAB,
        max_positions=limits.pop("max_positions", 400),
        mask_token_id=TOKENIZER.mask_token_id,
        has_adapter=True,
        skill=skill,
        seed=seed,
    )
    network.ngrams = table
    if head_skill is not None:
        network.draft_head = ScriptedHead(
            VOCAB, never=TOKENIZER.mask_token_id, seed=seed, skill=head_skill
        )
    return Engine(network, TOKENIZER, forward_cost=cost, **{"cache_tokens": 2048, **limits})


block_lengths = st.sampled_from([1, 2, 3, 8, 16, 32])
drafters = st.one_of(
    st.none(),
    st.builds(
        DiffusionDrafter,
        adapter=st.sampled_from([None, True, False]),
        hints=st.sampled_from([None, LookupDrafter(min_match=1)]),
    ),
    st.builds(LookupDrafter, max_match=st.integers(2, 4), min_match=st.integers(1, 2)),
    st.just(NgramDrafter(TABLE)),
    st.builds(CombinedDrafter, enough=st.integers(1, 3)),
    st.just(Sure(DiffusionDrafter())),
)
speculations = st.builds(
    SelfSpeculation,
    block_length=block_lengths,
    drafter=drafters,
    draft_threshold=st.sampled_from([0.0, 0.0, 0.3]),
    side_guesses=st.sampled_from([0, 0, 1, 6, 20]),
)
lossless_modes: st.SearchStrategy[DecodeMode] = st.one_of(
    st.just(Autoregressive()),
    speculations,
    st.just(Auto()),
    st.builds(Auto, free=speculations),
)
diffusions = st.builds(
    BlockDiffusion,
    block_length=block_lengths,
    threshold=st.sampled_from([None, 0.05, 0.3, 0.9]),
    max_denoise_steps=st.sampled_from([None, 1, 2, 5]),
    adapter=st.booleans(),
)
all_modes = st.one_of(lossless_modes, diffusions, st.builds(Auto, free=diffusions))
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 5]),
    top_p=st.sampled_from([1.0, 0.8]),
    seed=st.integers(0, 5),
)
prompts = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@st.composite
def requests(draw: st.DrawFn, modes: st.SearchStrategy[DecodeMode]) -> Request:
    """Requests of every kind; where one is to be closed, its budget suffices."""
    mode, sampling, prompt = draw(modes), draw(samplings), draw(prompts)
    if draw(st.integers(0, 4)) == 0:
        return Request(
            prompt,
            mode=mode,
            sampling=sampling,
            grammar=draw(st.sampled_from([JSON, PROSE])),
            max_new_tokens=draw(st.integers(35, 45)),
            close_at_budget=True,
        )
    return Request(
        prompt,
        mode=mode,
        sampling=sampling,
        grammar=draw(st.sampled_from([None, JSON, PROSE, FORCED])),
        max_new_tokens=draw(st.integers(1, 40)),
        stop=draw(st.sampled_from([(), ("a",), ("0", "~z")])),
    )
