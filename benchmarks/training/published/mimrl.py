"""MIMRL: two passes that fit eleven estimators, one that trains the model, neighbours found on the host."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from published.layers import text_states
from published.loops import Clips, Loop

sys.path.insert(0, str(Path(__file__).parents[2] / "information"))
from mimrl_block import Published as Information

WIDTH, STEPS, STAGE_1_PASSES = 128, 100, 2


class Directions(nn.Module):
    """A two-layer GRU whose directions are summed; states (B, T, 128)."""

    def __init__(self, inputs: int):
        super().__init__()
        self.rnn = nn.GRU(inputs, WIDTH, 2, batch_first=True, bidirectional=True)
        self.finish = nn.Sequential(nn.LayerNorm(WIDTH), nn.ReLU(), nn.Dropout(0.1))

    def forward(self, x_BTD: Tensor, steps_B: Tensor) -> Tensor:
        packed, _ = self.rnn(pack_padded_sequence(x_BTD, steps_B, batch_first=True, enforce_sorted=False))
        both_BTW, _ = pad_packed_sequence(packed, batch_first=True)
        states: Tensor = self.finish(both_BTW[..., :WIDTH] + both_BTW[..., WIDTH:])
        return states


class AxisMLP(nn.Module):
    """A perceptron along one axis, with a projected residual and a norm after it."""

    def __init__(self, axis: int, size: int, output: int):
        super().__init__()
        self.axis = axis
        self.layers = nn.Sequential(nn.Linear(size, output), nn.GELU(), nn.Linear(output, output))
        self.residual, self.norm = nn.Linear(size, output, bias=False), nn.LayerNorm(output)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(self.axis, -1)
        updated: Tensor = self.norm(self.layers(x) + self.residual(x)).transpose(self.axis, -1)
        return updated


class CubeMLP(nn.Module):
    """Encoders, the cube of 100 steps x 3 modalities x 128 channels, two blocks, a head."""

    def __init__(self, text: str):
        super().__init__()
        self.text, width = text_states(text)
        self.project = nn.Sequential(nn.Linear(width, WIDTH, bias=False), nn.Dropout(0.1))
        self.audio, self.vision = Directions(5), Directions(20)
        blocks = [
            layer
            for before, after in ((STEPS, 50), (50, 10))
            for layer in (AxisMLP(1, before, after), AxisMLP(2, 3, 3), AxisMLP(3, WIDTH, WIDTH))
        ]
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(WIDTH, 1)

    def encode(self, clips: Clips) -> dict[str, Tensor]:
        """The vectors F, T, A and V."""
        states = {
            "T": self.project(self.text(clips["text"], clips["text_steps"])),
            "A": self.audio(clips["audio"], clips["audio_steps"]),
            "V": self.vision(clips["vision"], clips["vision_steps"]),
        }
        sequences = [nn.functional.pad(x, (0, 0, 0, STEPS - x.shape[1])) for x in states.values()]
        fused_BW = self.blocks(torch.stack(sequences, 2)).mean(2).mean(1)
        return {"F": fused_BW, **{name: x.mean(1) for name, x in states.items()}}

    def forward(self, clips: Clips) -> Tensor:
        predicted: Tensor = self.head(self.encode(clips)["F"])[:, 0]
        return predicted


class CubeMLPLoop(Loop):
    """CubeMLP by itself."""

    batch_size = 128
    clip_norm = 1.0
    splits = ("valid", "test")

    def build(self) -> nn.Module:
        return CubeMLP(self.text)


class MIMRLLoop(Loop):
    """The three passes of an epoch; the first epoch, whose bank is empty, has the last of them only."""

    batch_size = 128
    splits = ("valid", "test")

    def build(self) -> nn.Module:
        model = CubeMLP(self.text)
        self.information = Information({}, one_query=False)
        self.estimators = torch.optim.Adam(self.information.parameters(), lr=4e-3)
        return model

    def train(self) -> int:
        if not self.information.bank:
            return self.stage_2()
        steps = 0
        for _ in range(STAGE_1_PASSES):
            for clips in self.batches():
                self.zero_grad()
                self.information.stage_1(self.features(clips)).backward()
                self.estimators.step()
                steps += 1
        return steps + self.stage_2()

    def stage_2(self) -> int:
        model = self.model
        assert isinstance(model, CubeMLP)
        stored: list[dict[str, Tensor]] = []
        for clips in self.batches():
            self.zero_grad()
            features = self.features(clips)
            loss = (model.head(features["F"])[:, 0] - clips["label"]).abs().mean()
            if self.information.bank:
                loss = loss + self.information.stage_2(features)
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1.5)
            self.optimiser.step()
            stored.append({name: x.detach() for name, x in features.items()})
        if self.sample is None:
            self.information.bank = {name: torch.cat([batch[name] for batch in stored]) for name in stored[0]}
        return len(stored)

    def features(self, clips: Clips) -> dict[str, Tensor]:
        model = self.model
        assert isinstance(model, CubeMLP)
        return {**model.encode(clips), "C": clips["label"][:, None].expand(-1, WIDTH)}

    def zero_grad(self) -> None:
        self.model.zero_grad()
        self.information.zero_grad()
