"""Every estimator on two processes that share a batch, against one process that holds it all."""

import conditional_cases
import estimator_cases
import pytest
import surrogate_cases
import torch
import torch.distributed as dist
from two_processes import WORLD, in_two_processes

from mmsa.information import ESTIMATORS, GradientNormaliser, Triples

ROWS, STEPS = 11, 2
FIRST_ROWS = 7  # the two parts differ in size
PAIRS = [
    case
    for case, config in estimator_cases.CASES.items()
    if ESTIMATORS[config["name"]].spec.role != "measure"
]
TRIPLES = list(conditional_cases.CASES)
SURROGATES = list(surrogate_cases.CASES)
EVERY = PAIRS + TRIPLES + SURROGATES
BANK = Triples(*(value.double() for value in conditional_cases.chain(50, 1)))


def trace(case, rows, group):
    """Values and parameter gradients of two steps; gradients are averaged as training averages them."""
    conditional = case in TRIPLES
    source = conditional_cases if conditional else surrogate_cases if case in SURROGATES else estimator_cases
    estimator = source.build(case).double().spread_over(group)
    torch.manual_seed(1)
    normaliser = GradientNormaliser()
    encoder = torch.nn.Linear(3, 3 if conditional else 4).double()
    generator = torch.Generator().manual_seed(5)
    parameters = [*encoder.parameters(), *estimator.parameters()]
    steps = []
    for _ in range(STEPS):
        batch = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)[rows]
        inputs = encoder(batch).chunk(3 if conditional else 2, 1)
        detached = [value.detach() for value in inputs]
        if conditional:
            value, inner = estimator(Triples(*inputs), BANK), estimator.inner_loss(Triples(*detached), BANK)
        else:
            value, inner = estimator(*inputs), estimator.inner_loss(*detached)
        loss = normaliser(value.loss, inputs, group)
        total = loss if inner is None else loss + inner
        gradients = torch.autograd.grad(total, parameters)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        if group is not None:
            dist.all_reduce(flat)
            flat /= WORLD
        with torch.no_grad():
            start = 0
            for parameter in parameters:
                stop = start + parameter.numel()
                parameter -= 0.01 * flat[start:stop].view_as(parameter)
                start = stop
        scalars = torch.stack([value.monitor, loss.detach(), torch.tensor(value.ceiling)]).double()
        steps.append((scalars, flat))
    return steps


def work(rank, folder):
    rows = slice(0, FIRST_ROWS) if rank == 0 else slice(FIRST_ROWS, ROWS)
    return {case: trace(case, rows, dist.group.WORLD) for case in EVERY}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return in_two_processes(work, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("case", EVERY)
def test_two_processes_give_the_value_and_gradient_of_one(case, two_processes):
    expected = trace(case, slice(None), None)
    for rank in range(WORLD):
        for (scalars, gradient), (one_scalars, one_gradient) in zip(
            two_processes[rank][case], expected, strict=True
        ):
            torch.testing.assert_close(scalars, one_scalars, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(gradient, one_gradient, rtol=1e-6, atol=1e-6)
