"""What synthetic tasks of tool calling are composed of; `tool_tasks` composes them."""
