"""`python -m examples.web_chat` serves the chat with uvicorn, on asyncio; `... trio` with
hypercorn, on trio."""

import sys
from typing import Any, cast

import hypercorn
import hypercorn.trio
import trio
import uvicorn

from agentkit.models import LocalModel
from examples.web_chat.app import create_app

HOST, PORT = "127.0.0.1", 8000


def main() -> None:
    app = create_app(LocalModel("smollm2-135m"))
    if sys.argv[1:] == ["trio"]:
        config = hypercorn.Config()
        config.bind = [f"{HOST}:{PORT}"]
        trio.run(hypercorn.trio.serve, cast(Any, app), config)
    else:
        uvicorn.run(app, host=HOST, port=PORT)


if __name__ == "__main__":
    main()
