"""Every file is replaced whole or not at all, and a failure names it."""

import io
import multiprocessing
import os
import platform
import re
import signal
import stat
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from mermaide_pl.runtime.atomic_files import set_aside, write_whole

FORK = multiprocessing.get_context("fork")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def refusal(path: str | Path, content: str | bytes = "new") -> str:
    with pytest.raises(ValueError, match="cannot be written") as caught:
        write_whole(path, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("β ≥ 1\r\n\n", "β ≥ 1\r\n\n".encode()),
        ("caf\udce9", rb"caf\udce9"),  # the name of a file that is no UTF-8
        (b"\xff\0", b"\xff\0"),
        (memoryview(b"ab")[:1], b"a"),
        ("", b""),
    ],
)
def test_what_is_written(content, expected, tmp_path):
    path = tmp_path / "new" / "folder" / "a"
    for _ in range(2):
        write_whole(path, content)
        assert path.read_bytes() == expected
    assert names(path.parent) == ["a"]


def test_the_permissions_are_those_of_a_plain_open(tmp_path, umask):
    path = tmp_path / "a"
    write_whole(path, "")
    assert mode(path) == 0o640
    path.chmod(0o604)
    write_whole(path, "")
    assert mode(path) == 0o604


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(Path("elsewhere", "target"))
    for content in ("first", "second"):  # at first the target is not there
        write_whole(link, content)
        assert link.is_symlink() and target.read_text() == content
    assert (names(target.parent), names(tmp_path)) == (["target"], ["elsewhere", "link"])


def test_a_long_name_and_signs_of_patterns(tmp_path):
    path = tmp_path / ("[a]*" + 251 * "x")
    write_whole(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("failing", ["fsync", "replace", "fchmod"])
def test_a_failure_leaves_the_old_file_and_nothing_else(failing, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space\nleft")

    monkeypatch.setattr(os, failing, fail)
    assert refusal(path) == f"{path} cannot be written: No space left"
    assert names(tmp_path) == ["a"] and path.read_text() == "old"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (".", "Is a directory"),
        ("file/a", "Not a directory"),
        ("file/b/a", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        (256 * "x", "File name too long"),
        ("a\0b", "embedded null byte"),
    ],
)
def test_places_that_cannot_be_written(place, reason, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(tmp_path / place).endswith(f" cannot be written: {reason}")
    assert names(tmp_path) == ["file", "loop"]


def _without_rights(folder: Path, answers: "multiprocessing.SimpleQueue[str]") -> None:
    os.setuid(65534)
    for path in (folder / "shut" / "a", folder / "read_only"):
        try:
            write_whole(path, "new")
        except ValueError as error:
            answers.put(str(error))


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become a user without rights")
def test_what_a_user_may_not_write(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777)
    (tmp_path / "shut").mkdir(mode=0o555)
    (tmp_path / "read_only").write_text("old")
    (tmp_path / "read_only").chmod(0o444)
    answers = FORK.SimpleQueue()
    process = FORK.Process(target=_without_rights, args=(tmp_path, answers))
    process.start()
    for name in ("shut/a", "read_only"):
        assert answers.get() == f"{tmp_path / name} cannot be written: Permission denied"
    process.join()
    assert (tmp_path / "read_only").read_text() == "old"


def test_a_device_without_space_is_named():
    assert refusal("/dev/full") == "/dev/full cannot be written: No space left on device"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_pipe_gets_the_content_as_it_is(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_whole(path, "through")
    reader.join()
    assert read == [b"through"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def _prints(path: Path) -> None:
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), 1)
    # as of a program whose output goes to a file
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    print("before")
    write_whole("/dev/stdout", "content\n")
    print("after", flush=True)


def test_standard_output_stays_in_place_also_where_it_is_a_file(tmp_path):
    process = FORK.Process(target=_prints, args=(tmp_path / "out",))
    process.start()
    process.join()
    assert (tmp_path / "out").read_text() == "before\ncontent\nafter\n"
    assert names(tmp_path) == ["out"]


def _stopped(path: Path, at: str) -> None:
    setattr(os, at, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    write_whole(path, "new")


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_what_a_killed_process_left_is_cleaned_up(at, tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    process = FORK.Process(target=_stopped, args=(path, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and path.read_text() == "old"
    begun = f".mermaide.{platform.node()}.{os.getppid()}.1.tmp"  # by one that is alive
    (tmp_path / begun).touch()
    assert len(names(tmp_path)) == 3
    write_whole(tmp_path / "another", "new")
    assert names(tmp_path) == [begun, "a", "another"]


def test_threads_that_write_the_same_file_leave_one_of_theirs(tmp_path):
    path, whole = tmp_path / "a", [str(number) * 100_000 for number in range(4)]
    threads = [threading.Thread(target=partial(write_whole, path, text)) for text in whole * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in whole and names(tmp_path) == ["a"]


def test_what_is_set_aside_takes_the_first_free_name(tmp_path):
    file, folder = tmp_path / "a", tmp_path / "b"
    for number in (1, 2, 3):
        file.write_text(str(number))
        folder.mkdir()
        (folder / "c").write_text(str(number))
        assert set_aside(file) == tmp_path / f"a.{number}"
        assert set_aside(folder) == tmp_path / f"b.{number}"
    (tmp_path / "a.2").unlink()
    file.touch()
    assert set_aside(file) == tmp_path / "a.2"
    assert [(tmp_path / f"b.{number}" / "c").read_text() for number in (1, 2, 3)] == ["1", "2", "3"]
    assert not file.exists() and not folder.exists()


def test_nothing_is_written_in_another_way():
    """But for the kernel, whose folder is not to be trusted, and checkpoints that are no files.

    Nor is anything deleted with all that is in it.
    """
    writes = re.compile(
        r"\.write_(text|bytes)\(|\bopen\([^)]*['\"][wax]|\.savefig\((?!file)|torch\.save\((?!.*content)"
        r"|(json|pickle)\.dump\(|os\.replace\(|\.to_(csv|parquet|pickle)\(|np\.save|\.tofile\("
        r"|shutil\.(copy|move|rmtree)"
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("mermaide_pl", "benchmarks", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in ("library_cache.py", "atomic_files.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if writes.search(line)
    ]
    assert found == []
