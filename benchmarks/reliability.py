"""Write docs/reliability.md: what a public page stands.

    python -m benchmarks.reliability [--seconds S] [-o FILE]

A crowd that asks without a pause, visitors who leave before they are answered, and hostile requests, all against
the demo as `python app.py --public` serves it, in a process of its own on this machine. Five minutes.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.demo import MODEL, OWN, photos
from benchmarks.process import ROOT
from benchmarks.visitors import Server, Visitor
from engine.demo.limits import PUBLIC

PAGE = ROOT / "docs" / "reliability.md"
CLIENTS, LEAVERS, HOSTILE = 32, 24, 200
BUSY = re.compile(r"busy|queue|full", re.IGNORECASE)
MEMORY = 4.0e9  # bytes of the demo's process at most: PUBLIC.memory, what gradio and torch take, and the passes
SHARE = 0.75  # of the engine's own throughput
SERVE = """
import sys, app
from pathlib import Path
from engine.demo import log
from engine.demo.limits import PUBLIC
log.write_to(sys.argv[3])
app.launch(app.build(artifacts=Path(sys.argv[1]), limits=PUBLIC), PUBLIC, server_port=int(sys.argv[2]), quiet=True)
"""
# What no answer may tell: a path of the host's, or the inside of the program.
PRIVATE = re.compile(r"/(home|root|usr|opt|work|etc|lib|proc)/|site-packages|Traceback|\.py\b|root:x:")


class Memory(threading.Thread):
    """Looks at the resident bytes of a process until it is stopped."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.place, self.largest, self.done = Path(f"/proc/{process}/statm"), 0, threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self.done.wait(0.1):
            self.largest = max(self.largest, int(self.place.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


async def load(port: int, seconds: float) -> dict[str, Any]:
    """CLIENTS visitors who ask about photos of their own for so long, each as soon as it is answered."""
    answered: list[float] = []
    refused: Counter[str] = Counter()
    failed: list[str] = []
    pool = itertools.cycle(photos(64))
    end = time.perf_counter() + seconds

    async def visit() -> None:
        visitor = Visitor(port)
        while time.perf_counter() < end:
            try:
                answered.append(
                    await visitor.explain(next(pool) + os.urandom(8))
                )  # no two photos are the same file
            except RuntimeError as error:
                if BUSY.search(str(error)):
                    refused["busy"] += 1
                else:
                    failed.append(str(error)[:200])

    begin = time.perf_counter()
    await asyncio.gather(*(visit() for _ in range(CLIENTS)))
    return {
        "seconds": time.perf_counter() - begin,
        "answered": len(answered),
        "busy": refused["busy"],
        "failed": failed,
        "median": statistics.median(answered),
        "p95": statistics.quantiles(answered, n=20, method="inclusive")[-1],
    }


async def leave(port: int, log: Path) -> dict[str, Any]:
    """Visitors who ask, and go before their turn has come: how many of their questions are computed."""
    before = len(log.read_text().splitlines())
    visitors = [Visitor(port) for _ in range(LEAVERS)]
    sent = [await visitor.upload(photo) for visitor, photo in zip(visitors, photos(LEAVERS), strict=True)]

    async def ask_and_go(visitor: Visitor, photo: dict[str, Any]) -> None:
        await visitor.join("explain", {0: photo})
        _, writer = await visitor.listen()
        await asyncio.sleep(0.05)
        writer.close()

    await asyncio.gather(*(ask_and_go(visitor, photo) for visitor, photo in zip(visitors, sent, strict=True)))
    await Visitor(port).explain(photos(1)[0])  # whose turn comes when all others are gone
    computed = len(log.read_text().splitlines()) - before - 1
    return {"asked": LEAVERS, "computed": computed}


def hostile(page: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Requests that no page makes: method, path, and body as JSON or bytes."""
    odd: list[Any] = [
        None, True, -1, 1e308, "", "\0", "../../etc/passwd", "/etc/passwd", "a" * 100_000, [], {}, [[[[]]]],
        {"path": "/etc/passwd"}, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"url": "http://169.254.169.254/", "meta": {"_type": "gradio.FileData"}}, "<script>alert(1)</script>",
        {"path": "\0"}, {"__class__": "x"}, "'; DROP TABLE photos; --", float(2**70),
    ]  # fmt: skip
    handlers = [entry for entry in page["dependencies"] if entry["backend_fn"]]
    for number, value in enumerate(odd * 8):
        handler = handlers[number % len(handlers)]
        data = [value] * len(handler["inputs"] or range(9))
        yield (
            "POST",
            "/gradio_api/queue/join",
            {"data": data, "fn_index": handler["id"], "session_hash": "hostile"},
        )
    nobody = {"fn_index": 10**9, "data": [], "session_hash": "x"}
    bodies: list[Any] = [[], {}, nobody, {"data": None}, "text", {"fn_index": -1}]
    yield from (("POST", "/gradio_api/queue/join", body) for body in bodies)
    yield from (
        ("GET", path, b"")
        for path in (
            "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../etc/passwd", "/config/../../etc/passwd",
            "/gradio_api/file=/proc/self/environ", "/gradio_api/file=http://169.254.169.254/",
            "/gradio_api/file=%2e%2e%2fapp.py",
            "/static/../../../etc/passwd", "/assets/../../../../etc/passwd", "/gradio_api/stream/../x", "/nothing",
            "/gradio_api/queue/data", "/gradio_api/queue/data?session_hash=" + "a" * 5000, "/theme.css/../x",
            "/gradio_api/app_id/..", "/gradio_api/heartbeat/../../x", "/%00", "/gradio_api/file=" + "a/" * 2000,
            "/gradio_api/info?serialize=x", "/healthz/../..", "/?photo=%00&model=../../x",
        )
    )  # fmt: skip
    forms = [b"", b"--line\r\n", b"\0" * 4096, b"--line\r\nContent-Disposition: form-data; name=\"files\"; "
             b"filename=\"../../../../tmp/x.py\"\r\n\r\nprint(1)\r\n--line--\r\n"]  # fmt: skip
    yield from (("POST", "/gradio_api/upload", form) for form in forms)
    yield from (("POST", path, {"data": ["x"]}) for path in ("/gradio_api/run/explain", "/gradio_api/api/predict"))
    yield from ((verb, "/gradio_api/queue/join", b"{") for verb in ("PUT", "DELETE", "PATCH", "OPTIONS"))
    yield from (("POST", "/gradio_api/queue/join", b"{" * (1000 * n)) for n in range(1, 5))


# What the requests bring along and may be told back, as sent or with its dots undone.
ECHOES = ("../../../etc/passwd", "../../etc/passwd", "/etc/passwd", "/proc/self/environ", "../app.py", "x.py")


def _without(answer: str, parts: Sequence[str]) -> str:
    for part in parts:
        answer = answer.replace(part, "")
    return answer


async def attack(port: int, folder: Path) -> dict[str, Any]:
    """HOSTILE requests one after the other: what each was answered, and what must not be in any answer."""
    page = Visitor(port).config
    asked = list(itertools.islice(itertools.cycle(hostile(page)), HOSTILE))
    told: Counter[str] = Counter()
    faults: list[str] = []
    for method, path, body in asked:
        visitor = Visitor(port)
        if isinstance(body, dict) and body.get("session_hash") == "hostile":
            body = body | {"session_hash": visitor.session}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "multipart/form-data; boundary=line" if path.endswith("upload") else "application/json"
        head, reply = await visitor.raw(method, path, content, kind)
        status = head.split(b" ")[1].decode() if b" " in head else "closed"
        answer = reply.decode(errors="replace")
        if status == "200" and path.endswith("queue/join"):
            answer = await visitor.answer()
            if '"success": false' in answer or '"success":false' in answer:
                said = json.loads(answer[answer.index("{") :])["output"].get("error")
                status = "refused" if said else "null"
            else:
                status = "answered"
        told[status] += 1
        where = f"{method} {path[:60]} {str(body)[:60]}: {answer[:160]}"
        if status in ("null", "closed") or status.startswith("5"):
            faults.append(f"{status}: {where}")
        elif PRIVATE.search(_without(answer, [str(folder), *ECHOES])) and "<html" not in answer:
            faults.append(f"tells: {where}")
    return {"asked": len(asked), "told": dict(told), "faults": faults}


def measure(seconds: float) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, terminal = folder / "questions.log", folder / "terminal.log"
        with terminal.open("wb") as told, Server(folder, SERVE, [str(log)], told) as server:
            watch = Memory(server.process.pid)
            watch.start()
            asyncio.run(load(server.port, 5))  # what runs for the first time takes longer
            own = [_own(server, folder)]
            crowd = asyncio.run(load(server.port, seconds))
            own.append(_own(server, folder))
            left = asyncio.run(leave(server.port, log))
            attacked = asyncio.run(attack(server.port, folder))
            after = asyncio.run(load(server.port, 5))
            watch.done.set()
        traces = terminal.read_text(errors="replace").count("Traceback")
    return {
        "machine": machine.facts(), "crowd": crowd | {"own": statistics.mean(own)}, "left": left,
        "attack": attacked | {"traces": traces, "after": after["answered"]}, "memory": watch.largest,
    }  # fmt: skip


def _own(server: Server, folder: Path) -> float:
    command = [sys.executable, "-W", "ignore", "-c", OWN, str(folder / f"{MODEL}.pt"), "5"]
    with server.asleep():
        return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def page(found: dict[str, Any]) -> str:
    """The figures beside their bounds, as Markdown."""
    crowd, left, attacked = found["crowd"], found["left"], found["attack"]
    rate = crowd["answered"] / crowd["seconds"]
    rows = ["| what | bound | measured | kept |", "| --- | --- | --- | --- |"]

    def row(what: str, bound: str, measured: str, kept: bool) -> None:
        rows.append(f"| {what} | {bound} | {measured} | {'yes' if kept else '**no**'} |")

    told = ", ".join(f"{count} {status}" for status, count in sorted(attacked["told"].items()))
    asked, begun = crowd["answered"] + crowd["busy"] + len(crowd["failed"]), 2 * (os.cpu_count() or 1)
    share, held = rate / crowd["own"], found["memory"] / 1e9
    row(
        f'{CLIENTS} clients for {crowd["seconds"]:.0f} s: failures but "busy"', "0",
        f"{len(crowd['failed'])} of {asked} ({crowd['busy']} busy)", not crowd["failed"],
    )  # fmt: skip
    row(
        "their throughput, share of the engine's own", f"{SHARE}",
        f"{share:.2f}: {rate:.1f} of {crowd['own']:.1f} a second", share >= SHARE,
    )  # fmt: skip
    waits = f"median {crowd['median'] / 1e3:.1f} s, p95 {crowd['p95'] / 1e3:.1f} s"
    rows.append(f"| what each waits | – | {waits} | |")
    row(
        "memory of the process, with all that follows", f"{MEMORY / 1e9:.0f} GB", f"{held:.1f} GB",
        found["memory"] <= MEMORY,
    )  # fmt: skip
    row(
        f"questions of {left['asked']} visitors who left that were computed", f"{begun} that had begun",
        str(left["computed"]), left["computed"] <= begun,
    )  # fmt: skip
    row(
        f"{attacked['asked']} hostile requests: answers without a sentence, or that tell of the host", "0",
        f"{len(attacked['faults'])} ({told})", not attacked["faults"],
    )  # fmt: skip
    row("tracebacks in the host's terminal", "0", str(attacked["traces"]), attacked["traces"] == 0)
    row("questions answered in 5 s after them", "1 or more", str(attacked["after"]), attacked["after"] > 0)
    bounds = ("memory", "uploads", "pictures", "artifacts")
    sizes = {name: f"{getattr(PUBLIC, name) / 1e9:g} GB" for name in bounds}
    faults = "".join(f"\n- `{fault}`" for fault in [*crowd["failed"][:5], *attacked["faults"][:10]])
    paragraphs = [
        "# What a public page stands",
        "`python -m benchmarks.reliability -o docs/reliability.md` writes this page: the demo as\n"
        "`python app.py --public` serves it, in a process of its own, with visitors on the same machine, who\n"
        "take a part of its cores.",
        machine.text(found["machine"]),
        "\n".join(rows),
        f"`--public` keeps {sizes['memory']} of compiled models open, {sizes['uploads']} of photos and\n"
        f"{sizes['pictures']} of pictures on the disk, and adds no model once {sizes['artifacts']} lie there;\n"
        f"a question of a program takes {PUBLIC.passes:.0f} passes at most.",
        *([f"What failed:\n{faults}"] if faults else []),
    ]
    return "\n\n".join(paragraphs) + "\n"


def main() -> None:
    """Measure, and write or print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=120, help="how long the crowd asks (default: %(default)s)"
    )
    parser.add_argument("-o", "--output", type=Path, help="the page; printed if left out")
    options = parser.parse_args()
    text = page(measure(options.seconds))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
