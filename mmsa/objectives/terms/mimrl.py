"""The information terms of MIMRL (Sun et al., IEEE TAFFC 2025): fusion, invariant, specific, complementary.

The four kinds of information share up to eleven estimators, so they are one term and are computed as one
block: five estimators of mutual information, and six of conditional information given a modality or the
label. Shapes: B rows of a batch, P of a product batch, G estimators, Q quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Literal, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from mmsa.config import Block, Named, one_of, refuse
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.targets import Targets
from mmsa.errors import ConfigError, Problem
from mmsa.information.conditional import (
    CONDITIONAL_ESTIMATORS,
    ConditionalEstimator,
    NeighbourClassifier,
    NeighbourConfig,
    NeighbourNWJ,
    conditional_jsd,
)
from mmsa.information.critics import Grouped, mlp
from mmsa.information.estimators import ESTIMATORS, Estimator, EstimatorModule, Value
from mmsa.information.neighbours import FeatureBank
from mmsa.information.score_estimators import InfoNCE, ScoreEstimator
from mmsa.information.target.mimrl import FUSION, Between, Shares, mimrl_shares
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import LABEL, by_name, columns_of
from mmsa.registry import Registry

_CENTRE = "text"
_OVER_PAIRS = ("invariant", f"specific/{_CENTRE}", "complementary")


class ModalityWeights(Block):
    """One coefficient for each modality; that of an absent modality has no effect."""

    text: Weight = 0.01
    audio: Weight = 0.01
    vision: Weight = 0.01


def _is_score_loss(estimator: type[EstimatorModule]) -> bool:
    return issubclass(estimator, ScoreEstimator) and estimator.spec.role == "loss"


def _is_neighbour_reading(estimator: type[EstimatorModule]) -> bool:
    return issubclass(estimator, NeighbourClassifier)


_EstimatorRegistry = Registry[Estimator] | Registry[ConditionalEstimator]
_FITS: Mapping[str, tuple[_EstimatorRegistry, Callable[[type[EstimatorModule]], bool], str]] = {
    "estimator": (ESTIMATORS, _is_score_loss, "is not a loss on the scores of a critic"),
    "conditional": (
        CONDITIONAL_ESTIMATORS,
        _is_neighbour_reading,
        "does not read a classifier on neighbours",
    ),
}
Quantities = Mapping[str, Shares]


def mimrl_quantities(modalities: Collection[ModalityName], average: bool) -> Quantities:
    """What each quantity that exists among ``modalities`` is made of.

    ``fusion_m`` is I(F; m); the others are the sums of MIMRL's code (``mimrl_shares``), C the label.
    ``average`` divides those over the pairs of text by the number of pairs, as the paper has it.
    """
    table: dict[str, Shares] = {f"fusion_{m}": {Between(FUSION, m): 1.0} for m in modalities}
    if _CENTRE not in modalities or len(modalities) < 2:
        return table
    share = 1.0 / (len(modalities) - 1) if average else 1.0
    for name, parts in mimrl_shares([*modalities], _CENTRE, LABEL).items():
        weight = share if name in _OVER_PAIRS else 1.0
        table[name.replace("/", "_")] = {part: weight * times for part, times in parts.items()}
    return table


def net_coefficients(table: Quantities, weights: Mapping[str, float]) -> dict[Between, float]:
    """What each estimator is multiplied by when the quantities of ``table`` are maximised by ``weights``.

    Only estimators that a quantity of a weight above 0 is made of are listed. A negative coefficient means
    that the information is minimised in the end.
    """
    net: dict[Between, float] = {}
    for name, parts in table.items():
        for information, share in parts.items():
            if weights[name] > 0:
                net[information] = net.get(information, 0.0) + weights[name] * share
    return net


def cancellations(table: Quantities, weights: Mapping[str, float]) -> list[str]:
    """One sentence for each kind of information that ``weights`` ask for and minimise nevertheless.

    Specific information subtracts I(T; m | C), which complementary information adds: with equal weights, the
    complementary information is driven down by what is meant to raise it.
    """
    parts = table.get("complementary", {})
    if not parts or not weights["complementary"] > 0:
        return []
    net = net_coefficients(table, weights)
    sentences = []
    for information, share in parts.items():
        if net[information] < 0:
            needed = weights["complementary"] - net[information] / share
            sentences.append(
                f"{information.formula} is minimised (net coefficient {net[information]:.3g}), because "
                "specific information subtracts more of it than complementary information adds; with a "
                f"weight of complementary above {needed:.3g} it is maximised"
            )
    return sentences


@TERMS.register("mimrl")
class MIMRLTerm(Term):
    """Minus the weighted sum of the four kinds of information, each in nats.

    The estimators are the group ``estimator``. ``estimator_loss`` fits each with a coefficient of 1: the
    critics by their bounds, the classifiers by cross-entropy. The main loss passes through them. As
    published, conditional information reaches the encoders through the batch only, never through the product
    batch; that one comes from the epoch before, so the first epoch has no conditional information.

    Corrected against the released code, whose forms remain by name: the reading of the classifiers
    (``cmi_knn_mimrl_code``), averages over pairs (``sum``), logits without clamp. The label enters a
    classifier once; the code repeats it as often as a modality has features, which adds nothing.
    """

    class Config(TermConfig):
        """The eight coefficients, which ``weight`` multiplies, and the estimators."""

        fusion: ModalityWeights = ModalityWeights()
        """Of I(F; m), between the fused vector and each modality."""
        invariant: Weight = 0.01
        """Of I(T; A) and I(T; V)."""
        specific: ModalityWeights = ModalityWeights()
        """Of what each modality says about the label given the other, less what the two share given the
        label."""
        complementary: Weight = 0.04
        """Of I(T; A | C) and I(T; V | C), C the label. Specific information subtracts them: averaged, and
        with one weight everywhere else, they are maximised only above three times that weight."""
        pairs: Literal["average", "sum"] = "average"
        """How text with audio and text with vision are put together; the released code sums."""
        estimator: Annotated[Named, one_of(ESTIMATORS)] = InfoNCE.Config()
        """Any loss on the scores of a critic; the recorded runs use ``infonce``, the paper ``nwj``."""
        conditional: Annotated[Named, one_of(CONDITIONAL_ESTIMATORS)] = NeighbourNWJ.Config()
        """Any reading of a classifier on neighbours."""

        @model_validator(mode="after")
        def _fits_the_block(self) -> MIMRLTerm.Config:
            for field, (registry, fits, rule) in _FITS.items():
                name = getattr(self, field).name
                if not fits(registry[name]):
                    known = ", ".join(other for other in registry if fits(registry[other]))
                    raise refuse(name, rule, f"Use one of {known}.", at=(field, "name"))
            return self

        def coefficients(self) -> dict[str, float]:
            """The coefficient of each quantity."""
            return {
                **{f"fusion_{m}": value for m, value in self.fusion},
                "invariant": self.invariant,
                **{f"specific_{m}": value for m, value in self.specific},
                "complementary": self.complementary,
            }

    @classmethod
    def warnings(cls, config: Config) -> list[str]:
        """Conditional information that the coefficients want large and make small."""
        table = mimrl_quantities(MODALITIES, config.pairs == "average")
        return cancellations(table, config.coefficients())

    _net: Tensor
    _shares: Tensor

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the estimators of every quantity that has a coefficient above 0.

        Raises:
            ConfigError: where the quantities with a coefficient are all of absent modalities.
        """
        super().__init__()
        table = mimrl_quantities(dims.unimodal, config.pairs == "average")
        coefficients = config.coefficients()
        net = {str(part): value for part, value in net_coefficients(table, coefficients).items()}
        parts = {str(part): part for shares in table.values() for part in shares if str(part) in net}
        if not net and any(coefficients.values()):
            raise _nothing_to_estimate(dims)
        self.pairs = {name: (part.x, part.y) for name, part in parts.items() if part.given is None}
        self.conditions = {
            name: (part.x, part.y, part.given) for name, part in parts.items() if part.given is not None
        }
        self._build(config, {FUSION: dims.fusion, LABEL: 1, **by_name(dims.unimodal)})
        order = [parts[name] for name in (*self.critics.order, *self.classifiers.order)]
        self.quantities = {
            name: any(part.given for part in table[name]) for name in table if coefficients[name] > 0
        }
        shares = [[table[name].get(part, 0.0) for part in order] for name in self.quantities]
        self.register_buffer("_net", torch.tensor([net[str(part)] for part in order]), persistent=False)
        self.register_buffer("_shares", torch.tensor(shares), persistent=False)

    def _build(self, config: Config, widths: Mapping[str, int]) -> None:
        estimator = ESTIMATORS[config.estimator.name]
        reading = CONDITIONAL_ESTIMATORS[config.conditional.name]
        assert issubclass(reading, NeighbourClassifier)
        conditional = cast(NeighbourConfig, config.conditional)
        if self.conditions:  # without any, these settings mean nothing
            self.k, self.reading = conditional.k, torch.vmap(reading.reading)
        self.reads_nats = bool(self.conditions) and reading.spec.unit is not None
        self.critics = Grouped(
            {name: estimator(config.estimator, widths[x], widths[y]) for name, (x, y) in self.pairs.items()},
            _loss_and_monitor,
        )
        self.classifiers = Grouped(
            {
                name: mlp(conditional.classifier, sum(widths[column] for column in columns), 1)
                for name, columns in self.conditions.items()
            }
        )
        remembered = dict.fromkeys(column for columns in self.conditions.values() for column in columns)
        seed = conditional.seed if self.conditions else 0
        self.bank = FeatureBank({column: widths[column] for column in remembered}, seed)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the weighted sum; monitors ``bound/mimrl/<quantity>`` in nats. Remembers the batch.

        A single row says nothing about information: its loss is 0.
        """
        columns = columns_of(representations, targets.labels)
        parts = self._parts(columns) if len(targets) > 1 else []
        if self.training and self.conditions:
            self.bank.remember(columns)
        if not parts:
            return TermValue(0.0 * representations.fusion.sum())
        gain_G, reading_G = (torch.cat(values) for values in zip(*parts, strict=True))
        count = len(gain_G)  # the conditional estimators come last, and are absent while the bank is empty
        value_Q = self._shares[:, :count] @ reading_G
        monitors = {
            f"bound/mimrl/{name}": value
            for (name, is_conditional), value in zip(self.quantities.items(), value_Q.unbind(), strict=True)
            if not is_conditional or (self.reads_nats and count == len(self._net))
        }
        return TermValue(-(self._net[:count] @ gain_G), monitors)

    def _parts(self, columns: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """What is maximised and what is read, (G,) each, of the critics and of the classifiers."""
        parts: list[tuple[Tensor, Tensor]] = []
        if self.pairs:
            loss_G, reading_G = self._score(columns)
            parts.append((-loss_G, reading_G))
        if len(self.bank):
            with torch.no_grad():
                product_GP = self._logits(self._product_batches(len(columns[LABEL])))
            value_G = self.reading(self._logits(self._joint(columns)), product_GP)
            parts.append((value_G, value_G.detach()))
        return parts

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Minus the bounds, plus the cross-entropies; None where a batch fits nothing."""
        columns = columns_of(representations, targets.labels)
        losses: list[Tensor] = []
        if self.pairs and len(targets) > 1:
            losses.append(self._score(columns)[0].sum())
        if len(self.bank) and len(targets) > 1:
            joint, product = self._joint(columns), self._product_batches(len(targets))
            logits_GN = self._logits({name: torch.cat([joint[name], product[name]]) for name in joint})
            joint_GB, product_GP = logits_GN[:, : len(targets)], logits_GN[:, len(targets) :]
            losses.append(-torch.vmap(conditional_jsd)(joint_GB, product_GP).sum())
        return torch.stack(losses).sum() if losses else None

    def _score(self, columns: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Losses and readings of the critics, (G,) each."""
        loss_G, reading_G = self.critics(
            {name: (columns[x], columns[y]) for name, (x, y) in self.pairs.items()}
        )
        return loss_G, reading_G

    def _logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(G, rows)."""
        logits_GN1: Tensor = self.classifiers({name: (rows,) for name, rows in inputs.items()})
        return logits_GN1.squeeze(-1)

    def _joint(self, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: torch.cat([columns[part] for part in xyz], 1) for name, xyz in self.conditions.items()}

    def _product_batches(self, rows: int) -> dict[str, Tensor]:
        batches = self.bank.product_batches(self.conditions, rows, self.k)
        return {name: torch.cat(triples, 1) for name, triples in batches.items()}

    def start_epoch(self, epoch: int) -> None:
        """Neighbours are now searched in the epoch before."""
        self.bank.turn_over()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``estimator``: all critics and classifiers."""
        return {"estimator": list(self.parameters())}


def _loss_and_monitor(value: Value) -> tuple[Tensor, Tensor]:
    return value.loss, value.monitor


def _nothing_to_estimate(dims: RepresentationDims) -> ConfigError:
    rule = (
        f"has coefficients above 0 only where the modalities of the data ({', '.join(dims.unimodal)}) are not"
    )
    next_step = "Give one to `fusion` of a modality that is there; the other kinds need text and another one."
    return ConfigError("objective", [Problem("objective.terms.mimrl", "coefficients", rule, next_step)])
