"""The page that a report fills: its frame and its style. One file, no script, nothing loaded; prints on A4."""

NOTICE = "Not for clinical use"
NOTICE_TEXT = "Research software, no medical device. Do not base a decision about a patient on this page."

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6876; --line: #d9dfe6; --paper: #ffffff; --wash: #f4f6f9;
  --accent: #0b5c8a; --warn: #8a4b00; --warn-wash: #fff6e5; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Noto Sans", sans-serif; }
.notice { background: #7a1420; color: #fff; padding: .55rem 1rem; text-align: center; }
.notice strong { text-transform: uppercase; letter-spacing: .08em; margin-right: .6em; }
main { max-width: 60rem; margin: 1.5rem auto; padding: 2rem 2.4rem 2.4rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: 6px; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 .2rem; font-weight: 650; }
h2 { font-size: 1.08rem; margin: 2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line);
  font-weight: 650; }
p { margin: .5rem 0; }
.soft, figcaption, small { color: var(--soft); }
.missing { color: var(--soft); font-style: italic; }
.risk { display: flex; flex-wrap: wrap; gap: .4rem 2.2rem; align-items: center; margin: 1.2rem 0 1.2rem; }
.risk .value { font-size: 3.4rem; line-height: 1; font-weight: 700; color: var(--accent); white-space: nowrap; }
.risk .value .missing { font-size: 1.6rem; }
.risk .label { display: inline-block; border: 1.5px solid var(--accent); color: var(--accent); border-radius: 4px;
  padding: .1rem .6rem; font-weight: 650; }
.risk dl { margin: 0; display: grid; grid-template-columns: auto auto; gap: .1rem .9rem; }
.risk dt { color: var(--soft); } .risk dd { margin: 0; font-variant-numeric: tabular-nums; }
.warnings { background: var(--warn-wash); border: 1px solid #e7c98d; border-left: 6px solid var(--warn);
  border-radius: 4px; padding: .8rem 1.1rem; margin: 1.2rem 0; }
.warnings h2 { margin: 0 0 .3rem; border: 0; padding: 0; color: var(--warn); }
.warnings ul { margin: 0; padding-left: 1.2rem; } .warnings li { margin: .35rem 0; }
.warnings .todo { display: block; } .warnings code { font-size: .82em; color: var(--soft); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 0 2.4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .32rem .6rem .32rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); } td:last-child { padding-right: 0; }
thead th { font-weight: 650; color: var(--ink); }
td, dd { overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; height: auto; background: #000; border-radius: 4px; }
svg { display: block; width: 100%; max-width: 50rem; height: auto; margin: 0 auto; }
figcaption { font-size: .88rem; margin-top: .4rem; }
svg text { font-family: inherit; fill: var(--ink); }
footer { margin-top: 2rem; padding-top: .8rem; border-top: 1px solid var(--line); font-size: .86rem;
  color: var(--soft); }
@media (max-width: 40rem) {
  main { margin: 0; padding: 1.1rem; border: 0; border-radius: 0; }
  .risk .value { font-size: 2.8rem; }
}
@page { size: A4; margin: 16mm 14mm 16mm;
  @bottom-left { content: "Not for clinical use"; font: 600 9pt sans-serif; color: #7a1420; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 9pt sans-serif; color: #5b6876; } }
@media print {
  body { background: #fff; font-size: 10pt; }
  main { max-width: none; margin: 0; padding: 4mm 0 0; border: 0; }
  .notice { background: #fff; color: #7a1420; border: 1.5pt solid #7a1420; }
  figure img, .warnings, .notice, .risk, svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, table, .warnings, .risk { break-inside: avoid; } h2 { break-after: avoid; margin-top: 1.2rem; }
  svg { max-width: 150mm; }
  .columns { grid-template-columns: 1fr 1fr; } h1 { font-size: 15pt; } .risk .value { font-size: 34pt; }
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div class="notice" role="note"><strong>{notice}</strong> {notice_text}</div>
<main>
{content}
<footer>{footer}</footer>
</main>
</body>
</html>
"""


def page(title: str, content: str, footer: str) -> str:
    """Put a report's parts, already escaped HTML, into the frame."""
    return PAGE.format(title=title, style=STYLE, notice=NOTICE, notice_text=NOTICE_TEXT, content=content, footer=footer)
