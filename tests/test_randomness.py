import pytest
import torch

from mermaide_pl.randomness import mix, task_uniforms


def test_mix_gives_the_published_splitmix64_numbers():
    # The generator with seed 0; its state grows by the golden gamma before each number.
    assert mix(0) == 0xE220A8397B1DCDAF
    assert mix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
    assert mix(2 * 0x9E3779B97F4A7C15) == 0x06C45D188009454F


def test_numbers_belong_to_the_task_not_to_the_batch():
    seeds = [5, 2**63 + 1, 0, 7]
    batch = task_uniforms(seeds, "agent", (3, 4))
    assert batch.shape == (4, 3, 4)
    for row, seed in enumerate(seeds):
        assert torch.equal(task_uniforms([seed], "agent", (3, 4))[0], batch[row])
    assert torch.equal(task_uniforms(seeds[::-1], "agent", (3, 4)), batch.flip(0))


def test_first_axis_can_grow():
    few, many = (task_uniforms([1, 2], "agent", (number, 5, 3)) for number in (2, 9))
    assert torch.equal(few, many[:, :2])


def test_global_state_plays_no_part():
    torch.manual_seed(0)
    first = task_uniforms([3], "agent", (4,))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)
    assert torch.equal(task_uniforms([3], "agent", (4,)), first)


def test_streams_and_seeds_are_uniform_and_uncorrelated():
    num = 40_000
    rows = [task_uniforms([0, 1, 2], stream, (num,)) for stream in ("agent", "reward")]
    numbers = torch.cat(rows).double()
    # Four standard errors: of the mean, of the variance, of a correlation.
    assert (numbers.mean(1) - 0.5).abs().max() < 4 * (1 / 12 / num) ** 0.5
    assert (numbers.var(1) - 1 / 12).abs().max() < 4 * (1 / 180 / num) ** 0.5
    correlations = torch.corrcoef(numbers) - torch.eye(6)
    assert correlations.abs().max() < 4 / num**0.5


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_numbers_stay_inside_the_open_interval(edge, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, generator: self.fill_(edge))
    numbers = task_uniforms([0], "agent", (2,))
    assert numbers.dtype == torch.float32
    assert ((numbers > 0.0) & (numbers < 1.0)).all()
    assert torch.isfinite(torch.special.ndtri(numbers)).all()
