"""Every estimator on two processes that share a batch, against one process that holds it all."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from estimator_cases import CASES, X_DIM, Y_DIM, build

from mmsa.information import ESTIMATORS, GradientNormaliser

WORLD, ROWS, STEPS = 2, 11, 3
FIRST_ROWS = 7  # the two parts differ in size
TRAINED = [case for case in CASES if ESTIMATORS[CASES[case]["name"]].spec.role != "measure"]


def trace(case, rows, group):
    """Values and parameter gradients of three steps; gradients are averaged as training averages them."""
    estimator = build(case).double()
    estimator.group = group
    normaliser = GradientNormaliser()
    encoder = torch.nn.Linear(3, X_DIM + Y_DIM).double()
    generator = torch.Generator().manual_seed(5)
    parameters = [*encoder.parameters(), *estimator.parameters()]
    steps = []
    for _ in range(STEPS):
        batch = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)[rows]
        x, y = encoder(batch).split([X_DIM, Y_DIM], 1)
        value = estimator(x, y)
        loss = normaliser(value.loss, (x, y), group)
        inner = estimator.inner_loss(x.detach(), y.detach())
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
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/rendezvous", WORLD)
    dist.init_process_group("gloo", rank=rank, world_size=WORLD, store=store)
    rows = slice(0, FIRST_ROWS) if rank == 0 else slice(FIRST_ROWS, ROWS)
    traces = {case: trace(case, rows, dist.group.WORLD) for case in TRAINED}
    torch.save(traces, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", TRAINED)
def test_two_processes_give_the_value_and_gradient_of_one(case, two_processes):
    expected = trace(case, slice(None), None)
    for rank in range(WORLD):
        for (scalars, gradient), (one_scalars, one_gradient) in zip(
            two_processes[rank][case], expected, strict=True
        ):
            torch.testing.assert_close(scalars, one_scalars, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(gradient, one_gradient, rtol=1e-6, atol=1e-6)
