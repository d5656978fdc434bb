"""Plugins: found by name, one manager per server, called through the server's chain.

A manager holds exactly the plugins that its server's table lists: with credentials at stake,
absence is the default, and a plugin of one server cannot join another. A hook that takes too long
is named in the log.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType, ModuleType
from typing import Any

import pluggy
import structlog
from marshmallow import RAISE, Schema
from marshmallow.fields import Field

from relay.config.fields import check
from relay.config.keys import KeyRing, StoredKeys
from relay.config.schema import ServerTable
from relay.config.settings import ServerSettings, Settings, shipped
from relay.config.template_files import forget as forget_files
from relay.core.addresses import ANY_DOMAIN
from relay.core.errors import ConfigurationError, PluginConflict, PluginNotFound
from relay.core.server import Key, Server
from relay.core.text import nearest
from relay.forms.fields import naming
from relay.hooks import specs
from relay.hooks.chain import NOBODY, Chain, Listeners, hook_names

# The modules of plugin files, so that they are nobody else's.
_PACKAGE = "relay_plugins."
SLOW_SECONDS = 1.0
# How long all plugins together may take to end what they run of their own.
STOPPING_SECONDS = 5.0

log = structlog.get_logger()


def build(
    settings: Settings,
    keys: Sequence[Key],
    listeners: Listeners = NOBODY,
    stored: StoredKeys | None = None,
) -> dict[str, Chain]:
    """Build every server's chain; raise ConfigurationError.

    listeners: hear what the chains' observers hear. stored: the keys that are good beside `keys`.
    """
    forget_files()
    modules = _Modules(settings.path.parent)
    place = f"{settings.path.name} [servers.{{}}]"
    ring = KeyRing(keys, stored or StoredKeys())
    chains = {
        name: _chain(server, ring, modules, place.format(name), listeners)
        for name, server in settings.servers.items()
    }
    for name, chain in chains.items():
        _check_server(chain, chains[chain.server.group], keys, place.format(name))
    return chains


def _chain(
    settings: ServerSettings,
    keys: KeyRing,
    modules: "_Modules",
    place: str,
    listeners: Listeners,
) -> Chain:
    manager = pluggy.PluginManager("relay")
    manager.add_hookspecs(specs)
    # pluggy calls what was registered last first.
    for name in reversed(settings.server.plugins):
        try:
            manager.register(modules.load(name, place), name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise ConfigurationError(f"{place} plugins: {name}: {_one_line(error)}") from None
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise ConfigurationError(f"{place} plugins: {_one_line(error)}") from None
    fields: dict[str, Field[Any]] = {}
    for implementation in manager.hook.settings.get_hookimpls():
        with _starting(implementation.plugin_name, place):
            named: Any = implementation.function()
            fields |= dict(named)
    schema = Schema.from_dict(dict(fields))(unknown=RAISE)
    with naming(ANY_DOMAIN):
        options = check(schema, settings.extra, place, also=ServerTable().fields)
    server = replace(settings.server, keys=keys, options=MappingProxyType(options))
    _watch(manager, server)
    try:
        with _starting("a schema or account hook", place):
            chain = Chain(server, manager, listeners)
    except ConfigurationError as error:  # of a schema hook, which knows no place
        words = str(error)
        raise ConfigurationError(words if words.startswith(place) else f"{place} {words}") from None
    if not isinstance(chain.schema, Schema | None):
        raise ConfigurationError(f"{place} plugins: {chain.describe()['schema'][0]} has no schema")
    return chain


@contextmanager
def _starting(name: str, place: str) -> Iterator[None]:
    """Name the plugin that breaks at the start, by its frames where it is known no better."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        modules = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
        plugin = next((one for one in modules if one.startswith(_PACKAGE)), name)
        words = f"{plugin.removeprefix(_PACKAGE)} breaks: {type(error).__name__}"
        raise ConfigurationError(f"{place} plugins: {words}: {_one_line(error)}") from error


