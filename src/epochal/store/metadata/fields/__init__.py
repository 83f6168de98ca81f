"""The fields of runs as columns, for filters, sorting and groups over 100,000 runs."""

from epochal.store.metadata.fields.cells import Kind as Kind
from epochal.store.metadata.fields.column import Column as Column
from epochal.store.metadata.fields.index import Fields as Fields
from epochal.store.metadata.fields.listing import FieldInfo as FieldInfo
from epochal.store.metadata.fields.table import RunColumns as RunColumns
