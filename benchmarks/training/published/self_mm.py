"""Self-MM, and DMSI, which adds a covariance alignment of audio and vision to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from published.layers import LastState, text_states
from published.loops import Clips, Loop

SIZES = {"fusion": 128, "text": 32, "audio": 16, "vision": 32}
SMALL = 1e-8


class Head(nn.Module):
    """Its feature is what follows the first layer."""

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.first, self.second, self.third = (
            nn.Linear(inputs, size),
            nn.Linear(size, size),
            nn.Linear(size, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.first(x).relu()
        return self.third(self.second(feature).relu())[:, 0], feature


class SelfMM(nn.Module):
    """[CLS], two LSTMs, one head for the three and one for each."""

    def __init__(self, text: str):
        super().__init__()
        self.text, width = text_states(text)
        self.audio, self.vision = LastState(5, 16, 16), LastState(20, 32, 32)
        inputs = {"fusion": width + 48, "text": width, "audio": 16, "vision": 32}
        self.heads = nn.ModuleDict({name: Head(inputs[name], size) for name, size in SIZES.items()})
        self.aligned = nn.ModuleDict({"audio": nn.Linear(16, 16), "vision": nn.Linear(32, 16)})

    def encode(self, clips: Clips) -> dict[str, Tensor]:
        vectors = {
            "text": self.text(clips["text"], clips["text_steps"])[:, 0],
            "audio": self.audio(clips["audio"], clips["audio_steps"]),
            "vision": self.vision(clips["vision"], clips["vision_steps"]),
        }
        return {"fusion": torch.cat(list(vectors.values()), 1), **vectors}

    def forward(self, clips: Clips) -> Tensor:
        predicted, _ = self.heads["fusion"](self.encode(clips)["fusion"])
        result: Tensor = predicted
        return result


class SelfMMLoop(Loop):
    """Labels of each modality move after every batch; all centres are computed anew over all clips."""

    batch_size, accumulation = 16, 4

    def build(self) -> nn.Module:
        self.labels: dict[str, Tensor] = {}
        self.features = {name: torch.zeros(self.num_train, size) for name, size in SIZES.items()}
        self.centres: dict[str, tuple[Tensor, Tensor]] = {}
        return SelfMM(self.text)

    def train(self) -> int:
        if not self.labels:
            labels = torch.zeros(self.num_train)
            for clips in self.batches():
                labels[clips["row"]] = clips["label"]
            self.labels = {name: labels.clone() for name in SIZES}
        return super().train()

    def loss(self, clips: Clips) -> Tensor:
        model = self.model
        assert isinstance(model, SelfMM)
        rows, encoded = clips["row"], model.encode(clips)
        loss, features = torch.zeros(()), {}
        for name, head in model.heads.items():
            predicted, features[name] = head(encoded[name])
            errors = (predicted - self.labels[name][rows]).abs()
            weight = torch.tanh((self.labels[name][rows] - clips["label"]).abs()) if name != "fusion" else 1.0
            loss = loss + (weight * errors).mean()
        self.move_labels(rows, clips["label"], {name: x.detach() for name, x in features.items()})
        return loss + self.alignment(model, encoded)

    def alignment(self, model: SelfMM, encoded: dict[str, Tensor]) -> Tensor:
        return torch.zeros(())

    def move_labels(self, rows: Tensor, labels: Tensor, features: dict[str, Tensor]) -> None:
        epoch = self.epochs + 1
        if epoch > 1:
            shift = {name: self.shift(name, x) for name, x in features.items()}
            for name in ("text", "audio", "vision"):
                ratio = shift[name] / (shift["fusion"] + SMALL)
                new = (0.5 * ratio * labels + 0.5 * (labels + shift[name] - shift["fusion"])).clamp(-3, 3)
                self.labels[name][rows] = (epoch - 1) / (epoch + 1) * self.labels[name][rows] + 2 / (
                    epoch + 1
                ) * new
        for name, x in features.items():
            self.features[name][rows] = x
            negative = self.labels[name] < 0
            self.centres[name] = (
                self.features[name][~negative].mean(0),
                self.features[name][negative].mean(0),
            )

    def shift(self, name: str, feature: Tensor) -> Tensor:
        positive, negative = ((feature - centre).norm(dim=1) for centre in self.centres[name])
        return (negative - positive) / (positive + SMALL)


class DMSILoop(SelfMMLoop):
    """No code is public: Self-MM with Deep CORAL between audio and vision."""

    def alignment(self, model: SelfMM, encoded: dict[str, Tensor]) -> Tensor:
        audio, vision = (torch.cov(layer(encoded[name]).T) for name, layer in model.aligned.items())
        return (audio - vision).square().sum() / (4 * len(audio) ** 2)
