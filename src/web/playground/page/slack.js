// Slack's side: what it sends to the bot, and what it shows of what the bot says.
import { blocks } from "./blocks.js";
import { el, modal, typeAhead } from "./dom.js";
import { Pane, send } from "./pane.js";

const ONLY_YOU = "Only visible to you";
const IN_DIRECT = "In your direct messages";
const DIRECT = "Direct message to idp";

export class Slack extends Pane {
  constructor(section, here, company) {
    super(section, here);
    this.company = company;
    this.count = 0;
    /** By the ids of their `response_url`s: what they answer. */
    this.asked = new Map();
    /** By their `ts`. */
    this.messages = new Map();
  }

  /** Somebody writes `text`. */
  async say(text) {
    const { person } = this.here();
    const command = /^\/idp(?:\s+(.*))?$/s.exec(text);
    const mention = /^@idp\b\s*(.*)$/s.exec(text);
    const mine = this.add({ from: person.name, body: [el("span", {}, text)] });
    mine.ts = this.ts();
    this.messages.set(mine.ts, mine);
    if (command) return this.command(command[1] ?? "", mine);
    if (mention || this.here().channel === DIRECT) await this.event(mention ? `<@${this.company.slack.bot_user_id}> ${escaped(mention[1])}` : escaped(text), mine);
  }

  /** https://docs.slack.dev/interactivity/implementing-slash-commands */
  async command(text, mine) {
    const { person } = this.here();
    const channel = this.channel();
    const responder = this.responder({ channel });
    const form = new URLSearchParams({
      team_id: this.company.slack.team_id, team_domain: "playground", channel_id: channel.id, channel_name: channel.name,
      user_id: person.slack_user_id, user_name: person.name, command: "/idp", text, api_app_id: "A0PLAYGROUND",
      is_enterprise_install: "false", response_url: responder, trigger_id: this.trigger(),
    });
    const said = await send("slack/commands", form, "application/x-www-form-urlencoded");
    if (said.blocks || said.text) this.show(said);
    return mine;
  }

  /** https://docs.slack.dev/apis/events-api */
  async event(text, mine) {
    const { person } = this.here();
    const channel = this.channel();
    const event = { user: person.slack_user_id, text, ts: mine.ts, channel: channel.id };
    const kind = channel.name === "directmessage" ? { type: "message", channel_type: "im" } : { type: "app_mention" };
    await send("slack/events", JSON.stringify({
      type: "event_callback", event_id: `Ev${Date.now()}${++this.count}`, team_id: this.company.slack.team_id,
      api_app_id: "A0PLAYGROUND", event: { ...event, ...kind },
    }));
  }

  /** https://docs.slack.dev/reference/interaction-payloads/block_actions-payload */
  async click({ type, action_id, value, text }, { block_id }, message, selected_option) {
    const said = selected_option ? { selected_option } : { value, text };
    const channel = this.channel();
    await this.interaction({
      type: "block_actions", channel, response_url: this.responder({ channel, message }),
      container: {
        type: "message", message_ts: message.ts, channel_id: channel.id, is_ephemeral: message.isEphemeral,
        ...(message.under && { thread_ts: message.under.ts }),
      },
      actions: [{ type, action_id, block_id, ...said, action_ts: this.ts() }],
    });
  }

  /** https://docs.slack.dev/surfaces/modals */
  open(view) {
    const fields = view.blocks.filter((it) => it.type === "input").map((block) => this.field(view, block));
    modal({
      of: "slack", title: view.title.text, submit: view.submit.text, cancel: view.close.text, fields,
      send: async (values) => {
        const states = fields.map((it) => [it.name, { [it.action]: it.state(values.get(it.name)) }]);
        const said = await this.interaction({
          type: "view_submission", view: { ...view, id: "V0PLAYGROUND", state: { values: Object.fromEntries(states) } },
        });
        return said.response_action === "errors" ? said.errors : undefined;
      },
    });
  }

  field(view, block) {
    const { element } = block;
    const field = { name: block.block_id, action: element.action_id, label: block.label.text, required: !block.optional };
    const option = (value) => value ? { selected_option: { text: { type: "plain_text", text: value }, value } } : { selected_option: null };
    if (element.type === "static_select") {
      const options = element.options.map((it) => el("option", { value: it.value, selected: it.value === element.initial_option?.value }, it.text.text));
      const control = el("select", {}, block.optional || !element.initial_option ? el("option", { value: "" }, "Choose") : "", ...options);
      return { ...field, control, value: () => control.value, state: (value) => ({ type: element.type, ...option(value) }) };
    }
    const control = el("input", { autocomplete: "off", maxlength: element.max_length, value: element.initial_value ?? element.initial_option?.text.text });
    if (element.type === "plain_text_input") {
      return { ...field, control, value: () => control.value, state: (value) => ({ type: element.type, value: value || null }) };
    }
    // What is typed and not chosen is no choice.
    let chosen = element.initial_option?.value ?? "";
    control.addEventListener("input", () => { chosen = ""; });
    const suggest = async (typed) => {
      const { options = [] } = await this.interaction({
        type: "block_suggestion", value: typed, action_id: element.action_id, block_id: block.block_id, view,
      });
      return options.map((it) => ({ label: it.text.text, value: it.value }));
    };
    const ready = () => typeAhead(control, suggest, (it) => { control.value = it.label; chosen = it.value; });
    return { ...field, control, ready, value: () => chosen, state: (value) => ({ type: element.type, ...option(value) }) };
  }

