"""Only hosts of the list are asked, at public addresses, and their texts are cut."""

import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from hypothesis import given
from hypothesis import strategies as st

from agentkit import ModelRetry, Tool, ToolError
from tools import http
from tools.http_addresses import is_public

# Loading the system's certificates takes longer than most of these tests.
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Get = Callable[[str], Awaitable[str]]


def page(body: bytes, kind: str = "text/plain", status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def moved(location: str) -> bytes:
    return page(b"moved", "text/plain", "302 Found", f"Location: {location}")


class Site:
    """A server on the loopback interface that answers by path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.port = 0
        self.asked: list[str] = []
        self.num_open = 0

    async def serve(self, stream: ByteStream) -> None:
        self.num_open += 1
        try:
            async with stream:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += await stream.receive()
                self.asked.append(request.decode())
                answer = self.pages[request.split()[1].decode()]
                await stream.send(answer)
                if answer.endswith(b"ENDLESS"):
                    while True:
                        await stream.send(b"x" * 10_000)
                if answer.endswith(b"HANG"):
                    await stream.receive()  # ends when the client does
        except (anyio.BrokenResourceError, anyio.EndOfStream):
            pass  # the client has read enough
        finally:
            self.num_open -= 1

    async def left(self) -> None:
        """Waits until no client holds a connection."""
        with anyio.fail_after(10):
            while self.num_open:  # noqa: ASYNC110 - told by a stream
                await anyio.sleep(0.01)

    def headers(self) -> dict[str, str]:
        """Those of the last request."""
        _, *lines = self.asked[-1].strip().split("\r\n")
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site()
    async with AsyncExitStack() as stack:
        listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
        site.port = listener.extra(SocketAttribute.local_port)
        if tls is not None:
            listener = TLSListener(listener, tls, standard_compatible=False)
        await stack.enter_async_context(listener)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(partial(listener.serve, site.serve))
        yield site
        group.cancel_scope.cancel()


class Names:
    """What names resolve to; each answer of a list is given once, the last for ever."""

    def __init__(self, table: dict[str, list[list[str]]]) -> None:
        self.table = table
        self.really = socket.getaddrinfo
        self.num_asked = 0

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.table:
            return self.really(host, port, *args, **kwargs)
        self.num_asked += 1
        answers = self.table[name]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    table: dict[str, list[list[str]]] = {}
    monkeypatch.setattr(socket, "getaddrinfo", Names(table))
    return table


def getter(site: Site, *hosts: str, **options: Any) -> Get:
    allowed = [f"{host}:{site.port}" for host in hosts or ("127.0.0.1",)]
    defaults = {"allow_private": True, "seconds": 300, "ssl_context": UNUSED}
    [made] = http(allowed, **(defaults | options))
    return made.function


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_as_a_tool() -> None:
    async with running() as site:
        site.pages["/a?b=c"] = page(b"the text")
        [made] = http([f"127.0.0.1:{site.port}"], allow_private=True)
        assert isinstance(made, Tool)
        assert made.name == "http_get"
        url = f"http://127.0.0.1:{site.port}/a?b=c#part"
        assert await made.call(made.validate(f'{{"url": "{url}"}}'), None) == "the text"  # type: ignore[arg-type]
        assert site.asked[0].startswith("GET /a?b=c HTTP/1.1\r\n")
        assert site.headers()["host"] == f"127.0.0.1:{site.port}"
        assert not {"cookie", "authorization", "referer"} & site.headers().keys()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"caf\xc3\xa9", "text/plain", "caf\u00e9"),
        (b"caf\xe9", "text/html; charset=latin-1", "caf\u00e9"),
        (b"caf\xe9", "text/plain", "caf\ufffd"),
        (b"abc", "text/plain; charset=rot13", "abc"),
        (b"abc", "text/plain; charset=nonsense", "abc"),
        (b"\x93caf\xe9\x94", "text/plain; charset=Windows-1252", "\u201ccaf\u00e9\u201d"),
        (b"\x83e", "text/plain; charset=Shift_JIS", "\u30c6"),
        (b"\xd8\x00\x00a", "text/plain; charset=utf-16be", "\ufffda"),
        (b"\xed\xa0\x80", "text/plain; charset=utf-8", "\ufffd" * 3),
        (b"+2AA-", "text/plain; charset=utf-7", "+2AA-"),
        (b"\\ud800", "text/plain; charset=unicode_escape", "\\ud800"),
        (b"\\ud800", "text/plain; charset=Raw-Unicode-Escape", "\\ud800"),
        (b'{"a":1}', "application/json", '{"a":1}'),
        (b'{"a":1}', "APPLICATION/LD+JSON;v=1", '{"a":1}'),
        (b"<a/>", "image/svg+xml", "<a/>"),
        (b"", "text/plain", "(the text is empty)"),
    ],
)
async def test_texts(body: bytes, kind: str, text: str) -> None:
    async with running() as site:
        site.pages["/"] = page(body, kind)
        assert await getter(site)(f"http://127.0.0.1:{site.port}/") == text


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(b"\x89PNG", "image/png"), "is image/png; only text"),
        (page(b"\x89PNG", "", "200 OK"), "only text"),
        (page(b"a", "text/plain", "200 OK", "Content-Encoding: gzip"), "is sent as gzip"),
        (page(b"no such page", "text/plain", "404 Not Found"), "404 Not Found\nno such page"),
        (page(b"+2AA-", "text/plain; charset=utf-7", "404 Not Found"), "404 Not Found\n+2AA-"),
        (page(b"\x00", "image/png", "500 Oops"), "500 Oops"),
        (page(b"", "text/plain", "304 Not Modified"), "304"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nshort", "read"),
        (b"hello\r\n\r\n", "cannot be read"),
        (b"", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "cannot be read"),
    ],
)
async def test_other_answers_are_told(answer: bytes, words: str) -> None:
    async with running() as site:
        site.pages["/"] = answer
        with pytest.raises(ToolError) as caught:
            await getter(site)(f"http://127.0.0.1:{site.port}/")
    assert words in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [99, 100, 101, 50_000])
async def test_long_texts_are_cut(size: int) -> None:
    async with running() as site:
        site.pages["/"] = page(b"x" * size)
        text = await getter(site, max_bytes=100)(f"http://127.0.0.1:{site.port}/")
    body, _, note = text.partition("\n")
    assert body == "x" * min(size, 100)
    assert bool(note) == (size > 100)


@pytest.mark.anyio
async def test_endless_texts_end() -> None:
    async with running() as site:
        site.pages["/"] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nENDLESS"
        text = await getter(site)(f"http://127.0.0.1:{site.port}/")
    assert len(text) < 51_000


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer", [b"HANG", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHANG"]
)
async def test_time_is_limited_in_all(answer: bytes) -> None:
    async with running() as site:
        site.pages["/"] = answer
        with pytest.raises(ToolError, match=r"not read within 0\.2 seconds"):
            await getter(site, seconds=0.2)(f"http://127.0.0.1:{site.port}/")
        await site.left()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer", [b"HANG", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHANG"]
)
async def test_cancelling_closes_the_connection(answer: bytes) -> None:
    async with running() as site:
        site.pages["/"] = answer
        async with anyio.create_task_group() as group:
            group.start_soon(getter(site), f"http://127.0.0.1:{site.port}/")
            while not site.asked:  # noqa: ASYNC110 - told by a stream
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        await site.left()
        site.pages["/"] = page(b"again")
        assert await getter(site)(f"http://127.0.0.1:{site.port}/") == "again"


@pytest.mark.anyio
async def test_nobody_listens() -> None:
    async with running() as site:
        pass
    with pytest.raises(ToolError, match="cannot be read"):
        await getter(site)(f"http://127.0.0.1:{site.port}/")


@pytest.mark.anyio
async def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with running() as site:
        site.pages["/"] = page(b"direct")
        assert await getter(site)(f"http://127.0.0.1:{site.port}/") == "direct"


# --- the list -----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("hosts", "url", "is_allowed"),
    [
        (["a.example"], "http://a.example/", True),
        (["a.example"], "https://a.example:443/", True),
        (["a.example"], "HTTP://A.EXAMPLE/", True),
        (["A.Example"], "http://a.example/", True),
        (["a.example"], "http://a.example:8080/", False),
        (["a.example"], "http://b.example/", False),
        (["a.example"], "http://x.a.example/", False),
        (["a.example"], "http://a.example.evil/", False),
        (["a.example"], "http://evil/a.example", False),
        (["a.example"], "http://a.example@evil/", False),
        (["a.example"], "http://a.example:80@evil/", False),
        (["a.example"], "http://evil#@a.example/", False),
        (["a.example"], "http://evil\\@a.example/", False),
        (["a.example"], "http://user@a.example/", False),
        (["a.example"], "http://a.example./", False),
        (["a.example"], "ftp://a.example/", False),
        (["a.example"], "file:///etc/passwd", False),
        (["a.example"], "a.example", False),
        (["a.example"], "//a.example/", False),
        (["a.example"], "", False),
        (["a.example"], "http://", False),
        (["a.example"], "http://[::1/", False),
        (["a.example"], "http://a.example\r\nX: y/", False),
        (["a.example:8080"], "http://a.example:8080/", True),
        (["a.example:8080"], "http://a.example/", False),
        (["a.example:80"], "http://a.example/", True),
        (["a.example:80"], "https://a.example/", False),
        (["*.example"], "http://a.example/", True),
        (["*.example"], "http://b.a.example/", True),
        (["*.example"], "http://example/", False),
        (["*.example"], "http://evilexample/", False),
        (["b\u00fccher.example"], "http://xn--bcher-kva.example/", True),
        (["xn--bcher-kva.example"], "http://b\u00fccher.example/", True),
        (["[::1]"], "http://[::1]/", True),
        (["[::1]"], "http://127.0.0.1/", False),
        (["127.0.0.1"], "http://2130706433/", False),
        (["127.0.0.1"], "http://0x7f.1/", False),
    ],
)
async def test_who_may_be_asked(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str], url: str, is_allowed: bool
) -> None:
    def resolve(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "asked")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    [made] = http(hosts, allow_private=True, ssl_context=UNUSED)
    with pytest.raises(ToolError) as caught:
        await made.function(url)
    assert isinstance(caught.value, ModelRetry) is not is_allowed
    if is_allowed:
        assert "cannot be resolved" in str(caught.value) or "cannot be read" in str(caught.value)


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        "example.com",
        [""],
        ["*"],
        ["*."],
        ["a.*.example"],
        ["https://example.com"],
        ["example.com/path"],
        ["user@example.com"],
        ["example.com:port"],
        ["::1"],
        ["two hosts"],
        ["a" * 64 + "\u00fc"],
    ],
)
def test_what_is_no_list_of_hosts(hosts: Any) -> None:
    with pytest.raises(ValueError, match="allowed_hosts"):
        http(hosts)


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"max_bytes": 0}, {"max_redirects": -1}])
def test_what_are_no_limits(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        http(["a.example"], **limits)


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_redirects_within_the_list_are_followed() -> None:
    async with running() as first, running() as second:
        first.pages["/"] = moved("/a/b")
        first.pages["/a/b"] = moved("../c")
        first.pages["/c"] = moved(f"http://127.0.0.1:{second.port}/")
        second.pages["/"] = page(b"arrived")
        hosts = [f"127.0.0.1:{site.port}" for site in (first, second)]
        [made] = http(hosts, allow_private=True, seconds=300)
        assert await made.function(f"http://127.0.0.1:{first.port}/") == "arrived"
        [made] = http(hosts, allow_private=True, max_redirects=2)
        with pytest.raises(ToolError, match="more than 2 redirects"):
            await made.function(f"http://127.0.0.1:{first.port}/")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "location",
    ["http://evil/", "//evil/", "file:///etc/passwd", "http://user@127.0.0.1:{port}/",
     "http://127.0.0.1:{other}/", "http://127.0.0.1.evil:{port}/", "http://[/"],
)  # fmt: skip
async def test_redirects_out_of_the_list_are_not(location: str) -> None:
    async with running() as site, running() as other:
        other.pages["/"] = page(b"secret")
        site.pages["/"] = moved(location.format(port=site.port, other=other.port))
        with pytest.raises(ToolError) as caught:
            await getter(site)(f"http://127.0.0.1:{site.port}/")
        assert not isinstance(caught.value, ModelRetry), "it is not the model's mistake"
        assert other.asked == []
        assert len(site.asked) == 1


@pytest.mark.anyio
async def test_a_loop_of_redirects_ends() -> None:
    async with running() as site:
        site.pages["/"] = moved("/")
        with pytest.raises(ToolError, match="more than 5 redirects"):
            await getter(site)(f"http://127.0.0.1:{site.port}/")
        assert len(site.asked) == 6


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["192.168.1.1"], ["169.254.169.254"], ["0.0.0.0"], ["::1"],
     ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1"], ["100.64.0.1"]],
)  # fmt: skip
async def test_private_addresses_are_not_asked(
    names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    async with running() as site:
        site.pages["/"] = page(b"secret")
        names["a.example"] = [addresses]
        with pytest.raises(ToolError, match="not public"):
            await getter(site, "a.example", allow_private=False)(f"http://a.example:{site.port}/")
        with pytest.raises(ToolError, match="not public"):
            await getter(site, allow_private=False)(f"http://127.0.0.1:{site.port}/")
        assert site.asked == []


@pytest.mark.anyio
async def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(
    names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was checked is the one that is connected to: there is no second look-up."""
    monkeypatch.setattr("tools.http_addresses.is_public", lambda address: address == "127.0.0.1")
    async with running() as site:
        site.pages["/"] = page(b"of the checked address")
        names["a.example"] = [["127.0.0.1"], ["10.0.0.1"]]
        get = getter(site, "a.example", allow_private=False)
        assert await get(f"http://a.example:{site.port}/") == "of the checked address"
        assert site.headers()["host"] == f"a.example:{site.port}"
        with pytest.raises(ToolError, match="not public"):
            await get(f"http://a.example:{site.port}/")


@pytest.mark.anyio
async def test_the_next_address_is_tried(names: dict[str, list[list[str]]]) -> None:
    async with running() as site:
        site.pages["/"] = page(b"reached")
        names["a.example"] = [["::1", "127.0.0.1"]]
        assert await getter(site, "a.example")(f"http://a.example:{site.port}/") == "reached"
        names["a.example"] = [[]]
        with pytest.raises(ToolError, match="cannot be resolved"):
            await getter(site, "a.example")(f"http://a.example:{site.port}/")


@contextmanager
def silence(port: int) -> Iterator[str]:
    """An address of the loopback interface where connections are neither made nor refused: its
    queue of those that wait to be accepted is full."""
    address = "127.0.0.2"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield address


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a second loopback address")
async def test_an_address_that_says_nothing_leaves_time_for_the_next(
    names: dict[str, list[list[str]]],
) -> None:
    async with running() as site:
        site.pages["/"] = page(b"reached")
        url = f"http://a.example:{site.port}/"
        with silence(site.port) as silent:
            names["a.example"] = [[silent, "127.0.0.1"]]
            assert await getter(site, "a.example", seconds=3)(url) == "reached"
            names["a.example"] = [["127.0.0.1", silent]]
            assert await getter(site, "a.example")(url) == "reached"
            names["a.example"] = [[silent]]
            with pytest.raises(ToolError, match=r"not read within 0\.2 seconds"):
                await getter(site, "a.example", seconds=0.2)(url)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("64:ff9b::8.8.8.8", True),
        ("2002:808:808::1", True), ("64:ff9b::127.0.0.1", False), ("::127.0.0.1", False),
        ("2002:7f00:1::1", False), ("64:ff9b:1::808:808", False), ("fec0::1", False),
        ("fc00::1", False), ("ff02::1", False), ("224.0.0.1", False), ("240.0.0.1", False),
        ("255.255.255.255", False), ("::", False), ("fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(address) is expected


@given(st.ip_addresses(v=4))
def test_what_stands_for_an_address_is_as_public_as_it(address: IPv4Address) -> None:
    number = int(address)
    inside = IPv6Address((0x64FF9B << 96) | number)
    six_to_four = IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert is_public(str(inside)) == is_public(str(address))
    assert is_public(str(six_to_four)) == is_public(str(address))
    assert is_public(f"::ffff:{address}") == is_public(str(address))


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for a.example and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=a.example", "-addext",
         "subjectAltName=DNS:a.example", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.mark.anyio
async def test_certificates_are_checked_for_the_name_and_not_the_address(
    certificate: Path, names: dict[str, list[list[str]]]
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    names["a.example"] = names["b.example"] = [["127.0.0.1"]]
    async with running(server) as site:
        site.pages["/"] = page(b"private")
        get = getter(site, "a.example", "b.example", ssl_context=trusting)
        assert await get(f"https://a.example:{site.port}/") == "private"
        site.pages["/"] = moved(f"http://a.example:{site.port}/")
        with pytest.raises(ToolError, match="not encrypted"):
            await get(f"https://a.example:{site.port}/")


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["a.example", "b.example"])
async def test_other_certificates_are_refused(
    certificate: Path, names: dict[str, list[list[str]]], name: str
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    names[name] = [["127.0.0.1"]]
    trusting = ssl.create_default_context(cafile=str(certificate))
    site = Site()
    site.pages["/"] = page(b"secret")
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    site.port = listener.extra(SocketAttribute.local_port)
    errors: list[Exception] = []

    async def handshake(stream: Any) -> None:
        try:
            async with (
                stream,
                await anyio.streams.tls.TLSStream.wrap(stream, ssl_context=server) as tls,
            ):
                await site.serve(tls)
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            errors.append(error)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(partial(listener.serve, handshake))
        get = getter(site, name, ssl_context=None if name == "a.example" else trusting)
        with pytest.raises(ToolError, match=r"certificate|CERTIFICATE"):
            await get(f"https://{name}:{site.port}/")
        group.cancel_scope.cancel()
    assert site.asked == []
