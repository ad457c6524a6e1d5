// What a newcomer does on the playground, in Chromium: `node playground.mjs URL PORTAL PICTURES`.
import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, portal, pictures] = process.argv.slice(2);
// On a busy machine idp looks at the portal less often: a saved file is noticed late.
const PATIENCE_MS = 90_000;
await mkdir(pictures, { recursive: true });

/** The status that `path` answers with when it is asked for by the name `host`. */
function status(path, host) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    http.get({ hostname, port, path, headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).on("error", reject);
  });
}

const { host, pathname } = new URL(url);
assert.equal(await status(pathname, host), 200, "the address in the greeting opens the page");
assert.equal(await status(pathname.replace(/[0-9a-f]{32}/, "0".repeat(32)), host), 404, "another token opens nothing");
assert.equal(await status(pathname, "playground.example"), 404, "another site's name for this machine opens nothing");
assert.equal(await status(`${pathname}company`, "playground.example"), 404);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(PATIENCE_MS);
const wrong = [];
page.on("pageerror", (error) => wrong.push(String(error)));
page.on("console", (said) => said.type() === "error" && wrong.push(said.text()));
page.on("request", (asked) => assert.ok(asked.url().startsWith(url), `the page asked for ${asked.url()}`));

const picture = (name) => page.screenshot({ path: join(pictures, `${name}.png`) });
const pane = (platform) => page.locator(`#${platform}`);
const last = (platform) => pane(platform).locator(".message:visible").last();
const says = async (platform, text) => {
  const message = pane(platform).locator(".message.bot:visible", { hasText: text }).last();
  await message.waitFor();
  return message;
};
const write = async (platform, text) => {
  await page.locator(`#${platform}-text`).fill(text);
  await page.locator(`#${platform}-text`).press("Enter");
};

process.on("uncaughtException", async (error) => {
  console.error(error, wrong);
  await picture("failure");
  process.exit(1);
});
await page.goto(url);
await page.locator("body[data-ready]").waitFor();

