"""Addresses of channels as users type them: apprise's URLs, of services far from this machine."""

from __future__ import annotations

from epochal.errors import UsageError

MAX_URL = 2000  # characters

# A list of what may be, and not of what may not: the library knows over 120 services, some of which start
# programs, write files or talk to the desktop, and every version brings more.
SCHEMES = frozenset(
    {
        "dingtalk",
        "discord",
        "feishu",
        "form",
        "forms",
        "gchat",
        "gotify",
        "gotifys",
        "ifttt",
        "json",
        "jsons",
        "lark",
        "line",
        "mailgun",
        "mailto",
        "mailtos",
        "mmost",
        "mmosts",
        "msteams",
        "ntfy",
        "ntfys",
        "opsgenie",
        "pagerduty",
        "pbul",
        "pover",
        "rocket",
        "rockets",
        "sendgrid",
        "ses",
        "slack",
        "tgram",
        "twilio",
        "webex",
        "workflows",
        "wxteams",
        "xml",
        "xmls",
        "zulip",
    }
)


def check_url(url: str) -> str:
    """Return the scheme of a channel's address.

    Raises:
        UsageError: it is no address of a service that alerts may be sent by.  The text does not repeat it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise UsageError("the address of a channel is a URL of plain characters, such as slack://TOKENS")
    if scheme.lower() not in SCHEMES:
        known = ", ".join(sorted(SCHEMES))
        raise UsageError(f"alerts are not sent by this kind of address; those that can be are {known}")
    if " " in url or "," in url.partition("?")[0]:
        raise UsageError("a channel has one address; make another channel for the next one")
    return scheme.lower()


def hint_of(url: str) -> str:
    """Return what may be shown of an address: everything behind the scheme can be a secret."""
    return f"{url.partition('://')[0].lower()}://…"
