"""Where photos and rows lie: folders of this machine, or any file system that fsspec knows, by its address."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

from ..pictures.folder import photos_in, suffixes

# A `pathlib.Path`, or universal_pathlib's own class of the same methods for what is not on a disk of this machine.
Place = Any


def is_address(given: Any) -> bool:
    """Is it an address, as "s3://bucket/photos", and no path?"""
    return "://" in str(given)


def place_of(given: Any) -> Place:
    """A path, or what an address leads to, with `pathlib`'s methods.

    s3://, gs://, hf://, https:// and others are read by packages of their own, s3fs, gcsfs and so on, with the
    credentials that those find. Raises ValueError where the package is missing, or nobody knows such addresses.
    """
    if not is_address(given):
        return Path(given)
    try:
        from upath import UPath
    except ModuleNotFoundError:
        raise ValueError(f'{given} is an address: pip install "convlens[batch]"') from None
    scheme = str(given).partition("://")[0]
    try:
        found = UPath(str(given))
        _ = found.fs  # of which the package is asked for only now
    except ImportError as error:
        raise ValueError(f"{scheme}:// is read by a package that is not installed: {error}") from None
    except ValueError:
        raise ValueError(f"nobody here knows what {scheme}:// is; see fsspec for what there is") from None
    return Path(found.path) if scheme in ("file", "local") else found


def on_this_machine(given: Any, what: str) -> Path:
    """A path. Raises ValueError for an address: `what`, in the plural, are written here alone."""
    if is_address(given):
        raise ValueError(f"{what} are written on this machine, and {given} is an address: give a path")
    return Path(given)


def photos_below(folder: Place) -> list[Place]:
    """As `pictures.folder.photos_in`, of an address too."""
    if isinstance(folder, Path):
        return photos_in(folder)
    root = folder.path.rstrip("/")
    names = (PurePosixPath(os.path.relpath(found, root)) for found in folder.fs.find(root))
    return [
        folder / str(name)
        for name in sorted(names)
        if not any(part.startswith(".") for part in name.parts) and name.suffix.lower() in suffixes()
    ]
