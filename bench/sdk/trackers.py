"""One adapter a tracker, so that every measurement runs the same lines on all of them.

Each is used as its own documentation shows for logging without a network: wandb offline, the others into a
folder.  This file is run inside each tracker's own environment and imports nothing else of ours.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


class Floor:
    """What nobody can beat with these bytes on this machine: encode with msgspec, one os.write."""

    def start(self, folder: Path) -> None:
        import msgspec

        self._encode = msgspec.msgpack.Encoder().encode
        self._fd = os.open(folder / "floor.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._step = 0

    def log(self, data: dict[str, float]) -> None:
        os.write(self._fd, self._encode((1, time.time(), self._step, data)))
        self._step += 1

    def finish(self) -> None:
        os.close(self._fd)


class Epochal:
    def start(self, folder: Path) -> None:
        os.environ["EPOCHAL_HOME"] = str(folder)
        import epochal

        self.run: Any = epochal.init(project="bench", settings={"silent": True})
        self.log = self.run.log

    def finish(self) -> None:
        self.run.finish()


class Wandb:
    def start(self, folder: Path) -> None:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(folder))
        import wandb  # type: ignore[import-not-found]

        self.run = wandb.init(project="bench")
        self.log = self.run.log

    def finish(self) -> None:
        self.run.finish()


class Trackio:
    def start(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder)
        os.environ["HF_HUB_OFFLINE"] = "1"
        import trackio  # type: ignore[import-not-found]

        self._trackio = trackio
        trackio.init(project="bench", embed=False)
        self.log = trackio.log

    def finish(self) -> None:
        self._trackio.finish()


class TensorBoardX:
    def start(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-not-found]

        self._writer = SummaryWriter(str(folder))
        self._step = 0

    def log(self, data: dict[str, float]) -> None:
        for key, value in data.items():
            self._writer.add_scalar(key, value, self._step)
        self._step += 1

    def finish(self) -> None:
        self._writer.close()


class Mlflow:
    def start(self, folder: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        import mlflow  # type: ignore[import-not-found]

        self._mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("bench")
        mlflow.start_run()
        self._step = 0

    def log(self, data: dict[str, float]) -> None:
        self._mlflow.log_metrics(data, step=self._step)
        self._step += 1

    def finish(self) -> None:
        self._mlflow.end_run()


class Aim:
    def start(self, folder: Path) -> None:
        os.environ["AIM_ANALYTICS_OFF"] = "1"
        from aim import Run  # type: ignore[import-not-found]

        self._run = Run(repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False)
        self._step = 0

    def log(self, data: dict[str, float]) -> None:
        self._run.track(data, step=self._step)
        self._step += 1

    def finish(self) -> None:
        self._run.close()


TRACKERS: dict[str, type[Any]] = {
    "floor": Floor,
    "epochal": Epochal,
    "wandb": Wandb,
    "trackio": Trackio,
    "tensorboardX": TensorBoardX,
    "mlflow": Mlflow,
    "aim": Aim,
}
# What `make bench-peers` installs, each in an environment of its own; versions of the day of the last table.
PACKAGES = {
    "wandb": "wandb==0.31.0",
    "trackio": "trackio==0.43.0",
    "tensorboardX": "tensorboardX==2.6.5",
    "mlflow": "mlflow==3.17.2",
    "aim": "aim==3.29.1",
}
