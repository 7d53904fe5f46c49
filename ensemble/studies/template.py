"""The frame of a study's page: where its parts stand, how they look, and the tables' own few lines of script.

`page` fills it in. It has no word of a study's own, and loads nothing.
"""

__all__ = ["FIGURE", "STYLE", "TABLES", "TEMPLATE"]

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 0 16px 48px; max-width: 1280px; background: #fff; color: #1a1a1a;
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 24px 0 8px; }
h2 { font-size: 1.15rem; margin: 32px 0 8px; }
.answer { border-left: 4px solid #0072b2; background: #f2f7fb; padding: 10px 14px; margin: 12px 0; }
.answer p { margin: 4px 0; font-size: 1.05rem; }
.note { color: #555; font-size: .9rem; margin: 4px 0 12px; }
.plots { display: grid; gap: 20px 28px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); }
.plots > section { min-width: 0; }
.plots h2 { margin: 8px 0; }
figure { margin: 0 0 20px; overflow-x: auto; }
figure img { display: block; max-width: 100%; height: auto; }
.bar { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin-bottom: 8px; }
.bar select, .bar button { font: inherit; padding: 4px 10px; }
.scroll { overflow: auto; max-height: 420px; border: 1px solid #ddd; }
.scroll:focus { outline: 2px solid #0072b2; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f4f4f4; padding: 0; text-align: left; }
th button { all: unset; cursor: pointer; padding: 6px 10px; font-weight: 600; white-space: nowrap; }
th button:focus-visible { outline: 2px solid #0072b2; outline-offset: -2px; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td { padding: 3px 10px; border-top: 1px solid #eee; white-space: nowrap; }
details { margin: 24px 0; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow: auto; font-size: .8rem; background: #f7f7f7; padding: 12px; }
@media (max-width: 600px) { body { padding: 0 10px 32px; } h1 { font-size: 1.25rem; }
                            figure img { max-width: none; width: 860px; } }
"""

# Bokeh puts this into a frame of its own.
TEMPLATE = """
{% block postamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{{ style }}</style>
{% endblock %}
{% block contents %}
<main>
<h1>{{ heading }}</h1>
<div class="answer">{{ answer }}</div>
<p class="note">{{ about }}</p>
{% if controls %}{{ embed(roots["controls"]) }}{% endif %}
<div class="plots">
{% for name, title in plots %}<section><h2>{{ title }}</h2>{{ embed(roots[name]) }}</section>
{% endfor %}</div>
{{ pictures }}
<h2>Tables</h2>
<div class="bar">
<label>table <select id="which"></select></label>
<button id="download" type="button">download as CSV</button><span id="count" class="note"></span></div>
<div class="scroll" tabindex="0" aria-label="table"><table id="table"></table></div>
<details><summary>Settings, data and machine</summary><pre>{{ settings }}</pre></details>
</main>
<script>const TABLES = {{ tables }};
{{ script }}</script>
{% endblock %}
"""

FIGURE = '<figure><img alt="{alt}" src="data:image/{kind};base64,{content}"></figure>\n'

# A table is {heads, columns}: a click on a head sorts, numbers as numbers; what is shown is cut, the download is whole.
TABLES = """
(() => {
  const MOST = 300, which = document.getElementById("which"), table = document.getElementById("table");
  let shown, order, by = -1, up = true;
  const number = (cell) => cell === "" ? NaN : Number(cell);
  function compare(a, b) {
    const x = number(a), y = number(b);
    if (!isNaN(x) && !isNaN(y)) return x - y;
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
    return String(a).localeCompare(String(b));
  }
  function draw() {
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    shown.heads.forEach((name, place) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      button.textContent = name;
      button.addEventListener("click", () => { up = by === place ? !up : true; by = place; sort(); draw(); });
      cell.append(button);
      cell.setAttribute("aria-sort", by === place ? (up ? "ascending" : "descending") : "none");
      head.append(cell);
    });
    const body = table.createTBody();
    order.slice(0, MOST).forEach((row) => {
      const line = body.insertRow();
      shown.columns.forEach((column) => { line.insertCell().textContent = column[row]; });
    });
    const all = order.length;
    const cut = all > MOST ? `the first ${MOST} of ${all} rows, the download has all` : `${all} rows`;
    document.getElementById("count").textContent = cut + "; heads sort";
  }
  function sort() {
    const column = shown.columns[by];
    order.sort((a, b) => (up ? 1 : -1) * compare(column[a], column[b]) || a - b);
  }
  function choose() {
    shown = TABLES[which.value];
    order = shown.columns[0].map((_, row) => row);
    by = -1; up = true;
    draw();
  }
  const quoted = (cell) => {
    const text = typeof cell === "string" && /^[=+@\\t\\r-]/.test(cell) ? "'" + cell : String(cell);
    return /[",\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  document.getElementById("download").addEventListener("click", () => {
    const lines = [shown.heads, ...order.map((row) => shown.columns.map((column) => column[row]))];
    const text = lines.map((cells) => cells.map(quoted).join(",")).join("\\n") + "\\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
    link.download = which.value.replace(/[^\\w.-]+/g, "_") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  Object.keys(TABLES).forEach((name) => which.add(new Option(name, name)));
  which.addEventListener("change", choose);
  choose();
})();
"""
