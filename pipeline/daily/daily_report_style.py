"""How the page of a daily report looks: on a desk, on a phone and on paper. No font and no picture is fetched."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light; --ink: #0f172a; --soft: #64748b; --line: #e2e8f0; --good: #15803d; --doubt: #b45309;
  --bad: #b91c1c; --fill: #f8fafc }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 48px; color: var(--ink); background: #fff;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 15px; margin: 0 0 12px }
p { margin: 0 0 8px } .soft { color: var(--soft) } .small { font-size: 13px }
.good { color: var(--good) } .doubt { color: var(--doubt) } .bad { color: var(--bad) }
.lead { font-size: 17px; margin: 6px 0 20px }
.alarm { border-left: 4px solid var(--doubt); background: #fffbeb; padding: 10px 14px; margin: 0 0 16px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 16px }
.tile, section { border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; background: #fff }
.tile b { display: block; font-size: 27px; line-height: 1.15; font-variant-numeric: tabular-nums }
.halves { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px }
section { margin-bottom: 16px; min-width: 0 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: 4px 10px 4px 0; vertical-align: top }
th { color: var(--soft); font-weight: 400; font-size: 13px; border-bottom: 1px solid var(--line) }
td { border-bottom: 1px solid var(--fill); overflow-wrap: anywhere }
td.key { overflow-wrap: normal; color: var(--soft) }
.more { margin: 12px 0 0 } .number { text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal }
.mix { display: grid; grid-template-columns: minmax(72px, 150px) 1fr auto; gap: 7px 12px; align-items: center }
.mix span { overflow-wrap: anywhere }
.track { position: relative; height: 14px; background: var(--fill); border-radius: 3px }
.track i { position: absolute; inset: 0 auto 0 0; background: #4d7c5f; border-radius: 3px }
.track u { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--ink) }
.bins { display: flex; align-items: flex-end; gap: 2px; height: 120px; border-bottom: 1px solid var(--line) }
.bins i { flex: 1; background: #4d7c5f; border-radius: 2px 2px 0 0; min-height: 0 }
.ends { display: flex; justify-content: space-between }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 14px 12px }
figure { margin: 0; min-width: 0 } figure img { display: block; width: 100%; aspect-ratio: 1; border-radius: 6px;
  background: #f1f5f9; object-fit: contain } figcaption { font-size: 12.5px; line-height: 1.3; margin-top: 4px;
  overflow-wrap: anywhere }
@media (max-width: 720px) { body { padding: 18px 12px } .halves { grid-template-columns: minmax(0, 1fr); gap: 0 }
  .tiles { grid-template-columns: repeat(2, 1fr) } .tile b { font-size: 23px }
  .cards { grid-template-columns: repeat(3, minmax(0, 1fr)) } }
@media print { body { max-width: none; padding: 0; font-size: 12px } section, .tile, figure { break-inside: avoid }
  .cards { grid-template-columns: repeat(6, 1fr) } * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
@page { margin: 14mm }
"""
