"""Opening a converted model on ONNX Runtime, for embedders and rerankers alike."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def open_session(folder: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load `model.onnx` of a folder. Each call of the session uses `threads` of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait eat the CPU quota of a pod.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
