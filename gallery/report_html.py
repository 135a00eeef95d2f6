"""HTML by construction: whatever is not ``Html`` already is escaped when it enters an element."""

import base64
import html
from collections.abc import Iterable

from gallery.coverage import clock_text

VOID = frozenset({"img", "meta", "rect", "line", "path", "circle"})
PNG = b"\x89PNG"


class Html(str):
    """Text that is HTML and needs no escaping."""

    __slots__ = ()


Child = str | Html | Iterable["Child"] | None
Attribute = str | float | int | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element. ``class_`` becomes class, ``stroke_width`` stroke-width; None is left out.

    True stands for an attribute without a value.
    """
    texts = [_attribute(key, value) for key, value in attributes.items()]
    opening = "".join([f"<{name}", *texts, ">"])
    if name in VOID and not children:
        return Html(opening.removesuffix(">") + "/>")
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Return children one after the other, each escaped unless it is HTML."""
    return Html("".join(_flat(children)))


def picture(data: bytes | None, alt: str, *, class_: str = "crop") -> Html:
    """Return a picture that lies inside the page; a placeholder when there is none."""
    if not data:
        return tag("span", tag("span", "no picture"), class_=f"{class_} missing")
    kind = "png" if data.startswith(PNG) else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return tag("img", class_=class_, src=source, alt=alt)


def score(value: float) -> Html:
    """Return a score as a number with a bar under it."""
    percent = round(100 * min(1.0, max(0.0, value)))
    bar = tag("span", tag("span", style=f"width:{percent}%"), class_="meter", aria_hidden="true")
    return tag("span", tag("span", f"{value:.2f}", class_="number"), bar, class_="score")


def moment(moment_ms: int, *, dated: bool) -> Html:
    """Return a moment as people read it, with the exact one for programs."""
    seconds = clock_text(moment_ms, dated=True).replace(" ", "T")
    exact = f"{seconds}.{moment_ms % 1000:03d}Z"
    return tag("time", clock_text(moment_ms, dated=dated), datetime=exact)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield html.escape(child, quote=True)
        else:
            yield from _flat(child)
