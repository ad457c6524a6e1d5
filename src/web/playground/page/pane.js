// One platform's window: its messages and who wrote them.
import { el } from "./dom.js";

export class Pane {
  /** `section` is the window; `here()` says who is looking, and in which channel: `{person, channel}`. */
  constructor(section, here) {
    this.section = section;
    this.here = here;
    this.list = section.querySelector(".messages");
    this.input = section.querySelector(".composer input");
  }

  /** Adds a message to `channel`; what is behind it can be set anew by `edit`. */
  add({ from, isBot = false, mark, body, under, channel = under?.dataset.channel ?? this.here().channel }) {
    const initials = from.split(" ").map((it) => it[0]).join("").slice(0, 2);
    const content = el("div", { class: "content" }, ...body);
    const message = el("article", { class: `message${isBot ? " bot" : ""}${under ? " reply" : ""}`, "data-channel": channel },
      el("div", { class: "avatar", "aria-hidden": "true" }, initials),
      el("div", {}, el("span", { class: "who" }, from), isBot && el("span", { class: "app" }, "APP"),
        el("time", { class: "when" }, new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        mark && el("span", { class: "mark" }, mark), content));
    if (under) this.lastOf(under).after(message);
    else this.list.append(message);
    message.hidden = channel !== this.here().channel;
    message.under = under;
    message.scrollIntoView({ block: "nearest" });
    return message;
  }

  /** Shows `body` in the place of what `message` said. */
  edit(message, body, mark) {
    message.querySelector(".content").replaceChildren(...body.filter(Boolean));
    if (mark && !message.querySelector(".edited")) message.querySelector(".when").after(el("span", { class: "mark edited" }, mark));
    message.scrollIntoView({ block: "nearest" });
  }

  /** The last message of the thread below `first`. */
  lastOf(first) {
    let last = first;
    while (last.nextElementSibling?.under === first) last = last.nextElementSibling;
    return last;
  }

  /** Shows the messages of `channel` alone. */
  turnTo(channel) {
    for (const message of this.list.children) message.hidden = message.dataset.channel !== channel;
  }
}

/** Sends `body` to `path` below the page; its answer as JSON, `{}` where there is none. */
export async function send(path, body, kind = "application/json") {
  const answer = await fetch(path, { method: "POST", headers: { "content-type": kind }, body });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : {};
}
