"""Counted operations against a count by hand."""

from peers.floor import Matrix, flops, matrices
from peers.workload import Workload

TINY = Workload(num_tasks=1, num_episodes=1, num_steps=1, num_arms=2, hidden_size=1, policy_size=1)


def test_matrices_of_a_tiny_network():
    assert matrices(TINY) == {
        "recurrence.weight_ih": Matrix(3, 5, 0),  # level (2), time, arm (2): no gradient
        "recurrence.weight_hh": Matrix(3, 1, 1),
        "world_model.arm_weight": Matrix(4, 6, 1),  # state, 5 features
        "policy.policy_in_weight": Matrix(1, 7, 3),  # state, 4 features, 2 forecasts
        "policy.policy_out_weight": Matrix(2, 1, 1),
    }


def test_operations_of_one_step_by_hand():
    # all inputs: 15 + 3 + 24 + 7 + 2 = 51; those with gradients: 0 + 3 + 4 + 3 + 2 = 12
    assert flops(TINY) == {
        "rollouts": 2 * 2 * 51,
        "inner gradient": 2 * (51 + 12),
        "outer gradient": 2 * (51 + 12),
        "hessian-vector, forward": 2 * (51 + 12),
        "hessian-vector, backward": 2 * (51 + 3 * 12),
    }


def test_operations_grow_with_the_episode_steps():
    larger = Workload(
        num_tasks=2, num_episodes=3, num_steps=5, num_arms=2, hidden_size=1, policy_size=1
    )
    assert flops(larger) == {name: 30 * count for name, count in flops(TINY).items()}
