import pytest
import torch

from mermaide_pl.agents import UCB
from mermaide_pl.engines import AUTO, NativeEngine, Stream, TorchEngine
from mermaide_pl.engines.cuda_graphs import CudaGraphCache
from mermaide_pl.engines.native.coverage import network_shape
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture, LearnedPlayer, MinGRU, Principal
from mermaide_pl.principals.min_gru import scan

GAME = Game(num_arms=3, num_steps=7)
ARCHITECTURE = Architecture(4, 3, recurrence=MinGRU())


def loop(kept: torch.Tensor, added: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The recursion, step by step."""
    states = []
    for kept_t, added_t in zip(kept.unbind(2), added.unbind(2), strict=True):
        state = kept_t * state + added_t
        states.append(state)
    return torch.stack(states, dim=2)


def problem(num_steps: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(num_steps)
    kept = torch.sigmoid(4.0 * torch.randn(2, 3, num_steps, 5, dtype=dtype))
    return [kept, torch.randn_like(kept), torch.randn_like(kept[:, :, 0])]


def tasks():
    population = Population([AgentFamily(UCB, {"beta": 0.3})], num_arms=3)
    return population.sample(range(2), split="train")


def test_the_scan_by_hand():
    kept, added = torch.tensor([[0.5, 2.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 3.0, 4.0]])
    states = scan(kept.view(1, 1, 4, 1), added.view(1, 1, 4, 1), torch.full((1, 1, 1), 6.0))
    assert states.flatten().tolist() == [4.0, 8.0, 3.0, 7.0]


@pytest.mark.parametrize("num_steps", [1, 2, 3, 6, 7, 8, 9, 200, 1000])
def test_the_scan_is_the_loop_and_so_are_its_gradients(num_steps):
    given = [each.requires_grad_() for each in problem(num_steps)]
    scanned, looped = scan(*given), loop(*given)
    torch.testing.assert_close(scanned, looped, rtol=0.0, atol=1e-12)
    cotangent, directions = torch.randn_like(looped), [torch.randn_like(each) for each in given]

    def derivatives(states: torch.Tensor) -> list[torch.Tensor]:
        first = torch.autograd.grad(states, given, cotangent, create_graph=True)
        along = sum((one * two).sum() for one, two in zip(first, directions, strict=True))
        return [*first, *torch.autograd.grad(along, given, materialize_grads=True)]

    for one, other in zip(derivatives(scanned), derivatives(looped), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kept", [0.0, 1e-30, 0.5, 1.0 - 1e-7, 1.0])
def test_the_scan_is_as_good_in_single_precision_as_the_loop(kept):
    """Of 1000 steps that keep nothing, next to nothing, or all."""
    _, added, state = problem(1000, torch.float32)
    shares = torch.full_like(added, kept)
    exact = loop(shares.double(), added.double(), state.double())
    errors = [(way(shares, added, state) - exact).abs().max() for way in (scan, loop)]
    assert errors[0] <= errors[1] + 1e-6


def test_the_unit_by_hand():
    layer = MinGRU().build(num_features=1, hidden_size=1)
    weights = {
        "recurrence.weight": torch.tensor([[0.0], [2.0]]),
        "recurrence.bias": torch.tensor([3.0, 1.0]).log(),  # z = 3/4, n = 2 x
    }
    state = layer.step(weights, torch.full((1, 1, 1), 5.0), torch.full((1, 1, 1), 8.0))
    torch.testing.assert_close(state, torch.full((1, 1, 1), 0.25 * 8.0 + 0.75 * 10.0))


def test_the_native_engine_hands_it_on():
    torch.manual_seed(0)
    principal = Principal(ARCHITECTURE, GAME)
    assert network_shape(principal) is None
    assert network_shape(Principal(Architecture(4, 3), GAME)) is not None
    player = LearnedPlayer(principal, principal.weights())

    def play(engine):
        return rollout(tasks(), player, GAME, stream=Stream.SCORE, num_episodes=2, engine=engine)

    one, other = play(NativeEngine(TorchEngine())), play(TorchEngine())
    assert torch.equal(one.levels, other.levels)
    logits = [
        engine.forward(principal, principal.weights(), one).level_logits
        for engine in (AUTO, TorchEngine())
    ]
    assert torch.equal(*logits)
    assert "the native engine does not support all parts" in AUTO.describe(principal)


def test_its_rollouts_can_be_captured():
    principal = Principal(ARCHITECTURE, GAME)
    assert CudaGraphCache.suits(tasks(), LearnedPlayer(principal, principal.weights()), GAME)


@pytest.mark.parametrize(
    ("adapted", "moved"),
    [
        (("recurrence",), {"weight", "bias"}),
        (("initial_state",), {"initial_state"}),
    ],
)
def test_its_parts_adapt(adapted, moved):
    torch.manual_seed(0)
    module = MermaideModule(GAME, ARCHITECTURE, GradientAdaptation(adapted=adapted))
    weights, meta = module.adapted_weights(tasks(), 1), module.principal.weights()
    differ = {name for name, weight in meta.items() if not torch.equal(weights[name][0], weight)}
    assert {name for name in weights if weights[name].dim() > meta[name].dim()} == {
        f"recurrence.{name}" for name in moved
    }
    assert {f"recurrence.{name}" for name in moved} <= differ


def test_it_carries_its_state_and_learns():
    torch.manual_seed(0)
    module = MermaideModule(GAME, ARCHITECTURE)  # as the quickstart adapts
    assert module.inner_loop.carries_state
    step = module.take_step(tasks(), progress=0.0)
    step.loss.backward()
    for name, weight in module.principal.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0.0, name
