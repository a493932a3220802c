"""The file on the disk: whole or not there, the same each time, and refused where it is not what was written."""

import fcntl
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import ArtifactError
from engine.files.archive import EXTRA, TEMPORARY, clear_abandoned, digest, temporary_beside
from engine.files.artifact import load, save
from engine.files.manifest import FORMAT, read_manifest
from engine.files.triton import write_triton
from tests.files.small import members

ROOT = Path(__file__).parents[2]


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy whose zip is in order, with other contents."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, change(entry.filename.split("/", 1)[1], old.read(entry)))
    return target


def edited(path: Path, target: Path, **changes: Any) -> Path:
    def change(name: str, content: bytes) -> bytes:
        return json.dumps(json.loads(content) | changes).encode() if name == EXTRA else content

    return rewritten(path, target, change)


# The same program, byte by byte


MAKER = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
sys.path.insert(0, ".")
from tests.files.small import compiled
from engine import compile_model, save
for width in range(int(sys.argv[2])):  # TorchScript numbers names that it has met before
    other = nn.Sequential(nn.Conv2d(3, 2 + width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    compile_model(other.eval(), torch.zeros(1, 3, 8, 8))
save(compiled(), sys.argv[1])
"""


def test_the_same_model_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    """In two processes with other hashes and another past, and in this one."""
    processes = []
    for place in range(2):
        command = [sys.executable, "-c", MAKER, str(tmp_path / f"made as {place}.pt"), str(2 * place)]
        env = os.environ | {"PYTHONHASHSEED": str(place + 1), "OMP_NUM_THREADS": "1"}
        processes.append(subprocess.Popen(command, cwd=ROOT, env=env))
    assert [process.wait(120) for process in processes] == [0, 0]
    first, second, here = (members(file) for file in (*sorted(tmp_path.glob("made*.pt")), path))
    manifests = [json.loads(made.pop(EXTRA)) for made in (first, second, here)]
    assert list(first) == list(second) == list(here)
    assert first == second == here
    for manifest in manifests:
        del manifest["made"]
    assert manifests[0] == manifests[1]
    for manifest in manifests:
        del manifest["certificate"]  # its last digits go with the number of threads
    assert manifests[2] == manifests[1]


def test_a_loaded_file_can_be_saved(path: Path, tmp_path: Path) -> None:
    """TorchScript then numbers its temporaries otherwise, so that the program is the same but not its text."""
    first, again = load(path), tmp_path / "again.pt"
    save(load(path), again)
    x, seed = torch.rand(2, 3, 12, 16), torch.rand(2, 3)
    assert torch.equal(load(again).sweep(x, seed, "guided_grad_cam"), first.sweep(x, seed, "guided_grad_cam"))
    assert load(again).manifest["program"] == digest(again)


def test_the_digest_is_that_of_a_list_of_the_members(path: Path) -> None:
    lines = [
        f"{sha256(content).hexdigest()}  {name}\n" for name, content in members(path).items() if name != EXTRA
    ]
    lines.sort(key=lambda line: line[66:])
    assert read_manifest(path)["program"] == sha256("".join(lines).encode()).hexdigest()


def test_a_file_tells_nothing_of_where_it_was_made(path: Path) -> None:
    for name, content in members(path).items():
        for place in (str(ROOT), str(Path(torch.__file__).parent), str(path.parent), path.name):
            assert place.encode() not in content, (name, place)


# What is not a whole artifact is refused


def test_a_file_cut_short_anywhere_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    cut = tmp_path / "cut.pt"
    for length in [0, 1, 3, 4, 30, *range(100, len(whole), len(whole) // 40), len(whole) - 22, len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(
            ArtifactError, match=r"cut\.pt is (empty|a text|no Torch|an archive that was cut short)"
        ):
            load(cut)


def test_a_flipped_bit_is_found(path: Path, tmp_path: Path) -> None:
    """Everywhere in code, constants and manifest; elsewhere in the zip it is found, or it does no harm."""
    whole, flipped = path.read_bytes(), tmp_path / "flipped.pt"
    contents = set[int]()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            start = entry.header_offset + 30 + len(entry.filename.encode()) + len(entry.extra)
            contents.update(range(start, start + entry.compress_size))
    draw = random.Random(0)
    refused = list[str]()
    for place in [*draw.sample(sorted(contents), 150), *draw.sample(range(len(whole)), 150), *range(-80, 0)]:
        place %= len(whole)
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
        try:
            manifest = load(flipped).manifest
        except ArtifactError as refusal:
            refused.append(str(refusal))
        else:
            # The last byte of a compressed part may have bits that nobody reads.
            assert place not in contents or members(flipped) == members(path)
            assert manifest == read_manifest(path)
    assert len(refused) > 200
    known = re.compile(r"flipped\.pt (is|was|has) |torch \S+ can't read flipped\.pt")
    assert not [message for message in refused if not known.match(message)]


def test_an_exchanged_program_is_found(path: Path, tmp_path: Path) -> None:
    """By somebody who knows how to make a zip."""
    for part, old, new in (
        ("code/__torch__/convlens/methods/readings.py", b"torch.abs", b"torch.exp"),
        ("data.pkl", b"owl", b"emu"),
        ("data/2", members(path)["data/2"][:4], b"\0\0\0\0"),
    ):
        assert old in members(path)[part]

        def change(name: str, content: bytes) -> bytes:
            return content.replace(old, new, 1) if name == part else content  # noqa: B023, used at once

        with pytest.raises(ArtifactError, match=r"other\.pt was changed after it was made.*export Small -o other"):
            load(rewritten(path, tmp_path / "other.pt", change))


def foreign(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "TorchScript":
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2).eval(), torch.zeros(1, 2)), buffer)
    elif kind == "checkpoint":
        torch.save({"a": torch.zeros(2)}, buffer)
    elif kind == "old checkpoint":
        torch.save({"a": torch.zeros(2)}, buffer, _use_new_zipfile_serialization=False)
    elif kind == "torch.export":
        torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), buffer)
    elif kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("notes/readme.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: python -m engine export MODEL -o FILE.pt makes an artifact"),
        (b"weights, they said", "is a text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\xff", "is no TorchScript file"),
        ("zip", "is a zip with something else inside"),
        ("checkpoint", "is a checkpoint of torch.save: python -m engine export MODEL --weights strange.pt -o"),
        ("old checkpoint", "is a pickle, or a checkpoint of an old torch.save: .* --weights strange.pt -o"),
        pytest.param(
            "TorchScript",
            "is a TorchScript file that ConvLens did not make",
            marks=pytest.mark.filterwarnings("ignore:.*torch.jit"),
        ),
        ("torch.export", "is a file of torch.export that ConvLens did not make"),
    ],
)
def test_a_foreign_file_is_told_what_it_is(content: bytes | str, said: str, tmp_path: Path) -> None:
    strange = tmp_path / "strange.pt"
    strange.write_bytes(foreign(content) if isinstance(content, str) else content)
    with pytest.raises(ArtifactError, match=rf"strange\.pt {said}"):
        load(strange)


def test_another_format_is_told_what_it_is(path: Path, tmp_path: Path) -> None:
    older = edited(path, tmp_path / "older.pt", format=1, made="2026-01-02", torch="2.0", convlens="0.0.1")
    said = (
        rf"older\.pt has format 1, this version reads {FORMAT}: it is Small, made 2026-01-02 by ConvLens 0\.0\.1"
    )
    with pytest.raises(ArtifactError, match=said + r" with torch 2\.0\. python -m engine export Small -o older"):
        load(older)
    with pytest.raises(ArtifactError, match="is for triton and answers one question only"):
        load(write_triton(load(path), tmp_path) / "1" / "model.pt")


# Killed, crowded, crossed


KILLED = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
sys.path.insert(0, ".")
from pathlib import Path
from torch import nn
from engine import compile_model, load, save
folder, kills = Path(sys.argv[1]), int(sys.argv[2])
path = folder / "net.pt"
made = []
for seed in range(2):
    torch.manual_seed(seed)  # 9 MB, so that writing takes its time
    wide = nn.Sequential(nn.Conv2d(3, 512, 3), nn.ReLU(), nn.Conv2d(512, 512, 3), nn.Flatten(), nn.Linear(512, 2))
    made.append(compile_model(wide.eval(), torch.zeros(1, 3, 5, 5)))
for explainer in made:
    save(explainer, path)
programs = [explainer.manifest["program"] for explainer in made]
assert programs[0] != programs[1]
draw, unfinished, seen = random.Random(0), 0, set()
start = time.perf_counter()
save(made[0], path)
once = time.perf_counter() - start
for _ in range(kills):
    child = os.fork()
    if not child:
        try:
            while True:
                for explainer in made:
                    save(explainer, path)
        finally:
            os._exit(1)
    time.sleep(draw.uniform(0.01, 0.01 + 3 * once))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "the child ended by itself"
    unfinished += any(folder.glob(".*.part"))
    seen.add(programs.index(load(path).manifest["program"]))
save(made[0], path)
print(unfinished, len(seen), sorted(entry.name for entry in folder.iterdir()))
"""


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), "80"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    unfinished, seen, left = done.stdout.split(maxsplit=2)
    assert int(unfinished) > 20, "the kills came between the saves"
    assert int(seen) == 2
    assert left.strip() == "['net.pt']", "what the killed left was not cleared"


CROWDED = """
import os, sys, warnings
warnings.simplefilter("ignore")
import torch
sys.path.insert(0, ".")
from pathlib import Path
from tests.files.small import compiled
from engine.files.artifact import load, save
from engine.files.shelf import open_model
folder = Path(sys.argv[1])

def each(*jobs):
    children = []
    for job in jobs:
        child = os.fork()
        if not child:
            try:
                job()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(jobs)

def build():
    explainer = open_model("squeezenet1_1", "random", folder)
    assert explainer.forward(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)

each(build, build)  # comes first: behind a fork autograd works where it has not been used before
load(folder / "squeezenet1_1-random.pt")

made = [compiled(0), compiled(1)]
for explainer in made:
    save(explainer, folder / "net.pt")
programs = {explainer.manifest["program"] for explainer in made}

def write(explainer):
    for _ in range(30):
        save(explainer, folder / "net.pt")

def read():
    for _ in range(60):
        explainer = load(folder / "net.pt")
        assert explainer.manifest["program"] in programs

each(lambda: write(made[0]), lambda: write(made[1]), read)
print(sorted(entry.name for entry in folder.iterdir()))
"""


def test_processes_that_write_and_read_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CROWDED, str(tmp_path)]
    # By the environment: torch.set_num_threads makes a pool of threads, and behind a fork torch trips over that.
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['net.pt', 'squeezenet1_1-random.pt']"


def test_only_what_belongs_to_nobody_is_cleared(path: Path, tmp_path: Path) -> None:
    dead, alive = tmp_path / f".net.pt.0123456789ab{TEMPORARY}", tmp_path / f".net.pt.ba9876543210{TEMPORARY}"
    others = [tmp_path / ".download.part", tmp_path / "net.pt", tmp_path / "my.convlens.part"]
    for file in (dead, alive, *others):
        file.write_bytes(b"half")
    with alive.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clear_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([alive, *others])
    with temporary_beside(tmp_path / "net.pt") as mine:
        mine.write_bytes(b"half")
        save(load(path), tmp_path / "another.pt")
        assert mine.read_bytes() == b"half"
        assert not alive.exists()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "another.pt", *others])


def test_a_new_file_is_as_open_as_others_are(path: Path, tmp_path: Path) -> None:
    """A temporary file is its owner's alone; a model that a server reads must not be."""
    save(load(path), tmp_path / "net.pt")
    (tmp_path / "plain").touch()
    assert (tmp_path / "net.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode
