"""One streamed and one whole turn of the OpenAI SDK, tools and usage included.

Environment: BASE (the gateway), KEY, MODEL. Prints one JSON line.
"""
import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE"] + "/v1", api_key=os.environ["KEY"])
model = os.environ["MODEL"]
tools = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    }
    for name in ("first", "second")
]
ask = {
    "model": model,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "call both tools"},
    ],
    "tools": tools,
}

whole = client.chat.completions.create(**ask)
calls: dict[int, dict[str, str]] = {}
usage = None
finish = None
text = ""
for chunk in client.chat.completions.create(
    **ask, stream=True, stream_options={"include_usage": True}
):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        finish = choice.finish_reason or finish
        text += choice.delta.content or ""
        for call in choice.delta.tool_calls or []:
            entry = calls.setdefault(call.index, {"name": "", "arguments": ""})
            entry["name"] += call.function.name or ""
            entry["arguments"] += call.function.arguments or ""

print(
    json.dumps(
        {
            "models": [m.id for m in client.models.list()],
            "whole": {
                "calls": [
                    [c.function.name, json.loads(c.function.arguments)]
                    for c in whole.choices[0].message.tool_calls
                ],
                "finish": whole.choices[0].finish_reason,
                "tokens": whole.usage.total_tokens,
            },
            "stream": {
                "calls": [[c["name"], json.loads(c["arguments"])] for _, c in sorted(calls.items())],
                "finish": finish,
                "text": text,
                "tokens": usage.total_tokens,
            },
        }
    )
)
