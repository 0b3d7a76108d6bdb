"""One GET, with its redirects, to hosts of a list. Adapter to `httpx2`."""

import codecs
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import httpx2

from agentkit import ModelRetry, ToolError
from tools.http_addresses import addresses_of

_OWN_PORTS = {"http": 80, "https": 443}
_TEXT = ("application/json", "application/xml", "application/javascript", "application/yaml")
_HEADERS = {
    "Accept": "text/*, application/json, application/xml;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": "trimode-tools",
}
_ENTRY = re.compile(r"(\*\.)?(\[[0-9a-fA-F:.]+\]|[^\s:/?#@*\[\]\\%]+)(?::([0-9]{1,5}))?")
_MAX_SHOWN_OF_ERROR = 1_000

# The encodings of the WHATWG's standard, by Python's names. The server chooses among these only:
# other codecs of Python's give what is no Unicode (utf-7, unicode_escape).
_CHARSETS = frozenset(
    {
        "ascii", "utf-8", "utf-16", "utf-16-be", "utf-16-le",
        *(f"iso8859-{part}" for part in range(1, 17)), *(f"cp{page}" for page in range(1250, 1259)),
        "cp866", "cp874", "koi8-r", "koi8-u", "mac-cyrillic", "mac-roman", "tis-620",
        "big5", "big5hkscs", "gb18030", "gb2312", "gbk",
        "cp932", "euc_jp", "iso2022_jp", "shift_jis", "cp949", "euc_kr",
    }
)  # fmt: skip


class _Host(NamedTuple):
    """`port` None stands for the ports that the schemes have by themselves."""

    name: str
    port: int | None
    has_subdomains: bool

    def allows(self, url: httpx2.URL) -> bool:
        asked = _port(url)
        is_port = asked in _OWN_PORTS.values() if self.port is None else asked == self.port
        name = _name(url)
        is_name = name.endswith(f".{self.name}") if self.has_subdomains else name == self.name
        return is_port and is_name

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        port = "" if self.port is None else f":{self.port}"
        return f"{'*.' if self.has_subdomains else ''}{name}{port}"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    hosts: tuple[_Host, ...]

    @classmethod
    def parsed(cls, entries: Iterable[str]) -> "AllowedHosts":
        """Raises `ValueError` for none, and for an entry that is no host."""
        hosts = tuple(map(_host, entries))
        if not hosts:
            raise ValueError("allowed_hosts is empty; name the hosts that may be asked")
        return cls(hosts)

    def check(self, text: str, url: httpx2.URL) -> None:
        """Raises `ModelRetry` unless `url`, written as `text`, may be asked."""
        if url.scheme not in _OWN_PORTS or not url.host:
            raise ModelRetry(f"{text}: write a whole URL that begins with https:// or http://")
        if url.userinfo:
            raise ModelRetry(f"{text}: leave out the user before the @")
        if not any(host.allows(url) for host in self.hosts):
            known = ", ".join(map(str, self.hosts))
            raise ModelRetry(f"{text}: this host may not be asked; only {known}")


