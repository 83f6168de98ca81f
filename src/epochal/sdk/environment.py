"""What the training process alone knows about itself, for the run's metadata.

Only what costs microseconds is here.  What needs a program or a search (git, packages, hardware) the
sidecar finds out; it also takes the secrets out of the command line before it records it.  Of the
environment only names on a list are looked at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

# Which job, which rank, which devices: what tells two runs of one script apart.
RECORDED_VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("OMP_NUM_THREADS", "CONDA_DEFAULT_ENV"),
    *("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_CLUSTER_NAME"),
    *("SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS", "SLURM_PROCID"),
    *("SLURM_LOCALID", "SLURM_NODEID", "SLURM_RESTART_COUNT", "SLURM_GPUS_ON_NODE", "SLURM_CPUS_PER_TASK"),
    *("PBS_JOBID", "LSB_JOBID", "COBALT_JOBID", "FLUX_JOB_ID"),
)


def facts(environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return this process's part of a run's metadata, as plain values.

    `raw_command` is the command line as it was given, secrets included: it goes to the sidecar over a
    private socket, which masks it and records it as `command`.  Never write it anywhere.  `import_paths`
    is where the sidecar looks for installed packages.

    Args:
        environ: the environment variables; those of the process if not given.
    """
    variables = os.environ if environ is None else environ
    return {
        "pid": os.getpid(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "program": program(),
        "raw_command": _command(),
        "cwd": _cwd(),
        "import_paths": [p for p in sys.path if p],
        "environment": {name: variables[name] for name in RECORDED_VARIABLES if name in variables},
    }


def program() -> str | None:
    """Return the path of the script that runs, or None where there is none: a notebook, a prompt, `-c`."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if not isinstance(path, str) or hasattr(sys, "ps1"):
        return None
    return os.path.abspath(path)  # noqa: PTH100 - a string in, a string out


def _command() -> list[str]:
    return [os.fsencode(a).decode("utf-8", "replace") for a in (sys.orig_argv or [])]


def _cwd() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None  # It was deleted under us.
