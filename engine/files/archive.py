"""The file as a zip: written whole or not at all, the same for the same program, and read with suspicion.

TorchScript's own archive holds what has nothing to do with the program: the name of the file, the paths of the
source on the machine that made it, and numbers for the names that its process had met before. `strip_traces`
leaves that out. Nor does TorchScript check on reading what the zip knows of its own damage; `digest` does.
"""

import os
import pickletools
import re
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

EXTRA = "extra/manifest.json"
TEMPORARY = ".convlens.part"  # ends the name of a file that is being written
CHUNK = 1 << 20
PACKAGE = __name__.partition(".")[0]
# All that a damaged zip makes zipfile raise: flipped bits ask for passwords, odd compressions, places before 0.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write into; at the end it is gone, unless it was renamed.

    It is locked meanwhile. The lock goes with the process, however that ends, so it tells `clear_abandoned` which
    files belong to nobody, in other containers and after a number was given to another process too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        part = path.with_name(f".{path.name}.{uuid4().hex[:12]}{TEMPORARY}")
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(handle, wait=True)
        if os.fstat(handle).st_nlink:  # else it was cleared between the two calls
            break
        os.close(handle)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def clear_abandoned(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`, and nothing that is being written."""
    for part in folder.glob(f".*{TEMPORARY}"):
        try:
            handle = os.open(part, os.O_RDWR)
        except OSError:
            continue  # finished meanwhile, or another user's
        if _lock(handle, wait=False):
            part.unlink(missing_ok=True)
        os.close(handle)


def publish(part: Path, path: Path) -> None:
    """Give a written file its name. Who opens `path` finds the old file or the new one, after a power cut too."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def strip_traces(raw: Path, path: Path) -> str:
    """Copy what TorchScript saved in `raw` to `path`, without what differs from one save to the next.

    Returns the digest of the program; `add_manifest` puts the manifest beside it.
    """
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(path, "w") as new:
        members = {entry.filename.split("/", 1)[1]: entry for entry in old.infolist()}
        spaces = _own_names(members)
        for name, entry in members.items():
            if name.endswith(".debug_pkl") or name == ".data/serialization_id":
                continue
            if name.endswith((".py", ".pkl")):
                content = old.read(entry)
                content = _rename_code(content, spaces) if name[-1] == "y" else _rename_pickle(content, spaces)
                new.writestr(_entry(_file(name, spaces), entry.compress_type), content)
            else:
                copy = _entry(name, entry.compress_type)
                copy.file_size = entry.file_size  # above 2 GB the header has another form
                with old.open(entry) as source, new.open(copy, "w") as target:
                    for chunk in _chunks(source):
                        target.write(chunk)
    return digest(path)


def add_manifest(path: Path, text: str) -> None:
    """Put the manifest into an archive that has none."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(EXTRA, zipfile.ZIP_STORED), text)


def digest(archived: Path | IO[bytes]) -> str:
    """Read all of an archive and return the SHA-256 of its program: code, constants, weights and labels.

    It is that of the lines "SHA-256  NAME" of the members, sorted by name, manifest left out. Raises one of
    DAMAGE where the zip is not what it was when it was written.
    """
    lines = []
    with zipfile.ZipFile(archived) as archive:
        for entry in archive.infolist():
            found = sha256()
            with archive.open(entry) as file:
                for chunk in _chunks(file):
                    found.update(chunk)
            if not entry.filename.endswith(f"/{EXTRA}"):
                lines.append((entry.filename.split("/", 1)[-1], found.hexdigest()))
    return sha256("".join(f"{sha}  {name}\n" for name, sha in sorted(lines)).encode()).hexdigest()


def manifest_text(archived: IO[bytes]) -> str | None:
    """The manifest as it stands in the archive; None where there is none. Raises as `digest` does."""
    with zipfile.ZipFile(archived) as archive:
        entry = next((name for name in archive.namelist() if name.endswith(f"/{EXTRA}")), None)
        return archive.read(entry).decode() if entry else None


def describe_file(file: IO[bytes]) -> str:
    """What an open file is that is no artifact, in words that go on "NAME is"."""
    file.seek(0)
    head = file.read(512)
    if not head:
        return "empty"
    if head.startswith(b"PK\3\4"):
        try:
            with zipfile.ZipFile(file) as archive:
                members = {name.split("/", 1)[-1] for name in archive.namelist()}
        except DAMAGE:
            return "an archive that was cut short"
        if EXTRA in members:
            return "damaged"
        if any(name.startswith("code/") for name in members):
            return "a TorchScript file that ConvLens did not make"
        if "archive_format" in members or "models/model.json" in members:
            return "a file of torch.export that ConvLens did not make"
        return "a checkpoint of torch.save" if "data.pkl" in members else "a zip with something else inside"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself"
    if head[0] == 0x80:
        return "a pickle, or a checkpoint of an old torch.save"
    try:
        head[:-4].decode()
    except UnicodeDecodeError:
        return "no TorchScript file"
    return "a text"


def _lock(handle: int, wait: bool) -> bool:
    """Lock an open file, until it is closed; False where somebody else has it."""
    if sys.platform == "win32":
        return wait  # no such locks: what a killed process left stays
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait  # somebody has it, or the file system knows no locks
    return True


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"convlens/{name}")  # its date is the zip's first, 1980
    entry.compress_type = compression
    return entry


def _own_names(members: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """TorchScript's namespaces, one for each code file, numbered within this archive alone.

    TorchScript calls them by the package that a class stands in. Ours is `engine` in a checkout and `convlens`
    where it is installed; a program is the same bytes from either, so in a file it has one name.
    """
    spaces, met = dict[str, str](), Counter[str]()
    for name in members:
        if name.startswith("code/") and name.endswith(".py"):
            space = name.removeprefix("code/").removesuffix(".py").replace("/", ".")
            base = re.sub(r"\.___torch_mangle_\d+$", "", space)
            base = re.sub(rf"^__torch__\.{PACKAGE}(?=\.)", "__torch__.convlens", base)
            spaces[space] = f"{base}.___torch_mangle_{met[base] - 1}" if met[base] else base
            met[base] += 1
    return spaces


def _file(name: str, spaces: dict[str, str]) -> str:
    if not name.startswith("code/"):
        return name
    return f"code/{spaces[name.removeprefix('code/').removesuffix('.py').replace('/', '.')].replace('.', '/')}.py"


def _rename_code(code: bytes, spaces: dict[str, str]) -> bytes:
    longest_first = sorted(spaces, key=len, reverse=True)
    pattern = rf"(?<![\w.])(?:{'|'.join(map(re.escape, longest_first))})(?=\.)"
    return re.sub(pattern, lambda match: spaces[match[0]], code.decode()).encode()


def _rename_pickle(data: bytes, spaces: dict[str, str]) -> bytes:
    """Rename classes where the pickle names them, and no string that only looks like it."""
    done, parts = 0, list[bytes]()
    for opcode, argument, at in pickletools.genops(data):
        if opcode.name == "GLOBAL" and at is not None:
            space = str(argument).split(" ")[0]
            parts += [data[done : at + 1], spaces.get(space, space).encode()]
            done = at + 1 + len(space)
    return b"".join([*parts, data[done:]])


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when it is whole."""
    with temporary_beside(path) as part:
        clear_abandoned(path.parent)
        yield part
        publish(part, path)
