// A person before the page: looks, reads, searches, retries, holds, deletes, with a mouse and without one. What is not as it
// should be ends the program with an error.
import {createRequire} from "node:module";
import {join} from "node:path";
import {readFileSync} from "node:fs";
import assert from "node:assert/strict";

const {chromium} = createRequire(join(process.env.SPOOLGORE_MODULES, "x.js"))("playwright-core");
const [program, url, emptyURL, secretURL, shots] = process.argv.slice(2);
// Axe looks for what keeps people with a screen reader or a keyboard out. Without it nothing is looked for.
let axe = "";
try { axe = readFileSync(join(process.env.SPOOLGORE_MODULES, "axe-core", "axe.min.js"), "utf8"); } catch { console.log("LEFT OUT: axe-core is not installed"); }
const browser = await chromium.launch({executablePath: program, args: ["--no-sandbox"]});

// open opens a page of which nothing may go elsewhere or complain.
async function open(at, options = {}) {
	const context = await browser.newContext({viewport: {width: 1280, height: 960}, ...options});
	context.setDefaultTimeout(120000); // on a busy machine too
	const page = await context.newPage();
	const wrong = [];
	page.on("request", r => { if (!r.url().startsWith(at) && !r.url().startsWith("data:")) wrong.push("request to " + r.url()); });
	page.on("console", m => { if (["error", "warning"].includes(m.type())) wrong.push("console: " + m.text()); });
	page.on("pageerror", e => wrong.push("error: " + e.message));
	page.on("dialog", d => { wrong.push("dialog: " + d.message()); d.dismiss(); });
	await page.goto(at, {waitUntil: "networkidle"});
	page.done = async () => {
		assert.equal(await page.evaluate(() => window.owned), undefined, "something in a message was run");
		assert.deepEqual(wrong, []);
		await context.close();
	};
	return page;
}
const text = (page, id) => page.locator("#" + id).innerText();
// shot makes a screenshot, in which the spool directory has its usual name.
async function shot(page, name, options = {}) {
	const dir = await page.evaluate(() => {
		const dir = document.getElementById("dir"), was = dir?.textContent;
		if (dir) dir.textContent = "/var/spool/spoolgore";
		return was;
	});
	await page.screenshot({path: join(shots, name + ".png"), ...options});
	await page.evaluate((was) => { const dir = document.getElementById("dir"); if (dir) dir.textContent = was; }, dir);
}
async function fits(page, what) {
	const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
	assert.ok(inner <= outer, `${what}: ${inner} pixels do not fit into ${outer}`);
}
// accessible fails if axe finds something in the page as it is now.
async function accessible(page, what) {
	if (!axe) return;
	const found = await page.evaluate(async code => {
		const frame = new Function(code + "; return axe"); // not by a script element, which the policy of the page forbids
		const result = await (window.axe || frame.call(window)).run(document, {resultTypes: ["violations"]});
		return result.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 120) + " " + n.failureSummary).join(" | "));
	}, axe);
	assert.deepEqual(found, [], what);
}
async function turn(page, name) {
	await page.locator("#tabs button", {hasText: name}).click();
	await page.waitForLoadState("networkidle");
}

// What is there, in light and dark.
let page = await open(url);
assert.match(await text(page, "waiting"), /^7\d$/);
assert.equal(await text(page, "failed"), "2");
assert.equal(await text(page, "rate"), "312");
assert.match(await text(page, "word"), /1 relay unavailable/);
assert.match(await text(page, "relays"), /mail\.example\.com:587[\s\S]*authentication failed[\s\S]*next attempt in[\s\S]*backup\.example\.net:25/);
await page.locator("#reasons", {hasText: "Greylisted"}).waitFor(); // the messages are counted beside the page
assert.match(await text(page, "reasons"), /Greylisted[\s\S]*over quota/);
assert.match(await text(page, "domains"), /gmail\.example/);
assert.ok(await page.locator("#chart rect").count() > 50, "the chart shows what went through");
await page.locator("#chart").hover({position: {x: 700, y: 80}});
assert.match(await text(page, "reading"), /in the spool; .* sent/);
await page.evaluate(() => scrollTo(0, 0));
await shot(page, "light");
await shot(page, "page", {clip: {x: 0, y: 0, width: 1280, height: 640}}); // docs/page.png
const aboveTheFold = await page.evaluate(() => document.querySelectorAll("#rows tr")[2].getBoundingClientRect().bottom);
assert.ok(aboveTheFold < 800, "three messages are above the fold of 1280 x 800: " + aboveTheFold);
await accessible(page, "the page");
await page.evaluate(() => document.getElementById("chart").scrollIntoView());
await shot(page, "light-activity");
await page.evaluate(() => scrollTo(0, 0));
await page.locator("#range button", {hasText: "24 h"}).click();
await page.emulateMedia({colorScheme: "dark"});
await shot(page, "dark");
await accessible(page, "the dark page");
await page.emulateMedia({colorScheme: "light"});
for (const width of [1100, 900, 700, 360]) {
	await page.setViewportSize({width, height: 900});
	await page.waitForTimeout(100);
	await fits(page, "at " + width);
}
await page.setViewportSize({width: 1280, height: 900});

