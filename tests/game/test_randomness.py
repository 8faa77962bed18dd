import numpy as np
import pytest
import torch

from mermaide_pl.game.randomness import mix, task_uniforms


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


@pytest.mark.parametrize("first", [0, 8, 64, 8_000])
def test_numbers_may_begin_anywhere(first):
    all_of_them = task_uniforms([1, 2], "agent", (1, first + 30))
    assert torch.equal(task_uniforms([1, 2], "agent", (1, 30), first), all_of_them[..., first:])


def test_global_state_plays_no_part():
    torch.manual_seed(0)
    np.random.seed(0)
    first = task_uniforms([3], "agent", (4,))
    after = torch.rand(1), np.random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    assert (torch.rand(1), np.random.random()) == after
    assert torch.equal(task_uniforms([3], "agent", (4,)), first)


def test_the_default_type_of_torch_does_not_matter():
    expected = task_uniforms([3, 2**64 - 1], "agent", (4, 2))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        numbers = task_uniforms([3, 2**64 - 1], "agent", (4, 2))
    finally:
        torch.set_default_dtype(before)
    assert numbers.dtype == expected.dtype == torch.float32
    assert torch.equal(numbers, expected)


@pytest.mark.parametrize("stream", ["task", "agent", "support/agent", "tune/principal"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        # with a generator seeded by 32 bits of a scramble these two share the stream "agent"
        (5910005476800230965, 14132404646201470962),
        (0, 2**63),
        (1, 1 + 2**32),
        (2**64 - 1, 2**32 - 1),
    ],
)
def test_all_64_bits_of_a_seed_count(one, other, stream):
    first, second = task_uniforms([one, other], stream, (50,))
    assert (first != second).all()


def test_no_two_streams_of_two_seeds_share_their_numbers():
    streams = [
        f"{use}/{part}"
        for use in ("support", "query", "val", "test", "tune")
        for part in ("agent", "reward", "observation", "principal")
    ]
    numbers = torch.cat([task_uniforms([1, 2], stream, (8,)) for stream in ("task", *streams)])
    assert len(numbers.unique(dim=0)) == 2 * 21


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
    class AtTheEdge:
        def __init__(self, bits) -> None:
            """Whatever the bits are."""

        def random(self, dtype, out) -> None:
            out.fill(edge)

    monkeypatch.setattr(np.random, "Generator", AtTheEdge)
    numbers = task_uniforms([0], "agent", (2,))
    assert (numbers - edge).abs().max() < 1e-6
    assert numbers.dtype == torch.float32
    assert ((numbers > 0.0) & (numbers < 1.0)).all()
    assert torch.isfinite(torch.special.ndtri(numbers)).all()
