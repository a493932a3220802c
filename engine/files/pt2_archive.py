"""Several exported programs in one .pt2 file, with the weights that they share in it once."""

import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter
from torch.export.pt2_archive._package import package_pt2
from torch.export.pt2_archive.constants import (
    CONSTANTS_CONFIG_FILENAME_FORMAT,
    CONSTANTS_DIR,
    EXTRA_DIR,
    MODELS_FILENAME_FORMAT,
    SAMPLE_INPUTS_FILENAME_FORMAT,
    WEIGHTS_CONFIG_FILENAME_FORMAT,
    WEIGHTS_DIR,
)

# Where a program's tensors lie, and the record that says which is which.
TENSORS = {WEIGHTS_DIR: WEIGHTS_CONFIG_FILENAME_FORMAT, CONSTANTS_DIR: CONSTANTS_CONFIG_FILENAME_FORMAT}
Known = dict[tuple[str, str, str], str]  # folder, digest and description of a record -> its name


def write_programs(
    path: Path, programs: Mapping[str, ExportedProgram], extra_files: Mapping[str, str] | None = None
) -> None:
    """Write programs by name into a .pt2 archive, for `load_pt2` of `torch.export.pt2_archive._package`.

    torch's own writer keeps a copy of the weights for each program. Here it writes one program at a time, into
    memory, and what the archive has already is only named once more: the format has a list for each program that
    tells which record a tensor lies in, and two lists may tell of the same one.
    """
    known: Known = {}
    with PT2ArchiveWriter(str(path)) as archive:
        for name, program in programs.items():
            alone = io.BytesIO()
            package_pt2(alone, exported_programs={name: program})
            alone.seek(0)
            _take_over(PT2ArchiveReader(alone), archive, name, known)
        for file, text in (extra_files or {}).items():
            archive.write_string(f"{EXTRA_DIR}{file}", text)


def _take_over(alone: PT2ArchiveReader, archive: PT2ArchiveWriter, name: str, known: Known) -> None:
    """Copy one program, but for tensors that the archive has."""
    for format in (MODELS_FILENAME_FORMAT, SAMPLE_INPUTS_FILENAME_FORMAT):
        archive.write_bytes(format.format(name), alone.read_bytes(format.format(name)))
    for folder, format in TENSORS.items():
        listed = json.loads(alone.read_string(format.format(name)))
        records: dict[str, dict[str, Any]] = {}
        for tensor, entry in listed["config"].items():
            records.setdefault(entry.pop("path_name"), {})[tensor] = entry
        for record, entries in records.items():
            content = alone.read_bytes(f"{folder}{record}")
            # With the tensors' names and shapes: a record of the same bytes may be read as something else.
            key = folder, sha256(content).hexdigest(), json.dumps(entries, sort_keys=True)
            if key not in known:
                known[key] = f"{record.rstrip('0123456789')}{len(known)}"
                archive.write_bytes(f"{folder}{known[key]}", content)
            for entry in entries.values():
                entry["path_name"] = known[key]
        archive.write_string(format.format(name), json.dumps(listed))
