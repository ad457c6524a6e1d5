// Discord's side: what it sends to the bot, and what it shows of what the bot says.
// https://docs.discord.com/developers/interactions/receiving-and-responding
import { el, modal, typeAhead } from "./dom.js";
import { embeds } from "./embeds.js";
import { Pane, send } from "./pane.js";

const EPHEMERAL = 64;
const ONLY_YOU = "Only you can see this";

export class Discord extends Pane {
  constructor(section, here, company) {
    super(section, here);
    this.company = company;
    this.count = 0;
    /** By the interactions' tokens: the messages that answer them. */
    this.answers = new Map();
    /** By tokens: what the bot said before its answer to the interaction was here. */
    this.early = new Map();
    /** By their ids: messages that the bot posted. */
    this.messages = new Map();
    typeAhead(this.input, (text) => this.suggest(text), (it) => this.complete(it.value));
  }

  /** Somebody writes `text`. */
  async say(text) {
    const { person } = this.here();
    const mine = this.add({ from: person.name, body: [el("span", {}, text)] });
    const command = /^\/idp(?:\s+(.*))?$/s.exec(text);
    if (command) await this.command(command[1] ?? "help");
    return mine;
  }

  async command(text) {
    const { command, options } = this.read(text);
    await this.interact(2, { data: this.called(command, options) });
  }

  /** Every sub-command, those of groups among them: here nobody types the group. */
  commands() {
    const of = (it) => (it.type === 2 ? it.options.map((inner) => ({ ...inner, group: it.name })) : [it]);
    return this.company.commands[0].options.flatMap(of);
  }

