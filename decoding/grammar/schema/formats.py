"""The formats of JSON Schema that are regular, as patterns for whole strings.

Sources: RFC 3339 (date, time, date-time without leap seconds, duration with fractions of a
second), RFC 5321 4.1.2 (email), RFC 1123 (hostname), RFC 4291 (ipv6), RFC 3986 (uri), RFC 3987
(iri), RFC 9562 (uuid), RFC 6901 (json-pointer). Each is within what `jsonschema` takes for the
format.
"""

from functools import cache

from decoding.grammar.language import Language
from decoding.grammar.pattern import fullmatch_language

_DATE = (
    r"(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_OFFSET = r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_TIME = rf"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?{_OFFSET}"
_DURATION = (
    r"P(?:[0-9]+W|(?=[0-9T])(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+D)?"
    r"(?:T(?=[0-9])(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]+)?S)?)?)"
)

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16 = r"[0-9A-Fa-f]{1,4}"


def _ipv6() -> str:
    options = [rf"(?:{_H16}:){{7}}{_H16}", rf"(?:{_H16}:){{6}}{_IPV4}"]
    for before in range(8):
        left = rf"{_H16}(?::{_H16}){{{before - 1}}}" if before else ""
        room = 7 - before
        right = [rf"{_H16}(?::{_H16}){{0,{room - 1}}}"] if room else []
        if room >= 2:
            right.append(rf"(?:{_H16}:){{0,{room - 2}}}{_IPV4}")
        options.append(rf"{left}::(?:{'|'.join(right)})?" if right else f"{left}::")
    return "(?:" + "|".join(options) + ")"


_IPV6 = _ipv6()

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = rf"(?=.{{1,253}}\.?$){_LABEL}(?:\.{_LABEL})*\.?"
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"


def _email(more: str) -> str:
    atom = f"{_ATEXT[:-1]}{more}]+"
    quoted = rf'"(?:[ !#-\[\]-~{more}]|\\[ -~])*"'
    label = rf"[A-Za-z0-9{more}](?:[A-Za-z0-9{more}-]*[A-Za-z0-9{more}])?"
    return (
        rf"(?:{atom}(?:\.{atom})*|{quoted})@"
        rf"(?:{label}(?:\.{label})*|\[(?:{_IPV4}|IPv6:{_IPV6})\])"
    )


_NON_ASCII = r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
_PRIVATE = r"\ue000-\uf8ff"


def _uri(more: str, private: str, *, reference: bool) -> str:
    unreserved = rf"A-Za-z0-9._~{more}-"
    escaped = r"%[0-9A-Fa-f]{2}"
    subdelims = r"!$&'()*+,;="
    pchar = rf"(?:[{subdelims}:@{unreserved}]|{escaped})"
    no_colon = rf"(?:[{subdelims}@{unreserved}]|{escaped})"
    userinfo = rf"(?:[{subdelims}:{unreserved}]|{escaped})*"
    name = rf"(?:[{subdelims}{unreserved}]|{escaped})*"
    future = rf"[vV][0-9A-Fa-f]+\.[{subdelims}:A-Za-z0-9._~-]+"
    host = rf"(?:\[(?:{_IPV6}|{future})\]|{name})"
    authority = rf"(?:{userinfo}@)?{host}(?::[0-9]*)?"
    after = rf"(?:/{pchar}*)*"
    absolute = rf"/(?:{pchar}+{after})?"
    query = rf"(?:\?(?:[{private}/?{subdelims}:@{unreserved}]|{escaped})*)?"
    fragment = rf"(?:#(?:[/?{subdelims}:@{unreserved}]|{escaped})*)?"
    whole = rf"[A-Za-z][A-Za-z0-9+.-]*:(?://{authority}{after}|{absolute}|{pchar}+{after}|)"
    if not reference:
        return f"{whole}{query}{fragment}"
    relative = rf"(?://{authority}{after}|{absolute}|{no_colon}+{after}|)"
    return f"(?:{whole}|{relative}){query}{fragment}"


_POINTER = r"(?:/(?:[^~/]|~[01])*)*"

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
    "email": _email(""),
    "idn-email": _email(_NON_ASCII),
    "hostname": _HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _uri("", "", reference=False),
    "uri-reference": _uri("", "", reference=True),
    "iri": _uri(_NON_ASCII, _PRIVATE, reference=False),
    "iri-reference": _uri(_NON_ASCII, _PRIVATE, reference=True),
    "uuid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "json-pointer": rf"{_POINTER}",
    "relative-json-pointer": rf"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}

_WIDEST = dict.fromkeys(("email", "idn-email"), r"[\s\S]*@[\s\S]*")
"""What `jsonschema` takes for an address is far more than the pattern."""

FORMATS = frozenset(_PATTERNS)
"""The formats that are enforced."""

STANDARD_FORMATS = FORMATS | {"color", "idn-hostname", "regex", "uri-template"}
"""All formats of the standard in any draft. Any other name is an annotation."""


def format_pattern(name: str) -> str:
    """The pattern that a string of the format matches from start to end."""
    return _PATTERNS[name]


@cache
def format_language(name: str) -> Language:
    """The strings of a format."""
    return fullmatch_language(_PATTERNS[name])


@cache
def widest_language(name: str) -> Language:
    """The strings that may be of a format: what is left out where a string must not be."""
    return fullmatch_language(_WIDEST.get(name, _PATTERNS[name]))
