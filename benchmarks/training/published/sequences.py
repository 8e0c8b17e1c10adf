"""MulT, MFN and MISA."""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from published.layers import text_states
from published.loops import Clips, Loop

WIDTHS = {"text": 768, "audio": 5, "vision": 20}


class Attention(nn.Module):
    """Multi-head attention that spells its weights out, as the released code does."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x_BTD: Tensor, source_BSD: Tensor, blocked_TS: Tensor) -> Tensor:
        batch, steps, width = x_BTD.shape

        def split(y_BTD: Tensor) -> Tensor:
            return y_BTD.view(batch, -1, self.heads, width // self.heads).transpose(1, 2)

        query, key, value = (
            split(self.query(x_BTD)),
            split(self.key(source_BSD)),
            split(self.value(source_BSD)),
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads) + blocked_TS
        weights = nn.functional.dropout(scores.softmax(-1), 0.2, self.training)
        attended: Tensor = self.out((weights @ value).transpose(1, 2).reshape(batch, steps, width))
        return attended


class Layer(nn.Module):
    """Attention and a perceptron of four times the width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention, self.norm, self.norm_perceptron = (
            Attention(width, heads),
            nn.LayerNorm(width),
            nn.LayerNorm(width),
        )
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, source: Tensor, blocked: Tensor) -> Tensor:
        x = x + nn.functional.dropout(
            self.attention(self.norm(x), self.norm(source), blocked), 0.1, self.training
        )
        updated: Tensor = x + nn.functional.dropout(
            self.perceptron(self.norm_perceptron(x)), 0.1, self.training
        )
        return updated


class Transformer(nn.Module):
    """Layers of a target that attends to a source."""

    def __init__(self, width: int, heads: int, levels: int):
        super().__init__()
        self.levels, self.norm = (
            nn.ModuleList(Layer(width, heads) for _ in range(levels)),
            nn.LayerNorm(width),
        )

    def forward(self, x_BTD: Tensor, source_BSD: Tensor) -> Tensor:
        width = x_BTD.shape[-1]
        blocked = torch.full((x_BTD.shape[1], source_BSD.shape[1]), -math.inf).triu(
            1 + abs(source_BSD.shape[1] - x_BTD.shape[1])
        )
        x, source = math.sqrt(width) * x_BTD, math.sqrt(width) * source_BSD
        for level in self.levels:
            x = level(x, source, blocked)
        normed: Tensor = self.norm(x)
        return normed


class MulT(nn.Module):
    """Six cross-modal transformers of 4 levels, three of their joined outputs."""

    def __init__(self, width: int = 50, heads: int = 10, levels: int = 4):
        super().__init__()
        self.convolve = nn.ModuleDict(
            {name: nn.Conv1d(size, width, 5, bias=False) for name, size in WIDTHS.items()}
        )
        self.cross = nn.ModuleDict(
            {f"{a}_{b}": Transformer(width, heads, levels) for a in WIDTHS for b in WIDTHS if a != b}
        )
        self.own = nn.ModuleDict({name: Transformer(2 * width, heads, max(levels, 3)) for name in WIDTHS})
        self.first, self.second = nn.Linear(6 * width, 6 * width), nn.Linear(6 * width, 6 * width)
        self.head = nn.Linear(6 * width, 1)

    def forward(self, clips: Clips) -> Tensor:
        x = {name: conv(clips[name].transpose(1, 2)).transpose(1, 2) for name, conv in self.convolve.items()}
        last = []
        for target in WIDTHS:
            both = [
                self.cross[f"{source}_{target}"](x[target], x[source])
                for source in WIDTHS
                if source != target
            ]
            joined = torch.cat(both, -1)
            last.append(self.own[target](joined, joined)[:, -1])
        fused = torch.cat(last, -1)
        hidden = nn.functional.dropout(self.first(fused).relu(), 0.5, self.training)
        predicted: Tensor = self.head(fused + self.second(hidden))[:, 0]
        return predicted


class MFN(nn.Module):
    """Three LSTM cells step by step, an attention over two steps, a gated memory."""

    def __init__(self, hidden: tuple[int, int, int] = (256, 32, 256), memory: int = 400):
        super().__init__()
        total = sum(hidden)
        self.cells = nn.ModuleDict(
            {name: nn.LSTMCell(WIDTHS[name], size) for name, size in zip(WIDTHS, hidden, strict=True)}
        )
        self.memory = memory

        def network(inputs: int, middle: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, middle), nn.ReLU(), nn.Dropout(0.2), nn.Linear(middle, outputs)
            )

        self.attend, self.propose = network(2 * total, 64, 2 * total), network(2 * total, 64, memory)
        self.keep, self.add = network(2 * total + memory, 64, memory), network(2 * total + memory, 64, memory)
        self.head = network(total + memory, 64, 1)

    def forward(self, clips: Clips) -> Tensor:
        batch, steps = clips["text"].shape[:2]
        states = {
            name: (torch.zeros(batch, c.hidden_size), torch.zeros(batch, c.hidden_size))
            for name, c in self.cells.items()
        }
        memory = torch.zeros(batch, self.memory)
        for step in range(steps):
            before = torch.cat([c for _, c in states.values()], 1)
            states = {name: cell(clips[name][:, step], states[name]) for name, cell in self.cells.items()}
            both = torch.cat([before, torch.cat([c for _, c in states.values()], 1)], 1)
            attended = self.attend(both).softmax(1) * both
            gates = torch.cat([attended, memory], 1)
            memory = (
                self.keep(gates).sigmoid() * memory
                + self.add(gates).sigmoid() * self.propose(attended).tanh()
            )
        predicted: Tensor = self.head(torch.cat([*(h for h, _ in states.values()), memory], 1))[:, 0]
        return predicted


