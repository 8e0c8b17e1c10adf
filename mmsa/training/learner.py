"""What a run trains, and its gradients on a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mmsa.data.batches import Batch
from mmsa.data.corpus import Corpus
from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TrainTargets
from mmsa.experiment import OptimConfig, RunConfig
from mmsa.models.base import Representations
from mmsa.models.systems import build_model
from mmsa.objectives.objective import Objective
from mmsa.seeding import derive_seed, seed_everything
from mmsa.training.optimisers import clip_gradient, trained_parameters
from mmsa.training.parallel import ALONE, Team
from mmsa.training.plan import PlannedPass
from mmsa.training.predictor import readable
from mmsa.training.runtime import Runtime, in_float32


class Learner:
    """Model and objective of a run on its data, with freshly drawn weights.

    Attributes:
        corpus: the data as the model reads them.
        inputs: that the model is built for.
        model: on the device of the run.
        objective: on the device of the run.
        groups: trained parameters by the name of their group.

    Raises:
        ConfigError: for an encoder that cannot read the data.
    """

    def __init__(
        self, config: RunConfig, corpus: Corpus, runtime: Runtime, cache: Path | None, team: Team = ALONE
    ):
        splits = {name: readable(split, config.model, cache) for name, split in corpus.splits.items()}
        self.corpus = replace(corpus, splits=splits)
        self.inputs = InputSpec.of(self.corpus).predicting(config.objective.trained())
        self._seed, self._runtime, self._team = config.seed, runtime, team
        seed_everything(derive_seed("weights", config.seed))
        self.model = build_model(config.model, self.inputs).to(runtime.device)
        targets = TrainTargets.of(self.corpus)
        self.objective = Objective(config.objective, self.model.dims, targets).to(runtime.device)
        self.model.request(self.objective.requests)
        self.groups = trained_parameters(self.model, self.objective)

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for group in self.groups.values() for parameter in group)

    def gradients(
        self, current: PlannedPass, batch: Batch, step: int, optim: OptimConfig
    ) -> dict[str, Tensor]:
        """Compute clipped gradients in the parameters that ``current`` steps; returns scalars to monitor.

        The main loss and the loss of estimators share one forward pass and nothing else. The main loss gives
        no gradient to estimators, which some terms fit against it, and the estimators give none to the model.
        """
        trains_model = current.loss != "estimator"
        with torch.set_grad_enabled(trains_model):
            representations = self._forward(batch, step)
        values: dict[str, Tensor] = {}
        if trains_model:
            value = self.objective(representations, batch.targets)
            values |= {f"loss/{name}": loss for name, loss in value.losses.items()}
            values |= value.monitors
            values["train/loss"] = value.total()
            values["train/gradient"] = self._backward(values["train/loss"], self._stepped(current), optim)
            self.objective.after_backward(self.model.predict, representations)
        if current.loss != "main":
            losses = self.objective.estimator_losses(representations, batch.targets)
            values |= {f"loss/estimator/{name}": loss for name, loss in losses.items()}
            if losses:
                total = torch.stack(list(losses.values())).sum()
                values["train/gradient/estimator"] = self._backward(total, self.groups["estimator"], optim)
        return values

    def _forward(self, batch: Batch, step: int) -> Representations:
        """Representations of the whole batch, of which ``batch`` is this process's share."""
        seed = derive_seed("share", self._seed, step)
        with self._team.own_randomness(seed), self._runtime.forward_context():
            outputs = self.model(batch)
        return self._team.gather(in_float32(outputs), len(batch.whole or batch))

    def _stepped(self, current: PlannedPass) -> list[nn.Parameter]:
        """The parameters of model and terms that ``current`` steps, without those of estimators."""
        return [
            parameter for name in current.groups if name != "estimator" for parameter in self.groups[name]
        ]

    def _backward(self, loss: Tensor, parameters: list[nn.Parameter], optim: OptimConfig) -> Tensor:
        """Set clipped gradients of ``loss`` in ``parameters`` and nowhere else; returns their norm before."""
        # With inputs= instead of zeroing afterwards: parameters that the pass leaves alone keep no gradient
        # at all, so the optimiser skips them together with their moments.
        with self._team.averaging(parameters):
            torch.autograd.backward(loss, inputs=parameters)
        return clip_gradient(parameters, optim)
