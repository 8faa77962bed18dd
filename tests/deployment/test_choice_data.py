import gzip
import hashlib
from pathlib import Path

import pytest
import torch

from mermaide_pl.deployment.choice_data import COLUMNS, PUBLISHED, ChoiceData
from mermaide_pl.deployment.choice_tables import read_choice_data
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import CHOICE_ENGINEERING, Game
from mermaide_pl.meta_learning.losses import Objective
from mermaide_pl.populations import packaged
from mermaide_pl.principals import Architecture, Principal

# rewards of the target and of the other; schedule 3 rewards both 25 times together
REWARDS = {
    3: [(t % 4 == 0, t % 4 == 0) for t in range(100)],
    7: [(t < 25, t >= 75) for t in range(100)],
}
# choices of the target: hardly ever, 40 and 60 of 100, always
CHOICES = [
    (7, [t < 4 for t in range(100)]),
    (3, [t < 40 for t in range(100)]),
    (7, [t % 5 > 1 for t in range(100)]),
    (7, [True] * 100),
]


def rows(choices=CHOICES) -> list[list[object]]:
    return [
        [person, schedule, trial, int(chose), *map(int, REWARDS[schedule][trial])]
        for person, (schedule, chosen) in enumerate(choices)
        for trial, chose in enumerate(chosen)
    ]


def text_of(table, header=COLUMNS) -> str:
    return "".join(f"{','.join(map(str, row))}\n" for row in [header, *table])


def written(path: Path, table) -> Path:
    path = path / "choices.csv"
    path.write_text(text_of(table))
    return path


def folder(path: Path) -> Path:
    """The same as the authors have it."""
    for number, (schedule, chosen) in enumerate(sorted(CHOICES, key=lambda each: each[0])):
        place = path / f"schedule_{schedule}"
        place.mkdir(exist_ok=True, parents=True)
        lines = ["trial_number,is_choice_alternative_1,reward_alternative_1,reward_alternative_2"]
        for trial, chose in enumerate(chosen):
            target, other = map(int, REWARDS[schedule][trial])
            lines.append(f"{trial}, {str(chose).lower()},{target},{other}")
        (place / f"schedule_{schedule}_n_{number}.csv").write_text("\n".join(lines))
    return path


def test_choices_schedules_and_biases_by_hand(tmp_path):
    data = read_choice_data(written(tmp_path, rows()))
    assert data.schedule.tolist() == [7, 3, 7, 7]
    assert data.chose_target.sum(1).tolist() == [4, 40, 60, 100]
    assert [*data.schedules] == [3, 7]
    assert data.schedules[3].sequence == (3, 0, 0, 0) * 25
    assert data.schedules[7].sequence == (1,) * 25 + (0,) * 50 + (2,) * 25
    assert data.biases() == {3: (0.4, 1), 7: (0.6, 1)}
    assert data.biases(0.0, 1.0)[7] == (pytest.approx((4 + 60 + 100) / 300), 3)


def test_the_checksum_is_that_of_the_text(tmp_path):
    path = written(tmp_path, rows())
    data = read_choice_data(path)
    assert data.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not data.is_published
    assert "4 people under 2 schedules, not the published data" in str(data)
    published = ChoiceData(data.chose_target, data.schedule, data.schedules, PUBLISHED)
    assert "the published data (sha256 99b2" in str(published)


def test_rows_in_any_order_zipped_or_as_the_authors_have_them_are_the_same(tmp_path):
    data = read_choice_data(written(tmp_path, rows(sorted(CHOICES, key=lambda each: each[0]))))
    (tmp_path / "other.csv.gz").write_bytes(
        gzip.compress(text_of(rows(sorted(CHOICES, key=lambda each: each[0]))[::-1]).encode())
    )
    zipped = read_choice_data(tmp_path / "other.csv.gz")
    assert torch.equal(zipped.chose_target.flip(0), data.chose_target)
    published = read_choice_data(folder(tmp_path / "static"))
    assert published.checksum == data.checksum
    assert torch.equal(published.chose_target, data.chose_target)
    assert published.schedules == data.schedules


def test_schedules_play_what_people_were_paid(tmp_path):
    data = read_choice_data(written(tmp_path, rows()))
    learners = packaged("train_choice_engineering")
    tasks = learners.sample(range(4), split="test", game=CHOICE_ENGINEERING)
    for number, schedule in data.schedules.items():
        played = rollout(tasks, schedule, CHOICE_ENGINEERING, stream=Stream.SCORE, num_episodes=1)
        levels = [target + 2 * other for target, other in REWARDS[number]]
        assert played.levels.tolist() == [[levels]] * 4


