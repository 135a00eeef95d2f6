"""site.yaml: read it, apply defaults, and report everything that is wrong with it at once.

A fault names the file, the line, the dotted path and the value found; a value that may hold a
secret is redacted or left out.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from gallery.values import Link
from streamer.address import is_file, local_path
from streamer.errors import SiteError
from streamer.folder import pictures_in
from streamer.redact import redact
from streamer.secretsfile import SecretsError, read_secrets, secrets_of
from streamer.settings import (
    CameraSection,
    CameraSettings,
    DefaultsSection,
    DeliverySection,
    DetectSection,
    LinkSection,
    RetainSection,
    SiteFile,
    camera_settings,
    chosen_url,
    link_of,
)
from streamer.yamlmap import Document, KeyPath, read_document

__all__ = ["CameraSettings", "Site", "SiteError", "load_site", "site_from_cameras"]

_SECTIONS = (
    SiteFile, DefaultsSection, CameraSection, DetectSection, RetainSection, LinkSection,
    DeliverySection,
)  # fmt: skip
_KEYS = sorted(
    {info.alias or name for model in _SECTIONS for name, info in model.model_fields.items()}
)
_MAX_SHOWN = 60
_NAME_RULE = "a camera name is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or digit"
_WORDS = {
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "float_type": "must be a number",
    "int_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "datetime_type": "must be a time like 2026-03-02T14:00:00Z",
}
"""Plainer words for some of pydantic's faults."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is watched: cameras by name in the order of the file, and the ways between them."""

    name: str
    base: Path
    """Folder that relative paths of files start from."""
    cameras: Mapping[str, CameraSettings]
    links: tuple[Link, ...] = field(default=())
    delivery: DeliverySection = field(default=DeliverySection())
    read_from: tuple[Path, ...] = field(default=())
    """Files beside site.yaml that its values were taken from."""


def load_site(path: Path, env: Mapping[str, str] = os.environ) -> Site:
    """Return the site that a file describes.

    Raises:
        SiteError: the file cannot be read or has faults; ``faults`` holds all of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else "not UTF-8 text"
        raise SiteError(path.name, [f"{path}: cannot be read: {reason}"]) from error
    base = path.parent.resolve()
    secrets = secrets_of(text, base)
    document, fault = _with_secrets(text, env, secrets)
    if fault:
        document.add(("secrets",), fault)
    parsed = _parse(document)
    if document.data is not None:
        _check_files(document, base)
        _check_links(document)
    if document.faults or parsed is None:
        raise SiteError(path.name, [fault.text(path.name) for fault in document.in_order()])
    return _site(parsed, base, () if secrets is None else (secrets,))


def _with_secrets(text: str, env: Mapping[str, str], secrets: Path | None) -> tuple[Document, str]:
    """Return the document, and what is wrong with the secrets file; "" = nothing.

    The environment goes before the file.
    """
    if secrets is None:
        return read_document(text, env), ""
    try:
        return read_document(text, {**read_secrets(secrets), **env}), ""
    except SecretsError as error:
        return read_document(text, env), str(error)


def site_from_cameras(cameras: Mapping[str, str]) -> Site:
    """Return a site of name -> address pairs, with everything else at its default.

    Relative paths start from the current folder; whether files exist shows when they are read.

    Raises:
        SiteError: a name or address cannot be used.
    """
    source = "cameras"
    document = Document(data={"cameras": {name: {"url": url} for name, url in cameras.items()}})
    parsed = _parse(document)
    if document.faults or parsed is None:
        texts = [fault.text(source).partition(": ")[2] for fault in document.faults]
        raise SiteError(source, texts)
    return _site(parsed, Path.cwd(), ())


def _site(parsed: SiteFile, base: Path, read_from: tuple[Path, ...]) -> Site:
    urls = {n: chosen_url(section, parsed.defaults) for n, section in parsed.cameras.items()}
    cameras = {
        name: camera_settings(name, _resolved(urls[name], base), section, parsed.defaults)
        for name, section in parsed.cameras.items()
    }
    links = tuple(link_of(section) for section in parsed.links)
    delivery = parsed.delivery
    if delivery.spool is not None:
        delivery = delivery.model_copy(update={"spool": str(base / delivery.spool)})
    name = parsed.name or base.name or "site"
    return Site(name, base, cameras, links, delivery, read_from)


def _resolved(url: str, base: Path) -> str:
    """Return the address with a local file's path made absolute."""
    return str((base / local_path(url)).resolve()) if is_file(url) else url