def system_certificates() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Holds nothing open between calls, so any number of calls may run at once."""

    allowed: AllowedHosts
    seconds: float
    max_bytes: int
    max_redirects: int
    allow_private: bool
    ssl_context: ssl.SSLContext

    async def http_get(self, url: str) -> str:
        """Read a text from the web.

        Args:
            url: whole, with https:// or http://
        """
        with anyio.move_on_after(self.seconds):
            try:
                return await self._read(_parsed(url))
            except httpx2.HTTPError as error:
                raise ToolError(f"{url} cannot be read: {_reason(error)}") from error
        raise ToolError(f"{url} was not read within {self.seconds:g} seconds")

    async def _read(self, url: httpx2.URL) -> str:
        self.allowed.check(str(url), url)
        for _ in range(self.max_redirects + 1):
            async with self._opened(url) as response:
                if not response.has_redirect_location:
                    return await self._text(url, response)
                following = _following(url, response.headers["Location"])
            if url.scheme == "https" and following.scheme == "http":
                raise ToolError(f"{url} leads to {following}, which is not encrypted")
            try:
                self.allowed.check(str(following), following)
            except ModelRetry as error:  # not the model's mistake
                raise ToolError(f"{url} leads elsewhere: {error}") from error
            url = following
        raise ToolError(f"{url}: more than {self.max_redirects} redirects")

    @asynccontextmanager
    async def _opened(self, url: httpx2.URL) -> AsyncIterator[httpx2.Response]:
        """The answer of the first address that can be connected to."""
        addresses = await addresses_of(_name(url), _port(url), allow_private=self.allow_private)
        async with httpx2.AsyncClient(
            verify=self.ssl_context, trust_env=False, timeout=None
        ) as client:
            response = await _first_answer(client, url, addresses)
            try:
                yield response
            finally:
                await response.aclose()

    async def _text(self, url: httpx2.URL, response: httpx2.Response) -> str:
        """Raises `ToolError` for what is no text, and for an answer that tells a failure."""
        if response.is_success:
            _check_text(url, response)
        body = await _beginning(response, self.max_bytes)
        text = _decoded(body[: self.max_bytes], response.charset_encoding)
        if not response.is_success:
            said = text[:_MAX_SHOWN_OF_ERROR] if _is_text(response) else ""
            status = f"{response.status_code} {response.reason_phrase}".strip()
            raise ToolError(f"{url}: {status}\n{said}".strip())
        if len(body) > self.max_bytes:
            return f"{text}\n[cut here; only the first {self.max_bytes} bytes are read]"
        return text or "(the text is empty)"


async def _first_answer(
    client: httpx2.AsyncClient, url: httpx2.URL, addresses: list[str]
) -> httpx2.Response:
    """Asks addresses that were checked, under the host's name. Raises `httpx2.HTTPError`."""
    *others, last = addresses
    # One that never answers must leave time for those after it.
    share = (anyio.current_effective_deadline() - anyio.current_time()) / len(addresses)
    for address in others:
        try:
            return await _answer(client, url, address, share)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue
    return await _answer(client, url, last, None)


async def _answer(
    client: httpx2.AsyncClient, url: httpx2.URL, address: str, seconds_to_connect: float | None
) -> httpx2.Response:
    request = client.build_request(
        "GET",
        url.copy_with(host=address, fragment=None),
        headers={**_HEADERS, "Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": _name(url)},
        timeout=httpx2.Timeout(None, connect=seconds_to_connect),
    )
    return await client.send(request, stream=True, follow_redirects=False)


async def _beginning(response: httpx2.Response, length: int) -> bytes:
    """The whole body, or more than `length` bytes of it."""
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > length:
                # Ends the iteration from inside, as leaving it would not: httpx2 has generators
                # in it that nobody closes then.
                await response.aclose()
    except (httpx2.HTTPError, httpx2.StreamError):
        if len(body) <= length:
            raise
    return bytes(body)


def _reason(error: BaseException) -> str:
    """What it says, or what caused it where it says nothing."""
    cause = error.__cause__ or error.__context__
    return str(error) or (type(error).__name__ if cause is None else _reason(cause))


def _host(entry: str) -> _Host:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(
            f"{entry!r} in allowed_hosts is no host; write example.com, *.example.com or "
            "example.com:8080, and [::1] for an IPv6 address"
        )
    star, name, port = match.groups()
    try:
        url = httpx2.URL(f"https://{name}/")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ValueError(f"{entry!r} in allowed_hosts is no host: {error}") from error
    return _Host(_name(url), None if port is None else int(port), star is not None)


def _name(url: httpx2.URL) -> str:
    """In lower case, other letters than ASCII in punycode."""
    return url.raw_host.decode("ascii").lower()


def _port(url: httpx2.URL) -> int:
    return _OWN_PORTS[url.scheme] if url.port is None else url.port


def _parsed(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text.strip())
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ModelRetry(f"{text!r} is no URL: {error}") from error


def _following(url: httpx2.URL, location: str) -> httpx2.URL:
    try:
        return url.join(location)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError(f"{url} leads to {location!r}, which is no URL") from error


def _is_text(response: httpx2.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml"))


def _check_text(url: httpx2.URL, response: httpx2.Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ToolError(f"{url} is sent as {encoding}, though not asked for; it is not read")
    if not _is_text(response):
        kind = response.headers.get("Content-Type", "of an unknown type")
        raise ToolError(f"{url} is {kind}; only text can be read")


def _decoded(content: bytes, charset: str | None) -> str:
    """Valid Unicode; as UTF-8 where the charset is none of the web's."""
    try:
        codec = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        codec = "utf-8"
    return content.decode(codec if codec in _CHARSETS else "utf-8", errors="replace")
