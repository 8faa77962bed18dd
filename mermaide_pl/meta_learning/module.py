"""The LightningModule: one `meta_step` behind fit, validate and test."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count, check_number, check_precision
from mermaide_pl.engines import EngineName, Stream, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import adapted_weights
from mermaide_pl.meta_learning.inner_loop import Adaptation, GradientAdaptation
from mermaide_pl.meta_learning.losses import Objective, check_reached
from mermaide_pl.meta_learning.meta_step import MetaStep, meta_step
from mermaide_pl.meta_learning.within_episode import check_learns_within
from mermaide_pl.meta_learning.within_episode_player import WithinEpisodePlayer, player_of
from mermaide_pl.metrics.evaluation_metrics import EvaluationMetrics
from mermaide_pl.objectives import entropy
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import (
    Architecture,
    LearnedPlayer,
    NoIntervention,
    Player,
    PrincipalOutput,
    UniversalArchitecture,
    Weights,
)
from mermaide_pl.principals.grids import oracle_grid
from mermaide_pl.runtime.checkpointed_module import SelfDescribingModule
from mermaide_pl.runtime.nonfinite_steps import NonFiniteSteps
from mermaide_pl.runtime.resume import Resumption, take_folders

_LOGGER = logging.getLogger(__name__)


class MermaideModule(SelfDescribingModule):
    """Meta-learns a principal over agents; the defaults are what ``conf/quickstart.yaml`` trains.

    Args:
        game: rules of the game.
        architecture: sizes and slots of the principal.
        adaptation: the inner loop, or `NoAdaptation`.
        objective: the losses to minimise.
        num_query_episodes: B of the query rollouts in training. Their mean at each step is a
            baseline for what the critic cannot know of an agent.
        num_zero_shot_episodes: B of the rollouts that the loss before adaptation is taken on in
            training; with zero it is taken on the support episodes.
        num_eval_episodes: B of the scored episodes in validation and test.
        meta_lr: rate of the outer Adam in the beginning; falls linearly to zero over the run.
        inner_rates_lr: rate of the outer Adam for the logarithms of the inner rates.
        engine: computes the rollouts and forward passes: ``native`` (C++), ``torch`` (the
            reference, on any device), or ``auto``: native where it is possible, else torch.
        init_from: checkpoint, or ``pretrained:NAME``, whose weights and inner rates training
            begins with, for fine-tuning; of the same game, architecture and adaptation.
        max_skipped_steps: training steps that may be skipped, because their loss or gradient is not
            finite, before the run stops.
    """

    # of a run, of a machine, or of a beginning that is part of the weights
    not_saved = ("init_from", "engine", "max_skipped_steps")

    def __init__(
        self,
        game: Game = Game(),
        architecture: Architecture | UniversalArchitecture = Architecture(),
        adaptation: Adaptation = GradientAdaptation(inner_lr=0.3, carries_state=True),
        objective: Objective = Objective(),
        num_query_episodes: int = 4,
        num_zero_shot_episodes: int = 4,
        num_eval_episodes: int = 2,
        meta_lr: float = 5e-3,
        inner_rates_lr: float = 1e-2,
        engine: EngineName = "auto",
        init_from: str | None = None,
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__(locals())
        check_count("num_query_episodes", num_query_episodes, low=1)
        check_count("num_zero_shot_episodes", num_zero_shot_episodes, low=0)
        check_count("num_eval_episodes", num_eval_episodes, low=1)
        check_number("meta_lr", meta_lr, above=0.0, high=1e6)
        check_number("inner_rates_lr", inner_rates_lr, above=0.0, high=1e6)
        check_count("max_skipped_steps", max_skipped_steps, low=0)
        self.game = game
        self.objective = objective
        self.num_query_episodes = num_query_episodes
        self.num_zero_shot_episodes = num_zero_shot_episodes
        self.num_eval_episodes = num_eval_episodes
        self.meta_lr = meta_lr
        self.inner_rates_lr = inner_rates_lr
        self._non_finite_steps = NonFiniteSteps(max_skipped_steps)
        self.engine, self.engine_name = choose_engine(engine), engine
        self.principal = architecture.build(game)
        self.inner_loop = adaptation.build(self.principal.weights())
        self.eval_shots = tuple(sorted({0, self.inner_loop.num_shots}))
        has_forecast = self.principal.world_model is not None
        check_reached(self.inner_loop, objective, has_forecast)
        check_learns_within(self.inner_loop, objective, has_forecast, game)
        num_oracles = len(oracle_grid())
        self.metrics = EvaluationMetrics(self.eval_shots, has_forecast, num_oracles)
        self.last_evaluation: dict[int, Trajectory] = {}
        self.last_forecast: dict[int, Tensor | None] = {}
        self.val_yardsticks: dict[str, float] = {}
        self._yardsticks: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._micro_batches: tuple[int, list[Tensor]] = -1, []  # values logged since that step
        self._said_undefined = False
        self.init_from = init_from
        if init_from is not None:
            self.begin_with(init_from)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Callbacks that every run needs, whoever made its trainer."""
        return [self._non_finite_steps, Resumption()]

    def prepare_data(self) -> None:
        """Take the folders of the run: Lightning has no other hook before its loggers begin."""
        take_folders(self.trainer)

    def configure_optimizers(self) -> Any:
        """One Adam with two parameter groups, its rates falling linearly to zero."""
        groups = [{"params": list(self.principal.parameters()), "lr": self.meta_lr}]
        rates = list(self.inner_loop.parameters())
        if rates:
            groups.append({"params": rates, "lr": self.inner_rates_lr})
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0 - self.progress)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    @property
    def num_episodes(self) -> int:
        """Episodes with each task in a training step."""
        shots = self.inner_loop.num_shots
        first = self.num_zero_shot_episodes if shots and self.objective.zero_shot_weight else 0
        return shots + first + self.num_query_episodes

    @property
    def progress(self) -> float:
        """Share of the training steps completed; 0 if their number is not known."""
        total = self.trainer.estimated_stepping_batches
        return min(1.0, self.global_step / total) if 0 < total < float("inf") else 0.0

    def setup(self, stage: str) -> None:
        """Check the precision, and clear the baselines of other tasks."""
        check_precision(self.trainer.precision)
        self._yardsticks.clear()
        self._micro_batches = -1, []

    def on_fit_start(self) -> None:
        """Log which engine computes."""
        if self.trainer.is_global_zero:
            _LOGGER.info("engine: %s", self.engine.describe(self.principal))

    def take_step(self, tasks: TaskBatch, progress: float) -> MetaStep:
        """Play a meta-step and compute its loss; `progress` is the completed share of training."""
        return meta_step(
            self.principal,
            self.inner_loop,
            self.objective,
            self._on_device(tasks),
            num_query_episodes=self.num_query_episodes,
            num_zero_shot_episodes=self.num_zero_shot_episodes,
            progress=progress,
            engine=self.engine,
        )

    def training_step(self, tasks: TaskBatch, batch_index: int) -> Tensor:
        """One meta-step, the loss of which Lightning hands to Adam."""
        num_steps = tasks.game(self.game).num_steps
        self._num_rows = len(tasks) * self.num_query_episodes * num_steps
        with self.engine.threads(self.principal, self._num_rows):
            step = self.take_step(tasks, self.progress)
        logged = {
            "train/loss": step.loss,
            "train/return": step.query.returns.mean(),
            "train/alignment": step.query.alignment.mean(),
            "train/intervention_rate": step.query.intervention_rate.mean(),
            "train/policy_entropy": entropy(step.output.level_logits).mean(),
        }
        logged = self._of_the_meta_batch(logged)
        self.log_dict(logged, batch_size=len(tasks))
        self.log(
            "return", logged["train/return"], prog_bar=True, logger=False, batch_size=len(tasks)
        )
        return step.loss

    def _of_the_meta_batch(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over all processes and over the batches since the last outer step, float []."""
        if self._micro_batches[0] != self.global_step:
            self._micro_batches = self.global_step, []
        self._micro_batches[1].append(torch.stack(list(values.values())).detach())
        ours = torch.stack(self._micro_batches[1]).mean(0)
        means = self.trainer.strategy.reduce(ours, reduce_op="mean")
        return dict(zip(values, means, strict=True))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward pass through the meta-step, with the same sharing of the cores."""
        with self.engine.threads(self.principal, self._num_rows):
            super().backward(loss, *args, **kwargs)

    def validation_step(self, tasks: TaskBatch, batch_index: int) -> None:
        """Score the principal at 0 and K shots."""
        self._evaluation_step("val", tasks, batch_index)

    def test_step(self, tasks: TaskBatch, batch_index: int) -> None:
        """Score the principal at 0 and K shots."""
        self._evaluation_step("test", tasks, batch_index)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics; `val/return` is the mean over the shots."""
        self._log_evaluation("val")
        self.val_yardsticks = self.metrics.yardsticks

    def on_test_epoch_end(self) -> None:
        """Log the metrics."""
        self._log_evaluation("test")

    def _evaluation_step(self, stage: str, tasks: TaskBatch, batch_index: int) -> None:
        num_rows = len(tasks) * self.num_eval_episodes * tasks.game(self.game).num_steps
        # Trainer.validate and test run in inference mode, where nothing can adapt
        with torch.inference_mode(False), self.engine.threads(self.principal, num_rows):
            tasks = self._on_device(tasks)
            none, oracles = self._yardstick(stage, tasks, batch_index)
            for shots in self.eval_shots:
                weights = self.adapted_weights(tasks, shots)
                player = self.player(weights)
                played = self.scored_episodes(tasks, player, self.num_eval_episodes)
                with torch.no_grad():
                    if isinstance(player, WithinEpisodePlayer):
                        arm_logits = player.output(played).arm_logits
                    else:
                        arm_logits = self.forward_pass(weights, played).arm_logits
                self.metrics.update(shots, played, arm_logits, none, oracles)
                if batch_index == 0:
                    self.last_evaluation[shots] = played
                    self.last_forecast[shots] = arm_logits

    def forward_pass(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        """The principal's outputs on recorded episodes, see `Engine.forward`.

        With adaptation within episodes, those of the weights that it has at each step, without a
        graph.
        """
        player = self.player(weights)
        if isinstance(player, WithinEpisodePlayer):
            with torch.no_grad():
                return player.replay(trajectory)
        return self.engine.forward(self.principal, weights, trajectory)

    def adapted_weights(self, tasks: TaskBatch, shots: int) -> Weights:
        """See `mermaide_pl.meta_learning.adaptation.adapted_weights`."""
        return adapted_weights(
            self.principal, self.inner_loop, self.objective, tasks, shots, self.engine
        )

    def player(self, weights: Weights) -> WithinEpisodePlayer | LearnedPlayer:
        """The principal with these weights, as it is scored: it plays the most probable levels."""
        return player_of(
            self.principal,
            weights,
            self.inner_loop,
            self.objective,
            greedy=True,
            engine=self.engine,
        )

    def _on_device(self, tasks: TaskBatch) -> TaskBatch:
        """The tasks on the device and in the precision of the weights."""
        return tasks.to(self.principal.device, self.principal.dtype)

    def _yardstick(self, stage: str, tasks: TaskBatch, batch_index: int) -> tuple[Tensor, Tensor]:
        """Returns of no intervention [M, B] and of each oracle [O, M, B] in the same episodes.

        They never change, so they are cached.
        """
        key = (stage, batch_index)
        if key not in self._yardsticks:
            none, *oracles = (
                self.scored_episodes(tasks, player, self.num_eval_episodes).returns
                for player in (NoIntervention(), *oracle_grid())
            )
            self._yardsticks[key] = none, torch.stack(oracles)
        return self._yardsticks[key]

    def scored_episodes(
        self, tasks: TaskBatch, player: Player | WithinEpisodePlayer, num_episodes: int
    ) -> Trajectory:
        """Play `num_episodes` scored episodes with each task by this module's game and engine."""
        return rollout(
            tasks,
            player,
            tasks.game(self.game),
            stream=Stream.SCORE,
            num_episodes=num_episodes,
            engine=self.engine,
        )

    def _log_evaluation(self, stage: str) -> None:
        values = self.metrics.compute()
        self._say_undefined(stage)
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()})
        returns = [values[f"return_{shots}shot"] for shots in self.eval_shots]
        self.log(f"{stage}/return", torch.stack(returns).mean(), prog_bar=True)

    def _say_undefined(self, stage: str) -> None:
        """Log once why curves of the normalised return have no points."""
        reason = self.metrics.undefined
        says = self.trainer.is_global_zero and not self.trainer.sanity_checking
        if reason and says and not self._said_undefined:
            self._said_undefined = True
            _LOGGER.warning("%s/normalised_return_... is undefined, nan: %s", stage, reason)


load_pretrained = MermaideModule.pretrained
