"""Information between two vectors of a model, raised or lowered by any estimator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsa.config import Named, one_of, refuse
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.targets import Targets
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.information.conditional import CONDITIONAL_ESTIMATORS, ConditionalEstimator
from mmsa.information.estimators import ESTIMATORS, Estimator, EstimatorModule, Value
from mmsa.information.gradients import GradientNormaliser
from mmsa.information.neighbours import FeatureBank, Triples
from mmsa.information.score_estimators import InfoNCE
from mmsa.information.surrogates import SURROGATES, Surrogate
from mmsa.information.target.mimrl import FUSION, Between
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, InformationCoefficient, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import LABEL, by_name, columns_of, nothing, unfit
from mmsa.registry import Registry

EVERY_ESTIMATOR: Registry[Estimator | ConditionalEstimator] = Registry.joining(
    "estimator of information", ESTIMATORS, CONDITIONAL_ESTIMATORS, SURROGATES
)

Sense = Literal["maximise", "minimise"]


def _refusal(estimator: type[EstimatorModule], sense: Sense, conditional: bool) -> str | None:
    """Return why an estimator cannot be used in this way, or None if it can."""
    # Raising what bounds information from above, or lowering what bounds it from below, may leave the
    # information where it was and widen the gap (Poole et al. 2019, Cheng et al. 2020). An unbounded
    # objective has no end if it is used in the other direction: an encoder can run from a density as far as
    # it likes.
    spec = estimator.spec
    if spec.role == "measure":
        return "has no gradient: it measures, and trains nothing"
    if issubclass(estimator, ConditionalEstimator) != conditional:
        return "needs a third vector, `given`" if not conditional else "knows no third vector, `given`"
    if spec.reversible:
        return None
    if issubclass(estimator, Surrogate) and estimator.same_space:
        apart = "compares two distributions, and driving them apart has no end"
        return apart if sense == "minimise" else None
    if sense == "minimise" and spec.role == "loss":
        below = "bounds information from below: lowered, it leaves the information where it was"
        return below if spec.kind == "lower" else "has no lower end, so that nothing stops an encoder"
    if sense == "maximise" and spec.role == "penalty":
        return "bounds information from above: raised, it leaves the information where it was"
    return None


def _is_raised(estimator: type[EstimatorModule], sense: Sense) -> bool:
    """Return whether minus the loss of the estimator is minimised."""
    # Two distributions share more if their discrepancy is smaller (MISA, DMSI), which its own loss lowers.
    if issubclass(estimator, Surrogate) and estimator.same_space:
        return False
    return (estimator.spec.role == "loss") == (sense == "minimise")


@TERMS.register("information")
class InformationTerm(Term):
    """Information between two vectors, optionally given a third one.

    An objective may have any number of these, under names of the user's own. ``maximise`` makes the vectors
    say more about each other, ``minimise`` less. The estimator is the group ``estimator``. It is fitted by
    ``estimator_loss`` with a coefficient of 1, whatever the weight, and the main loss passes through it.
    Estimators that compare with neighbours take them from the epoch before, so that they begin with the
    second one.
    """

    class Config(TermConfig):
        """Between what, by which estimator, and in which direction."""

        term: Literal["information"] = "information"
        """What this entry is; needed under a name of your own."""
        between: Annotated[tuple[str, str], Field(strict=False)]
        """Two vectors: ``fusion``, a modality, ``label``, or one that the fusion offers, such as
        ``private/text``. Estimators with a density predict the second from the first."""
        given: str | None = None
        """A third vector: conditional information is what the two say about each other beyond it."""
        estimator: Annotated[Named, one_of(EVERY_ESTIMATOR)] = InfoNCE.Config()
        """Any estimator with a gradient, including surrogates that have no unit."""
        sense: Sense = "maximise"
        """Upper bounds can only be minimised, and lower bounds only maximised; some estimators take both."""
        normalise: bool = True
        """Divide the loss by the running size of its gradient, so that one range of weights fits them all."""

        @model_validator(mode="after")
        def _fits(self) -> InformationTerm.Config:
            vectors = [*self.between, *([] if self.given is None else [self.given])]
            if len(set(vectors)) < len(vectors):
                advice = "Name different vectors."
                raise refuse(vectors, "names a vector twice", advice, at=("between",))
            conditional = self.given is not None
            rule = _refusal(EVERY_ESTIMATOR[self.estimator.name], self.sense, conditional)
            if rule:
                usable = [
                    name
                    for name in EVERY_ESTIMATOR
                    if not _refusal(EVERY_ESTIMATOR[name], self.sense, conditional)
                ]
                wanted = f"To {self.sense}{' conditional' if conditional else ''} information"
                advice = f"{wanted}, use one of {', '.join(usable)}."
                raise refuse(self.estimator.name, rule, advice, at=("estimator", "name"))
            return self

    def __init__(self, config: Config, dims: RepresentationDims, name: str = "information"):
        """Build the estimator.

        Raises:
            ConfigError: If model and data do not have the vectors, or the estimator cannot compare their
                widths.
        """
        super().__init__()
        self.name = name
        widths: dict[str, int] = {FUSION: dims.fusion, LABEL: dims.concept, **by_name(dims.unimodal)}
        widths |= dims.extra
        self.vectors = (*config.between, *([] if config.given is None else [config.given]))
        self._refuse_unknown(config, widths)
        kind = EVERY_ESTIMATOR[config.estimator.name]
        dims_of_vectors = [widths[vector] for vector in self.vectors]
        if issubclass(kind, Surrogate) and kind.same_space and len(set(dims_of_vectors)) > 1:
            rule = f"compares vectors of one width, and these have {' and '.join(map(str, dims_of_vectors))}"
            raise unfit(name, rule, "Use hsic or cka, or give the encoders one output width.")
        self.estimator: Estimator | ConditionalEstimator = kind(config.estimator, *dims_of_vectors)
        self.sign = -1.0 if _is_raised(kind, config.sense) else 1.0
        self.in_nats = kind.spec.unit is not None
        self.fitted = bool(self.estimator.critic_parameters())
        self.normaliser = GradientNormaliser() if config.normalise else None
        self.bank = (
            FeatureBank({vector: widths[vector] for vector in self.vectors}, seed=0)
            if isinstance(self.estimator, ConditionalEstimator) and self.estimator.needs_bank
            else None
        )

    @classmethod
    def coefficients(cls, config: Any, modalities: Collection[ModalityName]) -> list[InformationCoefficient]:
        """Return the weight, if the vectors that are modalities are there."""
        vectors = [*config.between, *([] if config.given is None else [config.given])]
        if any(vector in MODALITIES and vector not in modalities for vector in vectors):
            return []
        level: Literal["input", "fusion"] = "fusion" if FUSION in vectors else "input"
        kind = "conditional" if config.given else ("fusion" if level == "fusion" else "invariant")
        x, y = config.between
        raised = {Between(x, y, config.given): 1.0 if config.sense == "maximise" else -1.0}
        estimators = {"estimator.name": config.estimator.name}
        return [InformationCoefficient("weight", level, kind, 1.0, raised, estimators)]

    @classmethod
    def named(cls, name: str, config: Any, dims: RepresentationDims) -> Self:
        """Build the term with a name for monitors and errors."""
        return cls(config, dims, name)

    def _refuse_unknown(self, config: Config, widths: Mapping[str, int]) -> None:
        fields = dict.fromkeys(config.between, "between") | {config.given: "given"}
        problems = [
            Problem(
                f"objective.terms.{self.name}.{fields[vector]}",
                vector,
                "is no vector of this model and these data",
                did_you_mean(vector, widths),
            )
            for vector in self.vectors
            if vector not in widths
        ]
        if problems:
            raise ConfigError("objective", problems)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Compute the loss, and the monitor ``bound/<name>`` in nats if the estimator has a unit."""
        vectors = self._vectors(representations, targets)
        value = self._value(vectors) if self._can_estimate(targets) else None
        if self.training and self.bank is not None:
            self.bank.remember(dict(zip(self.vectors, vectors, strict=True)))
        if value is None:
            return TermValue(nothing(vectors))
        loss = self.sign * value.loss
        if self.normaliser is not None:
            loss = self.normaliser(loss, vectors)
        return TermValue(loss, {f"bound/{self.name}": value.monitor} if self.in_nats else {})

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Return the loss that fits critic and densities, or None if there is nothing to fit."""
        if not self._can_estimate(targets):
            return None
        vectors = self._vectors(representations, targets)
        losses = [self._value(vectors).loss] if self.fitted else []
        inner = self.estimator.inner_loss(*self._inputs(vectors))
        if inner is not None:
            losses.append(inner)
        return sum(losses[1:], losses[0]) if losses else None

    def _value(self, vectors: tuple[Tensor, ...]) -> Value:
        value: Value = self.estimator(*self._inputs(vectors))
        return value

    def _inputs(self, vectors: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """Return what the estimator takes: two vectors, or triples and a bank of them."""
        if not isinstance(self.estimator, ConditionalEstimator):
            return vectors
        triples = Triples(*vectors)
        if self.bank is None:
            return triples, Triples(*(vector.detach() for vector in vectors))
        x, y, z = self.vectors
        return triples, self.bank.triples((x, y, z))

    def _can_estimate(self, targets: Targets) -> bool:
        return len(targets) >= self.estimator.smallest_batch and (self.bank is None or len(self.bank) > 0)

    def _vectors(self, representations: Representations, targets: Targets) -> tuple[Tensor, ...]:
        known = {**columns_of(representations, targets), **representations.extra}
        # As views, which are the end of the graph for the normaliser: the fused vector is computed from the
        # modalities, and the size of a gradient that also came through it would count it twice.
        return tuple(known[vector].view_as(known[vector]) for vector in self.vectors)

    def start_epoch(self, epoch: int) -> None:
        """Search neighbours in the epoch before from now on."""
        if self.bank is not None:
            self.bank.turn_over()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the group ``estimator``, which has all parameters."""
        return {"estimator": list(self.estimator.parameters())}
