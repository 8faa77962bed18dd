import pytest
import torch

from mermaide_pl.deployment.choice_data import ChoiceData
from mermaide_pl.experiments.choice_engineering.study import Effort, Study
from mermaide_pl.experiments.learners.recurrent import Training
from mermaide_pl.principals import StaticSchedule

SCHEDULES = {
    2: StaticSchedule((1,) * 25 + (0,) * 50 + (2,) * 25),
    5: StaticSchedule((3, 0, 0, 0) * 25),
    9: StaticSchedule((2,) * 25 + (1,) * 25 + (0,) * 50),
}
TINY = Effort(
    num_folds=2,
    num_fitted=4,
    num_agents=6,
    training=Training(hidden_size=4, forecast_size=2, num_epochs=1, num_steps=2),
)


@pytest.fixture
def data() -> ChoiceData:
    """Four people under each of three schedules, who change in one trial of four."""
    generator = torch.Generator().manual_seed(0)
    changes = torch.rand(12, 100, generator=generator) < 0.25
    schedule = torch.tensor([2, 5, 9] * 4)
    return ChoiceData(changes.cumsum(1) % 2 == 0, schedule, SCHEDULES, "checksum of these")


@pytest.fixture
def tiny() -> Effort:
    return TINY


@pytest.fixture
def study(data, tmp_path) -> Study:
    return Study.of(data, TINY, tmp_path, seed=3)
