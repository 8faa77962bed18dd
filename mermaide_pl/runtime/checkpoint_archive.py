"""Principals in the archive of a release: packed with checksums, fetched from a URL and unpacked.

The archive is a ZIP file of `NAMES`, with `CHECKSUMS` among them: a line for each file, as the
program sha256sum writes and checks it. The same list stands in the folder where the files belong.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO
from urllib.error import HTTPError
from urllib.request import urlopen
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from mermaide_pl.config.input_paths import CHECKSUMS
from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.config.validation import one_line
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console

NAMES = ("principal.ckpt", "training.json")
"""Names of the files in an archive: principals of comparisons, and what their training took."""
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_ANSWERS = 30.0  # seconds until a server has to send something
_CHUNK = 2**18  # bytes


def pack(folder: Path, archive: Path) -> list[str]:
    """Pack the principals below a folder, and write `CHECKSUMS` there.

    The same files give the same archive, byte for byte.

    Args:
        folder: of the comparisons, ``results``.
        archive: the ZIP file to write.

    Returns:
        The names of the files in it.

    Raises:
        ValueError: one line, if there is none, or one that was packed before is missing.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    names = sorted(name for name, path in paths.items() if path.name in NAMES and path.is_file())
    if not any(name.endswith(NAMES[0]) for name in names):
        raise ValueError(f"{folder} holds no {NAMES[0]}")
    listed = folder / CHECKSUMS
    earlier = _sums(listed.read_bytes(), listed) if listed.is_file() else {}
    if missing := sorted(earlier.keys() - set(names)):
        raise ValueError(
            f"{listed} lists {missing[0]}, which is not there: fetch it with `mermaide download`,"
            " or delete its line"
        )
    contents = {name: paths[name].read_bytes() for name in names}
    sums = "".join(f"{_sum(content)}  {name}\n" for name, content in contents.items()).encode()
    _sums(sums, folder)  # refuses names that no archive may have
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_STORED) as file:
        for name, content in {CHECKSUMS: sums, **contents}.items():
            file.writestr(ZipInfo(name), content)
    write_whole(archive, packed.getbuffer())
    write_whole(listed, sums)
    return names


def download(url: str, folder: Path) -> tuple[int, int]:
    """Fetch an archive, check every file in it, and write those that are not there yet.

    The archive is kept in a nameless temporary file of `folder`, so nothing is left of a download
    that breaks off. No file is written before all are checked, and each is written whole or not at
    all; the same call again writes the rest.

    Args:
        url: of the archive, http or https.
        folder: where its files go, ``results``. If it has `CHECKSUMS`, these count.

    Returns:
        How many files were written, and how many were there already.

    Raises:
        ValueError: one line, if the archive cannot be had, or is damaged or of another version, or
            if a file would be written elsewhere or in place of another.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--url must begin with http:// or https://, got {url}")
    is_new = not folder.exists()
    make_folder(folder, folder)
    try:
        with TemporaryFile(dir=folder) as file:
            for chunk in _chunks(url):
                file.write(chunk)
            return _unpack(file, url, folder)
    except OSError as error:
        raise ValueError(f"--out {folder} cannot be written: {error.strerror or error}") from None
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # if nothing came


def _chunks(url: str) -> Iterator[bytes]:
    """What a URL has, piece by piece, with a progress bar."""
    columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    shown = console(stderr=True)
    progress = Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)
    came, total = 0, None
    try:
        with urlopen(url, timeout=_ANSWERS) as answer, progress:
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            bar = progress.add_task("", total=total)
            while chunk := answer.read(_CHUNK):
                came += len(chunk)
                progress.advance(bar, len(chunk))
                yield chunk
    except (OSError, HTTPException, ValueError) as error:  # urllib raises all of these
        reason = getattr(error, "reason", None) or error
        code = f"{error.code} " if isinstance(error, HTTPError) else ""
        message = getattr(reason, "strerror", None) or reason
        raise ValueError(one_line(f"--url {url} cannot be fetched: {code}{message}")) from None
    if total not in (None, came):
        raise ValueError(
            f"--url {url}: the connection broke after {came} of {total} bytes; try again"
        )


def _unpack(file: IO[bytes], url: str, folder: Path) -> tuple[int, int]:
    """Check all files of an archive, and then write those that are missing."""
    listed = folder / CHECKSUMS
    with _refused_if_damaged(url):
        archive = ZipFile(file)
    packed = _read(archive, CHECKSUMS, url)
    sums = _sums(packed, f"{url}: {CHECKSUMS}")
    if listed.is_file() and _sums(listed.read_bytes(), listed) != sums:
        raise ValueError(f"{url} is of another version: its checksums are not in {listed}")
    missing = list(_missing(archive, sums, url, folder))
    for name in missing:
        write_whole(folder / name, _read(archive, name, url))
    write_whole(listed, packed)
    return len(missing), len(sums) - len(missing)


def _missing(archive: ZipFile, sums: dict[str, str], url: str, folder: Path) -> Iterator[str]:
    """Names of the files that are to be written; all files of the archive are checked."""
    for name, expected in sums.items():
        if _sum(_read(archive, name, url)) != expected:
            raise ValueError(f"{url}: {name} has another checksum than {CHECKSUMS} says")
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} leads out of {folder}")
        if not path.exists():
            yield name
        elif not path.is_file() or _sum(path.read_bytes()) != expected:
            raise ValueError(f"{path} is another than that of {url}: move it elsewhere first")


def _read(archive: ZipFile, name: str, url: str) -> bytes:
    """The content of a file of an archive."""
    with _refused_if_damaged(url):
        if archive.getinfo(name).compress_type != ZIP_STORED:  # might unfold to any size
            raise BadZipFile
        return archive.read(name)


@contextmanager
def _refused_if_damaged(url: str) -> Iterator[None]:
    """A damaged archive raises all kinds of errors."""
    try:
        yield
    except Exception:
        raise ValueError(f"{url} is damaged, or is no archive of `mermaide pack`") from None


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sums(text: bytes, named: object) -> dict[str, str]:
    """Checksums by name, of a list that names only files that an archive may have.

    Raises:
        ValueError: one line, for any other list.
    """
    found = {}
    for line in text.decode("utf-8", "replace").splitlines():
        parts = _LINE.fullmatch(line)
        name = PurePosixPath(parts[2]) if parts else PurePosixPath()
        is_plain = str(name) == line[66:] and "\\" not in line and line.isprintable()
        if not is_plain or name.is_absolute() or ".." in name.parts or name.name not in NAMES:
            raise ValueError(one_line(f"{named}: {line!r:.80} is no checksum of a {NAMES[0]}"))
        found[str(name)] = line[:64]
    return found
