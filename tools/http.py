"""Reading pages of chosen hosts."""

import ssl
from collections.abc import Iterable

from agentkit import Tool, tool


def http(
    allowed_hosts: Iterable[str],
    *,
    seconds: float = 10,
    max_bytes: int = 50_000,
    max_redirects: int = 5,
    allow_private: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> tuple[Tool, ...]:
    """The tool `http_get`, which reads text from `allowed_hosts`.

    A host is `example.com` (that name, ports 80 and 443), `*.example.com` (the names below it),
    `example.com:8080` (that port only) or an address. Each redirect is checked like a URL of
    the model's, and none leads from https to http.

    A name is resolved once, its addresses are checked, and the connection goes to one of
    them, so a second answer of the name server's changes nothing. Unless `allow_private`,
    a name with an address that is not public (this machine, private and link-local networks,
    and IPv6 addresses that stand for such) is refused. No proxy, cookie or credential is
    used, whatever the environment says.

    Only text is read (`text/*`, JSON, XML, JavaScript, YAML), uncompressed, at most `max_bytes`
    of it; more is cut, with a note. A charset that is none of the web's is read as UTF-8. A call,
    redirects included, takes at most `seconds`, of which an address that does not answer has its
    share. It runs on the event loop, and cancelling the run closes the connection.

    What a page says is not to be trusted: a model that reads it may do what it says, with
    the agent's other tools. And a URL itself tells its host something, so a model that also
    reads secrets can tell them to every allowed host.

    `ssl_context` replaces the system's certificates. Needs the extra `http`. Raises
    `ValueError` for no hosts, for one that is not written like the above, and for limits that
    are not above 0.
    """
    try:
        from tools.http_fetch import AllowedHosts, Fetcher, system_certificates
    except ModuleNotFoundError as error:
        raise ImportError("tools.http needs httpx2: pip install 'trimode[http]'") from error
    if not (seconds > 0 and max_bytes > 0 and max_redirects >= 0):
        raise ValueError(
            f"seconds {seconds} and max_bytes {max_bytes} must be above 0, "
            f"max_redirects {max_redirects} not below"
        )
    if isinstance(allowed_hosts, str):
        raise ValueError(f"allowed_hosts is one text; give a list: [{allowed_hosts!r}]")
    fetcher = Fetcher(
        allowed=AllowedHosts.parsed(allowed_hosts),
        seconds=seconds,
        max_bytes=max_bytes,
        max_redirects=max_redirects,
        allow_private=allow_private,
        ssl_context=ssl_context or system_certificates(),
    )
    return (tool(fetcher.http_get, idempotent=True),)
