"""How report pages look: one style sheet, light and dark, and the classes that drawings use.

Hues are those of Okabe and Ito, which people with any colour vision tell apart, lightened for dark pages.
What a colour says is always said by place, shape or words as well.
"""

from __future__ import annotations

_LIGHT = (
    "--bg:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--band:#eef1f4;--mark:#fff8dc;"
    "--h0:#0072b2;--h1:#c26a00;--h2:#00805c;--h3:#a34382;--bad:#c4320a;--grey:#8a929b"
)
_DARK = (
    "--bg:#14181d;--ink:#e6e9ec;--soft:#9aa4af;--line:#363e47;--band:#232a31;--mark:#332e12;"
    "--h0:#63b8ef;--h1:#f0a33c;--h2:#3ecb9d;--h3:#e08fc4;--bad:#ff8a66;--grey:#7d8791"
)

STYLE = (
    f":root{{{_LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}"
    "main{max-width:860px;margin:0 auto;padding:24px 20px 64px}"
    "h1{font-size:1.5rem;margin:0 0 .5rem;overflow-wrap:anywhere}"
    "h2{font-size:1.15rem;margin:2.2rem 0 .5rem;padding-top:.6rem;border-top:1px solid var(--line)}"
    ".verdict{font-size:1.1rem;border-left:4px solid var(--h0);padding:.4rem 0 .4rem .8rem;margin:.6rem 0;"
    "overflow-wrap:anywhere}"
    "nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:.8rem "
    "0;font-size:.9rem}"
    "a{color:var(--h0)}p{margin:.5rem 0;overflow-wrap:anywhere}"
    "pre{background:var(--band);padding:.6rem .8rem;overflow-x:auto;border-radius:4px;font-size:.85rem}"
    ".table{overflow-x:auto;margin:.8rem 0 1.2rem}.table:focus-visible{outline:2px solid var(--h0)}"
    "table{border-collapse:collapse;font-size:.86rem;min-width:100%}"
    "caption,figcaption{text-align:left;color:var(--soft);font-size:.86rem;padding-bottom:.4rem}"
    "th,td{text-align:left;padding:.25rem 1rem .25rem 0;border-bottom:1px solid "
    "var(--line);vertical-align:top}"
    "tbody th{font-weight:400}"
    "thead th{color:var(--soft);font-weight:600;vertical-align:bottom}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".marked{background:var(--mark)}.marked th{font-weight:600}"
    "figure{margin:.8rem 0 1.2rem}svg{width:100%;height:auto;display:block}"
    "svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}"
    "svg .small{font-size:11px}svg .strong{font-weight:600}svg .inverse{fill:var(--bg)}"
    "svg .axis{stroke:var(--line);fill:none}svg .ink{stroke:var(--ink);fill:none}"
    "svg .rule{stroke:var(--soft);fill:none;stroke-dasharray:3 3}"
    "svg .band{fill:var(--band)}svg .null{fill:var(--grey);opacity:.28}"
    + "".join(
        f"svg .f{hue}{{fill:var(--h{hue})}}svg .l{hue}{{stroke:var(--h{hue});fill:none;stroke-width:1.6}}"
        f"svg .t{hue}{{fill:var(--h{hue});opacity:.22}}"
        f"svg .o{hue}{{stroke:var(--h{hue});fill:var(--bg);stroke-width:1.6}}"
        for hue in range(4)
    )
    + "svg .bad{fill:var(--bad)}svg .lbad{stroke:var(--bad);fill:none;stroke-width:1.6}"
    "svg .grey{fill:var(--grey)}svg .lgrey{stroke:var(--grey);fill:none}"
    "svg .rug{stroke:var(--ink);stroke-width:3.4;stroke-linecap:round;fill:none}"
    "svg .hole{stroke:var(--bg);stroke-width:1.8;stroke-linecap:round;fill:none}"
    "svg .ghost{stroke:var(--soft);stroke-width:1.5;fill:none}"
    "@media print{nav{display:none}section{break-inside:avoid}}"
)
"""The style sheet."""
