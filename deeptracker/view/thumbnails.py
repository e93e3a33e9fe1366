"""Small pictures as data URIs, so that pages stay in one file."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeptracker.screen import table, variables
from deeptracker.view import palettes


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A PNG of one thumbnail (y, x, band), grey or RGB, as a data URI."""
    array = picture[..., 0] if picture.shape[-1] == 1 else picture[..., :3]
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def thumbnails(run: Any, view: str, rows: NDArray[np.intp]) -> list[str] | None:
    """Data URIs of the images at these positions; None where the run keeps no thumbnails."""
    group = f"images/{view.split('/')[0]}"
    if "thumbnail" not in variables(run, group):
        return None
    pictures = table(run, group, ["thumbnail"], select={"image": rows})["thumbnail"].values
    return [data_uri(picture) for picture in pictures]


def gallery(pictures: list[tuple[str, str, str]], size: int = 44) -> str:
    """HTML of pictures given as (data URI, what to say on hover, caption)."""
    cells = "".join(
        f'<figure style="margin:0;text-align:center" title="{escape(text)}">'
        f'<img src="{uri}" width="{size}" height="{size}" alt="{escape(text)}" '
        f'style="filter:var(--dt-image-filter,none);image-rendering:pixelated;'
        f'border-radius:3px;display:block;border:1px solid {palettes.FAINT}">'
        f'<figcaption style="font-size:10px;line-height:1.3;color:{palettes.MUTED}">{escape(caption)}</figcaption>'
        "</figure>"
        for uri, text, caption in pictures
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:5px">{cells}</div>'
