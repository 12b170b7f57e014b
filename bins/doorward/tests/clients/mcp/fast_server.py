"""A FastMCP server of both eras. argv: the port. Prints its URL, and ends with its input."""

import json
import os
import sys
import threading

from fastmcp import FastMCP

server = FastMCP("fast")


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.prompt
def review(text: str) -> str:
    """Asks for a review."""
    return f"Please review: {text}"


@server.resource("fast://about")
def about() -> str:
    """What this is."""
    return "A server for tests."


def end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{sys.argv[1]}/mcp"}), flush=True)
server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="error")
