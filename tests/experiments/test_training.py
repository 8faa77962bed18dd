import torch

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB
from mermaide_pl.experiments.training import train
from mermaide_pl.principal import Architecture


def test_the_last_checkpoint_is_the_last_even_if_the_first_was_the_best(tmp_path, monkeypatch):
    def log_less_and_less(self, stage):
        self.metrics.compute()
        self.log(f"{stage}/return", -float(self.current_epoch))

    monkeypatch.setattr(MermaideModule, "_log_evaluation", log_less_and_less)
    module = MermaideModule(Game(num_arms=3, num_steps=6), Architecture(hidden_size=4))
    population = Population([AgentFamily(UCB)], num_arms=3)
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=1, num_val_tasks=2)
    best = train(module, data, folder=tmp_path, num_epochs=3, seed=0)
    epochs = [
        torch.load(path, weights_only=True)["epoch"] for path in (best, best.with_name("last.ckpt"))
    ]
    assert epochs == [0, 2]
    assert len(list(best.parent.iterdir())) == 2