class TwoLSTMs(nn.Module):
    """MISA's extractor: a bidirectional LSTM, a norm, another one; the four final states."""

    def __init__(self, size: int):
        super().__init__()
        self.first = nn.LSTM(size, size, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(2 * size)
        self.second = nn.LSTM(2 * size, size, bidirectional=True, batch_first=True)

    def forward(self, x_BTD: Tensor, steps_B: Tensor) -> Tensor:
        packed, (one_SBH, _) = self.first(
            pack_padded_sequence(x_BTD, steps_B, batch_first=True, enforce_sorted=False)
        )
        states, _ = pad_packed_sequence(packed, batch_first=True)
        again = pack_padded_sequence(self.norm(states), steps_B, batch_first=True, enforce_sorted=False)
        _, (two_SBH, _) = self.second(again)
        return torch.cat([*one_SBH, *two_SBH], 1)


class MISA(nn.Module):
    """Shared and private projections, a transformer over the six of them."""

    def __init__(self, text: str, width: int = 128):
        super().__init__()
        self.text, text_width = text_states(text)
        self.audio, self.vision = TwoLSTMs(5), TwoLSTMs(20)
        sizes = {"text": text_width, "audio": 20, "vision": 80}
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.LayerNorm(width))
                for name, size in sizes.items()
            }
        )
        self.private = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(width, width), nn.Sigmoid()) for name in sizes}
        )
        self.shared = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        self.reconstruct = nn.ModuleDict({name: nn.Linear(width, width) for name in sizes})
        self.fuse = nn.TransformerEncoderLayer(width, 2)
        self.head = nn.Sequential(
            nn.Linear(6 * width, 3 * width), nn.Dropout(0.5), nn.ReLU(), nn.Linear(3 * width, 1)
        )

    def parts(self, clips: Clips) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        states = self.text(clips["text"], clips["text_steps"])
        mask = (torch.arange(states.shape[1]) < clips["text_steps"][:, None]).float()
        encoded = {
            "text": (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True),
            "audio": self.audio(clips["audio"], clips["audio_steps"]),
            "vision": self.vision(clips["vision"], clips["vision_steps"]),
        }
        projected = {name: self.project[name](x) for name, x in encoded.items()}
        private = {name: self.private[name](x) for name, x in projected.items()}
        return projected, private, {name: self.shared(x) for name, x in projected.items()}

    def predict(self, private: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
        tokens = self.fuse(torch.stack([*private.values(), *shared.values()]))
        predicted: Tensor = self.head(torch.cat([*tokens], 1))[:, 0]
        return predicted

    def forward(self, clips: Clips) -> Tensor:
        _, private, shared = self.parts(clips)
        return self.predict(private, shared)


def moments(x: Tensor, y: Tensor) -> Tensor:
    """Central moment discrepancy of five moments."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    distances = [(x_mean - y_mean).norm()]
    distances += [(((x - x_mean) ** k).mean(0) - ((y - y_mean) ** k).mean(0)).norm() for k in range(2, 6)]
    return torch.stack(distances).sum()


def overlap(x: Tensor, y: Tensor) -> Tensor:
    """Squared products of the centred, normalised columns."""
    x, y = (z - z.mean(0) for z in (x, y))
    x, y = (z / (z.norm(dim=1, keepdim=True).detach() + 1e-6) for z in (x, y))
    return (x.T @ y).square().mean()


class MISALoop(Loop):
    """Difference, similarity and reconstruction beside the task."""

    batch_size = 64
    clip_norm = 1.0

    def build(self) -> nn.Module:
        return MISA(self.text)

    def loss(self, clips: Clips) -> Tensor:
        model = self.model
        assert isinstance(model, MISA)
        projected, private, shared = model.parts(clips)
        task = (model.predict(private, shared) - clips["label"]).square().mean()
        difference = [overlap(private[name], shared[name]) for name in private]
        difference += [overlap(private[a], private[b]) for a, b in combinations(private, 2)]
        similarity = [moments(shared[a], shared[b]) for a, b in combinations(shared, 2)]
        again = [
            (model.reconstruct[name](private[name] + shared[name]) - x).square().mean()
            for name, x in projected.items()
        ]
        terms = (
            0.3 * torch.stack(difference).sum(),
            torch.stack(similarity).mean(),
            torch.stack(again).mean(),
        )
        return task + torch.stack(terms).sum()


class MulTLoop(Loop):
    """MMSA's point for CMU-MOSI."""

    batch_size, accumulation, clip_norm, lr = 16, 8, 0.6, 2e-3

    def build(self) -> nn.Module:
        return MulT()


class MFNLoop(Loop):
    """MMSA's point for CMU-MOSI."""

    batch_size, lr = 128, 2e-3

    def build(self) -> nn.Module:
        return MFN()
