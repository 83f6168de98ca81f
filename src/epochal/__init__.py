"""Experiment tracking at full speed: `import epochal as wandb`."""

from epochal._version import __version__ as __version__
