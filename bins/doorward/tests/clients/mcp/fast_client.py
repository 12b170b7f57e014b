"""fastmcp's client. argv: auto, legacy, or a version to insist on. See plan.mjs."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def attempt(done, what, work):
    """What fails is told, and the next step goes on."""
    try:
        return await work
    except Exception as error:
        done["errors"].append(f"{what}: {error}".split("\n")[0])
        return None


async def main():
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    transport = StreamableHttpTransport(os.environ["URL"], headers=headers)
    async with Client(transport, mode=sys.argv[1]) as client:
        done = {"texts": {}, "errors": []}
        lists = [
            ("tools", client.list_tools, "name"),
            ("prompts", client.list_prompts, "name"),
            ("resources", client.list_resources, "uri"),
        ]
        for field, all_of, key in lists:
            entries = await attempt(done, field, all_of())
            done[field] = sorted(str(getattr(entry, key)) for entry in entries or [])
        for step in json.loads(os.environ["PLAN"]):
            name = step["name"]
            result = await attempt(done, name, client.call_tool(name, step["arguments"]))
            if result:
                done["texts"][name] = result.content[0].text
    print(json.dumps(done))


asyncio.run(main())
