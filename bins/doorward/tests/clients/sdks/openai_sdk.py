"""PyPI openai: Chat Completions, Responses, embeddings."""
import json

from openai import BadRequestError, OpenAI
from scenario import (
    BASE, EMBED, KEY, MODEL, PLAIN, SCENARIO, called, check, counted, distinct, done, equal, refused,
    result, streamed,
)

client = OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0)
functions = [{"type": "function", "function": tool} for tool in PLAIN["tools"]["offered"]]
items = [{"type": "function", "strict": True, **tool} for tool in PLAIN["tools"]["offered"]]


def chat(prompt, **more):
    messages = [
        {"role": "system", "content": SCENARIO.system},
        {"role": "user", "content": prompt},
    ]
    return {"model": MODEL, "messages": messages, **more}


def response(prompt, **more):
    given = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "instructions": SCENARIO.system, "store": False, "input": given, **more}


@check("text")
def _():
    whole = client.chat.completions.create(**chat(SCENARIO.text.prompt))
    equal(whole.choices[0].message.content, SCENARIO.text.answer)
    equal(whole.choices[0].finish_reason, "stop")
    counted(whole.usage.prompt_tokens, whole.usage.completion_tokens)


@check("stream")
def _():
    pieces, finish, usage = [], None, None
    for chunk in client.chat.completions.create(
        **chat(SCENARIO.text.prompt), stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces += [choice.delta.content] if choice.delta.content else []
            finish = choice.finish_reason or finish
    streamed(pieces, SCENARIO.text.answer)
    equal(finish, "stop")
    counted(usage.prompt_tokens, usage.completion_tokens)


@check("tools")
def _():
    asked = chat(SCENARIO.tools.prompt, tools=functions)
    first = client.chat.completions.create(**asked)
    message = first.choices[0].message
    equal(first.choices[0].finish_reason, "tool_calls")
    called([(c.function.name, c.function.arguments) for c in message.tool_calls])
    distinct([c.id for c in message.tool_calls])
    asked["messages"] += [message] + [
        {"role": "tool", "tool_call_id": c.id, "content": result(c.function.name)}
        for c in message.tool_calls
    ]
    last = client.chat.completions.create(**asked)
    equal(last.choices[0].message.content, SCENARIO.tools.answer)


@check("structured")
def _():
    schema = {"name": SCENARIO.structured.name, "schema": PLAIN["structured"]["schema"]}
    whole = client.chat.completions.create(
        **chat(SCENARIO.structured.prompt),
        response_format={"type": "json_schema", "json_schema": schema | {"strict": True}},
    )
    equal(json.loads(whole.choices[0].message.content), PLAIN["structured"]["answer"])


@check("responses-stream")
def _():
    pieces = []
    with client.responses.stream(**response(SCENARIO.text.prompt)) as stream:
        for event in stream:
            pieces += [event.delta] if event.type == "response.output_text.delta" else []
        whole = stream.get_final_response()
    streamed(pieces, SCENARIO.text.answer)
    equal((whole.output_text, whole.status), (SCENARIO.text.answer, "completed"))
    counted(whole.usage.input_tokens, whole.usage.output_tokens)


@check("responses-tools")
def _():
    asked = response(SCENARIO.tools.prompt, tools=items)
    first = client.responses.create(**asked)
    calls = [item for item in first.output if item.type == "function_call"]
    called([(c.name, c.arguments) for c in calls])
    distinct([c.call_id for c in calls])
    asked["input"] += first.output + [
        {"type": "function_call_output", "call_id": c.call_id, "output": result(c.name)} for c in calls
    ]
    equal(client.responses.create(**asked).output_text, SCENARIO.tools.answer)


@check("responses-structured")
def _():
    form = {"type": "json_schema", "name": "report", "schema": PLAIN["structured"]["schema"]}
    whole = client.responses.create(**response(SCENARIO.structured.prompt, text={"format": form}))
    equal(json.loads(whole.output_text), PLAIN["structured"]["answer"])


@check("embeddings")
def _():
    answer = client.embeddings.create(model=EMBED, input=PLAIN["embeddings"]["inputs"])
    equal([item.embedding for item in answer.data], PLAIN["embeddings"]["vectors"])


@check("error")
def _():
    refused(BadRequestError, lambda: client.chat.completions.create(**chat(SCENARIO.error.prompt)))


done()
