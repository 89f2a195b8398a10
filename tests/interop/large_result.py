"""Five million rows of ten columns through the real binary and into a file, in little memory, any page as fast as the
first.

Usage: large_result.py PATH_TO_BINARY [ROWS]. Linux only: it reads the process's peak memory from /proc.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000
SQL = (
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) "
    "select i, i * 2, i %% 7, 'row ' || i, 'some text', i * 0.5, null, i - 1, 'x', i from n" % ROWS
)
MEMORY_LIMIT = 100_000_000


class Server:
    def __init__(self, binary, export_dir):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([binary, "--ephemeral", "--export-dir", export_dir], text=True, **pipes)
        self.ids = 0
        client = {"name": "large_result", "version": "0"}
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        self.request("initialize", hello)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def request(self, method, params):
        self.ids += 1
        self.send({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params})
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.ids:
                return answer["result"]

    def call(self, tool, **arguments):
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return result["structuredContent"]

    def peak_memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def milliseconds_for_a_page(server, query_id, offset):
    times = []
    for _ in range(21):
        start = time.perf_counter()
        page = server.call("query_result", query_id=query_id, offset=offset, page_size=100)
        times.append((time.perf_counter() - start) * 1000)
        assert page["rows"][0][0] == offset + 1 and len(page["rows"]) == 100, page
    return statistics.median(times)


def export(server, query_id):
    """Asks for the file until it is there, and counts its rows."""
    start = time.monotonic()
    while True:
        answer = server.call("query_result", query_id=query_id, export_format="csv", wait_seconds=5)
        if answer["export_status"] == "written":
            break
        assert "the same arguments" in answer["next"] and "rows" not in answer, answer
    seconds = time.monotonic() - start
    assert answer["export_rows"] == ROWS and len(answer["rows"]) == 10, answer
    assert os.path.getsize(answer["export_path"]) == answer["export_bytes"], answer
    with open(answer["export_path"], newline="") as rows:
        lines = sum(1 for _ in rows)
    assert lines == ROWS + 1, lines
    print(f"{answer['export_bytes']} bytes written in {seconds:.1f} s")


def main(binary, export_dir):
    server = Server(binary, export_dir)
    start = time.monotonic()
    query_id = server.call("async_execute_query", sql=SQL, wait_seconds=0)["query_id"]
    while (status := server.call("query_status", query_id=query_id, wait_seconds=20))["status"] != "succeeded":
        assert status["status"] in ("pending", "running"), status
    seconds = time.monotonic() - start
    first, last = (milliseconds_for_a_page(server, query_id, offset) for offset in (0, ROWS - 100))
    export(server, query_id)
    memory = server.peak_memory()
    print(f"{ROWS} rows in {seconds:.1f} s; first page {first:.1f} ms, last page {last:.1f} ms; peak {memory} bytes")
    assert memory < MEMORY_LIMIT, memory
    assert last < 10 * first + 5, (first, last)
    server.process.stdin.close()
    assert server.process.wait(timeout=10) == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(sys.argv[1], directory)
