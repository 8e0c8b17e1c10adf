"""Predictions of a trained model on whole splits.

Shapes: N rows of the split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmsa.config import Block
from mmsa.data import Features, Split
from mmsa.data.batches import Batches, collate
from mmsa.data.inputs import FeatureInput, InputSpec
from mmsa.errors import DataError
from mmsa.experiment import RunConfig
from mmsa.information.target.mimrl import FUSION
from mmsa.models import Model, encode_split
from mmsa.training.parallel import ALONE, Team
from mmsa.training.runtime import Runtime


@torch.inference_mode()
def predict(
    model: nn.Module, split: Split, batch_size: int, device: torch.device, team: Team = ALONE
) -> NDArray[np.float32]:
    """(N,) predictions in the order of ``split``, whose text is ``readable``; in float32 on every device.

    The processes of ``team`` predict every so many batches each, and all get all.
    """
    model.eval()
    predictions_N = torch.zeros(len(split), device=device)
    for rows in Batches(split, batch_size, shuffle=False).plan(0)[team.share]:
        batch = collate(split, rows).to(device)
        predictions_N[batch.rows] = model(batch).prediction
    array: NDArray[np.float32] = team.sum(predictions_N).cpu().numpy()
    return array


@torch.inference_mode()
def represent(
    model: nn.Module, split: Split, batch_size: int, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """(N, D) vectors of each modality and of the ``fusion``, in the order of ``split`` as for ``predict``."""
    model.eval()
    vectors: dict[str, NDArray[np.float32]] = {}
    for batch in Batches(split, batch_size, shuffle=False).epoch(0):
        found = model(batch.to(device))
        for name, vectors_BD in {**found.unimodal, FUSION: found.fusion}.items():
            whole_ND = vectors.setdefault(name, np.empty((len(split), vectors_BD.shape[1]), np.float32))
            whole_ND[batch.rows.cpu().numpy()] = vectors_BD.float().cpu().numpy()
    return vectors


def readable(split: Split, config: Block, cache: Path | None) -> Split:
    """``split`` with its text as the model of ``config`` reads it; text that is features already stays."""
    return split if isinstance(split.text, Features) else encode_split(split, config, cache)


@dataclass(frozen=True)
class Predictor:
    """A trained model with all it takes to use it on raw rows.

    config: of the run. inputs: what the model was built for. model: with the best weights, on the device of
    ``runtime``. cache: folder of encoded text, None to encode anew each time.
    """

    config: RunConfig
    inputs: InputSpec
    model: Model
    runtime: Runtime
    cache: Path | None = None

    def predict(self, split: Split) -> NDArray[np.float32]:
        """(N,) predictions for rows as the data set brings them, text included. Labels are not looked at.

        Raises:
            DataError: for rows that lack a modality the model reads, or bring it in another width.
        """
        with self.runtime.active():
            encoded = readable(split, self.config.model, self.cache)
            self._check(encoded)
            return predict(self.model, encoded, self.config.train.eval_batch_size, self.runtime.device)

    def represent(self, split: Split) -> dict[str, NDArray[np.float32]]:
        """(N, D) vectors of each modality and of the ``fusion`` for such rows.

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