  async interaction(payload) {
    const { person } = this.here();
    const team_id = this.company.slack.team_id;
    const whole = { team: { id: team_id, domain: "playground" }, user: { id: person.slack_user_id, team_id }, trigger_id: this.trigger(), api_app_id: "A0PLAYGROUND", ...payload };
    const form = new URLSearchParams({ payload: JSON.stringify(whole) });
    return send("slack/interactions", form, "application/x-www-form-urlencoded");
  }

  /** What the bot called of its own accord. */
  called({ method, path, body }) {
    if (method === "views.open") return this.open(body.view);
    if (method === "files.completeUploadExternal") return this.share(body);
    if (method === "chat.update") {
      const message = this.messages.get(body.ts);
      return message && this.edit(message, this.body(body, message), "(edited)");
    }
    if (method === "response_url") {
      const { message } = this.asked.get(path) ?? {};
      if (body.replace_original && message) return this.edit(message, this.body(body, message), "(edited)");
      return this.show(body);
    }
    const isEphemeral = method === "chat.postEphemeral";
    const isDirect = !isEphemeral && /^[DU](?!0PLAYGROUND$)/.test(body.channel);
    const mark = isDirect && this.directly(body.channel);
    this.show({ ...body, mark, in: isDirect ? DIRECT : this.named(body.channel), response_type: isEphemeral ? "ephemeral" : "in_channel" });
  }

  /** A file that was shared: with a channel, or with a person, who finds it among the direct messages. */
  share({ channels, thread_ts, ts, files }) {
    const blocks = files.map((it) => ({ type: "image", title: { type: "plain_text", text: it.title }, image_url: it.url, alt_text: it.alt }));
    const message = this.show({ response_type: "in_channel", mark: channels.startsWith("U") && IN_DIRECT, thread_ts, ts, blocks });
    // Before a picture is there its message is a line.
    for (const image of message.querySelectorAll("img")) image.addEventListener("load", () => message.scrollIntoView({ block: "nearest" }));
  }

  show(said) {
    const isEphemeral = said.response_type !== "in_channel";
    const under = this.messages.get(said.thread_ts);
    const message = this.add({ from: "idp", isBot: true, mark: said.mark || (isEphemeral && ONLY_YOU), body: [], under, channel: under ? undefined : said.in });
    message.ts = said.ts ?? this.ts();
    message.isEphemeral = isEphemeral;
    this.messages.set(message.ts, message);
    this.edit(message, this.body(said, message));
    return message;
  }

  body(said, message) {
    return blocks(said, (element, block, option) => this.click(element, block, message, option));
  }

  channel() {
    const { channel } = this.here();
    return channel === DIRECT ? { id: "D0PLAYGROUND", name: "directmessage" } : { id: this.id(channel), name: channel };
  }

  /** The id of the channel that is called so. */
  id(name) {
    const [ofCatalog] = Object.entries(this.company.channel_names).find(([id, it]) => id.startsWith("C") && it === name) ?? [];
    return ofCatalog ?? `C0${name.toUpperCase().replace(/[^A-Z0-9]/g, "")}`;
  }

  /** The channel on the page that has this id or name; `undefined` where none has, and it is shown where one looks. */
  named(channel) {
    if (channel === "D0PLAYGROUND") return DIRECT;
    return this.company.channels.find((it) => it === channel || this.id(it) === channel);
  }

  /** Who alone reads what is in `channel`. */
  directly(channel) {
    const person = this.company.people.find((it) => it.slack_user_id.slice(1) === channel.slice(1));
    return person ? `Directly to ${person.name}` : IN_DIRECT;
  }

  /** A `response_url` that leads back here. */
  responder(asked) {
    const id = `r${Date.now()}x${++this.count}`;
    this.asked.set(id, asked);
    return new URL(`slack/respond/${id}`, document.baseURI).href;
  }

  trigger() {
    return `${Date.now()}.${++this.count}.playground`;
  }

  ts() {
    return `${Math.floor(Date.now() / 1000)}.${String(++this.count).padStart(6, "0")}`;
  }
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export { DIRECT };
