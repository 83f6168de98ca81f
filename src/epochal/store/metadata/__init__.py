"""Everything that is a record and not history: projects, runs, writers, and what is known about them."""

from epochal.store.metadata.database import Metadata as Metadata
from epochal.store.metadata.records import AlertRecord as AlertRecord
from epochal.store.metadata.records import ApiKeyRecord as ApiKeyRecord
from epochal.store.metadata.records import LossRecord as LossRecord
from epochal.store.metadata.records import MetricDefinition as MetricDefinition
from epochal.store.metadata.records import ProjectRecord as ProjectRecord
from epochal.store.metadata.records import Role as Role
from epochal.store.metadata.records import RunExit as RunExit
from epochal.store.metadata.records import RunRecord as RunRecord
from epochal.store.metadata.records import RunState as RunState
from epochal.store.metadata.records import UserRecord as UserRecord
from epochal.store.metadata.records import WriterRecord as WriterRecord
from epochal.store.metadata.records import run_state as run_state
