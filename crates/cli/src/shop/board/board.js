// The order board: four live queries at most, and what they say in tables. Nothing is computed here that the service answers for.

import { liveQuery } from "/live-query.js";
import { count, element, money, reconcile, set, timeOfDay } from "/board/table.js";

const STAGES = new Map([
  ["filling", "Filling"],
  ["placed", "Placed"],
  ["checked-out", "Checked out"],
  ["packed", "Packed"],
  ["cancelled", "Cancelled"],
]);
const WORDS = {
  connecting: "connecting",
  live: "live",
  disconnected: "disconnected, trying again",
  paused: "paused",
};
const ANNOUNCE_MS = 5_000;

const $ = (id) => document.getElementById(id);
const states = new Map();
const drawn = new Map();

/// Keeps a query on the page under a name. Rows are drawn once a frame, however often they change.
function follow(name, url, draw) {
  unfollow(name);
  let waiting = null;
  const query = liveQuery(url, {
    onRows(rows) {
      if (waiting === null) {
        requestAnimationFrame(() => {
          const rows = waiting;
          waiting = null;
          if (drawn.get(name) === query) draw(rows);
        });
      }
      waiting = rows;
    },
    onState(state, detail) {
      if (state === "closed") states.delete(name);
      else states.set(name, { state, detail });
      showConnection();
    },
  });
  drawn.set(name, query);
}

function unfollow(name) {
  drawn.get(name)?.close();
  drawn.delete(name);
}

/// The page is as live as the worst of its queries.
function showConnection() {
  const all = [...states.values()];
  const worst = ["disconnected", "paused", "connecting", "live"].find((state) => all.some((one) => one.state === state)) ?? "connecting";
  const detail = all.find((one) => one.state === worst && one.detail)?.detail ?? "";
  const target = $("connection");
  target.dataset.state = worst;
  const text = detail ? `${WORDS[worst]}: ${detail}` : WORDS[worst];
  if (target.textContent !== text) target.textContent = text;
}

// Orders.

const stageOf = new Map();
let moved = [];
let announcing = 0;

for (const [stage, title] of STAGES) {
  const heading = element("h3", "", title, " ", element("span", "count"));
  const column = element("section", "stage", heading, element("ol", ""));
  column.dataset.stage = stage;
  heading.id = `stage-${stage}`;
  column.setAttribute("aria-labelledby", heading.id);
  $("stages").append(column);
}

function drawBoard(rows) {
  for (const column of $("stages").children) {
    const here = rows.filter((row) => row.stage === column.dataset.stage);
    set(column.querySelector(".count"), count(here[0]?.orders ?? 0));
    reconcile(column.querySelector("ol"), here.filter((row) => row.id !== null), (row) => row.id, makeCard, drawCard);
  }
  rows.filter((row) => row.id !== null).forEach(noteMove);
  const known = new Set(rows.map((row) => row.customer).filter((customer) => customer !== null));
  reconcile($("customers"), [...known].sort(), (name) => name, (name) => new Option(name), () => {});
}

function makeCard() {
  const customer = element("button", "customer");
  customer.type = "button";
  customer.addEventListener("click", () => pick(customer.textContent));
  const head = element("p", "head", element("strong", "id"), element("span", "total number"));
  return element("li", "card", head, element("p", "who", customer, element("span", "country")), element("p", "note", element("span", "size"), element("time", "since")));
}

function drawCard(card, row) {
  const part = (name) => card.querySelector(`.${name}`);
  set(part("id"), row.id);
  set(part("total"), row.lines > 0 ? money(row.total) : "");
  part("customer").hidden = row.customer === null;
  set(part("customer"), row.customer ?? "");
  set(part("country"), row.country ?? "");
  set(part("size"), size(row));
  part("since").dateTime = row.since;
  set(part("since"), timeOfDay(row.since));
}

function size({ lines, pieces }) {
  const sizes = [];
  if (lines > 0) sizes.push(lines === 1 ? "1 line" : `${count(lines)} lines`);
  if (pieces !== null) sizes.push(pieces === 1 ? "1 piece" : `${count(pieces)} pieces`);
  return sizes.join(", ");
}

