"""Starts a server, runs it until it is told to stop, and puts everything away.

The order matters: the data folder is owned before anything in it is opened, the port is taken before anybody
is told of it, and what was opened last is closed first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import shlex
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import uvicorn

from epochal._version import __version__
from epochal.access.addresses import Addresses
from epochal.access.api_keys import ApiKeys, owner_of, system_user
from epochal.access.login_tokens import LoginTokens
from epochal.access.secret import load_secret
from epochal.access.sessions import Sessions
from epochal.alerts.addresses import networks
from epochal.alerts.courier import Courier
from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY
from epochal.ingest.accept import Ingest
from epochal.ingest.moving import MovingThread
from epochal.ingest.watcher import Watcher
from epochal.query.live import ChangeFeed
from epochal.runlog.folder import runs_folders
from epochal.server.admission import Admission
from epochal.server.app import create_app
from epochal.server.callers import KeyLookups
from epochal.server.data_folder import DataFolder, ServerRecord, said_clearly
from epochal.server.graphql.schema import build_schema
from epochal.server.intake import Intake
from epochal.server.listening import listen, url_of
from epochal.server.memory import memory_given_back
from epochal.server.rate_limits import RateLimits
from epochal.server.services import Services
from epochal.server.settings import ServerSettings
from epochal.server.stopping import StopSignals
from epochal.server.web_app import WebApp
from epochal.server.workers import Workers
from epochal.store.metadata import Metadata
from epochal.store.metrics.embedded import Cache, EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores

# Ctrl-C ends the process within 2 s: requests have this long to finish, and the rest is for closing files.
_GRACE_S = 1
# A browser opens at once, and the link stands in the list of processes meanwhile.
_BROWSER_TOKEN_S = 60.0


# A thread that computes lets the event loop in after this time, and not after Python's 5 ms.  Measured with
# 500 live senders on two busy cores: 99 of 100 acknowledgements within 0.25 s, and within 0.5 s before.
_SWITCH_S = 0.001
_MAX_FILES = 65_536


def serve(settings: ServerSettings, home: Path, *, open_browser: bool) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: how.
        home: Epochal's folder, which the data and the runs are in unless the settings say otherwise.
        open_browser: open the app where there is a display.

    Raises:
        DataFolderError: the data folder belongs to another server, is newer, or cannot be used.
        PortInUseError: the port asked for is taken.
        UsageError: a setting cannot be used.
    """
    # Whatever this process makes is its owner's alone.
    os.umask(0o077)
    sys.setswitchinterval(_SWITCH_S)
    _open_many_files()
    addresses = _addresses(settings)
    _check_networks(settings)
    with contextlib.ExitStack() as cleanup:
        stop = cleanup.enter_context(StopSignals())
        cleanup.enter_context(memory_given_back())
        data = DataFolder(settings.data_dir or home / "server")
        cleanup.callback(data.close)
        listening = listen(settings.host, settings.port)
        cleanup.callback(listening.close)
        with said_clearly(data.path):
            services = cleanup.enter_context(_services(settings, home, data, addresses))
        url = url_of(listening)
        record = ServerRecord(pid=os.getpid(), url=url, version=__version__, started_at=time.time())
        data.publish(record)
        services.login_tokens.sweep()
        _announce(url, services, data.path)
        if open_browser and _has_display():
            token = services.login_tokens.mint(_BROWSER_TOKEN_S)
            # Finding and starting a browser can take seconds.
            opening = (login_link(url, token),)
            threading.Thread(target=webbrowser.open, args=opening, daemon=True).start()
        _run(services, listening, stop)


