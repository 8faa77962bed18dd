from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.populations.summary import family_rows, surroundings

POPULATION = Population(
    [
        AgentFamily(UCB, {"beta": [0.25, 0.5]}, weight=3.0),
        AgentFamily(EpsilonGreedy, {"epsilon": Interval(0.1, 0.3)}),
        AgentFamily(EpsilonGreedy, weight=4.0),
    ],
    num_arms=3,
)


def test_families_by_hand():
    assert family_rows(POPULATION) == [
        ("UCB", "beta 0.25, 0.5", "38%"),
        ("EpsilonGreedy", "epsilon 0.1 to 0.3", "12%"),
        ("EpsilonGreedy", "as the rule has them", "50%"),
    ]


def test_properties_that_all_agents_share():
    assert surroundings(POPULATION) == (
        "3 arms, UniformRewards(low=0.0, high=1.0), UniformTarget(), GaussianReward(scale=0.1)"
    )
