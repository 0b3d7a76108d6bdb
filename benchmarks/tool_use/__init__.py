"""How well a model calls tools, by the form in which it is asked: `python -m benchmarks.tool_use`."""
