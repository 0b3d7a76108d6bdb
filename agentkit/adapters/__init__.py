"""Models of this package as models of other agent frameworks, one module each:

agentkit.adapters.pydantic_ai      PydanticAIModel      extra `pydantic-ai`
agentkit.adapters.openai_agents    OpenAIAgentsModel    extra `openai-agents`
agentkit.adapters.smolagents       SmolagentsModel      extra `smolagents`
"""
