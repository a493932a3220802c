"""Ray gives the plain loop's own rows, and each of them once, whatever dies."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from engine import Explainer, save
from engine.batch.questions import Questions
from engine.batch.run import explain_folder
from engine.batch.store import rows_of
from tests.batch.test_batch import explainer, folder_of, paths  # noqa: F401 - a fixture among them

ROOT = str(Path(__file__).parents[2])
MISSING = 'Ray is an extra: pip install "convlens[ray]"'
ASKED = "Questions(('hires_cam', 'lrp_epsilon_plus'))"
RUN = """
import sys; sys.path.insert(0, sys.argv[1])
import engine.batch.on_ray as on_ray, engine.batch.run as run; from engine.batch.questions import Questions
run.PART = 8
tell = lambda state: print(state.done, flush=True)
address = sys.argv[5] if len(sys.argv) > 5 else "local"
on_ray.explain_on_ray(*sys.argv[2:5], ASKED, batch=4, progress=tell, actors=2, address=address)
""".replace("ASKED", ASKED)
# Two nodes on loopback, one of which is killed once the first rows are there.
CLUSTER = """
import sys, time; sys.path.insert(0, sys.argv[1])
import ray; from ray.cluster_utils import Cluster
import engine.batch.on_ray as on_ray; from engine.batch.questions import Questions
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
def tell(state):
    global node
    if node is not None and state.done >= 8:
        cluster.remove_node(node, allow_graceful=False)
        node = None
        cluster.add_node(num_cpus=1)
on_ray.explain_on_ray(*sys.argv[2:5], ASKED, batch=4, progress=tell, actors=2, address=cluster.address)
assert node is None
""".replace("ASKED", ASKED)
# A cluster that stays, and processes that ask it and are killed at moments by chance, twenty times.
KILLS = """
import os, random, signal, subprocess, sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
command = [sys.executable, "-W", "ignore", "-c", ASKING, *sys.argv[1:5], cluster.address]
draw = random.Random(5)
for _ in range(20):
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    for _ in range(draw.randrange(0, 3)):
        process.stdout.readline()
    time.sleep(draw.random() * 0.5)
    process.kill()
    process.wait()
subprocess.run(command, check=True)
"""


@pytest.fixture(scope="module")
def file(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    pytest.importorskip("ray", reason=MISSING)
    path = tmp_path_factory.mktemp("ray") / "net.pt"
    save(explainer, path)
    return path


def command(program: str, photos: Path, out: Path, file: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", program, ROOT, str(photos), str(out), str(file)]


ALONE = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# A cluster as `ray start` begins it, with a token, and those that have it and have it not.
TOKEN = """
import os, subprocess, sys, time, urllib.request
root, photos, out, file = sys.argv[1:]
ray = [sys.executable, "-m", "ray.scripts.scripts"]
subprocess.run([*ray, "get-auth-token", "--generate"], check=True, stdout=subprocess.DEVNULL)
begin = [*ray, "start", "--head", "--port", "6399", "--num-cpus", "2", "--node-ip-address", "127.0.0.1",
    "--include-dashboard=false", "--disable-usage-stats", "--temp-dir", os.environ["SHORT"]]
