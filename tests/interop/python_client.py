"""The official Python client drives the real binary through a whole life: submit, wait, page, cancel, list.

Every structured answer is validated against the output schema that the server announced.
Usage: python_client.py PATH_TO_BINARY
"""

import asyncio
import csv
import json
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import jsonschema
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500) select i, i * i as square from n"


class Tools:
    """Calls tools and checks each answer against its schema."""

    def __init__(self, client, tools):
        self.client = client
        self.validators = {}
        for tool in tools:
            assert tool.output_schema, f"{tool.name} announces no output schema"
            self.validators[tool.name] = jsonschema.Draft202012Validator(tool.output_schema)

    async def call(self, name, **arguments):
        answer = await self.client.call_tool(name, arguments)
        assert not answer.is_error, f"{name} failed: {answer.content[0].text}"
        self.validators[name].validate(answer.structured_content)
        return answer.structured_content, answer.content[0].text

    async def refused(self, name, **arguments):
        answer = await self.client.call_tool(name, arguments)
        assert answer.is_error, f"{name}({arguments}) should have been refused"
        return answer.content[0].text


async def fast_query_in_one_call(tools):
    answer, text = await tools.call("async_execute_query", sql="select 7 as lucky, null as missing")
    assert answer["status"] == "succeeded" and answer["rows"] == [[7, None]], answer
    assert answer["total_rows"] == 1 and answer["has_more"] is False, answer
    assert [column["name"] for column in answer["columns"]] == ["lucky", "missing"], answer
    assert "lucky,missing" in text and answer["query_id"] in text, text


async def submit_wait_and_page(tools):
    submitted, _ = await tools.call("async_execute_query", sql=NUMBERS, wait_seconds=0)
    query_id = submitted["query_id"]
    status, _ = await tools.call("query_status", query_id=query_id, wait_seconds=20)
    while status["status"] in ("pending", "running"):
        status, _ = await tools.call("query_status", query_id=query_id, version=status["version"], wait_seconds=20)
    assert status["status"] == "succeeded", status
    rows, offset = [], 0
    while True:
        page, text = await tools.call("query_result", query_id=query_id, offset=offset, page_size=700)
        rows += page["rows"]
        offset += len(page["rows"])
        if not page["has_more"]:
            break
        assert f"offset {offset}" in text or f"offset={offset}" in text, text
    assert page["total_rows"] == 2500 and len(rows) == 2500, len(rows)
    assert rows[0] == [1, 1] and rows[-1] == [2500, 6_250_000], (rows[0], rows[-1])


async def until_running(tools, query_id):
    status, _ = await tools.call("query_status", query_id=query_id, wait_seconds=0)
    while status["status"] == "pending":
        status, _ = await tools.call("query_status", query_id=query_id, version=status["version"], wait_seconds=20)
    assert status["status"] == "running", status


async def cancel_an_endless_query(tools):
    submitted, text = await tools.call("async_execute_query", sql=ENDLESS, wait_seconds=0, label="endless")
    query_id = submitted["query_id"]
    assert submitted["status"] in ("pending", "running") and "query_result" in submitted["next"], submitted
    assert query_id in text and "query_result" in text, text
    again, _ = await tools.call("async_execute_query", sql=ENDLESS, wait_seconds=0, label="endless")
    assert again["query_id"] == query_id and again["deduplicated"], again
    started = time.monotonic()
    await until_running(tools, query_id)
    listed, _ = await tools.call("query_list", status="running")
    assert query_id in [query["query_id"] for query in listed["queries"]], listed
    quick, _ = await tools.call("async_execute_query", sql="select 1")
    assert quick["rows"] == [[1]] and time.monotonic() - started < 5, quick
    canceled, _ = await tools.call("query_cancel", query_id=query_id)
    assert canceled["canceled"] is True and canceled["reason"] == "canceled", canceled
    once_more, _ = await tools.call("query_cancel", query_id=query_id)
    assert once_more["canceled"] is True and once_more["reason"] == "already_canceled", once_more
    assert "canceled" in await tools.refused("query_result", query_id=query_id)