def _open_many_files() -> None:
    """Take as many file handles as the system gives: every sender keeps a connection open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems give fewer than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def login_link(url: str, token: str) -> str:
    """Return the address that signs a browser in to the server at `url`."""
    return f"{url}/login?token={token}"


@contextlib.contextmanager
def _services(
    settings: ServerSettings, home: Path, data: DataFolder, addresses: Addresses
) -> Iterator[Services]:
    with contextlib.ExitStack() as cleanup:
        metadata = Metadata(data.metadata_path)
        cleanup.callback(metadata.close)
        metadata.fields.start()
        # One cache for all projects: its size is a limit of the process, not of a file.
        stores = MetricStores(data.projects_path, partial(EmbeddedMetricStore, cache=Cache()))
        cleanup.callback(stores.close)
        # Before the stores close, no query may be in one.
        workers = Workers(settings.query_threads)
        cleanup.callback(workers.close)
        changes = ChangeFeed()
        ingest = Ingest(metadata, stores, changes)
        rate_limits = RateLimits(settings)
        intake = Intake(ingest, rate_limits, settings.max_upload_bytes)
        cleanup.callback(intake.close)
        mover = MovingThread(metadata, ingest)
        mover.start()
        cleanup.callback(mover.stop)
        api_keys = ApiKeys(metadata, time.time)
        key_lookups = KeyLookups(api_keys)
        cleanup.callback(key_lookups.close)
        courier = Courier(metadata, settings.alert_allow_network)
        courier.start()
        cleanup.callback(courier.stop)
        watcher = Watcher(ingest, lambda: _watched_folders(settings, home), metadata.writers.finished_paths())
        watcher.start()
        cleanup.callback(watcher.stop)
        yield Services(
            settings=settings,
            clock=time.time,
            addresses=addresses,
            sessions=Sessions(load_secret(data.secret_path), time.time),
            login_tokens=LoginTokens(data.login_tokens_path, time.time),
            owner=owner_of(metadata, DEFAULT_ENTITY, system_user(), time.time()),
            api_keys=api_keys,
            key_lookups=key_lookups,
            rate_limits=rate_limits,
            admission=Admission(settings.upload_memory_bytes),
            ingest=ingest,
            intake=intake,
            mover=mover,
            web_app=WebApp(),
            metadata=metadata,
            stores=stores,
            changes=changes,
            schema=build_schema(),
            workers=workers,
            runs_folders=_watched_folders(settings, home),
        )


def _addresses(settings: ServerSettings) -> Addresses:
    try:
        return Addresses(settings.host, (*settings.allow_host, *_own_names(settings.host)))
    except ValueError as error:
        raise UsageError(f"--allow-host: {error}.") from error


def _check_networks(settings: ServerSettings) -> None:
    try:
        networks(settings.alert_allow_network)
    except ValueError as error:
        raise UsageError(f"--alert-allow-network: {error}.") from error


def _own_names(host: str) -> Sequence[str]:
    """On a network, people type the machine's name; on loopback only, nobody can."""
    return () if host in ("127.0.0.1", "localhost", "::1") else (socket.gethostname(),)


def _watched_folders(settings: ServerSettings, home: Path) -> list[Path]:
    return list(dict.fromkeys([*runs_folders(home), *(folder.absolute() for folder in settings.runs_dir)]))


def _announce(url: str, services: Services, data: Path) -> None:
    link = login_link(url, services.login_tokens.mint())
    first, *others = services.runs_folders
    more = f" and {len(others)} more" if others else ""
    named = f" --data-dir {shlex.quote(str(data))}" if services.settings.data_dir else ""
    print(
        f"Epochal {__version__} is running.\n\n"
        f"  Open   {link}\n"
        f"  Runs   {first}{more}\n"
        f"  Data   {data}\n\n"
        f"The link signs one browser in; `epochal link{named}` prints another. Ctrl-C stops the server.",
        flush=True,
    )


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _run(services: Services, listening: socket.socket, stop: StopSignals) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        # Addresses can hold a sign-in token, and nobody reads the log of a server of one's own.
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config, services.changes)
    stop.call(server.stop)
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Leaves signals to `StopSignals`, and ends live connections before it waits for the others."""

    def __init__(self, config: uvicorn.Config, changes: ChangeFeed) -> None:
        super().__init__(config)
        self._changes = changes

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing; the parent takes signals here, and raises them again when it has stopped."""
        yield

    def stop(self) -> None:
        """Stop soon; called twice, without waiting for anybody."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._changes.close()
