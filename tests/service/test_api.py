import re

import pytest
from http_learners import GAMES, log_of, outcome, play_episode

from mermaide_pl import LivePrincipal
from mermaide_pl.service import held_fleet, turn
from mermaide_pl.service.server import load_principal


def asking(client):
    """Sends a body to a route of a learner, and requires an answer."""

    def ask(name, route, body):
        answer = client.post(f"/learners/{name}/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def create(client, *names):
    for name in names or GAMES:
        assert client.post("/learners", json={"name": name, **GAMES[name]}).status_code == 201


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert re.search(words, answer.json()["detail"]), answer.json()
    assert "\n" not in answer.json()["detail"]
    return answer.json()


def test_learners_are_steered_as_live_principals_steer_them(serving, principal):
    module = load_principal(str(principal)).double().eval()
    played = set()
    with serving() as client:
        create(client)
        for name, settings in GAMES.items():
            live = LivePrincipal(module, **settings)
            for episode in range(3):
                levels = []
                for step in range(12):
                    levels.append(live.intervene())
                    done = outcome(name, episode, step, levels[-1])
                    live.observe(done["arm"], done.get("agent_reward"))
                live.end_episode()
                live.adapt()
                assert play_episode(asking(client), name, episode) == levels
                played |= {*levels}
                chances = client.get(f"/learners/{name}/forecast").json()["chances"]
                assert chances == [pytest.approx(row) for row in live.forecast().tolist()]
    assert played == {0, 1, 2}


def test_a_request_that_comes_again_gets_the_same_answer(serving):
    with serving() as client:
        create(client, "full")

        def twice(route, body):
            found = [client.post(f"/learners/full/{route}", json=body) for _ in range(2)]
            assert found[0].status_code == found[1].status_code == 200
            assert found[0].json() == found[1].json()
            return found[0].json()

        sent = []
        for step in range(3):
            sent.append(("intervene", {"step": step}))
            level = twice(*sent[-1])["level"]
            sent.append(("observe", {"step": step, **outcome("full", 0, step, level)}))
            twice(*sent[-1])
        before = [twice(*each) for each in sent]
        sent.append(("intervene", {"step": 3, "episode": 0}))
        before.append(twice(*sent[-1]))  # never observed
        assert twice("end_episode", {"episode": 0}) == {"episode": 1}
        assert twice("adapt", {"episode": 1}) == {"episode": 1, "num_episodes": 1}
        twice("intervene", {"step": 0, "episode": 1})
        # late by an episode
        late = [(route, {**body, "episode": 0}) for route, body in sent]
        assert [twice(*each) for each in late] == before
        assert twice("adapt", {"episode": 1})["num_episodes"] == 1
        again = client.post("/learners", json={"name": "full", **GAMES["full"]})
        assert (again.status_code, again.json()["step"]) == (200, 0)
        assert [event["arm"] is None for event in log_of(client, "full")] == [0, 0, 0, 1]


def test_a_wrong_number_is_refused_with_the_one_that_is_expected(serving):
    with serving() as client:
        create(client, "plain")
        at = client.get("/learners/plain").json()

        def post(route, **body):
            return client.post(f"/learners/plain/{route}", json=body)

        start = {"episode": 0, "step": 0}
        assert refused(post("observe", step=0, arm=1), 409, "no level yet")["expected"] == start
        assert refused(post("intervene", step=1), 409, "step 0 of episode 0")["expected"] == start
        for route, body, words in (
            ("intervene", {"step": 0, "episode": 1}, "expected is step 0 of episode 0"),
            ("end_episode", {"episode": 0}, "no step of episode 0 has been observed"),
            ("end_episode", {"episode": 1}, "episode 1 has not begun"),
            ("adapt", {"episode": 0}, "no episode has ended"),
            ("adapt", {"episode": 1}, "not adapted to before episode 1"),
        ):
            assert refused(post(route, **body), 409, words)["expected"] == start
        assert client.get("/learners/plain").json() == at
        level = post("intervene", step=0).json()["level"]
        done = outcome("plain", 0, 0, level)
        post("observe", step=0, **done)
        other = refused(post("observe", step=0, arm=(done["arm"] + 1) % 4), 409, "was observed, of")
        assert other["expected"] == {"episode": 0, "step": 1}
        refused(post("adapt", episode=0), 409, "episode 0 is running")
        for step in range(1, 12):
            post("intervene", step=step)
            post("observe", step=step, arm=0)
        refused(post("intervene", step=12), 409, "all 12 steps of episode 0 were played")
        refused(client.get("/learners/plain/forecast"), 409, "all 12 steps")
        assert post("end_episode", episode=0).json() == {"episode": 1}
        refused(post("observe", step=12, arm=0, episode=0), 409, "got step 12 of episode 0")


@pytest.mark.parametrize(
    ("route", "body", "words"),
    [
        ("plain/observe", {"step": 0, "arm": 9}, "from 0 to 3, got 9"),
        ("plain/observe", {"step": 0, "arm": 1, "agent_reward": 0.5}, "partial information"),
        ("plain/observe", {"step": 0, "arm": True}, r"arm\..*integer"),
        ("plain/observe", {"step": -1, "arm": 1}, "step: .*greater than or equal to 0"),
        ("plain/observe", {"step": 0, "arm": 1, "arms": 2}, "arms: Extra inputs"),
        ("plain/observe", {"arm": 1}, "step: Field required"),
        ("plain/intervene", {"step": 2**31}, "step: .*less than"),
        ("full/observe", {"step": 0, "arm": 1}, "give agent_reward"),
        ("full/observe", {"step": 0, "arm": 1, "agent_reward": 1e30}, "at most 1e.18"),
        ("labels/observe", {"step": 0, "arm": "z"}, "one of a, b, 3, got 'z'"),
        ("", {"name": "a/b"}, "name: .*pattern"),
        ("", {"name": "new", "arms": ["a"]}, "two or more different"),
        ("", {"name": "new", "target": 4}, "from 0 to 3, got 4"),
        ("", {"name": "new", "cost": -1}, "cost must be"),
        ("", {"name": "new", "bonuses": [1.0]}, "bonus"),
        ("", {"name": "new", "costs": 1}, "costs: Extra inputs"),
        ("", [], "object of JSON, .*Content-Type"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(serving, route, body, words):
    with serving() as client:
        create(client, "plain", "full", "labels")
        for name in ("plain", "full", "labels"):
            client.post(f"/learners/{name}/intervene", json={"step": 0})
        before = client.get("/learners").json()
        refused(client.post(f"/learners/{route}".rstrip("/"), json=body), 422, words)
        assert client.get("/learners").json() == before


def test_unknown_learners_and_names_that_are_taken_are_refused(serving):
    with serving() as client:
        create(client, "plain")
        words = "learner 'plain' with num_steps 12, not None"
        refused(client.post("/learners", json={"name": "plain"}), 409, words)
        for answer in (
            client.post("/learners/bob/intervene", json={"step": 0}),
            client.get("/learners/bob"),
            client.get("/learners/bob/history"),
            client.put("/learners/bob/paused", json={"paused": True}),
        ):
            refused(answer, 404, "no learner 'bob'")


def test_a_paused_learner_is_left_alone_and_its_log_says_so(serving):
    with serving() as client:
        create(client, "budget")
        ask, levels = asking(client), []
        assert client.put("/learners/budget/paused", json={"paused": True}).json()["paused"]
        for step in range(40):
            if step == 20:
                client.put("/learners/budget/paused", json={"paused": False})
            levels.append(ask("budget", "intervene", {"step": step})["level"])
            if step == 19:  # a level that was answered stays
                client.put("/learners/budget/paused", json={"paused": False})
                assert ask("budget", "intervene", {"step": step})["level"] == 0
            ask("budget", "observe", {"step": step, "arm": step % 3})
        assert levels[:20] == [0] * 20 and sum(levels) == 3
        assert [event["level"] for event in log_of(client, "budget")] == levels
        at = client.get("/learners/budget").json()
        assert (at["budget_left"], at["paused"], at["steps"]) == (0, False, 40)
        assert at["intervention_rate"] == pytest.approx(3 / 40)


@pytest.mark.slow
def test_a_service_that_begins_anew_goes_on_exactly(serving, tmp_path, monkeypatch):
    monkeypatch.setattr(held_fleet, "MAX_EPISODES", 2)
    monkeypatch.setattr(held_fleet, "MAX_STEPS", 7)
    with serving() as client:
        create(client)
        expected = {
            name: [play_episode(asking(client), name, episode) for episode in range(4)]
            for name in GAMES
        }
    monkeypatch.setattr(turn, "SNAPSHOT_STEPS", 4)
    store, places = f"sqlite:///{tmp_path / 'other.db'}", dict.fromkeys(GAMES, (0, 0))
    number = 0
    with serving(store) as client:
        create(client)
    while any(episode < 4 for episode, _ in places.values()):
        number += 1
        with serving(store) as client:
            ask = asking(client)
            for name, (episode, step) in places.items():
                for _ in range(5):
                    if episode == 4:
                        break
                    level = ask(name, "intervene", {"step": step})["level"]
                    assert level == expected[name][episode][step]
                    ask(name, "observe", {"step": step, **outcome(name, episode, step, level)})
                    step += 1
                    if step == 12:
                        ask(name, "end_episode", {"episode": episode})
                        episode, step = episode + 1, 0
                        ask(name, "adapt", {"episode": episode})
                places[name] = episode, step
    assert number > 5


@pytest.mark.slow
def test_several_services_over_one_database_answer_as_one(serving, tmp_path):
    with serving() as client:
        create(client)
        expected = {
            name: [play_episode(asking(client), name, episode) for episode in range(2)]
            for name in GAMES
        }
        log = {name: log_of(client, name) for name in GAMES}
    store = f"sqlite:///{tmp_path / 'shared.db'}"
    with serving(store) as first, serving(store) as second:
        create(first)
        number = 0

        def ask(name, route, body):
            nonlocal number
            number += 1
            answers = [
                asking(each)(name, route, body) for each in (first, second)[:: (-1) ** number]
            ]
            assert answers[0] == answers[1]
            return answers[0]

        for name in GAMES:
            assert [play_episode(ask, name, episode) for episode in range(2)] == expected[name]
            assert log_of(second, name) == log[name]


def test_few_learners_need_be_held(serving, monkeypatch):
    monkeypatch.setattr(held_fleet.HeldFleet.__init__, "__defaults__", (2,))
    with serving() as client:
        create(client)
        for name in [*GAMES] * 2:
            place = client.get(f"/learners/{name}").json()["step"]
            level = asking(client)(name, "intervene", {"step": place})["level"]
            asking(client)(name, "observe", {"step": place, **outcome(name, 0, place, level)})
        held = client.app.state.service.batches._steering._held
        assert len(held.fleet) == 2


def test_another_principal_reads_but_does_not_steer(serving, principal, monkeypatch):
    with serving() as client:
        create(client, "plain")
    monkeypatch.setattr(held_fleet, "checksum", lambda weights: "another")
    with serving() as client:
        asked = client.post("/learners/plain/intervene", json={"step": 0})
        refused(asked, 409, "another principal")
        again = client.post("/learners", json={"name": "plain", **GAMES["plain"]})
        refused(again, 409, "another principal")
        assert client.get("/learners/plain").json()["steps"] == 0


def test_the_curve_is_that_of_the_log(serving):
    with serving() as client:
        create(client, "levels")
        for episode in range(4):
            play_episode(asking(client), "levels", episode)
        log = log_of(client, "levels")[-40:]
        points = client.get("/learners/levels/curve", params={"last": 40, "points": 4}).json()
        assert [point["place"] for point in points] == [8, 18, 28, 38]
        for number, point in enumerate(points):
            part = log[10 * number : 10 * number + 10]
            assert point["steps"] == 10 and point["episode"] == part[0]["episode"]
            assert point["alignment"] == sum(event["arm"] == "a" for event in part) / 10
            assert point["intervention_rate"] == sum(event["level"] > 0 for event in part) / 10
        assert client.get("/learners/levels/curve").json()[0]["steps"] == 1
        assert client.get("/learners/levels").json()["steps"] == 48


def test_learners_are_listed_page_by_page(serving):
    with serving() as client:
        create(client)
        pages, after = [], ""
        while page := client.get("/learners", params={"after": after, "limit": 4}).json():
            pages += [each["name"] for each in page]
            after = pages[-1]
        assert pages == sorted(GAMES)


def test_a_token_is_required_where_there_is_one(serving):
    with serving(token="secret") as client:
        for route in ("/learners", "/learners/ann", "/metrics"):
            answer = client.get(route)
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
            wrong = client.get(route, headers={"Authorization": "Bearer wrong"})
            assert wrong.status_code == 401
        assert client.post("/learners", json={"name": "ann"}).status_code == 401
        assert client.get("/health").json() == {"status": "ok"}
        client.headers["Authorization"] = "Bearer secret"
        assert client.post("/learners", json={"name": "ann"}).status_code == 201


def test_names_of_other_hosts_are_refused_without_a_token(serving):
    with serving() as client:
        for host in ("127.0.0.1:80", "127.1.2.3", "[::1]:8000", "localhost"):
            assert client.get("/health", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example:80"):
            answer = client.get("/health", headers={"Host": host})
            refused(answer, 400, "without a token .*only names of this machine")


@pytest.mark.parametrize(
    ("content", "type_", "words"),
    [
        (b"{bad", "application/json", "body: is not JSON at character 1: Expecting property name"),
        (b'{"step": 0}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
    ],
)
def test_a_body_that_is_not_json_is_named(serving, content, type_, words):
    with serving() as client:
        create(client, "plain")
        headers = {"Content-Type": type_}
        asked = client.post("/learners/plain/intervene", content=content, headers=headers)
        refused(asked, 422, words)


def test_a_body_that_is_too_long_is_refused(serving):
    with serving() as client:
        answer = client.post("/learners", content=b" " * 2**20 + b'{"name": "ann"}')
        refused(answer, 413, "at most 1048576 bytes")
        assert client.get("/learners").json() == []


def test_a_database_that_was_moved_is_not_written_to(serving, tmp_path, monkeypatch):
    monkeypatch.setattr("mermaide_pl.service.batches._ATTEMPTS", 1)
    file = tmp_path / "fleet.db"
    with serving() as client:
        create(client, "plain")
        for other in (False, True):
            file.rename(tmp_path / "elsewhere")
            if other:
                file.touch()
            asked = client.post("/learners/plain/intervene", json={"step": 0})
            refused(asked, 503, "the database failed, try again: .*fleet.db was moved or deleted")
            refused(client.get("/health"), 503, "moved or deleted")
            (tmp_path / "elsewhere").rename(file)
        assert client.get("/learners/plain").json()["level"] is None


def test_metrics_count_what_was_answered(serving):
    with serving() as client:
        create(client, "plain", "budget")
        play_episode(asking(client), "plain", 0)
        client.post("/learners/plain/intervene", json={"step": 9})
        client.put("/learners/plain/paused", json={"paused": True})
        text = client.get("/metrics").text
        levels = [event["level"] for event in log_of(client, "plain")]
    for line in (
        'mermaide_requests_total{route="/learners/{name}/observe",status="200"} 12.0',
        'mermaide_requests_total{route="/learners/{name}/intervene",status="409"} 1.0',
        'mermaide_request_seconds_count{route="/learners/{name}/intervene"} 13.0',
        f'mermaide_steps_total{{intervention="yes"}} {float(sum(level > 0 for level in levels))}',
        "mermaide_learners 2.0",
        "mermaide_paused_learners 1.0",
    ):
        assert line in text.splitlines()


def test_the_openapi_page_needs_no_other_server(serving):
    with serving() as client:
        text = client.get("/docs").text
        assert "http" not in re.sub(r"http-equiv", "", text)
        for path in re.findall(r'(?:src|href)="(.*?)"', text):
            assert client.get(path).status_code == 200
        routes = client.get("/openapi.json").json()["paths"]
        assert "409" in routes["/learners/{name}/observe"]["post"]["responses"]
        assert len(routes) == 12
