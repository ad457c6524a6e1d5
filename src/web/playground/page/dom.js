// Elements, and what both platforms show: a type-ahead, a select and a modal. Text is only ever text.

/** An element with attributes (functions are listeners) and children (strings are text, nothing is nothing). */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((it) => it || it === 0));
  return element;
}

/** By the ids of people's accounts on both platforms: their names. */
export const names = new Map();

/** Whoever has the account `id`, mentioned. */
export function mention(id) {
  return el("span", { class: "mention" }, `@${names.get(id) ?? id}`);
}

/** A link to where `url` leads, if a browser may be sent there; its words alone otherwise. */
export function link(url, ...words) {
  const isSafe = /^https?:\/\//i.test(url);
  return isSafe ? el("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, ...words) : el("span", {}, ...words);
}

let lists = 0;

/**
 * Makes `input` offer what `suggest(text)` (a promise of `[{label, value}]`) finds, by mouse and by arrow keys.
 * `choose` is told the choice.
 */
export function typeAhead(input, suggest, choose) {
  const list = el("ul", { class: "choices", role: "listbox", id: `choices-${++lists}`, hidden: true });
  let choices = [];
  let chosen = -1;
  let asked = 0;
  for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", list.id], ["aria-autocomplete", "list"]]) {
    input.setAttribute(name, value);
  }
  input.after(list);
  const show = () => {
    const options = choices.map((it, place) => el("li", {
      role: "option", id: `${list.id}-${place}`, "aria-selected": String(place === chosen),
      mousedown: (event) => { event.preventDefault(); take(place); },
    }, it.label));
    list.replaceChildren(...options);
    list.hidden = choices.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (chosen >= 0) {
      input.setAttribute("aria-activedescendant", `${list.id}-${chosen}`);
      options[chosen].scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
      list.scrollIntoView({ block: "nearest" });
    }
  };
  const close = () => { asked++; choices = []; chosen = -1; show(); };
  const take = (place) => { const choice = choices[place]; close(); choose(choice); };
  const ask = async () => {
    const mine = ++asked;
    const found = await suggest(input.value);
    // Only the last question counts: answers may overtake each other.
    if (mine !== asked || document.activeElement !== input) return;
    choices = found;
    chosen = -1;
    show();
  };
  // What was found for another text goes at once: nobody chooses from it while the answer is on its way.
  input.addEventListener("input", () => { close(); ask(); });
  input.addEventListener("focus", ask);
  input.addEventListener("blur", close);
  input.form?.addEventListener("submit", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      chosen = (chosen + step + choices.length + (chosen < 0 && step < 0 ? 1 : 0)) % choices.length;
      show();
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(chosen);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** One of `options` (`[{label, value}]`), which what is typed narrows. `choose` is told the choice. */
export function select(placeholder, options, choose) {
  const input = el("input", { autocomplete: "off", placeholder, "aria-label": placeholder });
  const shown = el("div", { class: "select" }, input);
  const fitting = async (typed) => options.filter((it) => it.label.toLowerCase().includes(typed.toLowerCase()));
  typeAhead(input, fitting, (it) => {
    input.value = "";
    input.placeholder = it.label;
    choose(it);
  });
  return shown;
}

/**
 * A modal with `fields` (`[{name, label, required, control, value()}]`). `send(values)` resolves to the errors by field, or
 * to nothing, which closes it.
 */
export function modal({ of, title, fields, submit, cancel, send }) {
  const dialog = el("dialog", { class: `of-${of}`, "aria-labelledby": "modal-title" });
  const wrong = new Map();
  const body = fields.map((field) => {
    const error = el("p", { class: "wrong", role: "alert", hidden: true });
    wrong.set(field.name, error);
    field.control.id ||= `field-${field.name}`;
    const label = el("label", { for: field.control.id }, field.label, field.required ? "" : " (optional)");
    const shown = el("div", { class: "field" }, label, field.control);
    queueMicrotask(() => field.ready?.());
    return [shown, error];
  });
  const form = el("form", {
    submit: async (event) => {
      event.preventDefault();
      const errors = await send(new Map(fields.map((it) => [it.name, it.value()])));
      if (!errors) return dialog.close();
      for (const [name, error] of wrong) {
        error.textContent = errors[name] ?? "";
        error.hidden = !errors[name];
      }
    },
  }, el("div", { class: "body" }, ...body), el("menu", {},
    el("button", { type: "button", click: () => dialog.close() }, cancel), el("button", { class: "primary" }, submit)));
  dialog.append(el("h3", { id: "modal-title" }, title), form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
