"""The running copy of mmsa as a wheel, so that a registered model installs where mmsa is not published."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import metadata, version
from pathlib import Path

from mmsa.provenance import running_code

_TAG = "py3-none-any"
_WHEEL = f"Wheel-Version: 1.0\nGenerator: mmsa\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
_WRITTEN = (1980, 1, 1, 0, 0, 0)  # in every entry, so that the same code gives the same bytes
_LIBRARIES = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "threadpoolctl",
    "rich",
)


def write_wheel(folder: Path) -> Path:
    """Write the code of this process as a wheel into ``folder``; its version ends with the code's digest.

    It asks for no other packages: a model needs neither Ray nor Optuna, and ``serving_requirements`` says
    what it does need.
    """
    code = running_code()
    number = f"{version('mmsa').partition('+')[0]}+{code.digest[:12]}"
    package, info = Path(code.path), f"mmsa-{number}.dist-info"
    about = metadata("mmsa")
    head = [f"Metadata-Version: {about['Metadata-Version']}", "Name: mmsa", f"Version: {number}"]
    head += [f"{field}: {about[field]}" for field in ("Summary", "Requires-Python") if about[field]]
    files = {f"{package.name}/{path.relative_to(package)}": path.read_bytes() for path in _files_of(package)}
    files |= {
        f"{info}/METADATA": ("\n".join(head) + "\n").encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
    }
    record = [f"{name},sha256={_sha256(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"mmsa-{number}-{_TAG}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _WRITTEN), content, zipfile.ZIP_DEFLATED)
    return path


def serving_requirements() -> list[str]:
    """The packages that a model needs besides mmsa, as this process has them.

    Local parts of versions, such as that of a CPU build, are left out: an index does not know them.
    """
    return [f"{name}=={version(name).partition('+')[0]}" for name in _LIBRARIES]


def _files_of(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".typed", ".json"):
            yield path


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
