"""Look at this machine and at what a search would use, and say what to do; exit code 1 if any is wrong."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from mmsa.cli import add_mlflow_uri_argument, add_runs_argument, exit_code

WRONG = 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", metavar="NAME", help="space whose data file is looked for")
    parser.add_argument("--storage", metavar="URL", help="database of the study (default: a file in --runs)")
    parser.add_argument("--ray-address", metavar="HOST:PORT", help="cluster whose nodes are asked")
    add_runs_argument(parser)
    add_mlflow_uri_argument(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    from mmsa.doctor import machine, services
    from mmsa.doctor.findings import Check, examined

    checks: dict[str, Check] = {
        "code": machine.code,
        "lock": machine.lock,
        "GPUs": machine.gpus,
        "threads": machine.threads,
        "shm": machine.shm,
        "disk": partial(machine.disk, args.runs),
        "ports": machine.ports,
        "Ray": machine.other_ray,
        "token": machine.token,
        "storage": partial(services.storage, args.runs, args.storage),
        "MLflow": partial(services.mlflow, args.runs, args.mlflow_uri),
        "data": partial(services.data, args.space),
        "hub": services.hub,
        "nodes": partial(services.nodes, args.runs, args.ray_address),
    }
    wrong = 0
    for subject, check in checks.items():
        for finding in examined(subject, check):
            print(finding, flush=True)
            wrong += finding.verdict == "wrong"
    if wrong:
        print(f"wrong: {wrong}; a search would fail or suffer from it")
    else:
        print("nothing here would hinder a search")
    return WRONG if wrong else 0


if __name__ == "__main__":
    sys.exit(exit_code(main, prints_its_result=True))
