"""SVG text made fit to stand in a page: unique ids, the page's ink, a name for screen readers. No drawing here."""

import hashlib
import re
from html import escape

_TAG = re.compile(r"<[^<>]+>")
_ID = re.compile(r'(\s(?:id|aria-labelledby|aria-describedby))="([^"]+)"')
_LINK = re.compile(r'(\s(?:xlink:)?href)="#([^"]+)"')
_URL = re.compile(r"url\(#([^)]+)\)")
_LONG = re.compile(r"(\d\.\d\d)\d+")  # hundredths of a point are finer than any screen
_PROLOG = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_ROOT = re.compile(r"<svg\b([^>]*)>(?:\s*<title>[^<]*</title>)?")
_ROOT_NAMES = re.compile(r'\s(?:role|aria-label|aria-labelledby)="[^"]*"')


def slug(*words: str) -> str:
    """An id for `words`: readable, valid, and different for words that only look alike once cleaned."""
    readable = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")[:16].rstrip("-")
    mark = hashlib.blake2s("\0".join(words).encode(), digest_size=4).hexdigest()
    return f"{readable}-{mark}" if readable else f"x-{mark}"


def fitted(svg: str, *, prefix: str, title: str, ink: str = "") -> str:
    """`svg` without prolog and metadata, ids prefixed, named `title`.

    With `ink`, that colour becomes currentColor and coordinates are cut to hundredths of a unit.
    Two drawings fitted with different prefixes can stand in one HTML page: neither takes the other's markers
    and clip paths.
    """
    body = _METADATA.sub("", _PROLOG.sub("", svg, count=1)).strip()
    body = _TAG.sub(lambda tag: _prefixed(tag.group(), prefix, ink), body)
    name = escape(title, quote=True)
    return _ROOT.sub(
        lambda root: f'<svg{_ROOT_NAMES.sub("", root.group(1))} role="img" aria-label="{name}"><title>{name}</title>',
        body,
        count=1,
    )


def _prefixed(tag: str, prefix: str, ink: str) -> str:
    tag = _ID.sub(rf'\1="{prefix}-\2"', tag)
    tag = _LINK.sub(rf'\1="#{prefix}-\2"', tag)
    tag = _URL.sub(rf"url(#{prefix}-\1)", tag)
    return _LONG.sub(r"\1", tag).replace(ink, "currentColor") if ink else tag
