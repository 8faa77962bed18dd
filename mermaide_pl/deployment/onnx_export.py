"""One decision step of a trained principal as an ONNX file, for programs without PyTorch."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.export import Dim

from mermaide_pl import __version__
from mermaide_pl.config.validation import one_line
from mermaide_pl.deployment.decision_step import NUM_ARM_TALLIES, Decision, DecisionStep
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import read_checkpoint

TOLERANCE = 1e-5
"""Largest difference from PyTorch of any output of a file that is written."""
INPUTS = {
    "step": "number of this step in its episode, from 0, int64 [N]; at 0 an episode begins, and"
    " the inputs from arm to totals count for nothing: give zeros",
    "arm": "arm that the agent pulled in the step before, 0 for the target, int64 [N]",
    "level": "level that was played in the step before, int64 [N]",
    "agent_reward": "what the agent received in the step before, bonus included, float32 [N];"
    " zeros if the principal does not see it",
    "hidden": "new_hidden of the step before, float32 [N, H]",
    "arm_tallies": "new_arm_tallies of the step before, float32 [N, A, 3]",
    "totals": "new_totals of the step before, float32 [N, 2 + C]",
    "bonuses": "bonus of each level in reward units, the first 0, the others above 0 and in rising"
    " order, float32 [N, L]",
    "cost": "what the principal pays for one unit of bonus, float32 [N]",
    "num_steps": "steps of an episode, float32 [N]; infinite if no end is fixed",
    "max_interventions": "most levels above 0 in an episode, float32 [N]; infinite for any number",
    "full_information": "whether the principal sees the agent's rewards, bool [N]",
}
"""Inputs of the graph; the last five where the principal plays any game."""
OUTPUTS = {
    "chosen_level": "the most probable level, to be played, int64 [N]",
    "level_probabilities": "of the policy, to sample a level instead, float32 [N, L]",
    "new_hidden": "recurrent state, for the next step, float32 [N, H]",
    "new_arm_tallies": "of each arm: pulls, 1 + step of the latest one, rewards, float32 [N, A, 3]",
    "new_totals": "bonuses paid and offered, interventions, float32 [N, 2 + C]",
    "forecast": "probability of each arm in this step at each level, float32 [N, L, A]",
}
"""Outputs of the graph; the last one where the principal has a world model."""
_NUM_GAME_INPUTS = 5
_STEPS, _LEARNERS = 40, 3  # of the check in each game
_SIZES = ((2, 2), (10, 2), (4, 3), (50, 4))  # arms and levels of its games


class Exported(NamedTuple):
    """A file that was written."""

    games: str  # that it plays
    num_bytes: int
    difference: float  # largest one from PyTorch, of any output
    num_steps: int  # in which they were compared


def export_onnx(ckpt_path: str | Path, out: str | Path) -> Exported:
    """Write one decision step of a trained principal as an ONNX file, compared with PyTorch.

    It decides as a `LivePrincipal` that does not adapt; see `DecisionStep`. `INPUTS` and `OUTPUTS`
    say what goes in and comes out, and so do the metadata of the file. Learners, levels and arms
    are dynamic axes where the principal plays any game, else learners alone.

    Args:
        ckpt_path: a checkpoint, or ``pretrained:NAME``.
        out: the file.

    Raises:
        ValueError: one line if the principal cannot be exported, or the file differs from PyTorch
            by more than `TOLERANCE`; no file is written then.
    """
    module = MermaideModule.from_checkpoint(
        read_checkpoint(ckpt_path), ckpt_path, engine="torch"
    ).eval()
    try:
        step = DecisionStep(module).eval()
        model = _graph(step)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{ckpt_path} cannot be exported: {one_line(error)[:200]}") from None
    games = "any number of arms, levels and steps" if step.plays_any_game else str(step.game)
    _describe(model, games)
    content = model.SerializeToString()
    difference, num_steps = _difference(step, content)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{ckpt_path} cannot be exported: the graph differs from PyTorch by {difference:.1e}"
        )
    write_whole(out, content)
    return Exported(games, len(content), difference, num_steps)


def _graph(step: DecisionStep) -> onnx.ModelProto:
    """The graph, traced with two learners, in a game of any size of five arms and three levels."""
    game = Game(num_arms=5, bonuses=(0.0, 0.5, 1.0)) if step.plays_any_game else step.game
    inputs = _zeros(step, game, 2)
    learners = Dim("N")
    axes = {name: {0: learners} for name in inputs}
    if step.plays_any_game:
        # two levels are a case of their own in PyTorch alone
        axes["arm_tallies"][1], axes["bonuses"][1] = Dim("A", min=2), Dim("L", min=3)
    has_forecast = _torch_outputs(step, inputs).get("forecast") is not None
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of libraries about each other
            program = torch.onnx.export(
                step,
                kwargs=inputs,
                dynamic_shapes=axes,
                input_names=list(inputs),
                output_names=list(OUTPUTS) if has_forecast else list(OUTPUTS)[:-1],
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    return program.model_proto


def _describe(model: onnx.ModelProto, games: str) -> None:
    """Put into a file what it is, and leave out how it was traced."""
    for node in (*model.graph.node, *model.graph.value_info):
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    told = {**INPUTS, **OUTPUTS}
    for each in (*model.graph.input, *model.graph.output):
        del each.metadata_props[:]
        each.doc_string = told[each.name]
    del model.graph.metadata_props[:]
    model.producer_name, model.producer_version = "mermaide_pl", __version__
    model.doc_string = "One decision step of a principal that steers learners; arm 0 is the target."
    about = {
        "mermaide_pl_version": __version__,
        "games": games,
        "inputs": json.dumps({each.name: INPUTS[each.name] for each in model.graph.input}),
        "outputs": json.dumps({each.name: OUTPUTS[each.name] for each in model.graph.output}),
    }
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)


def _difference(step: DecisionStep, content: bytes) -> tuple[float, int]:
    """Largest difference of any output over episodes of random arms, and their steps."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    games = [step.game]
    if step.plays_any_game:
        games = [
            Game(arms, _STEPS, tuple(0.7 * level for level in range(levels)), max_interventions=9)
            for arms, levels in _SIZES
        ]
    worst, played = 0.0, 0
    for game in games:
        inputs = _zeros(step, game, _LEARNERS)
        for number in range(min(game.num_steps, _STEPS)):
            inputs["step"].fill_(number)
            found = _onnx_outputs(session, inputs)
            for name, expected in _torch_outputs(step, inputs).items():
                gap = np.abs(found[name] - expected.numpy()).max()
                worst = max(worst, math.inf if np.isnan(gap) else float(gap))
            inputs |= {
                name.removeprefix("new_"): torch.from_numpy(value)
                for name, value in found.items()
                if name.startswith("new_")
            }
            inputs["level"] = torch.from_numpy(found["chosen_level"])
            arms = torch.randint(game.num_arms, (_LEARNERS,), generator=generator)
            inputs["arm"], inputs["agent_reward"] = arms, torch.rand(_LEARNERS, generator=generator)
            played += 1
    return worst, played