os.environ["RAY_AUTH_MODE"] = "token"
subprocess.run(begin, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
ask = [sys.executable, "-W", "ignore", "-m", "engine"]
batch = [*ask, "batch", photos, "-o", out, "--model", file, "--engine", "ray", "--address", "127.0.0.1:6399"]
subprocess.run(batch, check=True, cwd=root)
other = os.environ | {"RAY_AUTH_TOKEN": "a" * 64}
stranger = subprocess.run([*batch, "--retry-errors"], cwd=root, env=other, capture_output=True, text=True)
assert stranger.returncode == 1 and "RAY_AUTH_MODE=token" in stranger.stderr, stranger
assert "Traceback" not in stranger.stderr
serve = [*ask, "serve", file, "--address", "127.0.0.1:6399", "--replicas", "1"]
server = subprocess.Popen(serve, cwd=root, stdout=subprocess.PIPE, text=True)
assert "1 replica of 1 thread" in server.stdout.readline()
photo = open(photos + "/000.png", "rb").read()
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with direct.open("http://127.0.0.1:8000/classify", photo) as answer:
    assert b"classes" in answer.read()
server.terminate()
assert server.wait(60) == 0
"""


@pytest.mark.timeout(300)
def test_the_rows_are_the_plain_loops(explainer: Explainer, file: Path, tmp_path: Path) -> None:  # noqa: F811
    photos = folder_of(tmp_path / "photos", 30, ("bad.png",))
    explain_folder(photos, tmp_path / "plain", explainer, Questions(("hires_cam", "lrp_epsilon_plus")), batch=4)
    process = subprocess.Popen(
        command(RUN, photos, tmp_path / "ray", file), stdout=subprocess.PIPE, env=os.environ | ALONE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)  # in the middle: what is whole stays, and the same command goes on
    process.wait()
    process.stdout.close()
    before = paths(tmp_path / "ray") if list((tmp_path / "ray").glob("part-*")) else []
    assert len(before) == len({*before}) < 31
    subprocess.run(command(RUN, photos, tmp_path / "ray", file), check=True, env=os.environ | ALONE, timeout=200)
    plain, ray = ({row["path"]: row for row in rows_of(tmp_path / name)} for name in ("plain", "ray"))
    assert plain.keys() == ray.keys() and len(paths(tmp_path / "ray")) == 31
    for path, row in plain.items():
        other = ray[path]
        assert row["error"] == other["error"] and row["width"] == other["width"]
        for map, same in zip(row["maps"], other["maps"], strict=True):
            largest = max(abs(value) for value in map["values"])
            assert map["target"] == same["target"]
            assert same["values"] == pytest.approx(map["values"], abs=1e-4 * largest + 1e-12)


def apart(program: str, photos: Path, out: Path, file: Path) -> None:
    """Run in a network of its own, which nobody else reaches."""
    unshare = ["unshare", "-n"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("a network namespace of the test's own takes rights that are not there")
    up = "import fcntl, socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " + (
        "fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', 0x49))"  # SIOCSIFFLAGS: up, loopback, running
    )
    run = command(f"{up}\n{program}", photos, out, file)
    subprocess.run([*unshare, *run], check=True, env=os.environ | ALONE, timeout=500)


@pytest.mark.timeout(600)
def test_a_node_that_dies_loses_no_row(file: Path, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 40), tmp_path / "rows"
    apart(CLUSTER, photos, out, file)
    assert sorted(paths(out)) == sorted(path.name for path in photos.iterdir())


@pytest.mark.timeout(300)
def test_a_cluster_with_a_token_takes_who_has_it(file: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("ray.serve", reason=MISSING)
    monkeypatch.setenv("HOME", str(tmp_path))
    photos, out = folder_of(tmp_path / "photos", 6, ("bad.png",)), tmp_path / "rows"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # the names of sockets are short
        monkeypatch.setenv("SHORT", short)
        try:
            apart(TOKEN, photos, out, file)
        finally:
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if short in (process / "cmdline").read_text():
                        os.kill(int(process.name), signal.SIGKILL)  # what `ray start` began
    assert sorted(paths(out)) == sorted(path.name for path in photos.iterdir())


@pytest.mark.timeout(120)
def test_a_home_that_takes_no_file_needs_none(file: Path, tmp_path: Path) -> None:
    """Ray would write its token there."""
    photos, out = folder_of(tmp_path / "photos", 6), tmp_path / "rows"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environment |= ALONE | {"HOME": "/proc/nowhere"}
    subprocess.run(command(RUN, photos, out, file), check=True, env=environment)
    assert len(paths(out)) == 6


@pytest.mark.timeout(600)
def test_kills_lose_nothing_and_repeat_nothing(file: Path, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 240, ("bad.png",)), tmp_path / "rows"
    apart(f"ASKING = {RUN!r}\n{KILLS}", photos, out, file)
    assert sorted(paths(out)) == sorted(path.name for path in photos.iterdir())
    assert len(list(out.glob("part-*"))) > 5 and not list(out.glob(".part-*"))
