"""Names of spans and attributes, all in one place, since those of others still change.

`gen_ai.*` and `error.type`: OpenTelemetry semantic conventions for generative AI, status
"development" (gen-ai-spans, gen-ai-agent-spans, execute-tool). `agentkit.*`: our own, for what
the conventions have no name for.
"""

INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
OUTPUT_TYPE = "gen_ai.output.type"

REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_STREAM = "gen_ai.request.stream"

RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"

TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_CALL_ID = "gen_ai.tool.call.id"

# Content, only where it is asked for.
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"

ERROR_TYPE = "error.type"

RUN_ID = "agentkit.run.id"
RUN_TURNS = "agentkit.run.turns"
RUN_TOOL_CALLS = "agentkit.run.tool_calls"
CANCELLED = "agentkit.cancelled"
PAUSED = "agentkit.paused"

DECODING_MODES = "agentkit.decoding.modes"
DECODING_FORWARDS = "agentkit.decoding.forwards"
DECODING_PREFILL_FORWARDS = "agentkit.decoding.prefill_forwards"
DECODING_TOKENS_PER_FORWARD = "agentkit.decoding.tokens_per_forward"
DECODING_FORCED_TOKENS = "agentkit.decoding.forced_tokens"
DECODING_DRAFTED_TOKENS = "agentkit.decoding.drafted_tokens"
DECODING_ACCEPTED_TOKENS = "agentkit.decoding.accepted_tokens"
DECODING_CANDIDATES = "agentkit.decoding.candidates"
DECODING_CHOSEN_CANDIDATE = "agentkit.decoding.chosen_candidate"


def tokens_in_mode(mode: str) -> str:
    """The attribute that counts the tokens decoded in `mode`."""
    return f"{DECODING_MODES}.{mode}.tokens"