def _parse(document: Document) -> SiteFile | None:
    """Return the validated file, or None with the faults noted."""
    if document.data is None:
        return None
    if not isinstance(document.data, dict):
        document.add((), "a site is a mapping with a key 'cameras'")
        return None
    try:
        return SiteFile.model_validate(document.data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            _note(document, item)
    return None


def _note(document: Document, item: Any) -> None:
    path: KeyPath = tuple(part for part in item["loc"] if part != "[key]")
    kind = item["type"]
    if kind == "extra_forbidden":
        document.add(path, _unknown_key(str(path[-1])))
    elif item["loc"][-1:] == ("[key]",):
        document.add(path, _NAME_RULE)
    elif kind == "missing":
        document.add(path, "missing")
    elif kind != "too_short":
        message = _WORDS.get(kind, item["msg"].removeprefix("Value error, "))
        document.add(path, message[:1].lower() + message[1:] + _found(document, path, item))
    elif len(item["input"]) < item["ctx"]["min_length"]:
        document.add(path, f"needs at least {item['ctx']['min_length']} (has {len(item['input'])})")


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, n=1)
    return f"unknown key; did you mean '{near[0]}'?" if near else "unknown key"


def _found(document: Document, path: KeyPath, item: Any) -> str:
    """Return `` (got '...')`` with the value as written: never expanded, never a secret."""
    value = item["input"]
    if isinstance(value, dict | tuple):
        return f" (got {'a mapping' if isinstance(value, dict) else f'a list of {len(value)}'})"
    if value is None:
        return " (got nothing)"
    shown = redact(document.written.get(path, str(value)))
    return f" (got '{shown[:_MAX_SHOWN]}')"


def _cameras(document: Document) -> dict[str, Any]:
    cameras = document.data.get("cameras") if isinstance(document.data, dict) else None
    return cameras if isinstance(cameras, dict) else {}


def _check_files(document: Document, base: Path) -> None:
    for name, section in _cameras(document).items():
        for key in ("url", "substream"):
            url = section.get(key) if isinstance(section, dict) else None
            if isinstance(url, str) and url.strip() and is_file(url):
                _check_file(document, ("cameras", name, key), base / local_path(url), section)
        if isinstance(section, dict):
            _check_folder_keys(document, name, section, base)


def _check_file(document: Document, key: KeyPath, path: Path, section: dict[str, Any]) -> None:
    if path.is_dir():
        empty = section.get("follow") is not True and not pictures_in(path)
        problem = "no picture (.jpg, .jpeg, .png) in this folder" if empty else ""
    else:
        problem = "" if path.is_file() else "no such file"
    if problem:
        document.add(key, f"{problem} (got '{redact(document.written.get(key, str(path)))}')")


def _check_folder_keys(document: Document, name: str, section: dict[str, Any], base: Path) -> None:
    """Refuse keys that only a folder of pictures understands where there is none."""
    url = section.get("url")
    if not isinstance(url, str) or (is_file(url) and (base / local_path(url)).is_dir()):
        return
    for key in ("fps", "follow"):
        if key in section:
            document.add(("cameras", name, key), "only a folder of pictures has this key")


def _check_links(document: Document) -> None:
    links = document.data.get("links") if isinstance(document.data, dict) else None
    known = _cameras(document)
    for i, link in _mappings(links):
        for key in ("from", "to"):
            if isinstance(link.get(key), str) and link[key] not in known:
                document.add(("links", i, key), f"no such camera (got '{redact(link[key])}')")
        low, high = link.get("min_s"), link.get("max_s")
        if _is_number(low) and _is_number(high) and low > high:
            document.add(("links", i, "max_s"), f"less than min_s {low} (got '{high}')")


def _mappings(items: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(items, tuple):
        yield from ((i, item) for i, item in enumerate(items) if isinstance(item, dict))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
