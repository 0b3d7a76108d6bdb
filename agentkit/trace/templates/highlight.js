(() => {
  const all = [...document.querySelectorAll("[data-f]")];
  const detail = document.getElementById("detail");
  const hint = detail.textContent;
  const about = new Map();
  const index = (name) => {
    const found = new Map();
    for (const item of all) {
      const key = item.dataset[name];
      if (!key) continue;
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(item);
    }
    return found;
  };
  const chosenBy = index("f"), ofBlock = index("block");
  for (const item of all) {
    about.set(item, item.title);
    item.removeAttribute("title");
  }
  let lit = [], held = null, shown = null;

  const tell = (item) => {
    let words = about.get(item);
    if (item.matches(".forward")) {
      const made = (chosenBy.get(item.dataset.f) || []).filter((each) => each.matches(".t"));
      const text = made.map((each) => each.textContent).join("");
      if (text) words += " \u201c\u2068" + (text.length > 160 ? text.slice(0, 160) + "\u2026" : text) + "\u2069\u201d";
    }
    return words;
  };
  const show = (item) => {
    if (item === shown) return;
    shown = item;
    for (const each of lit) each.classList.remove("on", "near");
    lit = [];
    if (!item) {
      detail.textContent = hint;
      return;
    }
    for (const each of ofBlock.get(item.dataset.block) || []) {
      each.classList.add("near");
      lit.push(each);
    }
    for (const each of chosenBy.get(item.dataset.f) || [item]) {
      each.classList.remove("near");
      each.classList.add("on");
      lit.push(each);
    }
    detail.textContent = tell(item);
  };
  const bar = (item) => document.getElementById("forward-" + item.dataset.f);
  const reveal = (item) => {
    const scroller = item && item.closest(".scroller");
    if (scroller) scroller.scrollLeft = item.offsetLeft - scroller.clientWidth / 2;
  };
  const from = (event) => event.target.closest && event.target.closest("[data-f]");

  document.addEventListener("pointerover", (event) => show(from(event) || held));
  document.addEventListener("focusin", (event) => {
    held = from(event);
    show(held);
    if (held && held.matches(".t")) reveal(bar(held));
  });
  document.addEventListener("focusout", () => { held = null; });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && held) held.blur(), show(null);
    const item = from(event), group = item && item.closest("[data-walk]");
    if (!group || event.ctrlKey || event.metaKey || event.altKey) return;
    const items = [...group.querySelectorAll("[data-f]")], at = items.indexOf(item);
    const goal = {
      ArrowRight: items[at + 1], ArrowDown: items[at + 1], ArrowLeft: items[at - 1], ArrowUp: items[at - 1],
      Home: items[0], End: items[items.length - 1],
      Enter: item.matches(".t") ? bar(item) : (chosenBy.get(item.dataset.f) || []).find((each) => each.matches(".t")),
    }[event.key];
    if (!(event.key in { ArrowRight: 1, ArrowLeft: 1, ArrowUp: 1, ArrowDown: 1, Home: 1, End: 1, Enter: 1 })) return;
    event.preventDefault();
    if (!goal) return;
    const home = goal.closest("[data-walk]");
    for (const each of home.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
    goal.tabIndex = 0;
    goal.focus({ preventScroll: goal.matches(".forward") && home === group });
    if (goal.matches(".forward")) reveal(goal);
  });
  for (const group of document.querySelectorAll("[data-walk]")) {
    const first = group.querySelector("[data-f]");
    if (first) first.tabIndex = 0;
  }
})();
