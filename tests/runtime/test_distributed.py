import pytest
import torch

from mermaide_pl.runtime.distributed import Shard, check_world, lost_another, one_fate, processes


@pytest.mark.parametrize(("num_jobs", "num_processes"), [(7, 3), (6, 2), (1, 4), (0, 2)])
def test_every_job_is_done_once(num_jobs, num_processes):
    shares = [Shard(rank, num_processes).of(num_jobs) for rank in range(num_processes)]
    assert sorted(job for share in shares for job in share) == list(range(num_jobs))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_does_everything_alone():
    with processes(1, 1) as share:
        assert list(share.of(3)) == [0, 1, 2]
        assert share.total(torch.tensor([0.5])).item() == 0.5


@pytest.mark.parametrize(
    ("numbers", "name"), [((0, 1), "--devices"), ((1, 0), "--num_nodes"), ((-1, 1), "--devices")]
)
def test_numbers_are_checked(numbers, name):
    with pytest.raises(ValueError, match=f"{name} must be .* at least 1"), processes(*numbers):
        pass


class Strategy:
    """As much of Lightning's as is asked for here."""

    def __init__(self) -> None:
        self.launcher, self.cluster_environment = self, self
        self.procs, self.killed = [self, self], 0

    def kill(self) -> None:
        self.killed += 1

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        if num_devices * num_nodes != 2:
            raise ValueError("other\nnumbers")


def test_another_number_of_processes_is_refused():
    check_world(Strategy(), 2, 1)
    check_world(object(), 3, 1)  # one device has no environment
    with pytest.raises(ValueError, match=r"^devices and num_nodes: other numbers$"):
        check_world(Strategy(), 3, 1)


def test_what_was_started_ends_with_its_parent():
    strategy = Strategy()
    with one_fate(strategy):
        pass
    assert strategy.killed == 0
    with pytest.raises(ZeroDivisionError), one_fate(strategy):
        _ = 1 / 0
    assert strategy.killed == 2


def test_only_a_lost_process_is_a_lost_process():
    assert lost_another(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    assert lost_another(torch.distributed.DistBackendError("NCCL error"))
    assert not lost_another(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
