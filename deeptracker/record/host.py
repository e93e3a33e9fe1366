"""Facts about the machine and the libraries a training ran on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch


def host_facts() -> dict[str, Any]:
    """JSON-able: platform, processor count, versions, accelerator."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
