// A live query in a page: all rows of a view's query now, and again after each change.
//
//   import { liveQuery } from "/live-query.js";
//   const query = liveQuery("/v1/views/products/top", {
//     onRows: (rows) => draw(rows),
//     onState: (state, detail) => show(state, detail),
//   });
//   query.close();
//
// It resumes where it was when the connection breaks, begins anew where that is not known any more, and lets go of its
// connection while the page is hidden. Rows are as the service sent them: decimals are texts, and stay exact.
//
// It needs nothing but a browser: serve it with `Page::live_query()`, or copy it. MIT or Apache-2.0.

const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 15_000;

/// Asks `url` (`/v1/views/{view}/{query}?parameter=value`) until `close()`.
///
/// `onRows(rows, keys)`: all rows in their order. `keys` holds a text for each that stays with the row while it changes, where the query
/// shows the primary key of one table. An update is told whole or not at all.
///
/// `onState(state, detail)`: `connecting`, `live`, `disconnected` (it tries again; the rows are old), `paused` (the page is hidden),
/// `closed`. `detail` is the service's own word for a refusal, else empty.
export function liveQuery(url, { onRows, onState = () => {} }) {
  let source = null;
  let retry = 0;
  let failures = 0;
  let closed = false;
  let rows = [];
  let changes = [];
  let place = "";
  let word = "";

  function open() {
    clearTimeout(retry);
    changes = [];
    place = "";
    source = new EventSource(url);
    source.addEventListener("snapshot", replace);
    source.addEventListener("reset", replace);
    source.addEventListener("gone", change);
    source.addEventListener("row", change);
    source.addEventListener("caught-up", caughtUp);
    source.addEventListener("gap", refused);
    source.addEventListener("problem", refused);
    source.addEventListener("error", broken);
  }

  function replace(event) {
    const { items, keys } = JSON.parse(event.data);
    rows = items.map((row, at) => ({ key: JSON.stringify(keys[at]), row }));
    changes = [];
    place = event.lastEventId;
    tell();
  }

  // Only the last event of an update has an id of its own. Until it is here, nothing is applied: a connection that breaks within
  // an update gets all of it again.
  function change(event) {
    const { key, at, row } = JSON.parse(event.data);
    changes.push({ key: JSON.stringify(key), at, row });
    if (event.lastEventId === place) return;
    place = event.lastEventId;
    for (const { key, at, row } of changes) {
      const old = rows.findIndex((held) => held.key === key);
      if (old >= 0) rows.splice(old, 1);
      if (row !== undefined) rows.splice(at, 0, { key, row });
    }
    changes = [];
    tell();
  }

  function caughtUp(event) {
    failures = 0;
    word = "";
    place = event.lastEventId;
    onState("live", "");
  }

  // The service's last word before it ends the stream; the browser comes back by itself.
  function refused(event) {
    word = JSON.parse(event.data).detail ?? "";
    onState("disconnected", word);
  }

  function broken() {
    changes = [];
    onState("disconnected", word);
    // While it is CONNECTING, the browser tries again by itself, from the last id. It gives up where the service said no.
    if (source.readyState === EventSource.CLOSED) again();
  }

  async function again() {
    const mine = source;
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures) * (0.5 + Math.random() / 2);
    failures += 1;
    word = await reason();
    if (mine !== source || closed) return;
    onState("disconnected", word);
    retry = setTimeout(open, wait);
  }

  // An EventSource does not tell why it was refused; the same question without it does.
  async function reason() {
    try {
      const answer = await fetch(url, { headers: { accept: "application/json" } });
      if (!answer.ok) return (await answer.json()).detail ?? "";
      await answer.body?.cancel();
    } catch {
      // Not reached, or not an answer of the service: there is no reason to tell.
    }
    return "";
  }

  function tell() {
    onRows(rows.map((held) => held.row), rows.map((held) => held.key));
  }

  function letGo() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  // A browser opens six connections to a host, over all of its windows: a hidden page leaves its own to others.
  function visibility() {
    if (document.visibilityState === "hidden") {
      letGo();
      onState("paused", "");
    } else if (source === null) {
      onState("connecting", "");
      open();
    }
  }

  document.addEventListener("visibilitychange", visibility);
  onState("connecting", "");
  if (document.visibilityState === "hidden") visibility();
  else open();

  return {
    close() {
      closed = true;
      document.removeEventListener("visibilitychange", visibility);
      letGo();
      onState("closed", "");
    },
  };
}
