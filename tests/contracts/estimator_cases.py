"""The configurations in which every registered information estimator must keep the contract."""

from mmsa.information import Estimator
from mmsa.testing import Case
from mmsa.testing.estimators import X_DIM, Y_DIM, build_estimator

SMALL = {"hidden": 32, "layers": 2}
SEPARABLE = {"name": "separable", "embedding": 8, **SMALL}
COSINE = {"name": "cosine", "embedding": 8, **SMALL}
DIAGONAL = {"name": "diagonal", **SMALL}
MIXTURE = {"name": "mixture", "components": 2, **SMALL}

CASES: dict[str, dict] = {
    "infonce": {"name": "infonce", "critic": SEPARABLE},
    "infonce/cosine": {"name": "infonce", "critic": COSINE, "temperature": 0.1, "symmetric": True},
    "infonce/bilinear": {"name": "infonce", "critic": {"name": "bilinear"}},
    "infonce_anchor": {"name": "infonce_anchor", "critic": SEPARABLE, "anchor": 20.0},
    "jsd": {"name": "jsd", "critic": SEPARABLE},
    "gan_dime": {"name": "gan_dime", "critic": SEPARABLE},
    "gan_dime/joint": {"name": "gan_dime", "critic": {"name": "joint", "norm": "layer", **SMALL}},
    "jsd_lb": {"name": "jsd_lb", "critic": SEPARABLE},
    "nwj": {"name": "nwj", "critic": SEPARABLE},
    "tuba": {"name": "tuba", "critic": SEPARABLE, "baseline": SMALL},
    "interpolated": {"name": "interpolated", "critic": SEPARABLE, "baseline": SMALL, "alpha": 0.3},
    "dv": {"name": "dv", "critic": SEPARABLE},
    "mine": {"name": "mine", "critic": SEPARABLE},
    "smile": {"name": "smile", "critic": SEPARABLE},
    "flo": {"name": "flo", "critic": SEPARABLE, "pointwise": SMALL},
    "barber_agakov": {"name": "barber_agakov", "conditional": DIAGONAL},
    "barber_agakov/full-knife": {
        "name": "barber_agakov",
        "conditional": {"name": "full", **SMALL},
        "entropy": {"name": "knife", "components": 2},
    },
    "barber_agakov/mixture-gmm": {
        "name": "barber_agakov",
        "conditional": MIXTURE,
        "entropy": {"name": "gmm", "components": 2},
    },
    "barber_agakov/diagonal-kde": {
        "name": "barber_agakov",
        "conditional": DIAGONAL,
        "entropy": {"name": "kde"},
    },
    "barber_agakov_mmim_code": {"name": "barber_agakov_mmim_code", "conditional": DIAGONAL},
    "club": {"name": "club", "conditional": DIAGONAL},
    "gaussian_copula": {"name": "gaussian_copula"},
    "ksg": {"name": "ksg"},
    "l1out": {"name": "l1out", "conditional": MIXTURE},
}


def build(case: str, x_dim: int = X_DIM, y_dim: int = Y_DIM) -> Estimator:
    """The estimator of a case, with its parameters drawn from a fixed seed."""
    return build_estimator(Case(case, CASES[case]["name"], CASES[case]), x_dim, y_dim)
