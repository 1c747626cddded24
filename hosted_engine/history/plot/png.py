"""A drawing as PNG, by Pillow, which is installed only where pictures are wanted."""

from __future__ import annotations

import io
from typing import Any

from hosted_engine.errors import CommandError
from hosted_engine.history.plot.shapes import Drawing, Line, Rect, Text

# Sharp on screens and on paper.
SCALE = 2
_FONTS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_DASH, _PAUSE = 4.0, 3.0


def png_bytes(drawing: Drawing) -> bytes:
    """The whole file; raises CommandError without Pillow."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise CommandError(
            "a PNG needs Pillow, which is not installed here (Debian: python3-pil, EL: "
            "python3-pillow, or hosted-engine-ha[plot]); an SVG needs nothing: --plot FILE.svg"
        ) from error
    size = (round(drawing.width * SCALE), round(drawing.height * SCALE))
    image = Image.new("RGB", size, "#ffffff")
    _Painter(ImageDraw.Draw(image)).paint(drawing)
    target = io.BytesIO()
    image.save(target, "PNG", optimize=True)
    return target.getvalue()


class _Painter:
    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self._fonts: dict[tuple[float, bool], Any] = {}

    def paint(self, drawing: Drawing) -> None:
        for shape in drawing.shapes:
            if isinstance(shape, Rect):
                self._rect(shape)
            elif isinstance(shape, Line):
                self._line(shape)
            else:
                self._text(shape)

    def _rect(self, rect: Rect) -> None:
        left, top = round(rect.x * SCALE), round(rect.y * SCALE)
        right = max(left, round((rect.x + rect.width) * SCALE) - 1)
        bottom = max(top, round((rect.y + rect.height) * SCALE) - 1)
        self._draw.rectangle((left, top, right, bottom), fill=rect.fill)

    def _line(self, line: Line) -> None:
        width = max(1, round(line.width * SCALE))
        if not line.dashed:
            self._stroke(line, line.x1, line.x2, width)
            return
        x = line.x1
        while x < line.x2:
            self._stroke(line, x, min(x + _DASH, line.x2), width)
            x += _DASH + _PAUSE

    def _stroke(self, line: Line, x1: float, x2: float, width: int) -> None:
        ends = (x1 * SCALE, line.y1 * SCALE, x2 * SCALE, line.y2 * SCALE)
        self._draw.line(ends, fill=line.colour, width=width)

    def _text(self, text: Text) -> None:
        place = (text.x * SCALE, text.y * SCALE)
        font = self._font(text.size, text.bold)
        anchor = _ANCHORS[text.anchor]
        self._draw.text(place, text.text, fill=text.colour, font=font, anchor=anchor)

    def _font(self, size: float, bold: bool) -> Any:
        key = size, bold
        if key not in self._fonts:
            self._fonts[key] = _load_font(round(size * SCALE), bold)
        return self._fonts[key]


def _load_font(size: int, bold: bool) -> Any:
    """DejaVu Sans, or the one that Pillow brings along since its version 10.1."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(_FONTS[bold], size)
    except OSError:
        pass
    try:
        return ImageFont.load_default(size)
    except TypeError as error:
        raise CommandError(
            "there is no font for a PNG: install DejaVu Sans (package dejavu-sans-fonts or "
            "fonts-dejavu-core), or take --plot FILE.svg"
        ) from error
