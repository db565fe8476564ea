// Rows on a page: elements that stay with their rows, exact decimals, times.
//
// Everything is set as text, so that a value that looks like HTML stays a text.

/// An element with a class and children or texts.
export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/// Makes the children of `parent` those of `items`, in order. One that stays keeps its element, with its focus; `draw(element, item)`
/// brings it up to date, `make(item)` makes a new one.
export function reconcile(parent, items, keyOf, make, draw) {
  const held = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  const fresh = held.size > 0;
  items.forEach((item, at) => {
    const key = keyOf(item);
    let child = held.get(key);
    held.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
      if (fresh) flash(child);
    }
    draw(child, item);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const child of held.values()) child.remove();
}

/// Sets a text, and shows for a moment that it is another one.
export function set(target, text) {
  if (target.textContent === text) return;
  const changes = target.textContent !== "";
  target.textContent = text;
  if (changes) flash(target);
}

function flash(target) {
  target.classList.remove("changed");
  // The class counts as new only when the style was computed without it.
  void target.offsetWidth;
  target.classList.add("changed");
}

/// A decimal as people read it: every digit of the text stays, thousands are set apart, cents are there.
export function money(text) {
  const [, sign, whole, fraction] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return text;
  return `${sign ? "−" : ""}${grouped(whole)}.${(fraction ?? "").padEnd(2, "0")}`;
}

/// A whole number, likewise.
export function count(number) {
  return number < 0 ? `−${grouped(String(-number))}` : grouped(String(number));
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/// A time of day where the reader is.
export function timeOfDay(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleTimeString();
}
