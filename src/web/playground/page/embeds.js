// Messages as Discord shows them: Markdown, embeds, components. https://docs.discord.com/developers/resources/message
import { el, link, mention, select } from "./dom.js";

/** The parts of a message. `act(component, values)` is told what was clicked, or which values of it were chosen. */
export function embeds(message, act) {
  return [
    message.content && el("div", {}, ...markdown(message.content)),
    ...(message.embeds ?? []).map((embed) => el("article", { class: "embed" },
      embed.title && el("p", { class: "heading", role: "heading", "aria-level": "3" }, ...inline(embed.title)),
      embed.description && el("div", {}, ...markdown(embed.description)),
      ...(embed.fields ?? []).map((it) => el("div", {}, el("b", {}, ...inline(it.name)), el("div", {}, ...markdown(it.value)))),
      embed.image && image(embed.image.url, message.attachments ?? []),
      embed.footer && el("footer", {}, embed.footer.text))),
    ...(message.components ?? []).map((row) => el("div", { class: "actions" }, ...row.components.map((it) => component(it, act)))),
  ];
}

/** The picture at `url`, which may be a file of the message's own: its description is read in its place. */
function image(url, attachments) {
  const file = attachments.find((it) => url === `attachment://${it.filename}`);
  return el("img", { src: file?.url ?? url, alt: file?.description ?? "" });
}

function component(it, act) {
  if (it.type === 3) return select(it.placeholder ?? "Choose", it.options, ({ value }) => act(it, [value]));
  const looks = { 1: "primary", 4: "danger" }[it.style] ?? "";
  if (it.url) return el("a", { class: looks, href: it.url, target: "_blank", rel: "noreferrer noopener" }, it.label);
  return el("button", { type: "button", class: looks, click: () => act(it) }, it.label);
}

function markdown(source) {
  const shown = [];
  const lines = source.split("\n");
  while (lines.length) {
    const line = lines.shift();
    const item = /^(\s*)[-*] (.*)$/.exec(line);
    const heading = /^#{1,3} (.*)$/.exec(line);
    if (line.startsWith("```")) {
      const code = [];
      const first = line.slice(3);
      while (lines.length && !lines[0].includes("```")) code.push(lines.shift());
      lines.shift();
      shown.push(el("pre", {}, [/^[a-z]*$/.test(first) ? [] : [first], code].flat().join("\n")));
    } else if (line.startsWith("-# ")) shown.push(el("p", { class: "small" }, ...inline(line.slice(3))));
    else if (heading) shown.push(el("p", { class: "heading" }, ...inline(heading[1])));
    else if (line.startsWith("> ")) shown.push(el("blockquote", {}, ...inline(line.slice(2))));
    else if (item) {
      const last = shown.at(-1);
      const list = last?.tagName === "UL" ? last : el("ul");
      list.append(el("li", {}, ...inline(item[2])));
      if (list !== last) shown.push(list);
    } else if (line.trim()) shown.push(el("p", {}, ...inline(line)));
  }
  return shown;
}

/** `\*` is a star; what stands between marks is shown as they say. */
function inline(source) {
  const marks = /\\([\s\S])|<@(\d+)>|`([^`]+)`|\[((?:\\.|[^\]\\])+)\]\(<?([^)>\s]+)>?\)|\*\*((?:\\.|[^\\])+?)\*\*|__((?:\\.|[^\\])+?)__|~~((?:\\.|[^\\])+?)~~|\*((?:\\.|[^*\\])+?)\*|_((?:\\.|[^_\\])+?)_/g;
  const shown = [];
  let done = 0;
  for (const match of source.matchAll(marks)) {
    shown.push(source.slice(done, match.index));
    const [all, escaped, person, code, label, url, bold, under, strike, ...italic] = match;
    if (escaped !== undefined) shown.push(escaped);
    else if (person !== undefined) shown.push(mention(person));
    else if (code !== undefined) shown.push(el("code", {}, code));
    else if (url !== undefined) shown.push(link(url, ...inline(label)));
    else if (bold !== undefined) shown.push(el("b", {}, ...inline(bold)));
    else if (under !== undefined) shown.push(el("u", {}, ...inline(under)));
    else if (strike !== undefined) shown.push(el("s", {}, ...inline(strike)));
    else shown.push(el("i", {}, ...inline(italic[0] ?? italic[1])));
    done = match.index + all.length;
  }
  shown.push(source.slice(done));
  return shown;
}
