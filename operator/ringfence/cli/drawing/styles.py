"""How the picture looks, in light and in dark: one sheet of rules, filled in twice.

Not by variables of CSS, which viewers that are no browsers do not know; they show it light.
"""

from string import Template
from typing import Final

_LIGHT: Final = {
    "bg": "#ffffff",
    "ink": "#1f2328",
    "soft": "#57606a",
    "line": "#6e7781",
    "zone": "#f3f6fa",
    "frame": "#afb8c1",
    "space": "#ffffff",
    "box": "#e8efff",
    "boxline": "#54699c",
    "open": "#fff4cc",
    "openline": "#b08800",
    "out": "#eeeeee",
    "cross": "#bc4c00",
    "added": "#1a7f37",
    "removed": "#cf222e",
}
_DARK: Final = {
    "bg": "#0d1117",
    "ink": "#e6edf3",
    "soft": "#9198a1",
    "line": "#848d97",
    "zone": "#161b22",
    "frame": "#444c56",
    "space": "#0d1117",
    "box": "#1c2a4a",
    "boxline": "#7d9be0",
    "open": "#332a08",
    "openline": "#d4a72c",
    "out": "#22272e",
    "cross": "#f0883e",
    "added": "#3fb950",
    "removed": "#f85149",
}
_SHAPES: Final = """text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.title{font-size:17px;font-weight:600}
.frametext{font-weight:600;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}
.space{stroke-dasharray:4 3}
.group{fill:none;stroke-dasharray:3 2}
.line{fill:none;stroke-width:1.2}
.crosses .line{stroke-width:1.7}
.perhaps .line{stroke-dasharray:2 4}
.added .line,.removed .line,rect.added,rect.removed{stroke-width:2.2}
.removed .line,rect.removed{stroke-dasharray:6 4}
.removed .label{text-decoration:line-through}
.label{font-size:11px;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}"""
_COLOURS: Final = Template(""".bg{fill:$bg}
text{fill:$ink}
.about,.legend text,.frametext{fill:$soft}
.label{stroke:$bg}
.zonetext{stroke:$zone}
.spacetext{stroke:$space}
.zone{fill:$zone;stroke:$frame}
.space{fill:$space;stroke:$frame}
.box{fill:$box;stroke:$boxline}
.open{fill:$open;stroke:$openline}
.outside,.everyone{fill:$out;stroke:$line}
.group{stroke:$boxline}
.line{stroke:$line}
.tip,.mark{fill:$line}
.crosses .line{stroke:$cross}
.crosses .tip,.crosses .mark{fill:$cross}
.added .line,rect.added{stroke:$added}
.removed .line,rect.removed{stroke:$removed}
.added .tip,.added .mark,.added .label{fill:$added}
.removed .tip,.removed .mark,.removed .label{fill:$removed}""")

SHEET: Final = (
    f"{_SHAPES}\n{_COLOURS.substitute(_LIGHT)}\n@media (prefers-color-scheme:dark){{\n{_COLOURS.substitute(_DARK)}\n}}"
)