def _zeros(step: DecisionStep, game: Game, number: int) -> dict[str, Tensor]:
    """Inputs of the first step of N learners.

    Of the numbers of a game, each learner after the first is told others.
    """
    principal = step.principal
    hidden = principal.first_state(principal.weights(), number, 1)[:, 0]
    each = torch.arange(number)
    inputs = {
        **{name: torch.zeros(number, dtype=torch.int64) for name in ("step", "arm", "level")},
        "agent_reward": torch.zeros(number),
        "hidden": torch.zeros_like(hidden),
        "arm_tallies": torch.zeros(number, game.num_arms, NUM_ARM_TALLIES),
        "totals": torch.zeros(number, 2 + len(game.signs[0])),
    }
    if not step.plays_any_game:
        return inputs
    scale = (1.0 + each)[:, None]
    return inputs | {
        "bonuses": torch.tensor(game.bonuses) * scale,
        "cost": game.cost / (1.0 + each),
        "num_steps": torch.where(each == 1, torch.inf, float(game.num_steps)),
        "max_interventions": torch.where(
            each == 2, torch.inf, float(game.max_interventions or game.num_steps)
        ),
        "full_information": each == 1,
    }


def _torch_outputs(step: DecisionStep, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of the module by name."""
    with torch.no_grad():
        decision: Decision = step(**inputs)
    return {name: value for name, value in decision._asdict().items() if value is not None}


def _onnx_outputs(session: Any, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Outputs of the file by name."""
    given = {name: value.numpy() for name, value in inputs.items()}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))
