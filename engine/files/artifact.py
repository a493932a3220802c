"""The one file: a network compiled, its program and manifest saved and loaded."""

import json
import os
import warnings
from pathlib import Path

import torch

from ..errors import ArtifactError
from ..run.explainer import Explainer
from .archive import add_manifest, clear_abandoned, publish, strip_traces, temporary_beside
from .manifest import check_program, manifest_in, open_artifact


def save(explainer: Explainer, path: str | Path) -> None:
    """Write the file, and the digest of its program into the manifest.

    It is written under another name and renamed when it is whole: a reader finds the old file or the new one, and
    after a kill at any moment so does the next. What killed processes left in the folder is cleared away.
    """
    path = Path(path)
    with temporary_beside(path) as raw, temporary_beside(path) as whole:
        clear_abandoned(path.parent)
        with _quiet():
            torch.jit.save(explainer.module, str(raw))
        explainer.manifest = explainer.manifest | {"program": strip_traces(raw, whole)}
        add_manifest(whole, json.dumps(explainer.manifest, indent=1, sort_keys=True))
        publish(whole, path)


def load(path: str | Path, device: str | torch.device = "cpu") -> Explainer:
    """Read a file that `save` wrote. Loading a TorchScript file runs it: load only what you would run.

    All of it is held against the digest that the manifest has of it first. That finds damage and careless changes;
    who changes a file with care changes the digest too.
    device: where the network lies and its answers are. On an NVIDIA GPU torch rounds what convolutions are given
    to 10 bits (TF32), which plain gradients do not bear; `torch.backends.cudnn.allow_tf32 = False` keeps float32.
    Raises ValueError for a device that is not there, and ArtifactError, saying what the file is and what to do,
    for anything else that `save` did not write.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where torch is built without CUDA
        reason = str(error).partition("\n")[0]
        raise ValueError(f"torch can't use the device {str(device)!r} here: {reason}") from error
    while True:
        with open_artifact(path) as file:
            manifest = manifest_in(file)
            check_program(file, manifest)
            try:
                with _quiet():
                    module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise ArtifactError(
                    f"torch {torch.__version__} can't read {Path(path).name}, made with {manifest['torch']}: "
                    "export it again"
                ) from error
            # Another process may have put a new file here meanwhile: all that is read has to be of one file.
            if os.path.samestat(os.fstat(file.fileno()), Path(path).stat()):
                return Explainer(module, manifest)


def _quiet() -> "warnings.catch_warnings[None]":
    """TorchScript's notices of its own deprecation are for this project, not for its users."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)
