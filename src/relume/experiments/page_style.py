"""The style sheet of the page, with the colors of `relume.plots`."""

from relume.plots.style import THEMES

CSS = f"""
:root {{
  color-scheme: light dark;
  --background: {THEMES["light"].background}; --text: {THEMES["light"].text};
  --faint: {THEMES["light"].faint}; --link: #0060a0; --panel: #f5f5f2;
  --yes: #00664b; --part: #8a5200; --no: #a83c00;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --background: {THEMES["dark"].background}; --text: {THEMES["dark"].text};
    --faint: {THEMES["dark"].faint}; --link: #7cc4f0; --panel: #20252b;
    --yes: #3fcf9f; --part: #f0b840; --no: #ff9461;
  }}
}}
* {{ box-sizing: border-box; }}
body {{
  margin: 0 auto; padding: 1rem 1.25rem 4rem; max-width: 72rem;
  font: 1rem/1.55 system-ui, sans-serif; background: var(--background); color: var(--text);
  overflow-wrap: break-word;
}}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 1rem 0; }}
h2 {{ font-size: 1.35rem; line-height: 1.3; margin: 0 0 .5rem; }}
header p {{ max-width: 46rem; }}
a {{ color: var(--link); }}
section {{ border-top: 1px solid var(--faint); margin-top: 2.5rem; padding-top: 1.5rem; }}
.question {{ font-size: 1.1rem; font-style: italic; }}
.verdict {{ font-weight: 600; white-space: nowrap; }}
h2 .verdict {{ font-size: 1rem; margin-left: .5rem; }}
.yes {{ color: var(--yes); }} .part {{ color: var(--part); }} .no {{ color: var(--no); }}
.parts, pre {{ padding: .75rem 1rem; background: var(--panel); border-radius: .4rem; }}
.parts {{ list-style: none; }}
.parts li {{ color: var(--text); padding-left: 1.3em; text-indent: -1.3em; margin: .25rem 0; }}
.parts li > span {{ display: inline-block; width: 1.3em; text-indent: 0; font-weight: 700; }}
.parts .yes > span {{ color: var(--yes); }} .parts .no > span {{ color: var(--no); }}
figure {{ margin: 1rem 0 2rem; max-width: 36rem; }}
img {{ width: 100%; height: auto; display: block; }}
figcaption {{ font-size: .9rem; }}
figcaption details {{ margin: 0; }}
details {{ margin: .75rem 0; }}
summary {{ cursor: pointer; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }}
caption {{ text-align: left; font-weight: 600; padding: .25rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; }}
tbody tr {{ border-top: 1px solid var(--faint); }}
tbody th {{ font-weight: 400; }}
.wide, pre {{ overflow-x: auto; }}
.wide td {{ white-space: nowrap; }}
pre {{ font-size: .85rem; }}
@media (min-width: 60rem) {{
  .columns {{ display: grid; grid-template-columns: 1fr 1fr; gap: 2.5rem; }}
}}
@media (max-width: 40rem) {{
  .summary thead {{ display: none; }}
  .summary tr, .summary td {{ display: block; padding: 0; }}
  .summary tr {{ padding: .6rem 0; }}
  .summary td:first-child {{ font-weight: 600; }}
  h2 .verdict {{ display: block; margin: .25rem 0 0; }}
}}
@media print {{ section {{ break-inside: avoid; }} }}
"""
