// Drives Debian's Chromium for the tests: one fresh profile, commands as JSON lines on stdin, one
// JSON line in answer to each; ends when stdin ends. BROWSER_CONFIG (JSON): cookies, hosts,
// trust_any_certificate, dark, phone, locale, scripts.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// The packages are installed beside the provider.
const packages = createRequire(new URL('../provider/package.json', import.meta.url));
const { chromium } = packages('playwright-core');

const BLOCK = 2; // Chromium's content setting "block"
const settings = { cookies: true, hosts: {}, trust_any_certificate: false, dark: false, phone: false, locale: 'en-US', scripts: true, ...JSON.parse(process.env.BROWSER_CONFIG ?? '{}') };

const profile = mkdtempSync(join(tmpdir(), 'profile-'));
if (!settings.cookies) {
  // The same switch that a person finds in the settings. Command line flags only block third parties.
  mkdirSync(join(profile, 'Default'));
  writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({
    profile: { default_content_setting_values: { cookies: BLOCK } },
  }));
}

const rules = Object.entries(settings.hosts).map(([name, address]) => `MAP ${name} ${address}`).join(',');
const WIDE = { width: 1100, height: 800 };
const PHONE = { width: 390, height: 844 };
// More than any page of ours has.
const MOST_STOPS = 400;
const axe = readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8');
const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  chromiumSandbox: false,
  args: [
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ...(rules ? [`--host-resolver-rules=${rules}`] : []),
  ],
  ignoreHTTPSErrors: settings.trust_any_certificate,
  colorScheme: settings.dark ? 'dark' : 'light',
  viewport: settings.phone ? PHONE : WIDE,
  locale: settings.locale,
  javaScriptEnabled: settings.scripts,
});
context.setDefaultTimeout(120_000);

const requests = [];
const messages = [];
const statuses = new WeakMap();
context.on('request', (request) => {
  const entry = { method: request.method(), url: request.url(), kind: request.resourceType() };
  requests.push(entry);
  request.response().then((response) => { entry.status = response?.status(); }, () => {});
});
context.on('response', (response) => {
  const request = response.request();
  if (!request.isNavigationRequest()) return;
  const frame = request.frame();
  if (frame.parentFrame() === null) statuses.set(frame.page(), response.status());
});
context.on('console', (message) => messages.push(message.text()));
context.on('weberror', (error) => messages.push(`uncaught: ${error.error().message}`));

let page = context.pages()[0] ?? await context.newPage();

async function look(patience = 5) {
  try {
    await page.waitForLoadState('load');
    return {
      url: page.url(),
      title: await page.title(),
      text: await page.locator('body').first().innerText(),
      status: statuses.get(page) ?? 0,
    };
  } catch (error) {
    // A page that goes on by itself is gone while one looks at it: then the next one counts.
    if (patience === 0 || !error.message.includes('context was destroyed')) throw error;
    return look(patience - 1);
  }
}

async function open({ url }) {
  // Chromium calls an error status without a body a failure, but shows its own page for it.
  await page.goto(url).catch((error) => { if (!error.message.includes('ERR_HTTP_RESPONSE_CODE_FAILURE')) throw error; });
  return look();
}

async function press({ text }) {
  const target = page.getByRole('button', { name: text }).or(page.getByRole('link', { name: text })).first();
  // A press that leads nowhere (a blocked form, say) must end too: the page as it is then.
  const arrived = page.waitForEvent('framenavigated', { predicate: (frame) => frame === page.mainFrame(), timeout: 5_000 }).catch(() => {});
  await target.click();
  await arrived;
  return look();
}

// As somebody sees the page who prefers dark or light, in a window of this width; then as before.
async function seen({ dark = settings.dark, width }, look) {
  const before = page.viewportSize();
  await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
  await page.setViewportSize(width ? { ...before, width } : before);
  const result = await look();
  await page.emulateMedia({ colorScheme: settings.dark ? 'dark' : 'light' });
  await page.setViewportSize(before);
  return result;
}

// What axe-core finds. The script comes through the debugger, where the page's policy does not stop it.
async function examine() {
  if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const findings = violations.map(({ id, impact, help, nodes }) => ({ rule: id, impact, help, at: nodes.map((node) => node.html) }));
  return { findings, passed: passes.length };
}

// Where the Tab key stops, from the top of the page until it leaves it: what is there, whether one sees that it
// has the focus, and its size.
async function tabStops() {
  await page.evaluate(() => { document.activeElement?.blur(); getSelection()?.removeAllRanges(); });
  const stops = [];
  while (stops.length < MOST_STOPS) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body || one === document.documentElement) return null;
      const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, textarea')];
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      const { width, height } = one.getBoundingClientRect();
      return { place: all.indexOf(one), of: all.filter((each) => each.checkVisibility()).length, what: one.outerHTML.slice(0, 120), ring: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2, width, height };
    });
    if (stop === null || stops.some(({ place }) => place === stop.place)) break;
    stops.push(stop);
  }
  return { stops };
}

// What whoever hears the page calls what has the focus.
function focused() {
  const one = document.activeElement;
  return one?.getAttribute('aria-label') ?? (one?.labels?.[0] ?? one)?.innerText?.trim() ?? '';
}

// Presses Tab until what has this name has the focus.
async function tabTo({ name }) {
  const passed = [];
  while (passed.length < MOST_STOPS) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(focused);
    if (stop === name) return { passed };
    passed.push(stop.slice(0, 60));
  }
  throw new Error(`Tab never reaches "${name}", but ${[...new Set(passed)].join(', ')}`);
}

// Presses a key that leads to another page, and waits until that is there.
async function follow({ key }) {
  const arrived = page.waitForEvent('framenavigated', { predicate: (frame) => frame === page.mainFrame(), timeout: 120_000 });
  await page.keyboard.press(key);
  await arrived;
  return look();
}

// Writes over what stands in the field that has the focus.
async function writeOver({ text }) {
  await page.keyboard.press('Control+A');
  await page.keyboard.type(text);
}

const commands = {
  open,
  fill: async ({ name, value }) => { await page.locator(`[name="${name}"]`).fill(value); },
  press,
  look: () => look(),
  reload: async () => { await page.reload(); return look(); },
  wait_for: async ({ prefix }) => { await page.waitForURL((url) => url.href.startsWith(prefix)); return look(); },
  new_tab: async () => { page = await context.newPage(); },
  // Of pages that change by themselves: Playwright's selectors.
  click: async ({ at }) => { await page.locator(at).first().click(); },
  type: async ({ at, value }) => { await page.locator(at).first().fill(value); },
  wait_to_see: async ({ at }) => { await page.locator(at).first().waitFor(); return look(); },
  examine: (how) => seen(how, examine),
  tab_stops: tabStops,
  tab_to: tabTo,
  key: async ({ key }) => { await page.keyboard.press(key); },
  follow,
  write_over: writeOver,
  evaluate: async ({ script, ...how }) => ({ value: await seen(how, () => page.evaluate(script)) }),
  cookies: async ({ url }) => ({ cookies: await context.cookies(url) }),
  requests: () => ({ requests }),
  console: () => ({ console: messages }),
  // `dark` and `phone` are for this picture only.
  screenshot: ({ path, dark, phone = settings.phone }) => seen({ dark, width: (phone ? PHONE : WIDE).width }, () => page.screenshot({ path, fullPage: true })),
};

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

print({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    print({ ok: true, ...await commands[command.do](command) });
  } catch (error) {
    print({ ok: false, error: error.message });
  }
}
await context.close();
process.exit(0);
