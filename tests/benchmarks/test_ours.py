"""The benchmark runs exactly its configuration."""

from pathlib import Path

import yaml
from jsonargparse import ArgumentParser
from peers.ours import OBJECTIVE, OursTorch
from peers.workload import Workload

from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations.files import load_population

CONF = Path(__file__).parents[2] / "conf"


def test_the_benchmark_runs_the_configuration():
    given = yaml.safe_load((CONF / "w1.yaml").read_text())
    parser = ArgumentParser()
    parser.add_class_arguments(MermaideModule)
    module = MermaideModule(**parser.instantiate(parser.parse_object(given["model"])).as_dict())
    workload = Workload()
    ours = OursTorch(workload, workload.initial_weights(0), seed=0)
    assert module.game == ours.game
    assert module.objective == OBJECTIVE
    assert module.principal.architecture == ours.principal.architecture
    assert module.inner_loop.carries_state == ours.inner_loop.carries_state
    assert module.inner_loop.rates() == ours.inner_loop.rates()
    assert module.inner_loop.num_shots == module.num_query_episodes == workload.num_episodes
    assert module.meta_lr == workload.meta_lr
    assert given["data"]["meta_batch_size"] == workload.num_tasks
    population = load_population(given["data"]["train_population"])
    assert population.spec == ours.population.spec


def test_the_weights_have_the_shapes_of_the_workload():
    workload = Workload()
    ours = OursTorch(workload, workload.initial_weights(0), seed=0)
    shapes = {name: tuple(weight.shape) for name, weight in ours.principal.weights().items()}
    assert shapes.pop("recurrence.initial_state") == (workload.hidden_size,)
    assert shapes == workload.weight_shapes
