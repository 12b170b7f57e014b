"""The Python SDK's client. argv: auto, legacy, or a version to insist on. See plan.mjs."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def whole(page, field, key):
    entries, cursor = [], None
    while True:
        part = await page(cursor=cursor)
        entries += [str(getattr(entry, key)) for entry in getattr(part, field)]
        cursor = part.next_cursor
        if cursor is None:
            return sorted(entries)


async def attempt(done, what, work):
    """What fails is told, and the next step goes on."""
    try:
        return await work
    except Exception as error:
        done["errors"].append(f"{what}: {error}".split("\n")[0])
        return None


async def main():
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    # A listening request is open as long as the client is.
    timeout = httpx2.Timeout(30, read=300)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout) as http:
        transport = streamable_http_client(os.environ["URL"], http_client=http)
        async with Client(transport, mode=sys.argv[1]) as client:
            done = {"texts": {}, "errors": []}
            lists = [
                ("tools", client.list_tools, "name"),
                ("prompts", client.list_prompts, "name"),
                ("resources", client.list_resources, "uri"),
            ]
            for field, page, key in lists:
                done[field] = await attempt(done, field, whole(page, field, key))
            for step in json.loads(os.environ["PLAN"]):
                name = step["name"]
                result = await attempt(done, name, client.call_tool(name, step["arguments"]))
                if result:
                    done["texts"][name] = result.content[0].text
    print(json.dumps(done))


asyncio.run(main())
