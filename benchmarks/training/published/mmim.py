"""MMIM: the estimators' stage and the main stage both back-propagate through every encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published.layers import LastState, text_states
from published.loops import Clips, Loop

WIDTH, FUSED, PROJECTED = 16, 128, 4
ALPHA, BETA = 0.3, 0.1


class Predictor(nn.Module):
    """A Gaussian of one modality given text, and the projection whose entropy is taken."""

    def __init__(self, text: int):
        super().__init__()
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(text, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for _ in range(2)
        )
        self.project = nn.Sequential(nn.Linear(WIDTH, PROJECTED), nn.Tanh())
        self.memory: dict[bool, Tensor] = {}

    def likelihood(self, text_BD: Tensor, other_BD: Tensor) -> Tensor:
        squares_BD = (self.mean(text_BD) - other_BD) ** 2 / 2 / self.log_variance(text_BD).exp()
        return -squares_BD.sum(-1).mean()

    def entropy(self, other_BD: Tensor, labels_B: Tensor) -> Tensor:
        """Of the mixture of both polarities, with the previous batch."""
        projected_BP = self.project(other_BD)
        entropy = torch.zeros(())
        for positive in (True, False):
            own = projected_BP[labels_B > 0 if positive else labels_B < 0]
            both = torch.cat([own, self.memory[positive]]) if positive in self.memory else own
            self.memory[positive] = own.detach()
            if len(both) > PROJECTED:  # the released code takes the logarithm of 0 here
                centred = both - both.mean(0)
                entropy = entropy + torch.logdet(centred.T @ centred / len(both)) / 4
        return entropy


class MMIM(nn.Module):
    """[CLS], two LSTMs, a perceptron; predictors of the pairs and of the modalities from the fused vector."""

    def __init__(self, text: str):
        super().__init__()
        self.text, width = text_states(text)
        self.audio, self.vision = LastState(5, 32, WIDTH), LastState(20, 32, WIDTH)
        widths = {"text": width, "audio": WIDTH, "vision": WIDTH}
        self.fusion = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(sum(widths.values()), FUSED),
            nn.Tanh(),
            nn.Linear(FUSED, FUSED),
            nn.Tanh(),
        )
        self.head = nn.Linear(FUSED, 1)
        self.predictors = nn.ModuleDict({name: Predictor(width) for name in ("audio", "vision")})
        self.cpc = nn.ModuleDict({name: nn.Linear(FUSED, size) for name, size in widths.items()})

    def encode(self, clips: Clips) -> dict[str, Tensor]:
        return {
            "text": self.text(clips["text"], clips["text_steps"])[:, 0],
            "audio": self.audio(clips["audio"], clips["audio_steps"]),
            "vision": self.vision(clips["vision"], clips["vision_steps"]),
        }

    def fuse(self, encoded: dict[str, Tensor]) -> Tensor:
        fused: Tensor = self.fusion(torch.cat(list(encoded.values()), -1))
        return fused

    def forward(self, clips: Clips) -> Tensor:
        predicted: Tensor = self.head(self.fuse(self.encode(clips)))[:, 0]
        return predicted

    def likelihood(self, encoded: dict[str, Tensor]) -> Tensor:
        pairs = [p.likelihood(encoded["text"], encoded[name]) for name, p in self.predictors.items()]
        return torch.stack(pairs).sum()


class MMIMLoop(Loop):
    """Stage 1 and stage 2 with their two optimisers; valid and test after each epoch."""

    splits = ("valid", "test")

    def build(self) -> nn.Module:
        model = MMIM(self.text)
        self.predictors = torch.optim.Adam(model.predictors.parameters(), lr=4e-3, weight_decay=1e-4)
        return model

    def train(self) -> int:
        steps = 0
        model = self.model
        assert isinstance(model, MMIM)
        for clips in self.batches():
            model.zero_grad()
            encoded = model.encode(clips)
            model.head(model.fuse(encoded))  # the released forward pass computes all of it
            (-model.likelihood(encoded)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self.predictors.step()
            steps += 1
        for clips in self.batches():
            model.zero_grad()
            self.main_loss(model, clips).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self.optimiser.step()
            steps += 1
        return steps

    def main_loss(self, model: MMIM, clips: Clips) -> Tensor:
        encoded = model.encode(clips)
        fused_BD = model.fuse(encoded)
        loss = (model.head(fused_BD)[:, 0] - clips["label"]).abs().mean()
        for name, predict in model.cpc.items():
            scores_BB = F.normalize(encoded[name], dim=-1) @ F.normalize(predict(fused_BD), dim=-1).T
            loss = loss - ALPHA * (scores_BB.diag() - scores_BB.logsumexp(1)).mean()
        entropies = [p.entropy(encoded[name], clips["label"]) for name, p in model.predictors.items()]
        return loss - BETA * (model.likelihood(encoded) + torch.stack(entropies).sum())