// A click on a reason or a domain filters the list, another one ends that. All that match can be selected.
await page.locator("#domains button", {hasText: "gmail.example"}).click();
await page.waitForFunction(() => /Domain: gmail\.example/.test(document.getElementById("filters").textContent) && [...document.querySelectorAll("#rows .who")].every(w => /gmail\.example/.test(w.title)));
await page.locator("#reasons button", {hasText: "over quota"}).click();
await page.waitForFunction(() => document.querySelectorAll("#filters button").length === 2);
await shot(page, "filtered");
for (const left of [1, 0]) {
	await page.locator("#filters button").first().click();
	await page.waitForFunction(n => document.querySelectorAll("#filters button").length === n, left);
}
await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 50);
await page.locator("#all").check();
assert.match(await text(page, "picked"), /^50 messages selected$/);
await page.locator("#more").click();
assert.match(await text(page, "picked"), /^All 7\d messages that match selected$/);
await page.locator("#bar [data-act=delete]").click();
await page.waitForFunction(() => /Delete 7\d messages\?/.test(document.getElementById("sure-title").textContent));
await page.locator("#keep").click();
await page.locator("#bar [data-act=none]").click();
assert.equal(await page.locator("#rows input:checked").count(), 0);
await turn(page, "Unusable");
await page.waitForFunction(() => /junk/.test(document.getElementById("rows").textContent)); // by its name
await turn(page, "Queued");
await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 50);

// Pages of rows, and the search.
assert.equal(await page.locator("#rows tr").count(), 50);
await page.locator("#after").click();
await page.waitForFunction(() => document.getElementById("place").textContent.startsWith("51 to"));
await page.keyboard.press("/");
assert.equal(await page.evaluate(() => document.activeElement.id), "search");
await page.keyboard.type("Invoice");
await page.waitForFunction(() => /No message here has “Invoice”/.test(document.getElementById("empty").textContent));
await shot(page, "search-none");
await page.locator("#search").fill("full@EXAMPLE.org");
await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 1);
assert.match(await page.locator("#rows").innerText(), /Invoice 2026-1187/);

// Inside a message with HTML and an attachment, by keyboard alone.
await page.locator("#search").blur();
await page.keyboard.press("j");
await page.keyboard.press("Enter");
await page.waitForFunction(() => /invoice\.pdf/.test(document.getElementById("content").textContent));
assert.match(await text(page, "content"), /Invoice\nDear Ann, please find the invoice attached\./);
assert.equal(await page.locator("#content img, #content script, #content iframe").count(), 0);
await shot(page, "inside");
await accessible(page, "inside a message");
await page.emulateMedia({colorScheme: "dark"});
await shot(page, "inside-dark");
await page.emulateMedia({colorScheme: "light"});
await page.keyboard.press("Escape");
assert.equal(await page.locator("#inside[open]").count(), 0);

