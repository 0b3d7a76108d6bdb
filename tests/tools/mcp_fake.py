"""A small MCP server without any package, which misbehaves when asked to. It speaks the protocol
of 2025-06-18 over its standard streams and writes what it receives into the file of `--log`."""

import argparse
import json
import os
import sys
from typing import Any

OBJECT = {"type": "object", "properties": {}}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "add",
        "description": "Adds two numbers.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
    {"name": "answer.as told", "title": "Gives a result.", "inputSchema": OBJECT},
    {
        "name": "typed",
        "inputSchema": OBJECT,
        "outputSchema": {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
        },
    },
    {"name": "hang", "inputSchema": OBJECT},
    {"name": "die", "inputSchema": OBJECT},
    {"name": "refuse", "inputSchema": OBJECT},
]
ODD = [
    {"name": "9lives", "inputSchema": OBJECT},
    {"name": "broken", "inputSchema": {**OBJECT, "properties": {"a": {"$ref": "#/$defs/no"}}}},
    {"name": "a/b", "inputSchema": OBJECT},
    {"name": "a.b", "inputSchema": OBJECT},
]
UNIQUE = {
    "name": "unique",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {}, "uniqueItems": True}},
    },
}


def answer(method: str, params: dict[str, Any], tools: list[dict[str, Any]]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }
        case "tools/list":
            start = int(params.get("cursor", 0))
            more = {"nextCursor": str(start + 2)} if start + 2 < len(tools) else {}
            return {"tools": tools[start : start + 2], **more}
        case "tools/call":
            return called(params["name"], params.get("arguments") or {})
        case _:
            raise LookupError(method)


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    match name:
        case "add":
            return {"content": [{"type": "text", "text": str(arguments["a"] + arguments["b"])}]}
        case "answer.as told" | "typed":
            return dict(arguments["result"])
        case "die":
            os._exit(3)
        case _:
            raise LookupError(f"no such tool: {name}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--start", choices=["well", "mute", "exit", "garbage"], default="well")
    parser.add_argument("--odd", action="store_true")
    parser.add_argument("--unique", action="store_true")
    options = parser.parse_args()
    tools = TOOLS + ODD * options.odd + [UNIQUE] * options.unique
    if options.start == "exit":
        sys.exit("cannot start")
    if options.start == "garbage":
        print("hello, I am no MCP server", flush=True)
    for line in sys.stdin:
        if options.log:
            with open(options.log, "a") as log:
                log.write(line)
        message = json.loads(line)
        if options.start in ("mute", "garbage") or "id" not in message:
            continue
        if message.get("params", {}).get("name") == "hang":
            continue
        head = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            result = answer(message["method"], message.get("params", {}), tools)
        except LookupError as error:
            reply = {**head, "error": {"code": -32601, "message": str(error)}}
        else:
            reply = {**head, "result": result}
        print(json.dumps(reply), flush=True)


main()
