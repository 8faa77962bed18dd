"""Meta-train a principal of your own: here a small network that sees the last eight steps.

Return on 128 unseen agents: 0.067 without it, 0.078 untrained, 0.350 trained, 0.358 adapted.
"""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mermaide_pl import AgentFamily, Game, Population, TaskDataModule, agents, principals
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.meta_step import meta_step
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import HistoryState, LearnedPrincipal, PrincipalOutput, Weights


class WindowPrincipal(nn.Module):  # a LearnedPrincipal: mermaide_pl/principals/protocol.py
    def __init__(self, game: Game, window: int = 8, hidden_size: int = 64) -> None:
        super().__init__()
        self.game, self.history = game, principals.LastStep()
        self.shape = game.num_levels + 1 + game.num_arms, window  # features of a step, steps
        first = nn.Linear(self.shape[0] * window, hidden_size)
        last = nn.Linear(hidden_size, game.num_levels * (1 + game.num_arms))
        self.network = nn.Sequential(nn.Flatten(-2), first, nn.Tanh(), last)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.network.named_parameters())

    def forward(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        seen = trajectory.observed_arms, trajectory.levels, trajectory.observed_agent_rewards
        steps = self.history.features(HistoryState.of_sequence(*seen, trajectory.game))
        windows = nn.functional.pad(steps, (0, 0, self.shape[1] - 1, 0)).unfold(2, self.shape[1], 1)
        level_logits, arm_logits = self.logits(weights, windows)
        return PrincipalOutput.of(trajectory, level_logits, arm_logits=arm_logits)

    def first_state(self, weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        return torch.zeros(num_tasks, num_episodes, *self.shape)

    def step(
        self, weights: Weights, state: Tensor, past: HistoryState
    ) -> tuple[Tensor, Tensor, Tensor]:
        latest = self.history.features(past)
        state = torch.cat([state[..., 1:], latest.unsqueeze(-1)], dim=-1)
        return state, *self.logits(weights, state)

    def logits(self, weights: Weights, windows: Tensor) -> tuple[Tensor, Tensor]:
        outputs = principals.call_module(self.network, weights, windows)
        outputs = outputs.view(*outputs.shape[:-1], self.game.num_levels, 1 + self.game.num_arms)
        return outputs[..., 0], outputs[..., 1:]  # of the levels, and of the arms at each level


class MetaTraining(pl.LightningModule):  # of any LearnedPrincipal
    def __init__(self, principal: LearnedPrincipal) -> None:
        super().__init__()
        self.principal = principal
        self.inner_loop = GradientAdaptation(inner_lr=0.1).build(principal.weights())

    def training_step(self, tasks: TaskBatch, batch_index: int) -> Tensor:
        parts = self.principal, self.inner_loop, Objective(), tasks
        progress = self.global_step / self.trainer.max_steps
        step = meta_step(*parts, num_query_episodes=4, progress=progress)
        nobody, game = principals.NoIntervention(), self.principal.game
        alone = rollout(tasks, nobody, game, stream=Stream.QUERY, num_episodes=4)
        played = {"no intervention": alone, "0 shots": step.support, "1 shot": step.query}
        returns = {name: each.returns.mean() for name, each in played.items() if each}
        self.log_dict(returns, batch_size=len(tasks))
        return step.loss

    validation_step = training_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=5e-3)


def main(num_steps: int = 150) -> None:
    pl.seed_everything(0)
    population = Population([AgentFamily(agents.UCB, {"beta": [0.1, 0.2, 0.4]})], num_arms=5)
    data = TaskDataModule(population, meta_batch_size=16, steps_per_epoch=num_steps)
    module = MetaTraining(WindowPrincipal(Game(num_arms=5, num_steps=40)))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=num_steps,
        gradient_clip_val=1.0,
        inference_mode=False,  # adaptation takes gradients in validation too
        logger=False,
        enable_checkpointing=False,
    )
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    (after,) = trainer.validate(module, data, verbose=False)
    for name in after:
        print(f"{name}: return {before[name]:.3f} before training, {after[name]:.3f} after")


if __name__ == "__main__":
    main()
