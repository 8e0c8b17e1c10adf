"""Each fast bound against its definition, written with loops."""

import math

import pytest
import torch

from mmsa.information import bounds

N = 5
GENERATOR = torch.Generator().manual_seed(0)
SCORES = 2 * torch.randn(N, N, generator=GENERATOR, dtype=torch.float64)
ROWS = SCORES.tolist()
BASELINE = torch.randn(N, generator=GENERATOR, dtype=torch.float64)
JOINT = [ROWS[i][i] for i in range(N)]
PRODUCT = [(i, j) for i in range(N) for j in range(N) if i != j]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def slow_infonce(rows):
    return mean(rows[i][i] - math.log(mean(math.exp(s) for s in rows[i])) for i in range(N))


def slow_anchor(anchor):
    """Cross-entropy over K candidates and the anchor class; K = N - 1."""
    present, absent = [], []
    for i, j in PRODUCT:
        candidates = [math.exp(ROWS[i][k]) for k in range(N) if k != j]
        present.append(math.log(math.exp(ROWS[i][i]) / (anchor + sum(candidates))))
    for i in range(N):
        noise = [math.exp(ROWS[i][k]) for k in range(N) if k != i]
        absent.append(math.log(anchor / (anchor + sum(noise))))
    return ((N - 1) * mean(present) + anchor * mean(absent)) / (N - 1 + anchor)


def slow_jsd():
    classifier = [math.log(1 / (1 + math.exp(-s))) for s in JOINT]
    noise = [math.log(1 - 1 / (1 + math.exp(-ROWS[i][j]))) for i, j in PRODUCT]
    return math.log(2) + 0.5 * (mean(classifier) + mean(noise))


def slow_nwj():
    return 1 + mean(JOINT) - mean(math.exp(ROWS[i][j]) for i, j in PRODUCT)


def slow_tuba():
    a = BASELINE.exp().tolist()
    joint = mean(JOINT[i] - math.log(a[i]) for i in range(N))
    return 1 + joint - mean(math.exp(ROWS[i][j]) / a[i] for i, j in PRODUCT)


def slow_interpolated(alpha):
    a = BASELINE.exp().tolist()
    with_pair = [alpha * mean(map(math.exp, ROWS[i])) + (1 - alpha) * a[i] for i in range(N)]
    noise = [mean(math.exp(ROWS[i][j]) for j in range(N) if j != i) for i in range(N)]
    without = [alpha * noise[i] + (1 - alpha) * a[i] for i in range(N)]
    joint = mean(math.log(math.exp(JOINT[i]) / with_pair[i]) for i in range(N))
    return 1 + joint - mean(math.exp(ROWS[i][j]) / without[i] for i, j in PRODUCT)


def slow_dv():
    return mean(JOINT) - math.log(mean(math.exp(ROWS[i][j]) for i, j in PRODUCT))


def slow_smile(clip):
    clipped = [min(max(ROWS[i][j], -clip), clip) for i, j in PRODUCT]
    return mean(JOINT) - math.log(mean(map(math.exp, clipped)))


def slow_flo():
    u = BASELINE.tolist()
    ratios = [
        math.exp(u[i]) * mean(math.exp(ROWS[i][j] - JOINT[i]) for j in range(N) if j != i) for i in range(N)
    ]
    return 1 + mean(u[i] - ratios[i] for i in range(N))


def slow_l1out():
    others = [math.log(mean(math.exp(ROWS[j][i]) for j in range(N) if j != i)) for i in range(N)]
    return mean(JOINT[i] - others[i] for i in range(N))


