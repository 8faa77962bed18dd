"""Principals are packed, and fetched from a local server."""

import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mermaide_pl.cli.main import main
from mermaide_pl.config.input_paths import existing_checkpoint
from mermaide_pl.runtime import checkpoint_archive

ROOT = Path(__file__).parents[2]
FILES = {
    f"table/mixed-partial-cost0.5/seed{seed}/mermaide/{name}": f"{name} {seed}".encode() * 1000
    for seed in (0, 1)
    for name in ("principal.ckpt", "training.json")
}
LIST = "checkpoints.sha256"


@contextmanager
def serving(content: bytes, *, claims: int | None = None, slow: bool = False) -> Iterator[str]:
    """URL of a local server that has one file; it may claim another length, or answer slowly."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/principals.zip":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(claims or len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            if slow:
                over.wait(60.0)
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *_) -> None:
            pass

    over = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/principals.zip"
        finally:
            over.set()
            server.shutdown()


@pytest.fixture
def packed(tmp_path, monkeypatch) -> bytes:
    """The archive of a folder ``results``, which is then moved to ``original``."""
    monkeypatch.chdir(tmp_path)
    for name, content in {**FILES, "table/runs.csv": b"a\n", "fig2/last.ckpt": b"b"}.items():
        Path("results", name).parent.mkdir(parents=True, exist_ok=True)
        Path("results", name).write_bytes(content)
    main(["pack", "--out", "dist/principals.zip"])
    Path("results").rename("original")
    return Path("dist", "principals.zip").read_bytes()


def files(folder: str) -> dict[str, bytes]:
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def refused(capsys, url: str, *options: str) -> str:
    """The one line with which a download is refused."""
    with pytest.raises(SystemExit) as ended:
        main(["download", "--url", url, *options])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("mermaide: error: ")


def archive(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive that nobody has checked, with the right checksums unless it has a list."""
    sums = (f"{hashlib.sha256(each).hexdigest()}  {name}\n" for name, each in contents.items())
    with zipfile.ZipFile("made.zip", "w", compression) as file:
        for name, content in {LIST: "".join(sums).encode(), **contents}.items():
            file.writestr(name, content)
    return Path("made.zip").read_bytes()


def test_what_was_packed_is_fetched(packed, capsys):
    with serving(packed) as url:
        main(["download", "--url", url])
        assert "results: 4 files written, 0 were there already" in capsys.readouterr().out
        assert files("results") == {**FILES, LIST: Path("original", LIST).read_bytes()}
        main(["download", "--url", url])
    assert "results: 0 files written, 4 were there already" in capsys.readouterr().out


def test_the_list_is_what_sha256sum_reads(packed):
    subprocess.run(["sha256sum", "--check", "--strict", LIST], cwd="original", check=True)


def test_the_same_files_give_the_same_archive(packed):
    Path("original").rename("results")
    for path in Path("results").rglob("*"):
        os.utime(path, (0, 0))
    main(["pack", "--out", "again.zip"])
    assert Path("again.zip").read_bytes() == packed


def test_it_goes_on_with_what_is_missing(packed, capsys):
    Path("original").rename("results")
    for name in list(FILES)[:3]:
        Path("results", name).unlink()
    with serving(packed) as url:
        main(["download", "--url", url])
    assert "3 files written, 1 were there already" in capsys.readouterr().out
    assert files("results").items() >= FILES.items()


def test_a_killed_download_leaves_nothing(packed):
    command = [sys.executable, "-m", "mermaide_pl", "download", "--out", "fetched"]
    with serving(packed, slow=True) as url:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([*command, "--url", url], env=environment)
        until = time.monotonic() + 120.0
        while not Path("fetched").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait(60.0)
    assert files("fetched") == {}
    with serving(packed) as url:
        main(["download", "--url", url, "--out", "fetched"])
    assert files("fetched").items() >= FILES.items()


def test_a_missing_file_and_server_are_named(packed, capsys):
    with serving(packed) as url:
        missing = url.replace("principals", "none")
        assert refused(capsys, missing) == f"--url {missing} cannot be fetched: 404 Not Found"
    assert refused(capsys, url) == f"--url {url} cannot be fetched: Connection refused"
    line = refused(capsys, "http://nowhere.invalid/a.zip")
    assert line.startswith("--url http://nowhere.invalid/a.zip cannot be fetched: ")
    for url in ("a.zip", "file:///etc/passwd", "ftp://a/b"):
        assert refused(capsys, url).startswith("--url must begin with http:// or https://")
    assert "http:// a" in refused(capsys, "http:// a")
    assert not Path("results").exists()


def test_a_broken_connection_is_named(packed, capsys):
    with serving(packed, claims=len(packed) + 9) as url:
        line = refused(capsys, url)
    assert line.endswith(f"broke after {len(packed)} of {len(packed) + 9} bytes; try again")
    assert not Path("results").exists()


