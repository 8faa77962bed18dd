import pytest

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.experiments.choice_engineering import biases
from mermaide_pl.experiments.choice_engineering.models import PEOPLE
from mermaide_pl.game import CHOICE_ENGINEERING
from mermaide_pl.populations import packaged


def test_biases_are_those_of_the_data_and_of_agents_played(study):
    advanced = []
    rows = biases.compute(study, lambda: advanced.append(1))
    assert len(advanced) == biases.parts(study)
    found = {(row["model"], row["schedule"]): row for row in rows}
    for number, bias in study.data.biases().items():
        row = found[PEOPLE, number]
        assert (row["bias_mean"], row["num_counted"]) == (
            pytest.approx(bias.share, abs=1e-6),
            bias.num_people,
        )
    agents = packaged("epsilon_softmax_q_lab").sample(
        range(6), split="test", seed=3, game=CHOICE_ENGINEERING
    )
    played = rollout(
        agents,
        study.data.schedules[2],
        CHOICE_ENGINEERING,
        stream=Stream.SCORE,
        num_episodes=1,
    )
    assert found["ql_lab", 2]["bias_mean"] == pytest.approx(
        played.alignment.mean().item(), abs=1e-5
    )
    assert (study.out / "models" / "without_schedules_9.ckpt").is_file()


def test_agreement_by_hand():
    people = {0: 0.5, 1: 0.6, 2: 0.7}
    rows = [
        {"model": model, "schedule": number, "bias_mean": bias + shift * (number != 1)}
        for model, shift in ((PEOPLE, 0.0), *((each, 0.03) for each in biases.MODELS))
        for number, bias in people.items()
    ]
    first = biases.agreement(rows)[0]
    assert first["model"] == "catie"
    assert first["mean_error"] == pytest.approx(0.02)
    # 0.53, 0.60, 0.73 against 0.5, 0.6, 0.7: covariance 0.02, deviations' squares 0.0206, 0.02
    assert first["correlation"] == pytest.approx(0.02 / (0.02 * 0.0206) ** 0.5)


def test_who_hardly_ever_changed_is_left_out():
    from numpy import array

    row = biases._row("catie", 1, array([0.04, 0.05, 0.95, 0.96]))
    assert (row["num_counted"], row["num_all"], row["bias_mean"]) == (2, 4, 0.5)
