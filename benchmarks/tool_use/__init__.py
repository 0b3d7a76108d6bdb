"""How well a model calls tools, by the form it is asked in: `python -m benchmarks.tool_use`."""
