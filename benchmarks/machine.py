"""The machine and the versions that figures belong to."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "timm", "captum", "grad-cam", "torchcam")
HALF = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo calls them on x86 and ARM


def facts(device: str = "cpu") -> dict[str, Any]:
    """CPU, threads, memory, GPU, versions; a package that is not installed has no version."""
    flags = set(cpuinfo("flags").split()) | set(cpuinfo("Features").split())
    return {
        "cpu": cpuinfo("model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(flags & HALF),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
    }


def cpuinfo(key: str) -> str:
    """One entry that Linux has of the first core; empty where there is none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.split("\t")[0].strip() == key), "")


def installed(package: str) -> str | None:
    """Its version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def name(found: dict[str, Any]) -> str:
    """The processor and the vectors that torch uses on it: ratios are compared on the same ones."""
    return f"{found['cpu']}, {found['vectors']}"


def text(found: dict[str, Any]) -> str:
    """The facts as two sentences."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items() if number)
    half = "bfloat16 in hardware" if found["bfloat16"] else "no bfloat16 in hardware"
    place = "" if found["device"] == "cpu" else f"{found['device']}; "
    return (
        f"{place}{found['cpu']}, {found['cores']} cores, {found['vectors']}, {half}, "
        f"{found['memory'] / 2**30:.0f} GiB; {found['threads']} torch threads. "
        f"Python {found['python']}, {versions}."
    )
