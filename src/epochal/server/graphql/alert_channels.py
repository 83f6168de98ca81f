"""Where alerts are sent: channels are made, tried and removed here, and their addresses never shown."""

from __future__ import annotations

from ariadne import MutationType, ObjectType

from epochal.alerts.channels import check_url, hint_of
from epochal.alerts.send import Message
from epochal.alerts.sending import send_messages
from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY
from epochal.server.failures import RequestError
from epochal.server.graphql.alerts import alert
from epochal.server.graphql.context import Context, Info
from epochal.server.graphql.projects import project
from epochal.server.graphql.server_info import query
from epochal.store.metadata.records import AlertChannel, AlertLevel, AlertRecord, ProjectRecord

MAX_NAME = 100  # characters
MAX_CHANNELS = 50  # of a project, and of all projects

mutation = MutationType()
alert_channel = ObjectType("AlertChannel")
alert_channel.set_alias("minimumSeverity", "level")

_TEST = Message("INFO: A test of Epochal's alerts", "Alerts that are sent to this channel arrive.", "INFO")


@query.field("alertChannels")
def resolve_alert_channels(_: object, info: Info) -> list[AlertChannel]:
    """Of all projects."""
    return info.context.services.metadata.alert_channels.of_project(None)


@project.field("alertChannels")
def resolve_project_channels(record: ProjectRecord, info: Info) -> list[AlertChannel]:
    """Of one project."""
    return info.context.services.metadata.alert_channels.of_project(record.key)


@alert.field("deliveries")
def resolve_deliveries(record: AlertRecord, info: Info) -> list[dict[str, str | None]]:
    """Where an alert went."""
    outcomes = info.context.services.metadata.alert_channels.outcomes(record.key)
    return [{"channel_name": name, "state": state, "error": error} for name, state, error in outcomes]


@alert_channel.field("id")
def resolve_id(record: AlertChannel, _: Info) -> str:
    """Never reused."""
    return f"AlertChannel:{record.key}"


@alert_channel.field("hint")
def resolve_hint(record: AlertChannel, _: Info) -> str:
    """What may be shown."""
    return hint_of(record.url)


@mutation.field("createAlertChannel")
def create_alert_channel(
    _: object,
    info: Info,
    name: str,
    url: str,
    project_name: str | None = None,
    entity_name: str | None = None,
    minimum_severity: AlertLevel = "INFO",
) -> AlertChannel:
    """Make one, once its address means something to the library that sends."""
    context = info.context
    key = _project_key(context, entity_name, project_name)
    channels = context.services.metadata.alert_channels
    check_url(url)
    if not 0 < len(name) <= MAX_NAME:
        raise UsageError(f"the name of a channel has 1 to {MAX_NAME} characters")
    if len(channels.of_project(key)) >= MAX_CHANNELS:
        raise UsageError(f"there are {MAX_CHANNELS} channels already; remove one")
    checked = send_messages(url, [], context.services.settings.alert_allow_network)
    if checked.error is not None:
        raise UsageError(f"this channel cannot be made. {checked.error}")
    made = channels.get(channels.create(key, name, url, minimum_severity, now=context.now))
    assert made is not None, "it was just made"
    return made


@mutation.field("deleteAlertChannel")
def delete_alert_channel(_: object, info: Info, id: str) -> bool:
    """Remove one."""
    found = _find(info.context, id)
    if found is not None:
        info.context.services.metadata.alert_channels.delete(found.key)
    return found is not None


@mutation.field("testAlertChannel")
def try_alert_channel(_: object, info: Info, id: str) -> str | None:
    """Send a message, and wait."""
    found = _find(info.context, id)
    if found is None:
        raise UsageError("there is no such channel")
    return send_messages(found.url, [_TEST], info.context.services.settings.alert_allow_network).error


def _find(context: Context, id_: str) -> AlertChannel | None:
    """Return the channel with this id that the caller may change."""
    kind, _, number = id_.partition(":")
    if kind != "AlertChannel" or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise UsageError(f"{id_[:50]!r} is no id of a channel")
    found = context.services.metadata.alert_channels.get(int(number))
    if found is not None:
        _check_may_change(context, _entity_of(context, found))
    return found


def _entity_of(context: Context, channel: AlertChannel) -> str | None:
    if channel.project_key is None:
        return None
    return context.services.metadata.projects.entity_of(channel.project_key)


def _project_key(context: Context, entity: str | None, name: str | None) -> int | None:
    if name is None:
        _check_may_change(context, None)
        return None
    owner = entity or DEFAULT_ENTITY
    _check_may_change(context, owner)
    key = context.services.metadata.projects.key_of(owner, name)
    if key is None:
        raise UsageError("there is no such project")
    return key


def _check_may_change(context: Context, entity: str | None) -> None:
    """Let those change a project's channels who may write to it, and an admin those of all projects.

    Raises:
        RequestError: the caller may not.
    """
    caller = context.caller
    may = caller.may("admin") if entity is None else caller.may_write_to(entity)
    if not may:
        raise RequestError(
            403,
            "not_allowed",
            "You may not change these alert channels.",
            "Use a key that may write to the project, or an admin's for all projects.",
            "Authorization header",
        )