// The same question on both, by keyboard alone.
await page.getByLabel("Ask both").focus();
await page.keyboard.press("Enter");
for (const platform of ["slack", "discord"]) {
  const answer = await says(platform, "is owned by");
  assert.match(await answer.innerText(), /Payment API/);
  assert.match(await answer.innerText(), /#payment-api/);
}
await picture("1-owner");

// Each on its own, then a button.
for (const platform of ["slack", "discord"]) {
  await write(platform, "/idp owner payment-api");
  const answer = await says(platform, "is owned by");
  await answer.getByRole("button", { name: "Dependents" }).click();
  await says(platform, /13 .*depend/);
}
await picture("2-dependents");

// A picture, with what it shows in words, on both.
for (const platform of ["slack", "discord"]) {
  await write(platform, "/idp graph payment-api");
  await says(platform, "depend on it");
  const image = pane(platform).locator(".message.bot:visible img").last();
  await image.waitFor();
  await page.waitForFunction((it) => it.complete && it.naturalWidth > 0, await image.elementHandle());
  assert.match(await image.getAttribute("alt"), /Checkout needs/);
}
await picture("3-graph");

// A refusal offers what was meant.
for (const platform of ["slack", "discord"]) {
  await write(platform, "/idp who owns chekout?");
  const answer = await says(platform, "Did you mean");
  await answer.getByRole("button").first().click();
  await says(platform, "Checkout");
}

// What a team owns is too much for buttons: one is chosen from a select, by keyboard alone.
for (const platform of ["slack", "discord"]) {
  await write(platform, "/idp list --team payments");
  const select = (await says(platform, "19 entities")).getByRole("combobox", { name: "Choose…" });
  await select.focus();
  const option = pane(platform).getByRole("option", { name: "ledger-events" });
  await option.waitFor();
  if (platform === "discord") await picture("4-select");
  await select.press("ArrowDown");
  assert.equal(await option.getAttribute("aria-selected"), "true");
  await select.press("Enter");
  await option.waitFor({ state: "hidden" });
  await says(platform, /^(?!.*19 entities).*Every booking, as an event/s);
}

// Slack: a form with a type-ahead, an error at its field, then an answer.
await write("slack", "/idp path");
await (await says("slack", "Fill in")).getByRole("button", { name: "Fill in" }).click();
const form = page.getByRole("dialog");
await form.waitFor();
const choose = async (field, typed, choice) => {
  const input = form.getByLabel(field, { exact: false });
  await input.fill(typed);
  await form.getByRole("option", { name: choice }).first().waitFor();
  await input.press("ArrowDown");
  await input.press("Enter");
};
await choose("from", "web-sh", /web-shop/);
await choose("to", "ledger", /ledger/);
await picture("5-slack-form");
await form.getByRole("button", { name: "Ask" }).click();
await form.waitFor({ state: "detached" });
await says("slack", /Ledger/i);

// Discord: a type-ahead in the command, and a form.
await page.locator("#discord-text").fill("/idp owner paym");
await pane("discord").getByRole("option", { name: /payment/i }).first().waitFor();
await picture("6-discord-type-ahead");
await page.locator("#discord-text").press("ArrowDown");
await page.locator("#discord-text").press("Enter");
assert.match(await page.locator("#discord-text").inputValue(), /^\/idp owner "?payment/i);
await page.locator("#discord-text").press("Escape");
await page.locator("#discord-text").press("Enter");
await says("discord", "is owned by");
await write("discord", "/idp path");
await (await says("discord", "Fill in")).getByRole("button", { name: "Fill in" }).click();
await form.waitFor();
await form.getByLabel("from").fill("web-shop");
await form.getByLabel("to").fill("ledger");
await picture("7-discord-form");
await form.getByRole("button", { name: "Submit" }).click();
await form.waitFor({ state: "detached" });
await says("discord", /Ledger/i);

await write("discord", "/idp dependents");
// The answer to this, not the one before.
await (await says("discord", /dependents[^]*Fill in/)).getByRole("button", { name: "Fill in" }).click();
await form.waitFor();
await form.getByLabel("entity").fill("payment-api");
const teams = form.getByLabel("team");
assert.ok(await teams.locator("option").count() > 5, "the teams are listed");
await teams.selectOption("payments");
await picture("8-discord-select");
await form.getByRole("button", { name: "Submit" }).click();
await form.waitFor({ state: "detached" });
await says("discord", /depend.*team Payments/i);

// A mention is answered in its thread.
await write("slack", "@idp who owns payment-api?");
await pane("slack").locator(".message.bot.reply", { hasText: "is owned by" }).waitFor();

// Somebody else, elsewhere: who they are is known, and the other channel's messages are not here.
await page.getByLabel("Person").selectOption({ index: 0 });
await page.getByLabel("Channel").selectOption({ index: 1 });
assert.equal(await pane("slack").locator(".message:visible").count(), 0);
for (const platform of ["slack", "discord"]) {
  await write(platform, "/idp whoami");
  await says(platform, (await page.getByLabel("Person").locator("option:checked").innerText()).trim());
}
await picture("9-whoami");

// An author saves a command file, and the answer changes on the page.
const file = join(portal, "commands", "greeting.yaml");
const command = (text) => `name: greeting\nsummary: Say something\nlookup: help\ntemplate: |\n  ${text}\nexamples:\n  - say: greeting\n`;
await mkdir(join(portal, "commands"), { recursive: true });
await page.getByLabel("Ask again").check();
await page.getByLabel("Ask both").fill("greeting");
await page.getByLabel("Ask both").press("Enter");
for (const text of ["Good morning", "Good evening"]) {
  await writeFile(file, command(text));
  for (const platform of ["slack", "discord"]) await says(platform, text);
}
assert.equal(await page.getByText("Good morning").count(), 0, "the new answer stands in the place of the old one");
await picture("10-preview");
await rm(file);

// A digest, as its team would read it now.
await page.getByLabel("Ask again").uncheck();
const asked = { slack: "/idp digest preview weekly payments", discord: "/idp preview the weekly digest of payments" };
for (const platform of ["slack", "discord"]) {
  await write(platform, asked[platform]);
  const answer = await says(platform, "Cheapest next step");
  assert.match(await answer.innerText(), /Payments: Your week[^]*Production readiness[^]*on average/);
  await answer.getByRole("button", { name: "Snooze for a week" }).waitFor();
}
await picture("11-digest");

// What the bot has Slack post later comes at its time, unless the bot takes it back.
await page.evaluate(async () => {
  const call = async (method, body) => {
    const headers = { "content-type": "application/json" };
    return (await fetch(`slack/api/${method}`, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  const [post_at, text] = [Math.floor(Date.now() / 1000) + 2, "It is time"];
  const { scheduled_message_id } = await call("chat.scheduleMessage", { channel: "C", post_at, text: "Never mind" });
  await call("chat.scheduleMessage", { channel: "C", post_at, text, blocks: [{ type: "section", text: { type: "mrkdwn", text } }] });
  await call("chat.deleteScheduledMessage", { channel: "C", scheduled_message_id });
});
await says("slack", "It is time");
assert.equal(await page.getByText("Never mind").count(), 0);

// What the bot posts is edited in place, says whom it means, and has its thread below it.
const name = await page.evaluate(async () => {
  const call = async (method, path, body) => {
    const headers = { "content-type": "application/json" };
    return (await fetch(path, { method, headers, body: JSON.stringify(body) })).json();
  };
  const { people: [{ name, slack_user_id, discord_user_id }] } = await (await fetch("company")).json();
  const user = { type: "user", user_id: slack_user_id };
  const blocks = (text) => ({ blocks: [{ type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text }, user] }] }] });
  const posted = await call("POST", "slack/api/chat.postMessage", { channel: "C", ...blocks("Asked of ") });
  await call("POST", "slack/api/chat.update", { channel: posted.channel, ts: posted.ts, ...blocks("Approved by ") });
  await call("POST", "slack/api/chat.postMessage", { channel: posted.channel, thread_ts: posted.ts, ...blocks("It runs for ") });
  const embeds = (text) => ({ embeds: [{ description: `${text}<@${discord_user_id}>` }] });
  const { id } = await call("POST", "discord/api/channels/1/messages", embeds("Asked of "));
  await call("PATCH", `discord/api/channels/1/messages/${id}`, embeds("Approved by "));
  await call("POST", `discord/api/channels/1/messages/${id}/threads`, { name: "Restart payment-api" });
  await call("POST", `discord/api/channels/${id}/messages`, embeds("It runs for "));
  return name;
});
for (const platform of ["slack", "discord"]) {
  const card = await says(platform, `Approved by @${name}`);
  assert.match(await card.innerText(), /\(edited\)/);
  await pane(platform).locator(".message.bot.reply", { hasText: `It runs for @${name}` }).waitFor();
}
assert.equal(await page.getByText("Asked of").count(), 0, "the last state stands in the place of the first");
await pane("discord").getByText("Thread: Restart payment-api").waitFor();
await picture("12-card");

// A developer asks for a restart, an owner denies it with a reason; asked again, an owner and who is on call approve it,
// and it is done: on both.
const as = (name) => page.getByLabel("Person").selectOption({ label: name });
const fills = async (label, text) => {
  await form.waitFor();
  await form.getByLabel(label).first().fill(text);
  await form.getByRole("button", { name: /Ask|Submit/ }).click();
  await form.waitFor({ state: "detached" });
};
for (const platform of ["slack", "discord"]) {
  const asks = async (reason, before) => {
    await as("Priya Raman");
    await write(platform, `/idp run restart payment-api reason="${reason}"`);
    const answer = await says(platform, new RegExp(`Request (?!${before} )\\d+ waits for approval, 0 of 2`));
    return Number(/Request (\d+)/.exec(await answer.innerText())[1]);
  };
  const card = (id, standing) => says(platform, new RegExp(`Request ${id}: Restart[^]*${standing}`));
  const denied = await asks(`too many errors on ${platform}`, 0);
  await as("Zoé Laurent");
  await (await card(denied, "waits")).getByRole("button", { name: "Deny" }).click();
  await fills("Why", "The traffic is at its peak");
  await card(denied, "denied[^]*The traffic is at its peak");
  const id = await asks(`too many errors again on ${platform}`, denied);
  assert.ok(id > denied);
  await as("Zoé Laurent");
  await (await card(id, "waits")).getByRole("button", { name: "Approve" }).click();
  const half = await card(id, "1 of 2");
  const [, onCall] = /person on call: @?([^\n]+)/.exec(await half.innerText());
  await as(onCall.trim());
  await half.getByRole("button", { name: "Approve" }).click();
  await card(id, "succeeded");
  await pane(platform).locator(".message.bot.reply:visible", { hasText: "succeeded" }).last().waitFor();
}
await picture("13-approved");

// On a phone nothing is cut off.
await page.setViewportSize({ width: 390, height: 844 });
const width = await page.evaluate(() => document.documentElement.scrollWidth);
assert.ok(width <= 390, `the page is ${width} wide`);
await picture("14-phone");

assert.deepEqual(wrong, []);
await browser.close();
console.log(`REL PLAYGROUND 14 pictures, 0 errors on the page`);