def test_episodes_are_the_choices_with_their_rewards(tmp_path):
    data = read_choice_data(written(tmp_path, rows()))
    played = data.trajectory()
    assert played.alignment.flatten().tolist() == pytest.approx([0.04, 0.4, 0.6, 1.0])
    assert torch.equal(played.returns, played.alignment)
    for person, (schedule, chosen) in enumerate(CHOICES):
        paid = [float(REWARDS[schedule][t][0 if chose else 1]) for t, chose in enumerate(chosen)]
        assert played.agent_rewards[person, 0].tolist() == paid
    assert played.allowed_levels.gather(-1, played.levels.unsqueeze(-1)).all()
    with pytest.raises(ValueError, match="not 10 arms"):
        data.trajectory(Game())


def test_a_world_model_learns_from_them(tmp_path):
    played = read_choice_data(written(tmp_path, rows())).trajectory()
    torch.manual_seed(0)
    principal = Principal(Architecture(8, 8), CHOICE_ENGINEERING)
    optimizer = torch.optim.Adam(principal.parameters(), 0.02)
    losses = []
    for _ in range(12):
        output = principal(principal.weights(), played)
        loss = Objective().inner_loss(output, output.log_levels.detach(), output.values).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.69, abs=0.05)
    assert losses[-1] < 0.6


def changed(change) -> list[list[object]]:
    table = rows()
    change(table)
    return table


def put(row: int, column: int, value):
    def change(table):
        table[row][column] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(0, 3, 2), "row 1, column chose_target: must be an integer from 0 to 1, got '2'"),
        (put(5, 2, 100), "row 6, column trial: must be an integer from 0 to 99, got '100'"),
        (put(5, 2, 4), "row 6, column trial: must not be that of row 5 again, got '4'"),
        (put(7, 1, 3), "row 8, column schedule: must be 7, as in the participant's first row"),
        (put(9, 4, 0), "row 10, column reward_target: must be 1, as for others of this schedule"),
        (put(9, 5, "x"), "row 10, column reward_other: must be an integer from 0 to 1, got 'x'"),
        (lambda table: table.pop(120), "1: must have the trials 0 to 99, lacks 20"),
    ],
)
def test_one_mistake_is_one_line(change, message, tmp_path):
    path = written(tmp_path, changed(change))
    with pytest.raises(ValueError, match=r"choices\.csv, ") as caught:
        read_choice_data(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_said_at_once(tmp_path):
    def change(table):
        table[0][3], table[250][4], table[399][5] = "maybe", "", 7
        del table[100:105]

    with pytest.raises(ValueError, match="has 4 mistakes:") as caught:
        read_choice_data(written(tmp_path, changed(change)))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "row 1, column chose_target",
        "row 246, column reward_target",
        "row 395, column reward_other",
        "1",
    ]
    assert lines[-1].endswith("lacks 0, 1, 2, 3, 4")


def test_schedules_must_reward_25_times(tmp_path):
    table = rows()
    for row in table:
        if row[1] == 7 and row[2] in (30, 31):
            row[4] = 1
    with pytest.raises(ValueError, match=r"schedule 7: reward_target must be 1 in exactly 25"):
        read_choice_data(written(tmp_path, table))


def test_mistakes_in_a_folder_name_the_file(tmp_path):
    path = folder(tmp_path / "static")
    (path / "notes.csv").write_text("a,b\n1,2\n")
    first, second = sorted(path.glob("schedule_7/*.csv"))[:2]
    first.write_text(first.read_text().replace("\n0, true", "\n0, yes"))
    second.write_text(second.read_text().replace("\n9, true,1,0", "\n9, true,0,0"))
    with pytest.raises(ValueError, match="has 3 mistakes") as caught:
        read_choice_data(path)
    lines = str(caught.value).splitlines()
    assert "notes.csv must be in a folder schedule_NUMBER" in lines[1]
    assert f"schedule_7/{first.name}, row 1, column is_choice_alternative_1: must be" in lines[2]
    assert "row 10, column reward_alternative_1: must be 1, as for others" in lines[3]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "participant,trial\n1,2\n", "columns once: 'schedule', 'chose_target'"),
        ("b.csv", text_of([]), "has no rows below its header"),
        ("c.txt", "x", "must end in one of .csv"),
    ],
)
def test_other_files_are_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        read_choice_data(tmp_path / name)
    with pytest.raises(ValueError, match="has no CSV files"):
        (tmp_path / "empty").mkdir()
        read_choice_data(tmp_path / "empty")
