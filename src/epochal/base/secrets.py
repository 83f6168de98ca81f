"""Takes secrets out of what is recorded about a process: its command line and its addresses.

A command line is recorded so that a run can be repeated, and is read by everybody who sees the run.  So
the rule errs on the side of hiding: by the name before a value, and by what a value looks like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

# Ends of option names whose value is a secret.  The end decides: `--password-file` names a path, and
# `--max-tokens` and `--tokenizer` are what language models are trained with.
_SECRET_END = re.compile(
    r"(?:^|[-_.])(?:api[-_]?(?:key|token|secret)|(?:access|secret|private|account|signing|encryption)[-_]?key"
    r"|access[-_]?key[-_]?id|key[-_]?secret|secrets?|auth|token|jwt|cookie|bearer|pat"
    r"|authorization|password|passwd|passwort|pwd|passphrase|credentials?)$"
)
_KEY_END = re.compile(r"[-_.]key$")  # `--wandb_key`: a secret if the value is long enough to be one
# Tokens of a vocabulary, not of a service.
_VOCABULARY = re.compile(
    r"(?:^|[-_.])(?:pad|eos|bos|unk|mask|sep|cls|stop|start|end|image|audio|video|special|decoder|prompt|next"
    r"|last|first|per|new)[-_]token$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONG = re.compile(r"^[A-Za-z0-9_\-+=.]{20,}$")
_NAME = re.compile(r"^[-+~]*[A-Za-z_][\w.\-/@]*$")

_LOOKS_SECRET = re.compile(
    r"\b(?:"
    r"sk-[A-Za-z0-9_\-]{16,}"  # OpenAI, Anthropic and their kin
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"  # Stripe
    r"|hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|AIza[A-Za-z0-9_\-]{35}"  # Google
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}"  # Slack
    r"|epochal-[A-Za-z0-9]{40,}"
    r"|local-[A-Za-z0-9]{40}|wandb_v\d_[A-Za-z0-9_]{20,}"  # W&B, on its own servers and hosted
    r"|nvapi-[A-Za-z0-9_\-]{20,}|gsk_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|dapi[0-9a-f]{32}"
    r"|pypi-[A-Za-z0-9_\-]{16,}|npm_[A-Za-z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"  # a JSON web token
    r")"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_AUTH_HEADER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=\-]{6,}")
_URL_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s@'\"]+)@")
_QUERY = re.compile(r"([?&;])([\w.\-]+)=([^&\s'\"#;]+)")
# `"api_key": "x"` in an option that is JSON, `api_key='x'` in a program given with -c.
_ASSIGNED = re.compile(r"([\"']?)([A-Za-z_][\w.\-]*)\1(\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;{}()\"']+)")


def mask_command(args: Sequence[str]) -> list[str]:
    """Return the command line `args` with every secret in it replaced by `***`, the rest as it was."""
    masked: list[str] = []
    hide_next: str | None = None  # the name that the next argument is the value of
    for arg in args:
        if hide_next is not None and not arg.startswith("--"):
            masked.append(MASK if _hides(hide_next, arg) else mask_text(arg))
            hide_next = None
            continue
        masked.append(_mask_argument(arg))
        is_option = arg.startswith("-") and "=" not in arg and _NAME.match(arg)
        hide_next = arg if is_option and _may_hide(arg) else None
    return masked


def mask_text(text: str) -> str:
    """Return `text` with what looks like a secret, wherever it stands in it, replaced by `***`."""
    text = _PEM.sub(MASK, text)
    text = _URL_USER.sub(lambda m: m[1] + (MASK if _is_secret_user(m[1], m[2]) else m[2]) + "@", text)
    text = _QUERY.sub(lambda m: m[1] + m[2] + "=" + (MASK if _hides(m[2], m[3]) else m[3]), text)
    text = _ASSIGNED.sub(_mask_assigned, text)
    text = _AUTH_HEADER.sub(rf"\1\2{MASK}", text)
    return _LOOKS_SECRET.sub(MASK, text)


def without_credentials(url: str) -> str:
    """Return the address of a git remote without user name, password or token.

    `git@host:path` and `ssh://git@host/path` keep their user: it is part of the address, and no secret.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _LOOKS_SECRET.sub(MASK, url)
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and scheme.endswith("ssh"):
        host = f"{user.partition(':')[0]}@{host}"
    return mask_text(f"{scheme}://{host}{slash}{path}")


def _mask_argument(arg: str) -> str:
    name, equals, value = arg.partition("=")
    if equals and value and _NAME.match(name):
        return f"{name}={MASK if _hides(name, value) else mask_text(value)}"
    return mask_text(arg)


def _may_hide(name: str) -> bool:
    plain = _CAMEL.sub("_", name).lower()
    return bool(_KEY_END.search(plain) or (_SECRET_END.search(plain) and not _VOCABULARY.search(plain)))


def _hides(name: str, value: str) -> bool:
    """Tell whether `value` is a secret because of the name it is given to."""
    plain = _CAMEL.sub("_", name).lower()
    if _SECRET_END.search(plain):
        # `auth=true` and `token=null` say that there is one, and not which.
        is_word = value.lower() in ("", "true", "false", "none", "null", "0", "1")
        return not is_word and not _VOCABULARY.search(plain)
    return bool(_KEY_END.search(plain) and _LONG.match(value))


def _mask_assigned(match: re.Match[str]) -> str:
    quote, name, sign, value = match.groups()
    inner = value[1:-1] if value[:1] in "\"'" and len(value) > 1 else value
    if inner.lower() in ("bearer", "basic") or not _hides(name, inner):
        return match[0]
    mark = value[0] if inner is not value and value != inner else ""
    return f"{quote}{name}{quote}{sign}{mark}{MASK}{mark}"


def _is_secret_user(scheme: str, user: str) -> bool:
    return ":" in user or not scheme.startswith(("ssh", "git+ssh"))