// Hold one by keyboard: from its subject on to the second button of its row.
await page.locator("#search").fill("held-by-key");
await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 1 && /db-3/.test(document.getElementById("rows").textContent));
await page.locator("#search").blur();
await page.keyboard.press("j");
await page.keyboard.press("Tab");
await page.keyboard.press("Tab");
assert.match(await page.evaluate(() => document.activeElement.ariaLabel), /^Hold: Disk on db-3/);
await page.keyboard.press("Enter");
await page.waitForFunction(() => /1 message held/.test(document.getElementById("said").textContent));
await page.locator("#search").fill("");
await turn(page, "Held");
await page.waitForFunction(() => { // and not the row of the list before
	const rows = document.getElementById("rows").textContent;
	return /db-3/.test(rows) && /Release/.test(rows);
});

// What has failed: hostile values are text, one is deleted after a question, one is tried again.
await turn(page, "Failed");
await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 2 || document.querySelectorAll("#rows tr").length === 3)
	.catch(async err => { throw new Error(err + "; the rows are:\n" + await page.locator("#rows").innerText()); });
assert.match(await page.locator("#rows").innerText(), /User unknown in virtual mailbox table/);
await shot(page, "failed", {fullPage: true});
const doomed = page.locator("#rows tr", {hasText: "20261123-778"});
await doomed.getByRole("button", {name: /^Delete/}).click();
await shot(page, "sure");
assert.equal(await page.evaluate(() => document.activeElement.id), "keep", "the safe answer comes first");
await page.keyboard.press("Enter");
assert.equal(await doomed.count(), 1);
await doomed.getByRole("button", {name: /^Delete/}).click();
await page.locator("#gone").click();
await doomed.waitFor({state: "detached"});
await page.locator("#rows tr", {hasText: "Sommerfest"}).getByRole("button", {name: /^Retry/}).click();
await page.waitForFunction(() => /1 message retried/.test(document.getElementById("said").textContent));
await page.locator("#flush").click();
await page.waitForFunction(() => /tried now/.test(document.getElementById("said").textContent));
await page.done();

// One that is hostile all over, wherever it is by now.
page = await open(url);
await page.locator("#search").fill("no.such.person");
await page.waitForFunction(() => { // of the rows before the search it may not be the first
	const rows = document.querySelectorAll("#rows tr");
	return rows.length === 1 && /onerror/.test(rows[0].textContent) || /No message here/.test(document.getElementById("empty").textContent);
});
if (await page.locator("#rows tr").count()) {
	await page.locator("#rows .subject").first().click();
	await page.waitForFunction(() => /quoted/.test(document.getElementById("content").textContent));
	assert.match(await text(page, "content"), /<b>bold<\/b> & "quoted" \\x1b\[31mred\\x1b\[0m \\u202ereversed/);
	await shot(page, "hostile");
	await page.locator("#inside [data-act=close]").click();
}
await page.done();

// On a phone.
page = await open(url, {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, isMobile: true, hasTouch: true});
await fits(page, "on a phone");
await shot(page, "phone");
await page.evaluate(() => document.getElementById("chart").scrollIntoView());
await shot(page, "phone-activity");
await page.evaluate(() => scrollTo(0, 0));
await page.locator("#rows .subject").first().tap();
await page.waitForFunction(() => /Text/.test(document.getElementById("content").textContent));
await fits(page, "inside, on a phone");
await shot(page, "phone-inside");
await page.emulateMedia({colorScheme: "dark"});
await page.locator("#inside [data-act=close]").tap();
await page.evaluate(() => scrollTo(0, 0));
await shot(page, "phone-dark");
await page.done();

// An empty spool.
page = await open(emptyURL);
assert.match(await text(page, "empty"), /The queue is empty/);
assert.match(await text(page, "word"), /the queue is empty/);
await shot(page, "empty", {fullPage: true});
await page.done();

// With a token the browser asks for it.
page = await open(secretURL, {httpCredentials: {username: "me", password: "0123456789abcdef"}});
assert.match(await text(page, "empty"), /The queue is empty/);
await page.locator("#flush").click();
await page.waitForFunction(() => /tried now/.test(document.getElementById("said").textContent));
await page.done();

// A daemon that has gone away is told of, and so is its return.
page = await open(emptyURL);
await page.route("**/status", r => r.abort());
await page.waitForFunction(() => /No answer from the daemon/.test(document.getElementById("word").textContent));
await shot(page, "lost");
await page.context().close();

await browser.close();
console.log("done");
