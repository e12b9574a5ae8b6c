"""The style sheet of a report, for light and dark mode. Colours also differ in lightness, for colour-blind readers."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5d6878; --line: #dde2ea;
  --c0: #2563c9; --c1: #d9622b; --c2: #16836f; --c3: #a23b9c;
  --c4: #b8860b; --c5: #57606f; --c6: #0f8fb8; --c7: #c2304e; }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161d; --card: #1b212b; --ink: #e6eaf0; --soft: #9aa6b6; --line: #303948;
  --c0: #74a7ff; --c1: #ff9a66; --c2: #4fd0b5; --c3: #e28cdc;
  --c4: #e8c14c; --c5: #b4bdca; --c6: #63cdf0; --c7: #ff8098; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 0 0 4px; }
p { margin: 0 0 12px; color: var(--soft); } .card p { font-size: 13.5px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px;
  margin-top: 18px; overflow-x: auto; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 18px; }
.grid2 .card { margin-top: 18px; margin-bottom: -18px; } .grid2 { padding-bottom: 18px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; font-size: 13px; } td small { display: block; color: var(--soft); }
td.best { font-weight: 700; } td.clear { font-weight: 700; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg .label { fill: var(--ink); font-size: 11px; paint-order: stroke; stroke: var(--card); stroke-width: 3px;
  pointer-events: none; }
polyline { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round; } circle { fill: var(--c); }
g circle { stroke: var(--card); stroke-width: 1.5; } g circle:hover { r: 6; } .again polyline { stroke-dasharray: 5 4; }
.map circle { opacity: .72; } .map circle:hover { opacity: 1; stroke: var(--ink); stroke-width: 1.5; }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); }
.s4 { --c: var(--c4); } .s5 { --c: var(--c5); } .s6 { --c: var(--c6); } .s7 { --c: var(--c7); }
.other { --c: var(--line); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0; margin: 8px 0 0;
  font-size: 13px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; background: var(--c);
  margin-right: 6px; vertical-align: -1px; } .legend .again { border-radius: 6px; }
summary { cursor: pointer; } code { font-size: 13px; }
"""