  /** `text` as a sub-command with its options: in their order, or by name. What is no command's is a question. */
  read(text) {
    const words = [...text.matchAll(/"([^"]*)"|((?:[^\s"]|"[^"]*")+)/g)].map((it) => it[1] ?? it[2]);
    const commands = this.commands();
    const command = commands.find((it) => it.name === words[0]);
    if (!command) {
      const ask = commands.find((it) => it.name === "ask");
      return { command: ask, options: [{ ...ask.options[0], value: text }] };
    }
    const given = [];
    const free = [...(command.options ?? [])];
    for (let rest = words.slice(1); rest.length;) {
      const word = rest.shift();
      const name = /^--([\w-]+)$/.exec(word)?.[1];
      const place = name ? free.findIndex((it) => it.name === name) : 0;
      if (name && place >= 0) given.push({ ...free.splice(place, 1)[0], value: rest.shift() ?? "" });
      else if (!name && given.length && !free[0]?.required && given.at(-1).isLast) given.at(-1).value += ` ${word}`;
      else if (free.length && !name) {
        const option = free.shift();
        given.push({ ...option, value: word, isLast: !option.choices && !free[0]?.required });
      }
    }
    return { command, options: given };
  }

  called(command, options, focused) {
    const values = options.map(({ type, name, value }) => ({
      type, name, value: type === 3 || name === focused ? value : Number(value), ...(name === focused && { focused: true }),
    }));
    const one = { type: 1, name: command.name, options: values };
    const called = command.group ? { type: 2, name: command.group, options: [one] } : one;
    return { id: "1", name: this.company.commands[0].name, type: 1, options: [called] };
  }

  /** What fits `text` as far as it is typed: a sub-command, or what the bot suggests for the option at its end. */
  async suggest(text) {
    const typed = /^\/idp\s+(.*)$/s.exec(text)?.[1];
    if (typed === undefined) return "/idp ".startsWith(text) && text ? [{ label: "/idp", value: "/idp " }] : [];
    const commands = this.commands();
    const [first, ...rest] = typed.split(/\s+/);
    if (!rest.length) {
      const fit = commands.filter((it) => it.name.startsWith(first));
      return fit.map((it) => ({ label: `/idp ${it.name}: ${it.description}`, value: `/idp ${it.name} ` }));
    }
    const { command, options } = this.read(/\s$/.test(typed) ? `${typed}""` : typed);
    const last = options.at(-1);
    if (command.name !== first || !last) return [];
    const before = text.slice(0, text.length - rest.at(-1).length);
    const fill = (value) => `${before}${/\s/.test(value) ? `"${value}"` : value} `;
    if (last.choices?.length) return last.choices.filter((it) => it.name.startsWith(last.value)).map((it) => ({ label: it.name, value: fill(it.value) }));
    if (!last.autocomplete) return [];
    const said = await this.send(4, { data: this.called(command, options, last.name) });
    return said.data.choices.map((it) => ({ label: it.name, value: fill(it.value) }));
  }

  complete(text) {
    this.input.value = text;
    this.input.dispatchEvent(new Event("input"));
  }

  /** Sends an interaction, and shows what answers it. */
  async interact(type, more, clicked) {
    const token = `t${Date.now()}x${++this.count}`;
    const said = await this.send(type, more, token);
    switch (said.type) {
      case 4: this.show(said.data, token); break;
      case 5: this.show({ ...said.data, content: "idp is thinking…" }, token); break;
      case 6: this.answers.set(token, clicked); break;
      case 7: this.edit(clicked, this.body(said.data, clicked), "(edited)"); break;
      case 9: this.open(said.data); break;
    }
    const early = this.early.get(token) ?? [];
    this.early.delete(token);
    early.forEach((call) => this.calledBack(call));
  }

  send(type, more, token = `t${Date.now()}x${++this.count}`) {
    const { person, channel } = this.here();
    const id = this.id();
    const channel_id = this.channelId(channel);
    return send("discord/interactions", JSON.stringify({
      type, id, token, version: 1, application_id: this.company.discord.application_id, guild_id: this.company.discord.guild_id,
      channel_id, channel: { id: channel_id, type: 0, name: channel }, locale: "en-GB",
      member: { user: { id: person.discord_user_id, username: person.name }, roles: [] }, ...more,
    }));
  }

  open(data) {
    const fields = data.components.map(({ label, component }) => {
      const { type, custom_id, required } = component;
      const control = type === 3 ? choices(component) : el("input", { autocomplete: "off", maxlength: component.max_length, placeholder: component.placeholder, value: component.value, required });
      const state = (value) => ({ type, custom_id, ...(type === 3 ? { values: value ? [value] : [] } : { value }) });
      return { name: custom_id, label, required, control, value: () => control.value, state };
    });
    modal({
      of: "discord", title: data.title, submit: "Submit", cancel: "Cancel", fields,
      send: async (values) => {
        const components = fields.map((it) => ({ type: 18, component: it.state(values.get(it.name)) }));
        await this.interact(5, { data: { custom_id: data.custom_id, components } });
      },
    });
  }

  /** What the bot called of its own accord: the answer that it owed, a message, an edit of one, a thread below one. */
  calledBack({ method, path, body }) {
    const [, channel, id, thread] = /^channels\/(\d+)\/messages(?:\/(\d+))?(\/threads)?$/.exec(path) ?? [];
    const before = this.messages.get(id);
    if (channel && method === "POST" && !id) return this.post(channel, body);
    if (channel && method === "PATCH") return before && this.edit(before, this.body(body, before), "(edited)");
    if (thread) return before?.append(el("p", { class: "mark thread" }, `Thread: ${body.name}`));
    if (!path.startsWith("webhooks/")) return;
    const token = /^webhooks\/[^/]+\/([^/]+)/.exec(path)?.[1];
    const message = this.answers.get(token);
    if (!message) {
      this.early.set(token, [...(this.early.get(token) ?? []), { method, path, body }]);
      return;
    }
    const isFirst = message.isThinking;
    message.isThinking = false;
    if (method === "PATCH") this.edit(message, this.body(body, message), isFirst ? undefined : "(edited)");
    else this.show(body, token);
  }

  /** A message in `channel`, or in the thread below the message of this id. */
  post(channel, said) {
    const under = this.messages.get(channel) ?? this.messages.get(said.message_reference?.message_id);
    const person = this.company.people.find((it) => channel === `5${it.discord_user_id}`);
    const message = this.show(said, said.id, { under, mark: person && `Directly to ${person.name}`, channel: under ? undefined : this.named(channel) });
    message.id = `m${said.id}`;
    this.messages.set(said.id, message);
  }

  /** The id of the channel that is called so: the catalog's where it has one. */
  channelId(name) {
    const [ofCatalog] = Object.entries(this.company.channel_names).find(([id, it]) => /^\d+$/.test(id) && it === name) ?? [];
    return ofCatalog ?? `3${String(this.company.channels.indexOf(name) + 1).padStart(18, "0")}`;
  }

  /** The channel on the page that has this id; `undefined` where none has, and it is shown where one looks. */
  named(id) {
    return this.company.channels.find((it) => this.channelId(it) === id);
  }

  show(said, token, place = {}) {
    const isEphemeral = ((said.flags ?? 0) & EPHEMERAL) !== 0;
    const message = this.add({ from: "idp", isBot: true, mark: isEphemeral && ONLY_YOU, body: [], ...place });
    message.isEphemeral = isEphemeral;
    message.isThinking = Boolean(said.content) && !said.embeds;
    message.id = `m${this.id()}`;
    this.answers.set(token, message);
    this.edit(message, this.body(said, message));
    return message;
  }

  body(said, message) {
    return embeds(said, ({ custom_id, type }, values) => this.interact(3, {
      message: { id: message.id.slice(1), flags: message.isEphemeral ? EPHEMERAL : 0 }, data: { custom_id, component_type: type, ...(values && { values }) },
    }, message));
  }

  id() {
    return String((BigInt(Date.now()) << 12n) + BigInt(++this.count));
  }
}

/** A string select of a modal. */
function choices({ options, required }) {
  const shown = options.map((it) => el("option", { value: it.value, selected: it.default }, it.label));
  return el("select", { required }, el("option", { value: "" }, "Choose"), ...shown);
}
