import ctypes
import hashlib
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mermaide_pl.engines.native import library_cache
from mermaide_pl.engines.native.library_cache import LibraryCache

NAME = "kernel-1.so"
SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def digest(content):
    return f"{hashlib.sha256(content).hexdigest()}  {NAME}\n".encode()


class Cache:
    """A cache folder, what was built and tried out in it, and a library that leaves a mark."""

    def __init__(self, tmp_path, good, shared_library):
        self.path, self.good = tmp_path / "cache" / "mermaide_pl", good
        self.library, self.digest = self.path / NAME, self.path / f"{NAME}.sha256"
        self.aside, self.mark = tmp_path / "aside", tmp_path / "mark"
        self.hostile = shared_library(
            "#include <fcntl.h>\n__attribute__((constructor)) static void run()"
            f' {{ creat("{self.mark}", 0600); }}'
        )
        self.builds, self.tried = 0, []

    def build(self):
        self.builds += 1
        return self.good

    def kernel(self):
        with LibraryCache(self.path) as cache:
            kernel = cache.kernel(NAME, self.build, lambda path, file: self.tried.append(path))
        assert not self.mark.exists()
        assert isinstance(kernel, ctypes.CDLL)
        assert kernel.forward_float32
        return kernel

    def plant(self, content, file=None):
        """A library with its digest in place of ours."""
        self.library.unlink()
        (file or self.library).write_bytes(content)
        self.digest.write_bytes(digest(content))


@pytest.fixture
def cache(tmp_path, good, shared_library):
    cache = Cache(tmp_path, good, shared_library)
    cache.kernel()
    assert cache.builds == 1
    return cache


def test_it_is_built_and_tried_once(cache):
    cache.kernel()
    assert (cache.builds, len(cache.tried)) == (1, 1)
    assert sorted(path.name for path in cache.path.iterdir()) == [NAME, f"{NAME}.sha256", "lock"]
    assert cache.library.read_bytes() == cache.good
    assert cache.digest.read_bytes() == digest(cache.good)
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.path.iterdir()} == {0o600}
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o700


def linked(cache):
    cache.plant(cache.hostile, cache.aside)
    cache.library.symlink_to(cache.aside)


def digest_linked(cache):
    cache.aside.write_bytes(digest(cache.good))
    cache.digest.unlink()
    cache.digest.symlink_to(cache.aside)


def writable(mode):
    def spoil(cache):
        cache.plant(cache.hostile)
        cache.library.chmod(mode)

    return spoil


def foreign(cache):
    cache.plant(cache.hostile)
    os.chown(cache.library, SOMEBODY, SOMEBODY)


def hard_linked(cache):
    cache.plant(cache.hostile, cache.aside)
    os.chown(cache.aside, SOMEBODY, SOMEBODY)
    os.link(cache.aside, cache.library)


def pipe(cache):
    cache.library.unlink()
    os.mkfifo(cache.library)


def exchanged(cache):
    cache.library.write_bytes(cache.hostile)


SPOILT = {
    "library is a link": (linked, "symbolic link"),
    "library of mode 777": (writable(0o777), "kernel-1.so is writable by others"),
    "library of mode 620": (writable(0o620), "kernel-1.so is writable by others"),
    "library of mode 602": (writable(0o602), "kernel-1.so is writable by others"),
    "library is a pipe": (pipe, "not a regular file"),
    "another library": (exchanged, "digest of another file"),
    "digest is a link": (digest_linked, "symbolic link"),
    "digest of mode 666": (lambda cache: cache.digest.chmod(0o666), "is writable by others"),
    "no digest": (lambda cache: cache.digest.unlink(), None),
    "no library": (lambda cache: cache.library.unlink(), None),
    "empty digest": (lambda cache: cache.digest.write_bytes(b""), "digest of another file"),
    "junk with its digest": (lambda cache: cache.plant(b"junk" * 5000), "invalid ELF header"),
}
SPOILT_BY_ROOT = {
    "library of somebody": (foreign, "belongs to user 65534"),
    "library is a hard link": (hard_linked, "belongs to user 65534"),
    "digest of somebody": (lambda cache: os.chown(cache.digest, SOMEBODY, 0), "belongs to user"),
}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [pytest.param(*each, id=name) for name, each in SPOILT.items()]
    + [pytest.param(*each, id=name, marks=as_root) for name, each in SPOILT_BY_ROOT.items()],
)
def test_what_does_not_hold_is_not_loaded_but_built_again(cache, caplog, spoil, reason):
    spoil(cache)
    cache.kernel()
    cache.kernel()
    assert cache.builds == 2
    for path, content in ((cache.library, cache.good), (cache.digest, digest(cache.good))):
        assert path.read_bytes() == content
        assert not path.is_symlink()
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (os.geteuid(), 0o600)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (reason is not None)
    for message in messages:
        assert message.startswith(f"{cache.library} is rebuilt instead of loaded: ")
        assert reason in message


