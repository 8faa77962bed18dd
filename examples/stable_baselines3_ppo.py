"""Train PPO of Stable-Baselines3 to be the principal, and compare it with one of this package.

pip install -c constraints.txt -e '.[examples]'
python examples/stable_baselines3_ppo.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from mermaide_pl import Game, Population, evaluate, load_pretrained
from mermaide_pl.config.validation import check_number
from mermaide_pl.deployment.gym_env import BanditVectorEnv
from mermaide_pl.populations import packaged
from mermaide_pl.populations.files import load_populations
from mermaide_pl.principals import FunctionPlayer

PRETRAINED = "mixed-partial"


class Agents(VecEnv):
    """The vector environment with the interface of Stable-Baselines3."""

    def __init__(self, environment: BanditVectorEnv) -> None:
        self.environment = environment
        spaces = environment.single_observation_space, environment.single_action_space
        super().__init__(environment.num_envs, *spaces)

    def reset(self) -> np.ndarray:
        features, _ = self.environment.reset(seed=self._seeds[0])
        self._reset_seeds()
        return features

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        features, rewards, over, _, _ = self.environment.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in rewards]
        if over.all():  # the episodes end together
            infos = [{"terminal_observation": last} for last in features]
            features, _ = self.environment.reset()
        return features, rewards, over, infos

    def close(self) -> None:
        self.environment.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.environment, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("the agents have no attributes of their own")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("the agents have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class FallingEntropyBonus(BaseCallback):
    """Lowers the entropy bonus linearly; a policy that always intervenes learns no more."""

    def __init__(self, start: float, end: float) -> None:
        super().__init__()
        self.start, self.end = start, end

    def _on_rollout_start(self) -> None:
        left = self.model._current_progress_remaining
        self.model.ent_coef = self.end + (self.start - self.end) * left

    def _on_step(self) -> bool:
        return True


def train(
    population: Population,
    game: Game,
    *,
    agent_steps: int,
    seed: int = 0,
    num_envs: int = 128,
    entropy_bonus: tuple[float, float] = (0.01, 0.0005),
    **settings: Any,
) -> PPO:
    """Train PPO on the training split of a population."""
    agents = VecMonitor(Agents(BanditVectorEnv(num_envs, population, game=game)))
    # the features lie in about [0, 1] already; the sum of 200 rewards does not
    normalised = VecNormalize(agents, norm_obs=False, norm_reward=True, gamma=1.0)
    chosen: dict[str, Any] = {
        "n_steps": game.num_steps,  # whole episodes
        "batch_size": num_envs * game.num_steps // 8,
        "n_epochs": 10,
        "gamma": 1.0,
        "gae_lambda": 0.98,
        "learning_rate": lambda left: 1e-3 * left,
        "policy_kwargs": {"net_arch": [64, 64]},
    }
    model = PPO("MlpPolicy", normalised, seed=seed, device="cpu", verbose=1, **(chosen | settings))
    return model.learn(agent_steps, callback=FallingEntropyBonus(*entropy_bonus), log_interval=10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, then score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent_steps", type=int, default=4_000_000, help="steps of training")
    parser.add_argument(
        "--population",
        nargs="+",
        default=["unseen_ucb", "epsilon_greedy"],
        help="agents to score on",
    )
    parser.add_argument("--num_agents", type=int, default=500, help="agents of each population")
    parser.add_argument("--seed", type=int, default=0, help="of training, and which agents")
    parser.add_argument("--out", default=None, help="JSON file for the table")
    given = parser.parse_args(arguments)
    check_number("--agent_steps", given.agent_steps, low=1)
    check_number("--num_agents", given.num_agents, low=2)
    populations = load_populations(given.population)

    game = load_pretrained(PRETRAINED).game
    population = packaged("train_mixed")
    model = train(population, game, agent_steps=given.agent_steps, seed=given.seed)
    print(f"PPO was trained on {model.num_timesteps:,} agent steps.")

    def most_probable_levels(features: np.ndarray) -> np.ndarray:
        return model.predict(features, deterministic=True)[0]

    evaluate(
        f"pretrained:{PRETRAINED}",
        populations,
        others={"PPO": FunctionPlayer(most_probable_levels)},
        num_agents=given.num_agents,
        seed=given.seed,
        out=given.out,
    )


if __name__ == "__main__":
    main()
