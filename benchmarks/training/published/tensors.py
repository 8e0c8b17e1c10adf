"""TFN and LMF: an outer product of three vectors, and its low-rank form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from published.loops import Clips, Loop


class Averaged(nn.Module):
    """The mean over all padded frames through three layers."""

    def __init__(self, inputs: int, hidden: int, dropout: float):
        super().__init__()
        layers = [nn.Linear(inputs, hidden), nn.ReLU()]
        layers += [part for _ in range(2) for part in (nn.Linear(hidden, hidden), nn.ReLU())]
        self.layers = nn.Sequential(nn.BatchNorm1d(inputs), nn.Dropout(dropout), *layers)

    def forward(self, x_BTD: Tensor) -> Tensor:
        encoded: Tensor = self.layers(x_BTD.mean(1))
        return encoded


class PaddedLSTM(nn.Module):
    """The last state of an LSTM over all padded steps."""

    def __init__(self, inputs: int, hidden: int, output: int):
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden, batch_first=True)
        self.project = nn.Sequential(nn.Dropout(0.3), nn.Linear(hidden, output))

    def forward(self, x_BTD: Tensor) -> Tensor:
        _, (state_SBH, _) = self.rnn(x_BTD)
        projected: Tensor = self.project(state_SBH[0])
        return projected


class Encoded(nn.Module):
    """The three vectors, each behind a 1."""

    def __init__(self, text: int, audio: int, vision: int, output: int):
        super().__init__()
        self.text = PaddedLSTM(768, text, output)
        self.audio, self.vision = Averaged(5, audio, 0.3), Averaged(20, vision, 0.3)

    def forward(self, clips: Clips) -> list[Tensor]:
        vectors = [self.text(clips["text"]), self.audio(clips["audio"]), self.vision(clips["vision"])]
        return [torch.cat([torch.ones(len(x), 1), x], 1) for x in vectors]


class TFN(nn.Module):
    """33 x 33 x 129 products into 64."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = Encoded(128, 32, 128, 32)
        self.layers = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(33 * 33 * 129, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )

    def forward(self, clips: Clips) -> Tensor:
        text, audio, vision = self.encode(clips)
        pair = torch.bmm(audio[:, :, None], vision[:, None]).flatten(1)
        triple = torch.bmm(pair[:, :, None], text[:, None]).flatten(1)
        return 6 * torch.sigmoid(self.layers(triple)[:, 0]) - 3


class LMF(nn.Module):
    """Rank 3, straight to the prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = Encoded(128, 16, 128, 64)
        self.factors = nn.ParameterList(
            nn.Parameter(torch.randn(3, size + 1, 1) * 0.1) for size in (64, 16, 128)
        )
        self.weight, self.bias = nn.Parameter(torch.randn(1, 3)), nn.Parameter(torch.zeros(1))

    def forward(self, clips: Clips) -> Tensor:
        product = torch.ones(())
        for x, factor in zip(self.encode(clips), self.factors, strict=True):
            product = product * torch.matmul(x, factor)
        return (torch.matmul(self.weight, product.permute(1, 0, 2)).squeeze(1) + self.bias)[:, 0]


class TFNLoop(Loop):
    """MMSA's point for CMU-MOSI."""

    def build(self) -> nn.Module:
        return TFN()


class LMFLoop(Loop):
    """MMSA's point for CMU-MOSI."""

    batch_size = 64

    def build(self) -> nn.Module:
        return LMF()
