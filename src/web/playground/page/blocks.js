// Block Kit as Slack shows it. https://docs.slack.dev/reference/block-kit
import { el, link, mention, select } from "./dom.js";

/** The blocks of a message. `act(element, block, option)` is told what was clicked, or which option of it was chosen. */
export function blocks(message, act) {
  if (!message.blocks?.length) return [mrkdwn(message.text ?? "")];
  return message.blocks.map((block) => show(block, act));
}

function show(block, act) {
  switch (block.type) {
    case "header": return el("p", { class: "heading", role: "heading", "aria-level": "3" }, text(block.text));
    case "divider": return el("hr");
    case "image": return el("figure", {}, block.title && el("figcaption", {}, text(block.title)), el("img", { src: block.image_url, alt: block.alt_text }));
    case "section": return el("div", { class: "section" },
      el("div", {}, block.text && text(block.text), block.fields && el("div", { class: "fields" }, ...block.fields.map((it) => el("div", {}, text(it))))),
      block.accessory && el("div", { class: "actions" }, element(block.accessory, block, act)));
    case "context": return el("div", { class: "context" }, ...block.elements.map((it) => it.type === "image" ? el("img", { src: it.image_url, alt: it.alt_text }) : text(it)));
    case "actions": return el("div", { class: "actions" }, ...block.elements.map((it) => element(it, block, act)));
    case "rich_text": return el("div", {}, ...block.elements.map(rich));
    default: return el("p", {}, `(a block of type ${block.type})`);
  }
}

function element(it, block, act) {
  if (it.type === "static_select") {
    const options = it.options.map((option) => ({ label: option.text.text, option }));
    return select(it.placeholder?.text ?? "Choose", options, ({ option }) => act(it, block, option));
  }
  if (it.type !== "button") return el("span", {}, `(an element of type ${it.type})`);
  const looks = it.style ?? "";
  if (it.url) return el("a", { class: looks, href: it.url, target: "_blank", rel: "noreferrer noopener" }, text(it.text));
  return el("button", { type: "button", class: looks, click: () => act(it, block) }, text(it.text));
}

/** A text object. */
export function text(object) {
  return object.type === "mrkdwn" ? mrkdwn(object.text) : el("span", {}, object.text);
}

function rich(it) {
  switch (it.type) {
    case "rich_text_section": return el("p", {}, ...it.elements.map(inline));
    case "rich_text_quote": return el("blockquote", {}, ...it.elements.map(inline));
    case "rich_text_preformatted": return el("pre", {}, ...it.elements.map(inline));
    case "rich_text_list": return el(it.style === "ordered" ? "ol" : "ul", {},
      ...it.elements.map((item) => el("li", {}, ...item.elements.map(inline))));
    default: return el("p", {}, `(rich text of type ${it.type})`);
  }
}

function inline(it) {
  const words = { link: it.text ?? it.url, channel: `#${it.channel_id}`, emoji: `:${it.name}:` }[it.type] ?? it.text ?? "";
  let shown = it.type === "link" ? link(it.url, words) : it.type === "user" ? mention(it.user_id) : document.createTextNode(words);
  const { bold, italic, strike, code } = it.style ?? {};
  if (code) shown = el("code", {}, shown);
  if (bold) shown = el("b", {}, shown);
  if (italic) shown = el("i", {}, shown);
  if (strike) shown = el("s", {}, shown);
  return shown;
}

/** Slack's own markup. https://docs.slack.dev/messaging/formatting-message-text */
function mrkdwn(source) {
  const shown = el("span");
  const marks = /<([^>|]+)(?:\|([^>]*))?>|`([^`\n]+)`|\*([^*\n]+)\*|_([^_\n]+)_|~([^~\n]+)~/g;
  let done = 0;
  for (const match of source.matchAll(marks)) {
    shown.append(plain(source.slice(done, match.index)));
    const [all, target, label, code, bold, italic, strike] = match;
    if (target !== undefined) shown.append(link(plain(target), plain(label ?? target)));
    else if (code !== undefined) shown.append(el("code", {}, plain(code)));
    else if (bold !== undefined) shown.append(el("b", {}, plain(bold)));
    else if (italic !== undefined) shown.append(el("i", {}, plain(italic)));
    else shown.append(el("s", {}, plain(strike)));
    done = match.index + all.length;
  }
  shown.append(plain(source.slice(done)));
  return shown;
}

function plain(escaped) {
  return escaped.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
