from __future__ import annotations

import pytest
import torch

from mmsa.errors import ConfigError
from mmsa.experiment import TrainConfig
from mmsa.training import run
from mmsa.training.runtime import Runtime
from mmsa.training.trainer import Trainer


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_is_the_cpu_in_float32_and_cuda_is_refused():
    runtime = Runtime.of(TrainConfig())
    assert (runtime.device, runtime.autocast) == (torch.device("cpu"), False)
    with pytest.raises(ConfigError, match=r"train\.device: 'cuda'"):
        Runtime.of(TrainConfig(device="cuda"))


def test_cudnn_is_deterministic_inside_and_as_it_was_outside():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with Runtime.of(TrainConfig(device="cpu")).active():
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    assert (cudnn.deterministic, cudnn.benchmark) == before


def test_bfloat16_is_for_forward_passes_in_training_and_losses_are_float32(configure, corpus):
    config = configure({"train.precision": "bfloat16"})
    trainer = Trainer(config, corpus)
    dtypes: set[tuple[bool, torch.dtype]] = set()
    losses: set[torch.dtype] = set()
    trainer.model.register_forward_hook(
        lambda model, _, output: dtypes.add((model.training, output.prediction.dtype))
    )
    trainer.objective.register_forward_hook(
        lambda _, __, value: losses.update(loss.dtype for loss in value.losses.values())
    )
    trainer.train_epoch()
    assert dtypes == {(True, torch.bfloat16), (False, torch.float32)}
    assert losses == {torch.float32}
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert run(config, corpus).metrics["valid/mae"] != run(configure(), corpus).metrics["valid/mae"]