@pytest.mark.parametrize("length", [0, 1, 63, 64, 4096, 100_000, 300_000, -1])
def test_a_library_cut_short_is_built_again(cache, length):
    cache.library.write_bytes(cache.good[:length])
    cache.kernel()
    assert (cache.builds, cache.library.read_bytes()) == (2, cache.good)


def test_a_library_without_our_functions_is_built_again(cache, shared_library, caplog):
    cache.plant(shared_library('extern "C" void describe_float32() {}'))
    cache.kernel()
    assert cache.builds == 2
    (record,) = caplog.records
    assert record.getMessage().endswith("the library has no function describe_float64")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(cache, mode):
    cache.plant(cache.hostile)
    cache.path.chmod(mode)
    with pytest.raises(
        PermissionError, match=r"^the folder is writable by others, run chmod -R go-w"
    ):
        cache.kernel()
    assert not cache.mark.exists()
    cache.path.chmod(0o755)  # readers do no harm
    cache.plant(cache.good)
    cache.kernel()
    assert cache.builds == 1


@as_root
def test_a_folder_of_somebody_is_refused_also_behind_a_link(cache):
    os.chown(cache.path, SOMEBODY, SOMEBODY)
    cache.path.rename(cache.aside)
    cache.path.symlink_to(cache.aside)
    with pytest.raises(PermissionError, match=r"^the folder belongs to user 65534, not to 0$"):
        cache.kernel()


def test_a_folder_of_this_user_may_be_a_link(cache):
    cache.path.rename(cache.aside)
    cache.path.symlink_to(cache.aside)
    cache.kernel()
    assert cache.builds == 1


def test_what_was_opened_is_loaded_wherever_the_names_lead(cache, monkeypatch):
    load = library_cache.load

    def exchange_and_load(path):
        """Another user, who may write to a folder above, replaces our library by one of his own."""
        cache.path.rename(cache.aside)
        cache.path.mkdir()
        cache.library.write_bytes(cache.hostile)
        return load(path)

    monkeypatch.setattr(library_cache, "load", exchange_and_load)
    cache.kernel()


def test_of_several_that_start_at_once_one_builds(cache):
    cache.library.unlink()
    at_once = threading.Barrier(3)

    def start(_):
        at_once.wait()
        return cache.kernel()

    with ThreadPoolExecutor(3) as pool:  # the lock is of the open file, so they stand for processes
        list(pool.map(start, range(3)))
    assert cache.builds == 2


def test_what_a_killed_process_left_is_no_obstacle(cache):
    cache.library.unlink()
    cache.aside.write_text("of the user")
    (cache.path / f"{NAME}.new").symlink_to(cache.aside)
    (cache.path / f"{NAME}.new.sha256").write_text("half a")
    cache.kernel()
    assert cache.aside.read_text() == "of the user"
    assert sorted(path.name for path in cache.path.iterdir()) == [NAME, f"{NAME}.sha256", "lock"]


def test_a_library_that_does_not_work_is_not_kept(cache):
    def refuse(path, file):
        raise RuntimeError("it does not work")

    before = cache.good[:-1]  # does not hold, but is somebody's
    cache.library.write_bytes(before)
    with LibraryCache(cache.path) as opened, pytest.raises(RuntimeError, match="does not work"):
        opened.kernel(NAME, cache.build, refuse)
    assert cache.library.read_bytes() == before
    assert sorted(path.name for path in cache.path.iterdir()) == [NAME, f"{NAME}.sha256", "lock"]


def test_a_folder_in_place_of_the_library_is_left_alone(cache):
    cache.library.unlink()
    cache.library.mkdir()
    (cache.library / "kept").touch()
    with pytest.raises(IsADirectoryError):
        cache.kernel()
    assert (cache.library / "kept").exists()


@pytest.mark.parametrize(
    "put_in_place",
    [os.mkdir, os.mkfifo, lambda lock: lock.symlink_to(lock.parents[2] / "aside")],
    ids=["folder", "pipe", "link"],
)
def test_only_building_needs_the_lock_which_is_a_plain_file(cache, put_in_place):
    cache.aside.write_text("of the user")
    (cache.path / "lock").unlink()
    put_in_place(cache.path / "lock")
    cache.kernel()
    cache.digest.unlink()
    with pytest.raises(OSError, match=r"lock|seek"):
        cache.kernel()
    assert (cache.builds, cache.aside.read_text()) == (1, "of the user")


def test_nobody_waits_for_ever(cache, monkeypatch):
    monkeypatch.setattr(library_cache, "_LONGEST_WAIT", 0.2)
    cache.digest.unlink()
    stuck = pytest.raises(TimeoutError, match="timed out waiting for another process")
    with LibraryCache(cache.path) as other, other._locked(), stuck:
        cache.kernel()
    cache.kernel()
