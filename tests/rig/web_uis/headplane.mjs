// What Headplane does with a person whom a proxy brings, and the calls it makes; see README.md. HEADPLANE_CONFIG (JSON) is
// its configuration file. Prints one JSON line when it is ready, and ends when its stdin does.
//
// A request counts as somebody's when its peer is in `allowed_cidrs` and the user header is there; the first ever seen is
// the owner, everybody after that is a member without rights. It asks Headscale by itself, with its own key. A form's
// `Origin` must be the host that `X-Forwarded-Host`, or else `Host`, names (React Router).
import { createServer } from 'node:http';
import { BlockList } from 'node:net';

const { server, headscale } = JSON.parse(process.env.HEADPLANE_CONFIG);
const { proxy_auth: proxy } = server;
const PREFIX = '/admin';

const allowed = new BlockList();
for (const cidr of proxy?.allowed_cidrs ?? ['127.0.0.1/32', '::1/128']) {
  const [address, bits] = cidr.split('/');
  allowed.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4');
}

const people = new Map();

function principalOf(request) {
  if (!proxy?.enabled || !allowed.check(request.socket.remoteAddress)) return null;
  const field = (name) => request.headers[name?.toLowerCase()]?.trim();
  const user = field(proxy.user_header ?? 'Remote-User');
  if (!user) return null;
  const subject = `proxy:${user}`;
  if (!people.has(subject)) people.set(subject, { role: people.size === 0 ? 'owner' : 'member' });
  return Object.assign(people.get(subject), { name: field(proxy.name_header) || user, email: field(proxy.email_header) });
}

async function call(method, path, body) {
  const response = await fetch(`${headscale.url}/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${headscale.api_key}`, Accept: 'application/json', 'Content-Type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!response.ok) throw new Error(`Headscale said ${response.status}: ${await response.text()}`);
  return response.json();
}

const text = (value) => String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (body) => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Headplane stand-in</title>
<link rel="icon" href="data:,"></head><body><main>${body}</main>
<script type="module" src="${PREFIX}/assets/live.js"></script></body></html>`;

// Real pages listen for changes all the time.
const LIVE = `const live = new EventSource('${PREFIX}/events/live');
live.addEventListener('hello', () => { document.body.dataset.live = 'yes'; });`;

function machines(nodes, principal) {
  const form = ({ id, givenName }) => `<h2>${text(givenName)}</h2><form method="post" action="${PREFIX}/machines">
<input type="hidden" name="node_id" value="${text(id)}"><input name="name" aria-label="Name of ${text(givenName)}" value="${text(givenName)}">
<button name="action_id" value="rename">Rename ${text(givenName)}</button>
<button name="action_id" value="expire">Expire ${text(givenName)}</button></form>`;
  return page(`<h1>Machines</h1><p>${text(principal.name)} (${text(principal.email ?? 'no e-mail')}), ${principal.role}</p>${nodes.map(form).join('')}`);
}

async function change(request, principal) {
  const { origin, host, 'x-forwarded-host': forwarded } = request.headers;
  if (origin && new URL(origin).host !== (forwarded ?? host)) return [400, 'the host and the origin do not match'];
  let body = '';
  for await (const chunk of request) body += chunk;
  const fields = new URLSearchParams(body);
  const id = encodeURIComponent(fields.get('node_id'));
  if (principal.role !== 'owner') return [403, 'You do not have permission to act on this machine'];
  await call('GET', `v1/node/${id}`);
  if (fields.get('action_id') === 'rename') await call('POST', `v1/node/${id}/rename/${encodeURIComponent(fields.get('name'))}`);
  else await call('POST', `v1/node/${id}/expire`);
  return [302, '', { location: `${PREFIX}/machines` }];
}

async function answer(request) {
  const { pathname } = new URL(request.url, 'http://any');
  if (pathname === PREFIX) return [302, '', { location: `${PREFIX}/` }];
  if (pathname === `${PREFIX}/healthz`) {
    const well = await fetch(`${headscale.url}/health`).then(({ ok }) => ok, () => false);
    return [well ? 200 : 500, JSON.stringify({ status: well ? 'OK' : 'ERROR' }), { 'content-type': 'application/json' }];
  }
  if (pathname === `${PREFIX}/assets/live.js`) return [200, LIVE, { 'content-type': 'text/javascript', 'cache-control': 'public, max-age=31536000, immutable' }];
  if (pathname === `${PREFIX}/login`) return [200, page('<h1>Welcome to Headplane</h1><p>Enter an API key</p>')];
  const principal = principalOf(request);
  if (!principal) return [302, '', { location: `${PREFIX}/login` }];
  if (request.method === 'POST') return change(request, principal);
  if (principal.role !== 'owner') return [200, page(`<h1>No access</h1><p>${text(principal.name)} (${text(principal.email ?? 'no e-mail')}), ${principal.role}</p>`)];
  if (pathname === `${PREFIX}/`) return [302, '', { location: `${PREFIX}/machines` }];
  if (pathname !== `${PREFIX}/machines`) return [404, page('<h1>Not found</h1>')];
  const { nodes } = await call('GET', 'v1/node');
  return [200, machines(nodes, principal)];
}

const listener = createServer((request, response) => {
  if (request.url === `${PREFIX}/events/live`) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    return void response.write('event: hello\ndata: {}\n\n');
  }
  answer(request).catch((error) => [502, error.message]).then(([status, body, fields]) => {
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', ...fields }).end(body);
  });
});
listener.listen(server.port, server.host, () => process.stdout.write(`${JSON.stringify({ ready: true })}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
