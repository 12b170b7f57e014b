"""PyPI litellm as a client. argv: openai or anthropic, the wire it is to speak."""
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from scenario import (
    BASE, EMBED, KEY, MODEL, PLAIN, SCENARIO, called, check, counted, distinct, done, equal, refused,
    result, streamed,
)

kind = sys.argv[1]
litellm.telemetry = False
litellm.suppress_debug_info = True
functions = [{"type": "function", "function": tool} for tool in PLAIN["tools"]["offered"]]


def call(prompt, **more):
    messages = [
        {"role": "system", "content": SCENARIO.system},
        {"role": "user", "content": prompt},
    ]
    base = BASE + "/v1" if kind == "openai" else BASE
    return {
        "model": f"{kind}/{MODEL}", "api_base": base, "api_key": KEY, "messages": messages,
        "num_retries": 0, "max_retries": 0, "max_tokens": 256, **more,
    }


@check("text")
def _():
    whole = litellm.completion(**call(SCENARIO.text.prompt))
    choice = whole.choices[0]
    equal((choice.message.content, choice.finish_reason), (SCENARIO.text.answer, "stop"))
    counted(whole.usage.prompt_tokens, whole.usage.completion_tokens)


@check("stream")
def _():
    pieces, finish, usage = [], None, None
    stream = call(SCENARIO.text.prompt, stream=True, stream_options={"include_usage": True})
    for chunk in litellm.completion(**stream):
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            pieces += [choice.delta.content] if choice.delta.content else []
            finish = choice.finish_reason or finish
    streamed(pieces, SCENARIO.text.answer)
    equal(finish, "stop")
    counted(usage.prompt_tokens, usage.completion_tokens)


@check("tools")
def _():
    asked = call(SCENARIO.tools.prompt, tools=functions)
    first = litellm.completion(**asked)
    message = first.choices[0].message
    equal(first.choices[0].finish_reason, "tool_calls")
    called([(c.function.name, c.function.arguments) for c in message.tool_calls])
    distinct([c.id for c in message.tool_calls])
    asked["messages"] += [message.model_dump()] + [
        {"role": "tool", "tool_call_id": c.id, "content": result(c.function.name)}
        for c in message.tool_calls
    ]
    equal(litellm.completion(**asked).choices[0].message.content, SCENARIO.tools.answer)


@check("structured")
def _():
    schema = {"name": SCENARIO.structured.name, "schema": PLAIN["structured"]["schema"]}
    whole = litellm.completion(**call(
        SCENARIO.structured.prompt,
        response_format={"type": "json_schema", "json_schema": schema | {"strict": True}},
    ))
    equal(json.loads(whole.choices[0].message.content), PLAIN["structured"]["answer"])


if kind == "openai":

    @check("embeddings")
    def _():
        answer = litellm.embedding(
            model=f"openai/{EMBED}", api_base=BASE + "/v1", api_key=KEY,
            input=PLAIN["embeddings"]["inputs"],
        )
        equal([item["embedding"] for item in answer.data], PLAIN["embeddings"]["vectors"])


@check("error")
def _():
    refused(litellm.BadRequestError, lambda: litellm.completion(**call(SCENARIO.error.prompt)))


done()
