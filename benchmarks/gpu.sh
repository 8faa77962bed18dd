#!/usr/bin/env bash
# Workload W1 on this machine's GPU, from 16 to 4096 tasks, in under 8 minutes. Needs a Python with a
# CUDA build of PyTorch; the other packages, all pure Python or small wheels, are installed if absent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${PYTHON:-python3}"
"$python" -c 'import higher, jsonargparse, matplotlib, pytorch_lightning, rich, tensorboard, yaml' 2>/dev/null ||
  "$python" -m pip install --quiet higher 'jsonargparse[signatures]' matplotlib pytorch-lightning \
    rich tensorboard torchmetrics pyyaml
PYTHONPATH=. exec "$python" benchmarks/gpu.py "$@"
