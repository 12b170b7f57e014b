"""fastmcp's client. argv: auto, legacy, or a version to insist on. See plan.mjs."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def main():
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    transport = StreamableHttpTransport(os.environ["URL"], headers=headers)
    async with Client(transport, mode=sys.argv[1]) as client:
        done = {
            "tools": sorted(tool.name for tool in await client.list_tools()),
            "prompts": sorted(prompt.name for prompt in await client.list_prompts()),
            "resources": sorted(str(resource.uri) for resource in await client.list_resources()),
            "texts": {},
        }
        for step in json.loads(os.environ["PLAN"]):
            result = await client.call_tool(step["name"], step["arguments"])
            done["texts"][step["name"]] = result.content[0].text
    print(json.dumps(done))


asyncio.run(main())
