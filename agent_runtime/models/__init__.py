"""Embedding models: what an image holds, the adapters that run them, and their conversion.

ONNX Runtime reports to its maker unless it is told not to before its import. An agent's pod
speaks to nobody whom its owner did not name.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