COLUMNS = [list(column) for column in zip(*ROWS, strict=True)]
DEFINITIONS = {
    "infonce": (bounds.infonce(SCORES), slow_infonce(ROWS)),
    "infonce symmetric": (
        bounds.infonce(SCORES, symmetric=True),
        0.5 * (slow_infonce(ROWS) + slow_infonce(COLUMNS)),
    ),
    "infonce temperature": (
        bounds.infonce(SCORES, temperature=0.5),
        slow_infonce([[2 * s for s in r] for r in ROWS]),
    ),
    "anchor 1": (bounds.infonce_anchor(SCORES), slow_anchor(1.0)),
    "anchor 3": (bounds.infonce_anchor(SCORES, 3.0), slow_anchor(3.0)),
    "jsd": (bounds.jsd(SCORES), slow_jsd()),
    "nwj": (bounds.nwj(SCORES), slow_nwj()),
    "tuba": (bounds.tuba(SCORES, BASELINE), slow_tuba()),
    "interpolated": (bounds.interpolated(SCORES, BASELINE, 0.3), slow_interpolated(0.3)),
    "dv": (bounds.dv(SCORES), slow_dv()),
    "smile": (bounds.smile(SCORES, 1.5), slow_smile(1.5)),
    "flo": (bounds.flo(SCORES, BASELINE), slow_flo()),
    "club": (bounds.club(SCORES), mean(JOINT) - mean(ROWS[i][j] for i, j in PRODUCT)),
    "l1out": (bounds.l1out(SCORES), slow_l1out()),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_fast_form_is_the_definition(name):
    fast, slow = DEFINITIONS[name]
    assert fast.item() == pytest.approx(slow, abs=1e-9)


def test_interpolated_ends_at_tuba_and_infonce():
    ends = [bounds.interpolated(SCORES, BASELINE, alpha).item() for alpha in (0.0, 1.0)]
    assert ends == pytest.approx([bounds.tuba(SCORES, BASELINE).item(), bounds.infonce(SCORES).item()])


def test_jsd_lower_bound_inverts_the_divergence_of_a_point_mass():
    for y in (0.1, 1.0, 5.0, 20.0):
        p = math.exp(-y)
        middle = 0.5 * (1 + p)
        divergence = 0.5 * math.log(1 / middle) + 0.5 * (
            p * math.log(p / middle) + (1 - p) * math.log((1 - p) / (1 - middle))
        )
        value = bounds.jsd_lower_bound(torch.tensor(divergence, dtype=torch.float64))
        assert value.item() == pytest.approx(y, rel=1e-4)
    assert bounds.jsd_lower_bound(torch.tensor(-0.3)).item() == 0.0


def test_mine_reads_dv_and_divides_its_gradient_by_the_average():
    scores = SCORES.clone().requires_grad_()
    average = 3.0
    bounds.mine(scores, torch.tensor(math.log(average))).backward()
    expected = -SCORES.exp() / (N * (N - 1)) / average
    expected.diagonal().fill_(1 / N)
    torch.testing.assert_close(scores.grad, expected)
    assert bounds.mine(SCORES, torch.tensor(0.7)).item() == pytest.approx(bounds.dv(SCORES).item())


def test_anchor_gradient_survives_one_dominating_score():
    scores = SCORES.clone()
    scores[0, 1] = 90.0
    scores.requires_grad_()
    bounds.infonce_anchor(scores).backward()
    step = 1e-5
    for i, j in ((0, 0), (0, 1), (0, 2), (3, 4)):
        bump = torch.zeros_like(SCORES)
        bump[i, j] = step
        with torch.no_grad():
            slope = (bounds.infonce_anchor(scores + bump) - bounds.infonce_anchor(scores - bump)) / (2 * step)
        assert scores.grad[i, j].item() == pytest.approx(slope.item(), abs=1e-6)


def gaussian_log_ratio(x, y, rho):
    quadratic = rho**2 * (x[:, None] ** 2 + y[None] ** 2) - 2 * rho * x[:, None] * y[None]
    return (-quadratic / (2 * (1 - rho**2))).sum(-1) - 0.5 * x.shape[1] * math.log(1 - rho**2)


OBJECTIVES = {
    "anchor": bounds.infonce_anchor,
    "jsd": bounds.jsd,
    "nwj": bounds.nwj,
    "dv": bounds.dv,
    "infonce": bounds.infonce,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_true_log_ratio_maximises_the_objective(name):
    rho, generator = 0.8, torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 2000, 2, generator=generator, dtype=torch.float64).unbind()
    truth = gaussian_log_ratio(x, rho * x + (1 - rho**2) ** 0.5 * noise, rho)
    best = OBJECTIVES[name](truth)
    for changed in (0.8 * truth, 1.2 * truth):
        assert OBJECTIVES[name](changed) < best
    moved = [OBJECTIVES[name](truth + shift).item() for shift in (-0.5, 0.5)]
    if name in ("dv", "infonce"):
        assert moved == pytest.approx([best.item()] * 2)
    else:
        assert max(moved) < best
    if name != "jsd" and name != "anchor":
        assert best.item() == pytest.approx(-math.log(1 - rho**2), abs=0.1)


def test_club_at_the_truth_is_the_jeffreys_divergence():
    rho, generator = 0.7, torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 2000, 1, generator=generator, dtype=torch.float64).unbind()
    y = rho * x + (1 - rho**2) ** 0.5 * noise
    log_density = -((y[None, :, 0] - rho * x) ** 2) / (2 * (1 - rho**2))
    assert bounds.club(log_density).item() == pytest.approx(rho**2 / (1 - rho**2), abs=0.1)
    assert bounds.l1out(log_density).item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)
