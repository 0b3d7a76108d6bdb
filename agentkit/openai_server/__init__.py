"""A model behind the OpenAI protocol of chat completions, for any client of it.

    app = create_app(LocalModel("smollm2-135m"))     # an ASGI app, for any server of those
    await serve(model, port=8000)                    # the same on uvicorn

Needs the extra `serve`.
"""

try:
    import starlette as _starlette  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "agentkit.openai_server needs the package starlette: pip install 'trimode[serve]'"
    ) from error

from agentkit.openai_server.app import create_app
from agentkit.openai_server.serving import serve

__all__ = ["create_app", "serve"]
