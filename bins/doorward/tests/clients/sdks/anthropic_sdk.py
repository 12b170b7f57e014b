"""PyPI anthropic."""
import json

from anthropic import Anthropic, BadRequestError
from scenario import (
    BASE, KEY, MODEL, PLAIN, SCENARIO, called, check, counted, distinct, done, equal, refused, result,
    streamed,
)

client = Anthropic(base_url=BASE, api_key=KEY, max_retries=0)
tools = [
    {"name": t["name"], "description": t["description"], "input_schema": t["parameters"]}
    for t in PLAIN["tools"]["offered"]
]


def call(prompt, **more):
    messages = [{"role": "user", "content": prompt}]
    return {
        "model": MODEL, "max_tokens": 256, "system": SCENARIO.system, "messages": messages, **more,
    }


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def answered(first):
    uses = [block for block in first.content if block.type == "tool_use"]
    called([(use.name, use.input) for use in uses])
    distinct([use.id for use in uses])
    equal(first.stop_reason, "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": use.id, "content": result(use.name)} for use in uses
    ]
    asked = call(SCENARIO.tools.prompt, tools=tools)
    asked["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    return asked


@check("text")
def _():
    whole = client.messages.create(**call(SCENARIO.text.prompt))
    equal((text(whole), whole.stop_reason), (SCENARIO.text.answer, "end_turn"))
    counted(whole.usage.input_tokens, whole.usage.output_tokens)


@check("stream")
def _():
    with client.messages.stream(**call(SCENARIO.text.prompt)) as stream:
        streamed(list(stream.text_stream), SCENARIO.text.answer)
        whole = stream.get_final_message()
    equal(whole.stop_reason, "end_turn")
    counted(whole.usage.input_tokens, whole.usage.output_tokens)


@check("tools")
def _():
    first = client.messages.create(**call(SCENARIO.tools.prompt, tools=tools))
    equal(text(client.messages.create(**answered(first))), SCENARIO.tools.answer)


@check("stream-tools")
def _():
    with client.messages.stream(**call(SCENARIO.tools.prompt, tools=tools)) as stream:
        first = stream.get_final_message()
    with client.messages.stream(**answered(first)) as stream:
        equal(stream.get_final_text(), SCENARIO.tools.answer)


@check("structured")
def _():
    form = {"type": "json_schema", "schema": PLAIN["structured"]["schema"]}
    whole = client.messages.create(
        **call(SCENARIO.structured.prompt), output_config={"format": form}
    )
    equal(json.loads(text(whole)), PLAIN["structured"]["answer"])


@check("count-tokens")
def _():
    asked = call(SCENARIO.text.prompt)
    del asked["max_tokens"]
    assert client.messages.count_tokens(**asked).input_tokens > 0


@check("error")
def _():
    refused(BadRequestError, lambda: client.messages.create(**call(SCENARIO.error.prompt)))


done()
