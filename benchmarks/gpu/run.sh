#!/usr/bin/env bash
# What is known of mmsa on one GPU, in under 8 minutes: its GPU tests, then the times in gpu.py.
# It needs torch, transformers and pytest; Ray, Optuna and MLflow are not used.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available() and "no CUDA device is available here")'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
"$python" -m pytest -q -m gpu tests/training/test_gpu.py
"$python" benchmarks/gpu/gpu.py "$@"
