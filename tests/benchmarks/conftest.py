import os
import sys
from pathlib import Path

# benchmarks/ is no package: its scripts find `peers` beside them
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
# two devices of JAX, so that its tuned peer shares out the tasks; read when JAX is imported
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