def test_a_server_that_is_silent_is_named(packed, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint_archive, "_ANSWERS", 0.2)
    with serving(packed, slow=True) as url:
        assert "cannot be fetched: timed out" in refused(capsys, url)
    assert not Path("results").exists()


@pytest.mark.parametrize("how", ["cut", "shortened", "flipped", "text", "compressed", "no list"])
def test_a_damaged_archive_is_refused(packed, capsys, how):
    content = {
        "cut": packed[:-9],
        "shortened": packed[20:],
        "flipped": packed.replace(b"training.json 1", b"training.json 2", 5),
        "text": b"hello there\n",
        "compressed": archive(FILES, zipfile.ZIP_DEFLATED),
        "no list": archive(FILES).replace(LIST.encode(), b"checkpoints.sha255"),
    }[how]
    with serving(content) as url:
        line = refused(capsys, url)
    assert line == f"{url} is damaged, or is no archive of `mermaide pack`"
    assert not Path("results").exists()


def test_a_wrong_checksum_is_named(packed, capsys):
    name = next(iter(FILES))
    sums = f"{'0' * 64}  {name}\n".encode()
    with serving(archive({LIST: sums, name: b"other"})) as url:
        assert refused(capsys, url) == f"{url}: {name} has another checksum than {LIST} says"
    assert not Path("results").exists()


def test_an_archive_of_another_version_is_refused(packed, capsys):
    Path("original").rename("results")
    with serving(archive({next(iter(FILES)): b"other"})) as url:
        line = refused(capsys, url)
    assert line == f"{url} is of another version: its checksums are not in results/{LIST}"


def test_a_file_of_the_users_is_not_replaced(packed, capsys):
    path = Path("results", next(iter(FILES)))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with serving(packed) as url:
        assert (
            refused(capsys, url) == f"{path} is another than that of {url}: move it elsewhere first"
        )
    assert files("results") == {next(iter(FILES)): b"mine"}


@pytest.mark.parametrize(
    "name",
    [
        "../principal.ckpt",
        "table/../../principal.ckpt",
        "/tmp/principal.ckpt",
        "a\\..\\principal.ckpt",
        "a//principal.ckpt",
        "table/code.py",
        "table/\x1b[31m/principal.ckpt",
    ],
)
def test_no_path_leads_out_of_the_folder(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    with serving(archive({name: b"evil"})) as url:
        assert refused(capsys, url).endswith("is no checksum of a principal.ckpt")
    assert sorted(files(".")) == ["made.zip"]


def test_no_link_leads_out_of_the_folder(packed, capsys):
    Path("elsewhere").mkdir()
    Path("results").mkdir()
    Path("results", "table").symlink_to(Path("elsewhere").resolve())
    with serving(packed) as url:
        assert refused(capsys, url).endswith("leads out of results")
    assert files("elsewhere") == {}


def test_a_full_disk_is_named(packed, capsys, monkeypatch):
    full = lambda dir: open("/dev/full", "r+b", buffering=0)  # noqa: E731, SIM115
    with serving(packed) as url:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint_archive, "TemporaryFile", full)
            line = refused(capsys, url)
        assert line == f"--out results cannot be written: {os.strerror(errno.ENOSPC)}"
        assert not Path("results").exists()
        main(["download", "--url", url])
    assert files("results").items() >= FILES.items()


def test_a_file_where_the_folder_should_be_is_named(packed, capsys):
    Path("results").touch()
    assert refused(capsys, "http://127.0.0.1:9/a") == "--out results is a file, it must be a folder"
    assert refused(capsys, "http://127.0.0.1:9/a", "--out", "").startswith("--out is empty")


def test_nothing_to_pack_is_named(packed):
    with pytest.raises(ValueError, match=r"dist holds no principal\.ckpt"):
        checkpoint_archive.pack(Path("dist"), Path("a.zip"))
    Path("original", next(iter(FILES))).unlink()
    with pytest.raises(ValueError, match=rf"{LIST} lists table/.*, which is not there: fetch it"):
        checkpoint_archive.pack(Path("original"), Path("a.zip"))
    assert not Path("a.zip").exists()


def test_a_missing_checkpoint_says_what_fetches_it(packed):
    path = Path("original", next(iter(FILES)))
    assert existing_checkpoint(path) == path
    path.unlink()
    with pytest.raises(ValueError, match=r"archive of a release: `mermaide download --url"):
        existing_checkpoint(path)
    with pytest.raises(ValueError, match=r"seed9/principal.ckpt does not exist \(pretrained"):
        existing_checkpoint("original/seed9/principal.ckpt")


def test_a_port_that_answers_nonsense_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(b"hello there\r\n\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.zip"
        assert refused(capsys, url) == f"--url {url} cannot be fetched: hello there"
