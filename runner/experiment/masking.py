"""Secrets in text for people: addresses, settings of databases, headers. The one masker.

It rather hides too much than too little: a password may hold `/`, `@`, `:`, `?` and quotes that
whoever wrote the address should have spelt %2F and so on. Only at a space an address ends.
"""

import re

MASK = "***"

# What follows `//`; not that of file:///x, which has no host.
_ADDRESS = re.compile(r"(?:(?<=[^/]//)|(?<=^//))[^\s/]\S*")
# A parameter of an address whose name says that its value opens something.
_SECRET_PARAMETER = re.compile(
    r"pass|pwd|token|secret|key|sig|credential|auth|odbc_connect|^code$", re.IGNORECASE
)
_NAMES = "(?:password|passwd|pwd|passphrase|secret|token|(?:api|access|account|secret)[_-]?key)"
# Of `host=h password='it\'s' user=u`, and of a mapping as Python or JSON write it, or YAML, where
# a line or a mapping begins with it: sentences have colons too. What a name begins with is not
# read elsewhere: to look for it at every character takes the square of the text.
_ASSIGNED = re.compile(
    rf"""
    (
        {_NAMES} (?: \s*=\s* | ["']\s*:\s* )
      | (?:^|[{{,]) [ \t]* [\w-]* {_NAMES} :[ \t]+
    )
    (?!\*\*\*(?:[\s,;)}}\]&'"]|$))
    (?:
        '(?:[^'\\]|\\.)*' (?=[\s,;)}}\]]|$)
      | "(?:[^"\\]|\\.)*" (?=[\s,;)}}\]]|$)
      | \S+
    )
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_HEADER = re.compile(
    r"(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token|digest)\s+)?)[^\s\"',}]+",
    re.IGNORECASE,
)
# Longer than the words that may follow in a sentence.
_BEARER = re.compile(r"\b(bearer\s+)[a-z0-9._~+/=-]{20,}", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """The same text with every password, key and token in it that has a known form blotted out.

    Known are: what stands before the @ of an address, parameters of an address that are named
    like a secret or have no name, `password=...` and the like, and the header Authorization.
    """
    hidden = _ADDRESS.sub(lambda found: _plain_address(found[0]), text)
    for pattern in (_ASSIGNED, _HEADER, _BEARER):
        hidden = pattern.sub(rf"\1{MASK}", hidden)
    return hidden


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without secrets; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return without_secrets(lines[0]) if lines else type(error).__name__


def has_secret(address: str) -> bool:
    """Whether an address has more than a user's name in it that ought not to be shown.

    At a web server that name is taken for a token: nobody logs in there without a password.
    """
    user = re.match(r"([a-z][a-z0-9+.-]*)://[^\s:/@?#]+@", address, re.IGNORECASE)
    if user is not None and "http" not in user[1].lower():
        address = f"{user[1]}://{address[user.end() :]}"
    address = _without_other_ats(address)
    return without_secrets(address) != address


def _without_other_ats(address: str) -> str:
    """The same address without each @ that stands behind no password.

    Those of a path whose host has no colon, and that of github://owner:repository@branch/path.
    A message does not know where an address ends, so there they are hidden all the same.
    """
    address = re.sub(r"^(github://[^\s:/@?#]+):[^\s:/@?#]+@", r"\1/", address, flags=re.IGNORECASE)
    place, mark, query = address.partition("?")
    before, slashes, rest = place.partition("//")
    host, slash, path = rest.partition("/")
    if ":" not in host:
        path = path.replace("@", "")
    return before + slashes + host + slash + path + mark + query


def _plain_address(address: str) -> str:
    """What follows the slashes of an address, without its secrets."""
    user, at, rest = address.rpartition("@")
    if "/" in user and ":" not in user:
        # An @ of the path; before the host there may be one more.
        host, slash, path = address.partition("/")
        user, at, rest = host.rpartition("@")
        rest += slash + path
    if at and "?" in user:
        # Of a password, or of a query whose value goes on behind the @: nobody can tell.
        return f"{MASK}@{MASK}"
    place, mark, query = rest.partition("?")
    hidden = "&".join(_plain_parameter(each) for each in query.split("&"))
    return (MASK + at if at else "") + place + mark + hidden


def _plain_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not equals:
        return MASK if parameter else ""
    return f"{name}={MASK}" if value and _SECRET_PARAMETER.search(name) else parameter