def _check_server(chain: Chain, group: Chain, keys: Sequence[Key], place: str) -> None:
    """Refuse what would be an open relay, or a server that cannot do its work."""
    server = chain.server
    hooks = chain.describe()
    if bool(hooks["schema"]) != bool(hooks["compose"]):
        missing = "compose" if hooks["schema"] else "schema"
        raise ConfigurationError(f"{place} plugins: no plugin has the hook {missing}")
    if server.group != server.name and hooks["deliver"]:
        words = f"mail goes through the group {server.group}; take {hooks['deliver'][0]} out"
        raise ConfigurationError(f"{place} plugins: {words}")
    if not group.deliver_plugins:
        raise ConfigurationError(f"{place} plugins: no plugin delivers (mailbox, postmark, ...)")
    _check_replies(chain, group, place)
    if server.webhook_digests and not (hooks["receive"] or group.describe()["receive"]):
        words = "no plugin reads what a provider tells (postmark_webhooks)"
        raise ConfigurationError(f"{place} webhook_secrets: {words}")
    if not chain.has_forms:
        if server.canary_seconds:
            raise ConfigurationError(f"{place} canary_minutes: this server takes no forms")
        return
    if server.sender is None:
        raise ConfigurationError(f"{place} sender: missing; it is the From of this server's mail")
    if server.recipients is None:
        public = [key.id for key in keys if key.is_public_at(server.name)]
        if public or server.session_key == "optional":
            who = f"the publishable key {public[0]}" if public else 'session_key = "optional"'
            raise ConfigurationError(f"{place} recipients: required, because of {who}")
    elif "*" in server.recipients and group.deliver_plugins != ("mailbox",):
        words = '"*" is for the embedded mailbox alone; name addresses or "@domain"'
        raise ConfigurationError(f"{place} recipients: {words}")


def _check_replies(chain: Chain, group: Chain, place: str) -> None:
    """Refuse reply addresses that no form would get, or that no answer could come in at."""
    if chain.server.replies is None:
        return
    if not chain.has_forms:
        raise ConfigurationError(f"{place} replies: this server takes no forms")
    if not (chain.server.webhook_digests or group.server.webhook_digests):
        words = "no answer can come in: set webhook_secrets, and list postmark_webhooks"
        raise ConfigurationError(f"{place} replies: {words}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Modules:
    """The modules behind plugin names: an entry point of the group `relay`, or a file."""

    def __init__(self, installation: Path) -> None:
        folders = [(installation / "plugins").resolve(), shipped("plugins")]
        self._folders = list(dict.fromkeys(folders))
        self._installed = {entry.name: entry for entry in entry_points(group="relay")}
        self._loaded: dict[str, ModuleType] = {}

    def load(self, name: str, place: str) -> ModuleType:
        if name not in self._loaded:
            self._loaded[name] = self._find(name, place)
        return self._loaded[name]

    def _find(self, name: str, place: str) -> ModuleType:
        files = [folder / f"{name}.py" for folder in self._folders]
        found: list[Any] = [file for file in files if name.isidentifier() and file.is_file()]
        if name in self._installed:
            found.append(self._installed[name])
        if not found:
            close = nearest(name, self._names())
            raise PluginNotFound(f"{place} plugins: there is no plugin {name}{close}")
        if len(found) > 1:
            raise PluginConflict(f"{place} plugins: {name} exists twice; rename one")
        try:
            return import_file(name, found[0]) if isinstance(found[0], Path) else found[0].load()
        except ConfigurationError:
            raise
        except Exception as error:
            words = f"{name} cannot be imported: {type(error).__name__}: {_one_line(error)}"
            raise ConfigurationError(f"{place} plugins: {words}") from error

    def _names(self) -> Iterable[str]:
        files = (file.stem for folder in self._folders for file in folder.glob("*.py"))
        return [*files, *self._installed]


def import_file(name: str, path: Path) -> ModuleType:
    """Import a file afresh, so that reading the settings again also reads changed plugins."""
    spec = importlib.util.spec_from_file_location(f"{_PACKAGE}{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(path.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def _watch(manager: pluggy.PluginManager, server: Server) -> None:
    """Log every hook that takes too long, under its plugin's name."""
    may_wait = {
        "deliver": server.deadline,
        "find": server.deadline,
        "verify": server.verify_seconds,
        "stopping": STOPPING_SECONDS,
    }
    for hook in hook_names():
        limit = may_wait.get(hook, SLOW_SECONDS)
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if not implementation.wrapper:
                name = implementation.plugin_name
                implementation.function = _timed(implementation.function, hook, name, limit)


def _timed(
    function: Callable[..., Any], hook: str, plugin: str, limit: float
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds = time.perf_counter() - started
            if seconds > limit:
                log.warning("hook.slow", hook=hook, plugin=plugin, seconds=round(seconds, 3))

    return call
