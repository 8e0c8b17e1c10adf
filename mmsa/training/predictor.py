"""Trained models: their predictions on whole splits, and the result of the run that trained them.

Shapes: N rows of the split, B rows of a batch, D features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmsa.config import Block
from mmsa.data.batches import Batches, collate
from mmsa.data.corpus import Features, Split
from mmsa.data.inputs import FeatureInput, InputSpec
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError
from mmsa.experiment import RunConfig
from mmsa.information.target.mimrl import FUSION
from mmsa.measurement import Measurement
from mmsa.models.base import Model
from mmsa.models.heads import output_of, output_shape
from mmsa.models.text_input import encode_split
from mmsa.training.parallel import ALONE, Team
from mmsa.training.runtime import Runtime


@torch.inference_mode()
def predict(
    model: nn.Module, split: Split, batch_size: int, device: torch.device, team: Team = ALONE
) -> dict[str, NDArray[np.float32]]:
    """Predictions of each target, the primary one first, in the order of ``split``; float32 on every device.

    Of a scale they are (N,) numbers, of two classes (N,) probabilities of the positive one, of several
    classes or labels (N, K) probabilities. The text of ``split`` must be ``readable``. The processes of
    ``team`` share the batches, and each gets all predictions.
    """
    model.eval()
    targets: tuple[TargetSpec, ...] = cast(Model, model).targets
    found = {t.name: torch.zeros(output_shape(t, len(split)), device=device) for t in targets}
    for rows in Batches(split, batch_size, shuffle=False).plan(0)[team.share]:
        batch = collate(split, rows).to(device)
        output = model(batch)
        for target in targets:
            raw = output.prediction if target == targets[0] else output.further[target.name]
            found[target.name][batch.rows] = output_of(target, raw.float())
    return {name: team.sum(values).cpu().numpy() for name, values in found.items()}


@torch.inference_mode()
def represent(
    model: nn.Module, split: Split, batch_size: int, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """(N, D) vectors of each modality and of the ``fusion``, in the order of ``split``; see ``predict``."""
    model.eval()
    vectors: dict[str, NDArray[np.float32]] = {}
    for batch in Batches(split, batch_size, shuffle=False).epoch(0):
        found = model(batch.to(device))
        for name, vectors_BD in {**found.unimodal, FUSION: found.fusion}.items():
            whole_ND = vectors.setdefault(name, np.empty((len(split), vectors_BD.shape[1]), np.float32))
            whole_ND[batch.rows.cpu().numpy()] = vectors_BD.float().cpu().numpy()
    return vectors


def readable(split: Split, config: Block, cache: Path | None) -> Split:
    """``split`` with its text encoded for the model of ``config``; text that is features stays as it is."""
    return split if isinstance(split.text, Features) else encode_split(split, config, cache)


@dataclass(frozen=True)
class Predictor:
    """A trained model with everything needed to use it on raw rows.

    Attributes:
        config: of the run.
        inputs: that the model was built for.
        model: with the best weights, on the device of ``runtime``.
        runtime: device, precision and threads.
        cache: folder of encoded text; None encodes anew each time.
    """

    config: RunConfig
    inputs: InputSpec
    model: Model
    runtime: Runtime
    cache: Path | None = None

    def predict(self, split: Split) -> NDArray[np.float32]:
        """(N,) or (N, K) predictions of the primary target; see ``predict_all``.

        Raises:
            DataError: as ``predict_all``.
        """
        return next(iter(self.predict_all(split).values()))

    def predict_all(self, split: Split) -> dict[str, NDArray[np.float32]]:
        """Predictions of each target, for rows as the data set has them, raw text included.

        Numbers on a scale are (N,), and so are probabilities of the positive of two classes; of several
        classes or labels there are (N, K) probabilities. Labels are not read.

        Raises:
            DataError: for rows that lack a modality that the model reads, or have it in another width.
        """
        with self.runtime.active():
            encoded = readable(split, self.config.model, self.cache)
            self._check(encoded)
            return predict(self.model, encoded, self.config.train.eval_batch_size, self.runtime.device)

    def parts(self) -> tuple[Predictor, ...]:
        """The networks it is made of, each with representations of its own."""
        return (self,)

    def represent(self, split: Split) -> dict[str, NDArray[np.float32]]:
        """(N, D) vectors of each modality and of the ``fusion``, for rows as in ``predict``.

        Of several networks those of the first; see ``parts``.

        Raises:
            DataError: as ``predict``.
        """
        with self.runtime.active():
            encoded = readable(split, self.config.model, self.cache)
            self._check(encoded)
            return represent(self.model, encoded, self.config.train.eval_batch_size, self.runtime.device)

    def _check(self, split: Split) -> None:
        for name, expected in self.inputs.modalities().items():
            found = getattr(split, name)
            if found is None:
                raise DataError(f"the model reads {name}, which these rows do not have")
            if isinstance(expected, FeatureInput) and found.dim != expected.dim:
                raise DataError(f"the model reads {name} of {expected.dim} dimensions, not of {found.dim}")


@dataclass(frozen=True)
class Bag(Predictor):
    """Models of several folds whose mean predicts.

    Attributes:
        members: the models; ``inputs`` and ``model`` are those of the first.
    """

    members: tuple[Predictor, ...] = ()

    @classmethod
    def of(cls, config: RunConfig, members: Sequence[Predictor]) -> Bag:
        """The mean of ``members``, which were trained by ``config``."""
        first = members[0]
        return cls(config, first.inputs, first.model, first.runtime, first.cache, tuple(members))

    def parts(self) -> tuple[Predictor, ...]:
        """The members."""
        return self.members

    def predict_all(self, split: Split) -> dict[str, NDArray[np.float32]]:
        """Means of the members' predictions; see ``Predictor.predict_all``."""
        found = [member.predict_all(split) for member in self.members]
        return {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        config: what was run.
        best_epoch: the epoch that ``train.metric`` chose, counted from 1.
        metrics: all metrics of that epoch, ``information/…`` among them.
        history: the metrics of every epoch.
        seconds: of training and evaluation, including those before a resumption.
        num_parameters: numbers trained in model and objective.
        counters: ``epochs`` and optimiser ``steps`` of the run.
        predictor: the model with the weights of the best epoch.
        information: measured with those weights on the valid split, by name.
        held_out: of a run on folds, predictions on valid by the models that did not see the row, as
            ``Progress.valid_predictions``; None of any other.
    """

    config: RunConfig
    best_epoch: int
    metrics: dict[str, float]
    history: list[dict[str, float]]
    seconds: float
    num_parameters: int
    counters: dict[str, int]
    predictor: Predictor = field(repr=False)
    information: dict[str, Measurement] = field(default_factory=dict)
    held_out: NDArray[np.float32] | None = field(default=None, repr=False)

    def predict(self, split: Split) -> NDArray[np.float32]:
        """(N,) or (N, K) predictions of the primary target for raw rows; see ``Predictor.predict_all``."""
        return self.predictor.predict(split)

    def save(self, directory: Path) -> None:
        """Write everything but the weights to ``directory``/result.json; ``save_bundle`` writes the model."""
        record = {
            "config": self.config.model_dump(mode="json"),
            "best_epoch": self.best_epoch,
            "metrics": self.metrics,
            "history": self.history,
            "seconds": self.seconds,
            "num_parameters": self.num_parameters,
            "counters": self.counters,
            "information": {name: measured.to_dict() for name, measured in self.information.items()},
        }
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        (directory / "result.json").write_text(text, encoding="utf-8")
