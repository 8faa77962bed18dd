import pytest
import torch

from mermaide_pl.engines import AUTO, TorchEngine
from mermaide_pl.engines.native.threads import LARGE, kernel_threads, one_thread_for_torch
from mermaide_pl.game import Game
from mermaide_pl.principals import Architecture, Principal


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads() -> tuple[int, int]:
    return torch.get_num_threads(), kernel_threads()


def test_the_kernel_keeps_the_threads_that_torch_gives_up():
    assert threads() == (3, 3)
    with one_thread_for_torch(1000):
        assert threads() == (1, 3)
        with one_thread_for_torch(10):
            assert threads() == (1, 3)
        assert threads() == (1, 3)
    assert threads() == (3, 3)


def test_large_work_keeps_them_for_torch():
    with one_thread_for_torch(LARGE):
        assert threads() == (3, 3)


def test_an_error_gives_them_back():
    with pytest.raises(KeyError), one_thread_for_torch(10):
        raise KeyError
    assert threads() == (3, 3)


@pytest.mark.parametrize(("engine", "during"), [(AUTO, (1, 3)), (TorchEngine(), (3, 3))])
def test_pytorch_keeps_them_where_it_computes(engine, during):
    with engine.threads(Principal(Architecture(6, 5), Game()), 1600):
        assert threads() == during