async def an_abandoned_wait_leaves_the_query_alone(tools):
    submitted, _ = await tools.call("async_execute_query", sql=ENDLESS + " where i > 0", wait_seconds=0)
    await until_running(tools, submitted["query_id"])
    try:
        arguments = {"query_id": submitted["query_id"], "wait_seconds": 30}
        await tools.client.call_tool("query_result", arguments, read_timeout_seconds=0.5)
        raise AssertionError("the call should have timed out at the client")
    except AssertionError:
        raise
    except Exception as error:  # the client's own time-out has no public type
        assert "imed out" in str(error) or "imeout" in type(error).__name__, error
    status, _ = await tools.call("query_status", query_id=submitted["query_id"], wait_seconds=0)
    assert status["status"] == "running", status
    await tools.call("query_cancel", query_id=submitted["query_id"])


async def a_result_goes_into_a_file(tools):
    submitted, _ = await tools.call("async_execute_query", sql=NUMBERS, wait_seconds=20)
    arguments = {"query_id": submitted["query_id"], "export_format": "csv"}
    answer = await tools.client.call_tool("query_result", arguments)
    assert not answer.is_error, answer.content[0].text
    facts, link = answer.structured_content, answer.content[1]
    tools.validators["query_result"].validate(facts)
    assert facts["export_status"] == "written" and facts["export_rows"] == 2500, facts
    assert link.type == "resource_link" and link.mime_type == "text/csv", link
    assert link.size == facts["export_bytes"], link
    path = urllib.request.url2pathname(urllib.parse.urlparse(str(link.uri)).path)
    assert path == facts["export_path"], (path, facts)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["i", "square"] and len(rows) == 2501 and rows[-1] == ["2500", "6250000"], rows[-1]
    escape = await tools.refused("query_result", query_id=submitted["query_id"], export_file="../x.csv")
    assert "plain file name" in escape, escape


async def results_are_resources(tools):
    submitted, _ = await tools.call("async_execute_query", sql=NUMBERS, wait_seconds=20)
    templates = await tools.client.list_resource_templates()
    assert [template.uri_template for template in templates.resource_templates] == [
        "async-query://results/{query_id}{?offset,limit}"
    ], templates
    uri = f"async-query://results/{submitted['query_id']}"
    listed = {str(resource.uri): resource for resource in (await tools.client.list_resources()).resources}
    assert listed[uri].mime_type == "application/json" and listed[uri].description.startswith("2500 rows"), listed
    rows, uri = [], f"{uri}?limit=900"
    while uri:
        contents = (await tools.client.read_resource(uri)).contents
        page = json.loads(contents[0].text)
        rows += page["rows"]
        uri = page.get("next_uri")
        assert (uri is not None) == page["has_more"], page
    assert len(rows) == 2500 and rows[-1] == [2500, 6_250_000], len(rows)
    try:
        await tools.client.read_resource("async-query://results/q_" + "0" * 26)
        raise AssertionError("an unknown result was read")
    except AssertionError:
        raise
    except Exception as error:  # the class differs between the client's versions
        assert "No query of this id" in str(error), error


async def bad_input_is_answered_with_what_to_do(tools):
    assert "one statement" in (await tools.refused("async_execute_query", sql="select 1; select 2")).lower()
    assert "empty" in await tools.refused("async_execute_query", sql="  ")
    assert "read-only" in await tools.refused("async_execute_query", sql="delete from orders")
    assert "async_execute_query" in await tools.refused("query_result", query_id="q_" + "0" * 26)


async def main(binary, mode, export_dir):
    server = StdioServerParameters(command=binary, args=["--ephemeral", "--export-dir", export_dir])
    async with Client(server, mode=mode) as client:
        tools = Tools(client, (await client.list_tools()).tools)
        assert len(tools.validators) == 5, sorted(tools.validators)
        steps = [
            fast_query_in_one_call,
            submit_wait_and_page,
            cancel_an_endless_query,
            an_abandoned_wait_leaves_the_query_alone,
            a_result_goes_into_a_file,
            results_are_resources,
            bad_input_is_answered_with_what_to_do,
        ]
        for step in steps:
            await step(tools)
            print(f"python client ({mode}): {step.__name__} ok", flush=True)
    return len(steps)


if __name__ == "__main__":
    passed = 0
    for mode in ("legacy", "2026-07-28"):
        with tempfile.TemporaryDirectory() as directory:
            passed += asyncio.run(main(sys.argv[1], mode, directory))
    print(f"python client: {passed} passed, 0 failed")
