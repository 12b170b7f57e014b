"""One streamed and one whole turn of the Anthropic SDK, tools and usage included.

Environment: BASE (the gateway), KEY, MODEL. Prints one JSON line.
"""
import json
import os

from anthropic import Anthropic

client = Anthropic(base_url=os.environ["BASE"], api_key=os.environ["KEY"])
ask = {
    "model": os.environ["MODEL"],
    "max_tokens": 256,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "call both tools"}],
    "tools": [
        {"name": name, "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}
        for name in ("first", "second")
    ],
}


def told(message):
    return {
        "calls": [[b.name, b.input] for b in message.content if b.type == "tool_use"],
        "text": "".join(b.text for b in message.content if b.type == "text"),
        "finish": message.stop_reason,
        "tokens": message.usage.input_tokens + message.usage.output_tokens,
    }


whole = client.messages.create(**ask)
with client.messages.stream(**ask) as stream:
    deltas = sum(1 for _ in stream.text_stream)
    streamed = stream.get_final_message()

print(
    json.dumps(
        {
            "models": [m.id for m in client.models.list()],
            "whole": told(whole),
            "stream": told(streamed) | {"deltas": deltas},
        }
    )
)
