"""Vendors what the interactive page needs: the exported principal and onnxruntime-web.

MkDocs calls `on_pre_build` before it copies the page; ``make try-it`` calls `build` alone. The
files are scripts with base64 in them, so that the page works without a server too. A site that is
built without npm has the page, which then says what is missing.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "try_it"
PRINCIPAL = "pretrained:universal"
PACKAGE = "onnxruntime-web@1.30.0"
INTEGRITY = (  # SHA-512 of the package in base64, as `npm view PACKAGE dist.integrity` has it
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
_LIBRARY, _MODULE, _BINARY = (
    f"package/dist/{name}"
    for name in (
        "ort.wasm.min.js",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    )
)


class NotFetchedError(RuntimeError):
    """The npm package cannot be had, in one line."""


def on_pre_build(config: Any) -> None:
    """Hook of MkDocs."""
    try:
        build()
    except NotFetchedError as error:
        print(f"{error}; the site is built without what that page computes with", file=sys.stderr)


def build(folder: Path = PAGE / "vendor") -> Path:
    """Write the vendored files, those that are missing or of another version.

    Returns:
        The folder.

    Raises:
        NotFetchedError: npm is missing, or cannot fetch the package.
        RuntimeError: one line if npm gives another package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runtime, model = folder / "runtime.js", folder / "model.js"
    library = folder / "ort.wasm.min.js"
    if not (library.exists() and _is_of(runtime, PACKAGE)):
        files = _fetched()
        library.write_bytes(files[_LIBRARY])
        _write(
            runtime,
            PACKAGE,
            RUNTIME_MODULE=files[_MODULE],
            RUNTIME_BINARY=gzip.compress(files[_BINARY], mtime=0),
        )
    about = _about_principal()
    if not _is_of(model, about):
        _write(model, about, MODEL=_exported())
    return folder


def _fetched() -> dict[str, bytes]:
    """The files of the npm package, whose checksum must be the known one."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError(
            "the interactive page needs npm, for onnxruntime-web: install Node.js"
        )
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", scratch]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise NotFetchedError(f"the interactive page needs {PACKAGE}, which npm cannot fetch")
        (archive,) = Path(scratch).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise RuntimeError(f"{PACKAGE} has the checksum {found}, not {INTEGRITY}")
        with tarfile.open(archive) as packed:
            return {name: _content(packed, name) for name in (_LIBRARY, _MODULE, _BINARY)}


def _content(packed: tarfile.TarFile, name: str) -> bytes:
    file = packed.extractfile(name)
    if file is None:
        raise RuntimeError(f"{PACKAGE} has no {name}")
    return file.read()


def _exported() -> bytes:
    """The principal as ONNX."""
    from mermaide_pl.deployment.onnx_export import export_onnx

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "principal.onnx")
        export_onnx(PRINCIPAL, path)
        return path.read_bytes()


def _about_principal() -> str:
    """Version of the package and checksum of the checkpoint."""
    from mermaide_pl import __version__
    from mermaide_pl.config.input_paths import existing_checkpoint

    path = existing_checkpoint(PRINCIPAL)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return f"{PRINCIPAL} of mermaide_pl {__version__}, SHA-256 of the checkpoint {digest}"


def _is_of(script: Path, about: str) -> bool:
    """Whether a script was written about this."""
    if not script.exists():
        return False
    with script.open(encoding="utf-8") as lines:
        return lines.readline() == f"// {about}\n"


def _write(script: Path, about: str, **constants: bytes) -> None:
    """Write a script that defines these constants, in base64."""
    lines = [f"// {about}", '"use strict";']
    lines += [
        f'const {name} = "{base64.b64encode(content).decode()}";'
        for name, content in constants.items()
    ]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    built = build()
    size = sum(file.stat().st_size for file in built.iterdir())
    print(f"{built.parent / 'index.html'}: vendored files of {size / 1e6:.1f} MB")
