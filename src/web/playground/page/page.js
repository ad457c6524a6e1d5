// The page: who is looking, where, and both windows.
import { Discord } from "./discord.js";
import { el, names } from "./dom.js";
import { DIRECT, Slack } from "./slack.js";

const by = (id) => document.getElementById(id);
const trouble = by("trouble");

async function company() {
  const answer = await fetch("company");
  if (!answer.ok) throw new Error(`the company answered ${answer.status}`);
  return answer.json();
}

/** Runs `work`, and says on the page what went wrong. */
async function guarded(work) {
  try {
    trouble.hidden = true;
    await work();
  } catch (error) {
    trouble.textContent = `That did not work: ${error.message}. Is idp still running?`;
    trouble.hidden = false;
  }
}

async function start() {
  const there = await company();
  for (const it of there.people) for (const id of [it.slack_user_id, it.discord_user_id]) names.set(id, it.name);
  by("person").append(...there.people.map((it, place) => el("option", { value: place }, it.name)));
  by("channel").append(...[...there.channels, DIRECT].map((it) => el("option", { value: it }, it === DIRECT ? it : `#${it}`)));
  const here = () => ({ person: there.people[by("person").value], channel: by("channel").value });
  const slack = new Slack(by("slack"), here, there);
  const discord = new Discord(by("discord"), here, there);
  const panes = [slack, discord];

  by("channel").addEventListener("change", () => panes.forEach((it) => it.turnTo(by("channel").value)));
  for (const pane of panes) {
    pane.section.querySelector(".composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = pane.input.value.trim();
      pane.input.value = "";
      if (text) guarded(() => pane.say(text));
    });
  }

  let asked = [];
  // One after the other: what changes while something is asked is asked behind it.
  let turn = Promise.resolve();
  const inTurn = (work) => { turn = turn.then(() => guarded(work)); };
  const ask = async () => {
    const text = by("question").value.trim();
    const last = panes.map((it) => it.list.lastElementChild);
    await Promise.all(panes.map((it) => it.say(`/idp ${text}`)));
    // All that came since: asked again, it goes, and the new answer stands in its place.
    asked = panes.flatMap((it, place) => {
      const all = [...it.list.children];
      return all.slice(all.indexOf(last[place]) + 1);
    });
  };
  by("both").addEventListener("submit", (event) => { event.preventDefault(); inTurn(ask); });

  const events = new EventSource("events");
  events.addEventListener("call", ({ data }) => guarded(async () => {
    const call = JSON.parse(data);
    if (call.platform === "slack") slack.called(call);
    else discord.calledBack(call);
  }));
  events.addEventListener("changed", () => inTurn(async () => {
    Object.assign(there, await company());
    if (!by("again").checked || !asked.length) return;
    asked.forEach((it) => it.remove());
    await ask();
  }));
  events.addEventListener("open", () => document.body.setAttribute("data-ready", ""));
}

guarded(start);
