"""Contract suites: what every component of a kind must do, as classes of tests to derive from.

mmsa's own components are held to them, and so can be those of other packages (docs/extending.md):

    from mmsa.testing import FusionContract

    class TestGated(FusionContract):
        CASES = {"gated": {"width": 8}}

Needs pytest, which comes with ``pip install 'mmsa[test]'``. Nothing else in mmsa imports this package.
"""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("mmsa.testing needs pytest; run: pip install 'mmsa[test]'") from error

# Before the suites are imported: only then does a failed assertion show its values, as in a test file.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{kind}"
        for kind in ("estimators", "fusions", "readers", "samplers", "schedulers", "terms")
    )
)

from mmsa.data.generated.recordings import Recording
from mmsa.testing.contract import Case, Contract
from mmsa.testing.estimators import EstimatorContract
from mmsa.testing.fusions import FusionContract
from mmsa.testing.readers import ReaderContract
from mmsa.testing.samplers import SamplerContract
from mmsa.testing.schedulers import SchedulerContract
from mmsa.testing.terms import TermContract

__all__ = [
    "Case",
    "Contract",
    "EstimatorContract",
    "FusionContract",
    "ReaderContract",
    "Recording",
    "SamplerContract",
    "SchedulerContract",
    "TermContract",
]
