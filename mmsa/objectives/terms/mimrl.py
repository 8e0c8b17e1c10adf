"""The information terms of MIMRL (Sun et al., IEEE TAFFC 2025): fusion, invariant, specific, complementary.

The four kinds of information share their estimators, so they are one term and are computed as one block: five
estimators of mutual information, and six of conditional information given a modality or the label. The pair
of audio and vision, which MIMRL does not look at, adds one of either. Shapes: B rows of a batch, P of a
product batch, G estimators, Q quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations
from typing import Annotated, Literal, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from mmsa.config import Block, Named, number_or, one_of, refuse
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
from mmsa.information.gradients import GradientNormaliser
from mmsa.information.neighbours import FeatureBank
from mmsa.information.score_estimators import InfoNCE, ScoreEstimator
from mmsa.information.target.mimrl import FUSION, Between, Shares, mimrl_shares
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, InformationCoefficient, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import LABEL, by_name, columns_of
from mmsa.registry import Registry

_CENTRE = "text"
_OVER_PAIRS = ("invariant", f"specific/{_CENTRE}", "complementary")
_BY_PAIR = ("invariant", "complementary")


class ModalityWeights(Block):
    """One coefficient for each modality; that of an absent modality has no effect."""

    text: Weight = 0.01
    audio: Weight = 0.01
    vision: Weight = 0.01


class PairWeights(Block):
    """One coefficient for each pair of modalities; that of a pair that is not there has no effect."""

    text_audio: Weight = 0.01
    text_vision: Weight = 0.01
    audio_vision: Weight = 0.0
    """MIMRL looks at the pairs with text only."""


class ComplementaryWeights(PairWeights):
    """The same, with the defaults of complementary information."""

    text_audio: Weight = 0.04
    text_vision: Weight = 0.04


class LevelEstimators(Block):
    """An estimator of its own for each kind of information; None is that of the whole block."""

    fusion: Annotated[Named | None, one_of(ESTIMATORS, optional=True)] = None
    """Of I(F; m), instead of ``estimator``."""
    invariant: Annotated[Named | None, one_of(ESTIMATORS, optional=True)] = None
    """Of I(x; y) of two modalities, instead of ``estimator``."""
    specific: Annotated[Named | None, one_of(CONDITIONAL_ESTIMATORS, optional=True)] = None
    """Of I(m; C | other modality), instead of ``conditional``."""
    complementary: Annotated[Named | None, one_of(CONDITIONAL_ESTIMATORS, optional=True)] = None
    """Of I(x; y | C), which specific information subtracts, instead of ``conditional``."""


_ESTIMATOR_OF: Mapping[str, str] = {
    "fusion": "estimator",
    "invariant": "estimator",
    "specific": "conditional",
    "complementary": "conditional",
}
"""The setting that every kind of information falls back to."""


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


def mimrl_quantities(
    modalities: Collection[ModalityName], average: bool, by_pair: Collection[str] = ()
) -> Quantities:
    """What each quantity that exists among ``modalities`` is made of.

    ``fusion_m`` is I(F; m); the others are the sums of MIMRL's code (``mimrl_shares``), C the label.
    ``average`` divides those over the pairs of text by the number of pairs, as the paper has it. Those of
    ``by_pair`` are split into one quantity for each pair, such as ``invariant_text_audio``.
    """
    table: dict[str, Shares] = {f"fusion_{m}": {Between(FUSION, m): 1.0} for m in modalities}
    if len(modalities) < 2:
        return table
    share = 1.0 / (len(modalities) - 1) if average else 1.0
    if _CENTRE in modalities:
        for name, parts in mimrl_shares([*modalities], _CENTRE, LABEL).items():
            weight = share if name in _OVER_PAIRS else 1.0
            if name not in by_pair:
                table[name.replace("/", "_")] = {part: weight * times for part, times in parts.items()}
    for name in by_pair:
        given = LABEL if name == "complementary" else None
        for x, y in combinations([m for m in MODALITIES if m in modalities], 2):
            table[f"{name}_{x}_{y}"] = {Between(x, y, given): share}
    return table


def kind_of(information: Between) -> str:
    """The kind of information whose estimator ``information`` has: that of ``LevelEstimators``."""
    if information.given is None:
        return "fusion" if information.x == FUSION else "invariant"
    return "complementary" if information.given == LABEL else "specific"


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
    net = net_coefficients(table, weights)
    sentences = []
    for name, parts in table.items():
        if not name.startswith("complementary") or not weights[name] > 0:
            continue
        for information, share in parts.items():
            if net[information] < 0:
                needed = weights[name] - net[information] / share
                sentences.append(
                    f"{information.formula} is minimised (net coefficient {net[information]:.3g}), because "
                    "specific information subtracts more of it than complementary information adds; with a "
                    f"weight of {name.replace('_', '.', 1)} above {needed:.3g} it is maximised"
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
        """The coefficients, which ``weight`` multiplies, and the estimators."""

        fusion: ModalityWeights = ModalityWeights()
        """Of I(F; m), between the fused vector and each modality."""
        invariant: Annotated[float | PairWeights, number_or(Weight, PairWeights)] = 0.01
        """Of I(T; A) and I(T; V): one number for both, or one for each pair of modalities."""
        specific: ModalityWeights = ModalityWeights()
        """Of what each modality says about the label given the other, less what the two share given the
        label."""
        complementary: Annotated[float | ComplementaryWeights, number_or(Weight, ComplementaryWeights)] = 0.04
        """Of I(T; A | C) and I(T; V | C), C the label: one number for both, or one for each pair. Specific
        information subtracts them: averaged, and with one weight everywhere else, they are maximised only
        above three times that weight."""
        pairs: Literal["average", "sum"] = "average"
        """How text with audio and text with vision are put together; the released code sums."""
        estimator: Annotated[Named, one_of(ESTIMATORS)] = InfoNCE.Config()
        """Any loss on the scores of a critic; the recorded runs use ``infonce``, the paper ``nwj``."""
        conditional: Annotated[Named, one_of(CONDITIONAL_ESTIMATORS)] = NeighbourNWJ.Config()
        """Any reading of a classifier on neighbours."""
        estimators: LevelEstimators = LevelEstimators()
        """Estimators that differ from these two for one kind of information."""
        normalise: bool = False
        """Divide every estimate by the running size of its gradient, so that one range of coefficients fits
        all kinds of information and all estimators."""

        @model_validator(mode="after")
        def _fits_the_block(self) -> MIMRLTerm.Config:
            places: list[tuple[tuple[str, ...], str]] = [((field,), field) for field in _FITS]
            places += [(("estimators", kind), field) for kind, field in _ESTIMATOR_OF.items()]
            for at, field in places:
                chosen = getattr(self.estimators if len(at) > 1 else self, at[-1])
                registry, fits, rule = _FITS[field]
                if chosen is not None and not fits(registry[chosen.name]):
                    known = ", ".join(other for other in registry if fits(registry[other]))
                    raise refuse(chosen.name, rule, f"Use one of {known}.", at=(*at, "name"))
            return self

        @property
        def contributes(self) -> bool:
            """Whether any coefficient is above 0, and the weight."""
            return self.weight > 0 and any(self.coefficients().values())

        def coefficients(self) -> dict[str, float]:
            """The coefficient of each quantity."""
            return {
                **{f"fusion_{m}": value for m, value in self.fusion},
                **_of_pairs("invariant", self.invariant),
                **{f"specific_{m}": value for m, value in self.specific},
                **_of_pairs("complementary", self.complementary),
            }

        def quantities(self, modalities: Collection[ModalityName]) -> Quantities:
            """What each quantity that has a coefficient is made of."""
            by_pair = [name for name in _BY_PAIR if isinstance(getattr(self, name), PairWeights)]
            return mimrl_quantities(modalities, self.pairs == "average", by_pair)

        def estimator_of(self, kind: str) -> tuple[str, Named]:
            """The path and the settings of the estimator that a kind of information has."""
            own: Named | None = getattr(self.estimators, kind)
            field = _ESTIMATOR_OF[kind]
            return (field, getattr(self, field)) if own is None else (f"estimators.{kind}", own)

    @classmethod
    def warnings(cls, config: Config) -> list[str]:
        """Conditional information that the coefficients want large and make small."""
        return cancellations(config.quantities(MODALITIES), config.coefficients())

    @classmethod
    def coefficients(
        cls, config: Config, modalities: Collection[ModalityName]
    ) -> list[InformationCoefficient]:
        """The coefficients of all quantities that exist among ``modalities``."""
        values = config.coefficients()
        found = []
        for name, parts in config.quantities(modalities).items():
            kinds = dict.fromkeys(kind_of(part) for part in parts)
            estimators = dict(config.estimator_of(kind) for kind in kinds)
            level, _, member = name.partition("_")
            found.append(
                InformationCoefficient(
                    f"{level}.{member}" if member else level,
                    "fusion" if level == "fusion" else "input",
                    level,
                    values[name],
                    parts,
                    {f"{path}.name": settings.name for path, settings in estimators.items()},
                )
            )
        order = [*_ESTIMATOR_OF]
        return sorted(found, key=lambda coefficient: order.index(coefficient.kind))

    _net: Tensor
    _shares: Tensor

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the estimators of every quantity that has a coefficient above 0.

        Raises:
            ConfigError: where the quantities with a coefficient are all of absent modalities.
        """
        super().__init__()
        table = config.quantities(dims.unimodal)
        coefficients = config.coefficients()
        net = {str(part): value for part, value in net_coefficients(table, coefficients).items()}
        parts = {str(part): part for shares in table.values() for part in shares if str(part) in net}
        if not net and any(coefficients.values()):
            raise _nothing_to_estimate(dims)
        self.pairs = {name: (part.x, part.y) for name, part in parts.items() if part.given is None}
        self.conditions = {
            name: (part.x, part.y, part.given) for name, part in parts.items() if part.given is not None
        }
        chosen = {name: config.estimator_of(kind_of(part))[1] for name, part in parts.items()}
        self._build(chosen, config, {FUSION: dims.fusion, LABEL: dims.concept, **by_name(dims.unimodal)})
        order = [parts[name] for name in (*self.critics.order, *self.classifiers.order)]
        self.quantities = {
            name: any(part.given for part in table[name]) for name in table if coefficients[name] > 0
        }
        without = {part for reading in self.readings if not reading.in_nats for part in reading.names}
        self.unitless = {
            name for name in self.quantities if any(str(part) in without for part in table[name])
        }
        shares = [[table[name].get(part, 0.0) for part in order] for name in self.quantities]
        self.normaliser = GradientNormaliser(members=len(order)) if config.normalise else None
        self.register_buffer("_net", torch.tensor([net[str(part)] for part in order]), persistent=False)
        self.register_buffer("_shares", torch.tensor(shares), persistent=False)

    def _build(self, chosen: Mapping[str, Named], config: Config, widths: Mapping[str, int]) -> None:
        # Estimators of one kind are computed together; another temperature is another kind, whose result the
        # settings of the first would falsify.
        kinds = {name: repr(settings) for name, settings in chosen.items()}
        self.critics = Grouped(
            {
                name: ESTIMATORS[chosen[name].name](chosen[name], widths[x], widths[y])
                for name, (x, y) in self.pairs.items()
            },
            _loss_and_monitor,
            kinds,
        )
        conditional = {name: cast(NeighbourConfig, chosen[name]) for name in self.conditions}
        self.classifiers = Grouped(
            {
                name: mlp(conditional[name].classifier, sum(widths[column] for column in columns), 1)
                for name, columns in self.conditions.items()
            },
            kinds=kinds,
        )
        self.readings = [
            _Reading(kind, [name for name in self.classifiers.order if kinds[name] == kind], conditional)
            for kind in dict.fromkeys(self.classifiers.kinds)
        ]
        remembered = dict.fromkeys(column for columns in self.conditions.values() for column in columns)
        # Without conditional information its settings mean nothing, and must not be kept.
        seed = cast(NeighbourConfig, config.conditional).seed if self.conditions else 0
        self.bank = FeatureBank({column: widths[column] for column in remembered}, seed)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the weighted sum; monitors ``bound/mimrl/<quantity>`` in nats. Remembers the batch.

        A single row says nothing about information: its loss is 0.
        """
        columns = columns_of(representations, targets)
        inputs = self._inputs(columns)
        parts = self._parts(inputs, len(targets)) if len(targets) > 1 else []
        if self.training and self.conditions:
            self.bank.remember(columns)
        if not parts:
            return TermValue(0.0 * representations.fusion.sum())
        gain_G, reading_G = (torch.cat(values) for values in zip(*parts, strict=True))
        count = len(gain_G)  # the conditional estimators come last, and are absent while the bank is empty
        if self.normaliser is not None:
            gain_G = self.normaliser.each(gain_G, [*inputs.values()][:count])
        value_Q = self._shares[:, :count] @ reading_G
        monitors = {
            f"bound/mimrl/{name}": value
            for (name, is_conditional), value in zip(self.quantities.items(), value_Q.unbind(), strict=True)
            if name not in self.unitless and (not is_conditional or count == len(self._net))
        }
        return TermValue(-(self._net[:count] @ gain_G), monitors)

    def _inputs(self, columns: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """The vectors of each estimator by name, in the order of the results."""
        vectors = {**self.pairs, **self.conditions}
        order = (*self.critics.order, *self.classifiers.order)
        if self.normaliser is None:
            return {name: tuple(columns[column] for column in vectors[name]) for name in order}
        # Each estimator gets views of its own, so that the gradients of all can be told apart in one pass.
        return {name: tuple(columns[c].view_as(columns[c]) for c in vectors[name]) for name in order}

    def _parts(self, inputs: Mapping[str, tuple[Tensor, ...]], rows: int) -> list[tuple[Tensor, Tensor]]:
        """What is maximised and what is read, (G,) each, of the critics and of the classifiers."""
        parts: list[tuple[Tensor, Tensor]] = []
        if self.pairs:
            loss_G, reading_G = self.critics(inputs)
            parts.append((-loss_G, reading_G))
        if len(self.bank):
            for reading in self.readings:
                with torch.no_grad():
                    product_GP = self._logits(self._product_batches(reading, rows), reading)
                value_G = reading.read(self._logits(self._joint(reading, inputs), reading), product_GP)
                parts.append((value_G, value_G.detach()))
        return parts

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Minus the bounds, plus the cross-entropies; None where a batch fits nothing."""
        if len(targets) < 2:
            return None
        inputs = self._inputs(columns_of(representations, targets))
        losses: list[Tensor] = []
        if self.pairs:
            losses.append(self.critics(inputs)[0].sum())
        for reading in self.readings if len(self.bank) else ():
            joint, product = self._joint(reading, inputs), self._product_batches(reading, len(targets))
            both = {name: torch.cat([joint[name], product[name]]) for name in joint}
            logits_GN = self._logits(both, reading)
            joint_GB, product_GP = logits_GN[:, : len(targets)], logits_GN[:, len(targets) :]
            losses.append(-torch.vmap(conditional_jsd)(joint_GB, product_GP).sum())
        return torch.stack(losses).sum() if losses else None

    def _logits(self, inputs: Mapping[str, Tensor], reading: _Reading) -> Tensor:
        """(G, rows), of the classifiers that are read alike."""
        logits_GN1: Tensor = self.classifiers({name: (rows,) for name, rows in inputs.items()}, reading.kind)
        return logits_GN1.squeeze(-1)

    def _joint(self, reading: _Reading, inputs: Mapping[str, tuple[Tensor, ...]]) -> dict[str, Tensor]:
        return {name: torch.cat(inputs[name], 1) for name in reading.names}

    def _product_batches(self, reading: _Reading, rows: int) -> dict[str, Tensor]:
        conditions = {name: self.conditions[name] for name in reading.names}
        batches = self.bank.product_batches(conditions, rows, reading.k, reading.seed)
        return {name: torch.cat(triples, 1) for name, triples in batches.items()}

    def start_epoch(self, epoch: int) -> None:
        """Neighbours are now searched in the epoch before."""
        self.bank.turn_over()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``estimator``: all critics and classifiers."""
        return {"estimator": list(self.parameters())}


class _Reading:
    """Classifiers with the same settings, which share product batches, and how they are read.

    Attributes:
        kind: Of these classifiers among all (``Grouped``).
        names: Of the classifiers, in the order of their results.
        k: Neighbours of an anchor.
        seed: Of the draws of product batches.
        read: Logits of the joint and of a product batch to values, (G,).
        in_nats: Whether these values have a unit.
    """

    def __init__(self, kind: str, names: list[str], chosen: Mapping[str, NeighbourConfig]):
        settings = chosen[names[0]]
        estimator = CONDITIONAL_ESTIMATORS[settings.name]
        assert issubclass(estimator, NeighbourClassifier)
        self.kind, self.names, self.k, self.seed = kind, names, settings.k, settings.seed
        self.read = torch.vmap(estimator.reading)
        self.in_nats = estimator.spec.unit is not None


def _of_pairs(name: str, weights: float | PairWeights) -> dict[str, float]:
    """The coefficient of a quantity, or of each pair that it is split into."""
    return (
        {f"{name}_{pair}": w for pair, w in weights} if isinstance(weights, PairWeights) else {name: weights}
    )


def _loss_and_monitor(value: Value) -> tuple[Tensor, Tensor]:
    return value.loss, value.monitor


def _nothing_to_estimate(dims: RepresentationDims) -> ConfigError:
    rule = (
        f"has coefficients above 0 only where the modalities of the data ({', '.join(dims.unimodal)}) are not"
    )
    next_step = "Give one to `fusion` of a modality that is there; the other kinds need text and another one."
    return ConfigError("objective", [Problem("objective.terms.mimrl", "coefficients", rule, next_step)])