/// Tells those who listen and do not see, now and then and in one sentence.
function noteMove({ id, stage }) {
  const before = stageOf.get(id);
  stageOf.set(id, stage);
  if (before === stage || before === undefined) return;
  moved.push(`${id} is ${STAGES.get(stage)?.toLowerCase() ?? stage}`);
  announcing ||= setTimeout(() => {
    $("moves").textContent = moved.length > 3 ? `${moved.length} orders moved` : moved.join("; ");
    moved = [];
    announcing = 0;
  }, ANNOUNCE_MS);
}

// Sales.

function drawSales(nameOf, makeName) {
  return (rows) =>
    reconcile($("sales-rows"), rows, nameOf, (row) => line(makeName(nameOf(row)), 3), (tr, row) => {
      numbers(tr, [count(row.lines), count(row.pieces), money(row.total)]);
    });
}

function showCountries() {
  $("sales-title").textContent = "Sales by country";
  $("sales-of").textContent = "Country";
  $("all-countries").hidden = true;
  $("sales-rows").replaceChildren();
  follow("sales", "/v1/views/sales/by-country", drawSales((row) => row.country, countryButton));
}

function countryButton(country) {
  const button = element("button", "link", country);
  button.type = "button";
  button.addEventListener("click", () => showDays(country));
  return button;
}

function showDays(country) {
  $("sales-title").textContent = `Sales in ${country} by day`;
  $("sales-of").textContent = "Day";
  $("all-countries").hidden = false;
  $("all-countries").focus();
  $("sales-rows").replaceChildren();
  follow("sales", `/v1/views/sales/days?country=${encodeURIComponent(country)}`, (rows) => {
    // The last day first: it is the one that moves.
    drawSales((row) => row.day, (day) => day)(rows.toReversed());
  });
}

$("all-countries").addEventListener("click", () => {
  showCountries();
  $("sales-rows").closest(".scroll").focus();
});

// Products.

function drawProducts(rows) {
  const make = (row) => line(element("span", "", element("span", "description"), " ", element("span", "note sku")), 2);
  reconcile($("product-rows"), rows, (row) => row.sku, make, (tr, row) => {
    set(tr.querySelector(".description"), row.description || row.sku);
    set(tr.querySelector(".sku"), row.description ? row.sku : "");
    numbers(tr, [count(row.pieces), money(row.total)]);
  });
}

// A customer's orders. Who is picked stands in the address, so that it can be kept and sent.

function pick(customer) {
  location.hash = `customer=${encodeURIComponent(customer)}`;
}

function picked() {
  return new URLSearchParams(location.hash.slice(1)).get("customer") ?? "";
}

function showCustomer() {
  const customer = picked();
  $("customer-name").value = customer;
  $("customer-rows").replaceChildren();
  $("customer-note").textContent = customer ? "" : "Pick a customer, here or on the board.";
  unfollow("customer");
  if (!customer) return;
  follow("customer", `/v1/views/orders/of-customer?customer=${encodeURIComponent(customer)}`, (rows) => {
    $("customer-note").textContent = rows.length === 0 ? `There are no orders of ${customer}.` : "";
    const make = (row) => line(element("span", "", row.id), 3);
    reconcile($("customer-rows"), rows.toReversed(), (row) => row.id, make, (tr, row) => {
      tr.classList.toggle("cancelled", row.cancelled);
      numbers(tr, [row.cancelled ? "cancelled" : row.placed_at, count(row.lines), money(row.total)]);
      tr.cells[1].className = "";
    });
  });
}

$("customer-form").addEventListener("submit", (event) => {
  event.preventDefault();
  pick($("customer-name").value);
});
addEventListener("hashchange", showCustomer);

// What tables share.

function line(name, cells) {
  const head = element("th", "", name);
  head.scope = "row";
  return element("tr", "", head, ...Array.from({ length: cells }, () => element("td", "number")));
}

function numbers(tr, texts) {
  texts.forEach((text, at) => set(tr.cells[at + 1], text));
}

follow("board", "/v1/views/orders/board", drawBoard);
follow("products", "/v1/views/products/top", drawProducts);
showCountries();
showCustomer();
