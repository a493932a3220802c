"""The demo in a process of its own, and visitors who ask it over HTTP as a browser does."""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

from benchmarks.process import ROOT

HOST = "127.0.0.1"
SERVE = """
import sys, app
from pathlib import Path
app.launch(app.build(artifacts=Path(sys.argv[1])), server_port=int(sys.argv[2]), quiet=True)
"""


class Server:
    """The demo with its models in `artifacts`; `started` tells how many seconds it took to the first page.

    script: what serves it, which is given the folder, the port and `arguments`. terminal: takes what it says.
    """

    def __init__(
        self,
        artifacts: Path,
        script: str = SERVE,
        arguments: Sequence[str] = (),
        terminal: IO[bytes] | None = None,
    ) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port = free.getsockname()[1]
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, str(artifacts), str(self.port), *arguments],
            cwd=ROOT,
            env=os.environ | {"GRADIO_TEMP_DIR": str(artifacts / "uploads")},
            stdout=terminal or subprocess.DEVNULL,
            stderr=terminal,
        )
        while not self._answers():
            if self.process.poll() is not None:
                raise RuntimeError("the demo did not start: python app.py tells why")
            time.sleep(0.02)
        self.started = time.perf_counter() - begin

    def _answers(self) -> bool:
        try:
            urlopen(f"http://{HOST}:{self.port}/").close()
        except URLError:
            return False
        return True

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """While something else is measured: gradio looks for questions a thousand times a second."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()


class Visitor:
    """One browser, on plain sockets: what it does itself takes 2 ms for each question."""

    def __init__(self, port: int) -> None:
        self.port, self.session = port, uuid4().hex
        self.config = json.loads(urlopen(f"http://{HOST}:{port}/config").read())
        self.parts = {part["id"]: part for part in self.config["components"]}

    async def explain(self, photo: bytes) -> float:
        """Upload a photo, ask for its picture and fetch it; the milliseconds that this took."""
        begin = time.perf_counter()
        picture, *_ = await self.ask("explain", {0: await self.upload(photo)})
        await self._http("GET", f"/gradio_api/file={picture['path']}")
        return (time.perf_counter() - begin) * 1e3

    async def upload(self, photo: bytes) -> dict[str, Any]:
        """Send a photo; what gradio calls it from then on."""
        head = f'--line\r\nContent-Disposition: form-data; name="files"; filename="{uuid4().hex}.jpg"\r\n\r\n'
        body = head.encode() + photo + b"\r\n--line--\r\n"
        reply = await self._http("POST", "/gradio_api/upload", body, "multipart/form-data; boundary=line")
        return {"path": json.loads(reply)[0], "meta": {"_type": "gradio.FileData"}}

    async def ask(self, handler: str, values: dict[Any, Any]) -> list[Any]:
        """Ask a handler of the page; `values` are those of controls, by their elem_id, label or number."""
        await self.join(handler, values)
        reader, writer = await self.listen()
        try:
            event = json.loads(await completed(reader))
        finally:
            writer.close()
        if not event["success"]:
            raise RuntimeError(f"{handler} failed: {event['output']}")
        found: list[Any] = event["output"]["data"]
        return found

    async def join(self, handler: str, values: dict[Any, Any]) -> None:
        """Put a question, as `ask` does, without waiting for its answer."""
        asked = next(entry for entry in self.config["dependencies"] if entry["api_name"] == handler)
        data = [self._value(number, part, values) for number, part in enumerate(asked["inputs"])]
        data = data or [values[0], *[None] * 5]
        body = {"data": data, "fn_index": asked["id"], "session_hash": self.session}
        await self._http("POST", "/gradio_api/queue/join", json.dumps(body).encode(), "application/json")

    async def listen(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the stream of this visitor's answers."""
        return await self._send("GET", f"/gradio_api/queue/data?session_hash={self.session}")

    async def answer(self) -> str:
        """The next answer of the stream, as JSON."""
        reader, writer = await self.listen()
        try:
            return await completed(reader)
        finally:
            writer.close()

    async def raw(self, method: str, path: str, body: bytes, kind: str) -> tuple[bytes, bytes]:
        """Any request at all: the first line of what comes back, and its body."""
        reader, writer = await self._send(method, path, body, kind)
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.split(b"\r\n")[0], content

    def _value(self, number: int, part: int, values: dict[Any, Any]) -> Any:
        props = self.parts[part]["props"]
        for key in (props.get("elem_id"), props.get("label"), number):
            if key is not None and key in values:
                return values[key]
        return props.get("value")

    async def _send(
        self, method: str, path: str, body: bytes = b"", kind: str = "text/plain"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.port, limit=1 << 20)
        lines = [f"{method} {path} HTTP/1.0", f"Host: {HOST}", f"Content-Type: {kind}"]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        await writer.drain()
        return reader, writer

    async def _http(self, *request: Any) -> bytes:
        reader, writer = await self._send(*request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"{request[1]}: {head.decode()}")
        return body


async def completed(reader: asyncio.StreamReader) -> str:
    """The next question of a stream that is answered or refused, as JSON. Raises RuntimeError where it ends."""
    while line := await reader.readline():
        if b"process_completed" in line or b"unexpected_error" in line:
            return line[line.index(b"{") :].decode()
    raise RuntimeError("a question was never answered")


async def crowd(port: int, count: int, photos: list[bytes]) -> dict[str, float]:
    """`count` visitors at once, each with one photo after the other: questions/s, median and p95 in ms."""
    waiting, times = list(photos), list[float]()

    async def visit() -> None:
        visitor = Visitor(port)
        while waiting:
            times.append(await visitor.explain(waiting.pop()))

    begin = time.perf_counter()
    await asyncio.gather(*(visit() for _ in range(count)))
    throughput = len(photos) / (time.perf_counter() - begin)
    # The last ones find the queue empty; they are few.
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return {"throughput": throughput, "median": statistics.median(times), "p95": p95}
