"""A trained model as a folder that predicts on raw rows anywhere and holds nothing that could run code.

===================  ====================================================================================
config.yaml          the complete configuration of the run
inputs.json          what the model was built for: widths and standardisation of the features
weights.safetensors  the weights of the best epoch, and their digest
text_encoder/        of a pretrained text encoder: configuration, tokenizer, and its weights if it was frozen
fold-0/ …            in place of the last three, of a model that is the mean of several: a bundle for each
===================  ====================================================================================
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmsa.config import dump_yaml, load_yaml, parse
from mmsa.data.inputs import InputSpec
from mmsa.errors import DataError
from mmsa.experiment import RunConfig
from mmsa.models.modalities import MultimodalConfig
from mmsa.models.systems import build_model
from mmsa.models.text_input import save_text_frontend, with_text_frontend
from mmsa.training.checkpoint import UNREADABLE, reason_of
from mmsa.training.predictor import Bag, Predictor, Result
from mmsa.training.runtime import Runtime

_FOLD = "fold-"
_CONFIG, _INPUTS, _WEIGHTS, _TEXT = "config.yaml", "inputs.json", "weights.safetensors", "text_encoder"
_DIGEST = "sha256"


def save_bundle(result: Result, directory: Path) -> None:
    """Write the best model of ``result`` into the folder ``directory``."""
    parts = result.predictor.parts()
    directory.mkdir(parents=True, exist_ok=True)
    for former in directory.glob(f"{_FOLD}*"):  # of an earlier retraining, which may have had more
        shutil.rmtree(former)
    if len(parts) == 1:
        _save(parts[0], result.config, directory)
        return
    (directory / _CONFIG).write_text(dump_yaml(result.config.model_dump(mode="json")), encoding="utf-8")
    for number, part in enumerate(parts):
        (directory / f"{_FOLD}{number}").mkdir()
        _save(part, part.config, directory / f"{_FOLD}{number}")


def _save(predictor: Predictor, config: RunConfig, directory: Path) -> None:
    (directory / _CONFIG).write_text(dump_yaml(config.model_dump(mode="json")), encoding="utf-8")
    (directory / _INPUTS).write_text(json.dumps(predictor.inputs.to_dict()), encoding="utf-8")
    weights = {name: value.cpu().contiguous() for name, value in predictor.model.state_dict().items()}
    save_file(weights, directory / _WEIGHTS, {_DIGEST: _digest(weights)})
    if predictor.inputs.text is not None:
        save_text_frontend(config.model, directory / _TEXT)


def load_bundle(directory: Path, cache: Path | None = None) -> Predictor:
    """Load the model in ``directory``, ready to predict on the device that its configuration finds here.

    Args:
        directory: written by ``save_bundle``.
        cache: folder that keeps encoded text between predictions.

    Raises:
        DataError: for a folder that is no bundle, or is a damaged one.
        ConfigError: for a configuration that this version of mmsa does not know.
    """
    folds = sorted(directory.glob(f"{_FOLD}*"), key=lambda fold: (len(fold.name), fold.name))
    if folds and (directory / _CONFIG).is_file():
        config = parse(RunConfig, load_yaml(directory / _CONFIG), str(directory / _CONFIG))
        return Bag.of(config, [load_bundle(fold, cache) for fold in folds])
    missing = [name for name in (_CONFIG, _INPUTS, _WEIGHTS) if not (directory / name).is_file()]
    if missing:
        raise DataError(
            f"{directory} is no model bundle: {', '.join(missing)} missing; save_bundle() writes one"
        )
    config = parse(RunConfig, load_yaml(directory / _CONFIG), str(directory / _CONFIG))
    if isinstance(config.model, MultimodalConfig) and (directory / _TEXT).is_dir():
        config = config.model_copy(update={"model": with_text_frontend(config.model, directory / _TEXT)})
    runtime = Runtime.of(config.train)
    try:
        inputs = InputSpec.from_dict(json.loads((directory / _INPUTS).read_text(encoding="utf-8")))
        model = build_model(config.model, inputs, weights=False)
        model.load_state_dict(_load_weights(directory / _WEIGHTS))
    except (*UNREADABLE, SafetensorError) as error:
        raise DataError(f"{directory} is a damaged model bundle: {reason_of(error)}") from None
    return Predictor(config, inputs, model.to(runtime.device), runtime, cache)


def _load_weights(file: Path) -> dict[str, Tensor]:
    """The weights of a file, refused where a byte changed: a wrong weight is a number like another."""
    with safe_open(file, framework="pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
        known = (opened.metadata() or {}).get(_DIGEST)
    if known not in (None, _digest(weights)):  # bundles of earlier versions have none
        raise ValueError(f"{file.name} has a wrong checksum")
    return weights


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
