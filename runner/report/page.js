const table = document.getElementById("leaderboard");
const body = table.tBodies[0];
const more = document.getElementById("more");
const first = 100;
let isWhole = body.rows.length <= first;

// Long tables start with their first rows: a browser lays out ten thousand only when asked.
function trim() {
  let shown = 0;
  for (const row of body.rows) {
    row.hidden = !isWhole && !row.classList.contains("off") && ++shown > first;
  }
  more.hidden = isWhole;
  more.querySelector("span").textContent = body.rows.length.toLocaleString("en");
}

function key(row, column) {
  const text = row.cells[column].dataset.v ?? row.cells[column].textContent;
  return text === "" ? null : isNaN(text) ? text : Number(text);
}

// Empty cells stay last in both directions; numbers come before words.
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (a < b ? -1 : a > b ? 1 : 0);
}

table.tHead.addEventListener("click", (event) => {
  const head = event.target.closest("th");
  if (!head) return;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const keyed = [...body.rows].map((row) => [key(row, head.cellIndex), row]);
  keyed.sort((a, b) => compare(a[0], b[0], sign));
  body.append(...keyed.map((pair) => pair[1]));
  trim();
});

document.querySelectorAll(".chips button").forEach((chip) =>
  chip.addEventListener("click", () => {
    const isOn = chip.getAttribute("aria-pressed") === "false";
    chip.setAttribute("aria-pressed", isOn);
    for (const row of body.rows) {
      if (row.dataset.o === chip.dataset.o) row.classList.toggle("off", !isOn);
    }
    trim();
  }),
);

more.addEventListener("click", () => { isWhole = true; trim(); });
trim();
